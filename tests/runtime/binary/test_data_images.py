"""The images that are taken out of binaries: which guests have one, and what is left of the binary."""

from __future__ import annotations

import pytest
import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.binary.data_images import LEAST_BYTES, find_image
from pytest_airssys_wasm.runtime.binary.formats import to_binary
from pytest_airssys_wasm.runtime.binary.sections import read_contents, read_module

PAGE = 65536
MUCH = "a" * LEAST_BYTES
DATA = f'(data (i32.const 70000) "{MUCH}")'
CODE = '(func (export "first") (result i32) (i32.load8_u (i32.const 70000)))'

LOAD = b"\x41\xf0\xa2\x04\x2d"
"""The first two instructions of that function."""


def image_of(wat):
    return find_image(to_binary(wat.encode(), "guest")[1])


def component(*modules, instances="(core instance (instantiate 0))"):
    return f"(component {' '.join(f'(core module {one})' for one in modules)} {instances})"


HAVE_ONE = {
    "a module": f"(module (memory 8) {DATA} {CODE})",
    "a component": component(f"(memory 8) {DATA} {CODE}"),
    "a nested component": f"(component (component (core module (memory 8) {DATA}) (core instance (instantiate 0))) "
    "(instance (instantiate 0)))",
    "one that has memories of other sizes too": component(
        "(memory 1)",
        f"(memory 8) {DATA}",
        "(memory 9)",
        instances="(core instance (instantiate 0)) (core instance (instantiate 1)) (core instance (instantiate 2))",
    ),
    "plain globals, tables and elements": f'(module (import "m" "g" (global i32)) (memory 8) (table 3 funcref) '
    "(table 1 externref) (global i32 (global.get 0)) (global (mut i64) (i64.const -5)) (global f64 (f64.const 1)) "
    "(global f32 (f32.const 1)) (global v128 (v128.const i64x2 1 2)) (global funcref (ref.func 0)) "
    "(global externref (ref.null extern)) (global i32 (i32.add (i32.const 1) (global.get 0))) "
    "(elem (i32.const 1) func 0 0) (elem (table 0) (i32.const 2) funcref (ref.func 0)) (elem func 0) "
    f"(elem declare func 0) (elem funcref (ref.null func)) {DATA} {CODE})",
    "a start function": f"(module (memory 8) {DATA} (func $start) (start $start))",
    "passive data besides": f'(module (memory 8) (data "passive") {DATA} (data "more"))',
    "an empty segment at the end of the memory": f'(module (memory 8) {DATA} (data (i32.const {8 * PAGE}) ""))',
}


@pytest.mark.parametrize("guest", HAVE_ONE)
def test_the_binary_of_an_image_is_as_long_and_valid_and_has_the_same_code_in_the_same_place(guest):
    kind, binary = to_binary(HAVE_ONE[guest].encode(), "guest")
    found = find_image(binary)
    assert found is not None
    assert len(found.binary) == len(binary)
    assert (found.offset, len(found.content), found.memory_bytes) == (PAGE, 5 * PAGE, 8 * PAGE)
    assert found.content == bytes(70000 - PAGE) + MUCH.encode() + bytes(6 * PAGE - 70000 - LEAST_BYTES)
    assert MUCH.encode() in binary
    assert MUCH.encode() not in found.binary
    code_at, data_end = binary.find(LOAD), binary.index(MUCH.encode()) + LEAST_BYTES
    assert found.binary[: code_at + len(LOAD)] == binary[: code_at + len(LOAD)]
    behind = min(len(binary), data_end + 8)  # some segments follow, which are in the image too
    assert found.binary[behind:] == binary[behind:]
    if kind == "module":
        wasmtime.Module.validate(wasmtime.Engine(), found.binary)
        assert read_module(found.binary) == read_module(binary)
        new, old = (read_contents(memoryview(one)) for one in (found.binary, binary))
        assert (new.memories, new.tables) == (old.memories, old.tables)
        assert found.units == LEAST_BYTES + len(old.active_data) - 1
        assert new.data_bytes == old.data_bytes - LEAST_BYTES
    else:
        wasmtime.component.Component(wasmtime.Engine(), found.binary)


MEMORY = "(memory 8)"
HAVE_NONE = {
    "little data": f'(module {MEMORY} (data (i32.const 0) "{MUCH[1:]}"))',
    "data that are passive": f'(module {MEMORY} (data "{MUCH}"))',
    "an imported memory": f'(module (import "m" "m" {MEMORY}) {DATA})',
    "two memories": f"(module {MEMORY} (memory 1) {DATA})",
    "a 64-bit memory": f'(module (memory i64 8) (data (i64.const 0) "{MUCH}"))',
    "data that do not fit": f'(module {MEMORY} {DATA} (data (i32.const {8 * PAGE}) "x"))',
    "an empty segment beyond the memory": f'(module {MEMORY} {DATA} (data (i32.const {8 * PAGE + 1}) ""))',
    "data at a place that is not known": f'(module (import "m" "g" (global i32)) {MEMORY} {DATA} '
    '(data (global.get 0) "x"))',
    "data at a place that is computed": f'(module {MEMORY} {DATA} (data (i32.add (i32.const 1) (i32.const 2)) "x"))',
    "data far apart": f'(module (memory 32) {DATA} (data (i32.const 2000000) "x"))',
    "elements that do not fit": f"(module {MEMORY} (table 1 funcref) (elem (i32.const 1) func 0) {DATA} {CODE})",
    "elements at a place that is not known": f'(module (import "m" "g" (global i32)) {MEMORY} (table 9 funcref) '
    f"(elem (global.get 0) func 0) {DATA} {CODE})",
    "elements for an imported table": f'(module (import "m" "t" (table 9 funcref)) {MEMORY} '
    f"(elem (i32.const 0) func 0) {DATA} {CODE})",
    "elements that allocate": f"(module (type $a (array i8)) {MEMORY} (elem (ref $a) "
    f"(array.new_default $a (i32.const 1000000))) {DATA})",
    "a global that allocates": f"(module (type $a (array i8)) {MEMORY} (global (ref $a) "
    f"(array.new_default $a (i32.const 1000000))) {DATA})",
    "a table that is filled": f"(module {MEMORY} (table 9 funcref (ref.func 0)) {DATA} {CODE})",
    "a module that is instantiated twice": component(
        f"{MEMORY} {DATA}", instances="(core instance (instantiate 0)) (core instance (instantiate 0))"
    ),
    "a module that is not instantiated": component(
        f"{MEMORY} {DATA}", MEMORY, instances="(core instance (instantiate 1))"
    ),
    "two modules with much data": component(
        f"{MEMORY} {DATA}",
        f"(memory 9) {DATA}",
        instances="(core instance (instantiate 0)) (core instance (instantiate 1))",
    ),
    "two memories of one size": component(
        f"{MEMORY} {DATA}", MEMORY, instances="(core instance (instantiate 0)) (core instance (instantiate 1))"
    ),
    "an imported module": f'(component (import "other" (core module)) (core module {MEMORY} {DATA}) '
    "(core instance (instantiate 0)) (core instance (instantiate 1)))",
}


@pytest.mark.parametrize("guest", HAVE_NONE)
def test_a_guest_that_could_tell_the_difference_has_no_image(guest):
    assert image_of(HAVE_NONE[guest]) is None


def test_later_segments_win_and_the_last_stays_active():
    found = image_of(
        f'(module (memory 8) {DATA} (data "p") (data (i32.const 70001) "bb") (data (i32.const 70002) "c"))'
    )
    assert found.content[70000 - PAGE : 70005 - PAGE] == b"abcaa"
    active = read_contents(memoryview(found.binary)).active_data
    assert [(one.number, one.offset, one.size_bytes) for one in active] == [(3, 70002, 0)]
    assert found.units == LEAST_BYTES + 3 + 2


def test_damaged_binaries_have_no_image_and_raise_nothing():
    _, binary = to_binary(HAVE_ONE["a component"].encode(), "guest")
    data_at = binary.index(MUCH.encode())
    for at in (*range(data_at), *range(data_at + LEAST_BYTES, len(binary))):
        for value in (0, 0x7F, 0xFF):
            found = find_image(binary[:at] + bytes([value]) + binary[at + 1 :])
            assert found is None or len(found.binary) == len(binary)
    for at in range(data_at + LEAST_BYTES - 2, len(binary)):
        find_image(binary[:at])
