"""Instrumented guests: valid, and the same as without probes but for the fuel of these."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.binary.probes import CannotInstrument, find_guest_blocks, instrument
from pytest_airssys_wasm.runtime.binary.sections import read_contents
from pytest_airssys_wasm.runtime.engine import WasmEngine

TWO_MODULES = """(component
  (component $inner
    (core module $m (memory 1 1) (func (export "f") (result i32) (i32.const 1)))
    (core instance $i (instantiate $m))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))
  (instance $inner (instantiate $inner))
  (core module $n (func $one (param i32)) (func (export "g") (if (i32.const 0) (then (call $one (i32.const 2))))))
  (core instance $j (instantiate $n))
  (func (export "g") (canon lift (core func $j "g")))
  (export "f" (func $inner "f")))"""


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as made:
        yield made


def binary_of(engine, text):
    return engine.to_binary(text.encode(), "text")[1]


def test_the_functions_of_all_modules_are_found_at_their_places_in_the_guest(engine):
    binary = binary_of(engine, TWO_MODULES)
    functions = find_guest_blocks(binary).functions
    assert [(one.module, one.index, one.name, len(one.blocks)) for one in functions] == [(0, 0, "f", 1), (1, 1, "g", 2)]
    for one in functions:
        assert binary[one.body[1] - 1] == 0x0B
        assert [binary[at] for at in one.blocks] == [0x41] * len(one.blocks)  # i32.const
    assert [one.first_probe for one in functions] == [0, 1]


@pytest.mark.parametrize("is_counting", [False, True])
def test_an_instrumented_guest_is_valid_and_has_the_same_world(engine, is_counting):
    made = instrument(binary_of(engine, TWO_MODULES), is_counting=is_counting)
    assert made.probes == 3
    assert str(engine.load(made.binary).exports) == str(engine.load(TWO_MODULES).exports)


def test_the_memory_of_the_probes_has_a_size_that_no_memory_of_the_guest_has(engine):
    text = "(module (memory 1 1) (memory 1 2) (memory 1 4) (memory 1) (func (drop (i32.const 1))))"
    made = instrument(binary_of(engine, text))
    sizes = [(one.minimum, one.maximum) for one in read_contents(memoryview(made.binary)).memories]
    assert sizes == [(1, 1), (1, 2), (1, 4), (1, None), (1, 3)]
    assert (made.memory_bytes, made.most_memory_bytes) == (65536, 3 * 65536)


def test_the_memory_comes_before_the_sections_that_follow_memories(engine):
    text = '(module (tag (param i32)) (global i32 (i32.const 1)) (func (export "f") (drop (i32.const 1))) (data "x"))'
    engine.load(instrument(binary_of(engine, text)).binary)
    engine.load(instrument(binary_of(engine, "(module)")).binary)


def test_imported_memories_and_functions_come_first(engine):
    text = """(module (import "a" "m" (memory 3)) (import "a" "f" (func (param f32))) (memory 1)
      (func $g (export "g") (drop (i32.const 1))))"""
    made = instrument(binary_of(engine, text))
    (function,) = made.functions
    assert (function.index, function.name) == (1, "g")
    assert [one.minimum for one in read_contents(memoryview(made.binary)).memories] == [3, 1, 1]
    engine.load(made.binary)


def test_names_are_those_of_the_binary_in_one_printable_line(engine):
    text = """(module $mine (func $"a\\0ab" (drop (i32.const 1))) (func (export "c") (drop (i32.const 1)))
      (func $_ZN4core3fmt17h0123456789abcdefE (drop (i32.const 1)))
      (func $"_ZN36_$LT$T$u20$as$u20$core..any..Any$GT$7type_id17h0123456789abcdefE" (drop (i32.const 1)))
      (func (drop (i32.const 1))))"""
    functions = find_guest_blocks(binary_of(engine, text)).functions
    assert [one.name for one in functions] == ["a\\nb", "c", "core::fmt", "<T as core::any::Any>::type_id", ""]
    assert {one.module_name for one in functions} == {"mine"}


def test_a_malformed_name_section_is_no_obstacle(engine):
    binary = binary_of(engine, '(module (func (export "f") (drop (i32.const 1))))')
    named = binary + b"\x00\x09\x04name\x01\x7f\x01\x00"
    assert [one.name for one in find_guest_blocks(named).functions] == ["f"]


@pytest.mark.parametrize(
    ("binary", "reason"),
    [
        (b"\0asm\x01\0\0\0\x0a\x06\x01\x04\x00\xfe\x03\x0b", "unknown instruction 0xfe"),
        (b"\0asm\x01\0\0\0\x0a\x06\x01\x7f\x00", "malformed|runs past the end|too large"),
        (b"text", "neither a module nor a component"),
    ],
)
def test_a_guest_that_cannot_be_instrumented_is_named_a_reason(binary, reason):
    with pytest.raises(CannotInstrument, match=reason):
        instrument(binary)


def test_code_without_end_is_not_read(engine):
    binary = binary_of(engine, "(module (func" + " (drop (i32.const 1))" * 9 + "))")
    with pytest.raises(CannotInstrument, match="more than 10 B of code"):
        instrument(binary, most_code_bytes=10)
