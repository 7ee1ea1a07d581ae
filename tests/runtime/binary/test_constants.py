"""The constants of a guest are found in its binary, those that it compares first, and no binary takes long."""

from __future__ import annotations

import os

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.binary.constants import Constants, harvest_constants

MODULE = """(module (memory 1)
  (data (i32.const 16) "HelloWorldMagicPie") (data "\\ff\\fe\\fd")
  (func (export "f") (param i32)
    (drop (i32.add (i32.const 26) (i32.const 5)))
    (if (i32.eq (i32.load (local.get 0)) (i32.const 0x4347414d)) (then unreachable))
    (if (i64.lt_s (i64.const 0) (i64.const -987654321012)) (then unreachable))
    (if (i32.eq (i32.load8_u (local.get 0)) (i32.const 88)) (then
      (if (i32.eq (i32.load8_u offset=1 (local.get 0)) (i32.const 89)) (then unreachable))))
    (drop (f64.lt (f64.const 3.25) (f64.const -1e3)))
    (drop (f32.add (f32.const 0.5) (f32.const 1.5)))))"""


def harvested(text):
    return harvest_constants(bytes(wasmtime.wat2wasm(text)))


@pytest.fixture(scope="module")
def found():
    return harvested(MODULE)


def test_integers_of_both_widths_are_found_and_those_that_are_compared_come_first(found):
    assert set(found.integers) >= {0x4347414D, -987654321012, 88, 89, 26, 5, 0}
    assert found.integers.index(0x4347414D) < found.integers.index(26)


def test_floats_are_found(found):
    assert {3.25, -1e3, 0.5, 1.5} <= set(found.floats)


def test_texts_are_found_in_data_in_large_integers_and_in_characters_that_are_compared_in_a_row(found):
    assert {b"MAGC", b"XY", b"HelloWorldMagicPie", b"\xff\xfe\xfd", b"f"} <= set(found.texts)


COMPARED_AS_COMPILERS_DO = {
    b"R-7Q!": [("i32", 0x51372D52), ("i32", 33)],
    b"R-7Q!?": [("i32", 0x51372D52), ("i32", 0x3F21)],
    b"abcdefg": [("i32", 0x64636261), ("i32", 0x67666564)],
    b"GET /index": [("i64", 0x6E692F2054454700 >> 8 | 0x64 << 56), ("i32", 0x7865)],
}
"""Texts, with the numbers as which compilers compare them: several characters at once, the last ones of which overlap."""


@pytest.mark.parametrize("text", COMPARED_AS_COMPILERS_DO)
@pytest.mark.parametrize("is_last_first", [False, True])
def test_a_text_that_is_compared_in_pieces_is_found_as_a_whole(text, is_last_first):
    pieces = COMPARED_AS_COMPILERS_DO[text]
    code = " ".join(
        f"({of}.eq ({of}.load (local.get 0)) ({of}.const {number})) drop"
        for of, number in (pieces[::-1] if is_last_first else pieces)
    )
    before, after = ("(i32.eq (local.get 0) (i32.const 32)) drop",) * 2
    assert text in harvested(f"(module (memory 1) (func (param i32) {before} {code} {after}))").texts


def test_a_part_of_a_segment_is_found_by_its_address_and_size():
    text = '(module (memory 1) (data (i32.const 16) "HelloWorldMagicPie") (func (result i32 i32) i32.const 26 i32.const 5))'
    assert b"Magic" in harvested(text).texts


def test_constants_of_every_module_in_a_component_are_found():
    inner = "(core module (func (result i32) i32.const 12345))"
    assert (
        12345
        in harvested(f"(component {inner} (component (core module (func (result i32) i32.const 54321))))").integers
    )
    assert (
        54321
        in harvested(f"(component {inner} (component (core module (func (result i32) i32.const 54321))))").integers
    )


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
def test_every_integer_is_read_as_it_was_written(small, large):
    found = harvested(f"(module (func (result i32 i64) i32.const {small} i64.const {large}))")
    assert {small, large} <= set(found.integers)


HOSTILE = {
    "one byte again and again": b"\x41" * 2**23,
    "numbers that do not end": b"\x42\x80\x80\x80\x80" * (2**23 // 5),
    "constants only": b"\x41\x00" * 2**22,
    "words only": b"\x41\x35\x46" * (2**23 // 3),
    "random": os.urandom(2**23),
}


@pytest.mark.slow
@pytest.mark.parametrize("code", HOSTILE)
def test_the_work_is_bounded_whatever_the_code(code):
    body = HOSTILE[code]
    size = bytes(
        [len(body) & 0x7F | 0x80, len(body) >> 7 & 0x7F | 0x80, len(body) >> 14 & 0x7F | 0x80, len(body) >> 21]
    )
    started = monotonic()
    found = harvest_constants(b"\0asm\1\0\0\0\x0a" + size + body)
    assert monotonic() - started < 60
    assert max(len(found.integers), len(found.floats), len(found.texts)) <= 512
    assert all(len(text) <= 64 for text in found.texts)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_malformed_binaries_have_the_constants_before_the_fault(noise, cut):
    whole = bytes(wasmtime.wat2wasm(MODULE))
    assert isinstance(harvest_constants(noise), Constants)
    assert isinstance(harvest_constants(whole[:8] + noise), Constants)
    assert isinstance(harvest_constants(whole[: len(whole) - cut] + noise), Constants)
