"""The sizes at which an export may behave differently are found in its code, those nearest to the export first."""

from __future__ import annotations

import os

import pytest
import wasmtime

from pytest_airssys_wasm.runtime.binary.compared_sizes import compared_sizes

MODULE = """(module
  (import "host" "log" (func $log))
  (global i32 (i32.const 3456))
  (func $far (param $n i32) (drop (i32.eq (local.get $n) (i32.const 500))))
  (func $near (param $n i32)
    (drop (i32.eq (local.get $n) (i32.const 600))) (drop (i32.eq (i32.mul (local.get $n) (i32.const 6)) (i32.const 4200))))
  (func (export "f") (param $n i32)
    (call $log) (call $near (local.get $n))
    (drop (i32.eq (local.get $n) (i32.const 44)))
    (drop (i32.lt_s (local.get $n) (i32.const 1000)))
    (drop (i32.eqz (i32.rem_u (local.get $n) (i32.const 97))))
    (drop (i32.eq (i32.add (local.get $n) (i32.const 8)) (i32.const 808)))
    (drop (i64.eq (i64.extend_i32_u (local.get $n)) (i64.const 900)))
    (drop (i32.eq (local.get $n) (i32.const -3)))
    (drop (i32.eqz (i32.add (local.get $n) (i32.const -700))))
    (drop (i32.add (local.get $n) (i32.const 2222)))))"""
COMPONENT = f"(component (core module $m (func)) (component (core module {MODULE[7:]}))"


def found(text, export="f", low=0, high=4_096):
    return [*compared_sizes(bytes(wasmtime.wat2wasm(text)), export, low, high)]


def test_numbers_that_are_compared_are_found_and_others_are_not():
    assert {808, 900, 700, 1000, 1001, 600, 44, 97} <= {*found(MODULE)}
    assert 2222 not in found(MODULE)
    assert -3 not in found(MODULE)


def test_numbers_without_a_factor_or_a_header_are_found():
    assert {4200 // 6, 808 - 8} <= {*found(MODULE)}


def test_the_values_of_globals_are_found():
    assert 3456 in found(MODULE)


def test_functions_that_the_export_calls_come_first_and_small_numbers_last():
    order = found(MODULE)
    assert order.index(600) < order.index(44) < order.index(500)
    assert order.index(1000) > order.index(600)


def test_each_number_comes_once_and_is_in_the_range():
    order = found(MODULE, low=100, high=1_000)
    assert len(order) == len({*order})
    assert all(100 <= number <= 1_000 for number in order)
    assert 1_000 in order


def test_modules_in_components_are_searched():
    assert 900 in found(COMPONENT)


def test_an_export_that_is_not_found_has_the_numbers_of_all_functions():
    assert {500, 600, 900} <= {*found(MODULE, export="g")}


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_no_binary_is_an_error(cut):
    whole = bytes(wasmtime.wat2wasm(MODULE))
    noise = os.urandom(64)
    for binary in (noise, whole[:8] + noise, whole[: len(whole) - cut] + noise, whole[:cut]):
        assert all(0 <= number <= 99 for number in compared_sizes(binary, "f", 0, 99))
