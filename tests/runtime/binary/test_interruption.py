"""Whether a guest can be interrupted soon, if it has much data: what is mapped does not count, what is copied does."""

from __future__ import annotations

import pytest
import wasmtime

from pytest_airssys_wasm.runtime.binary.interruption import is_soon_interrupted

MIB = 2**20


def module(data_mib, *, memories="(memory 400)", code="", kind="(i32.const 0)"):
    return bytes(
        wasmtime.wat2wasm(f'(module {memories} (data {kind} "{"a" * (data_mib * MIB)}") (func (export "f") {code}))')
    )


def test_data_that_is_mapped_does_not_count():
    assert is_soon_interrupted(module(5))
    assert is_soon_interrupted(module(12))


@pytest.mark.parametrize(
    ("data_mib", "given"),
    [
        (17, {}),  # it would be copied in one piece if the machine refused to map it
        (5, {"memories": "(memory 400) (memory 1)"}),
        (5, {"kind": ""}),
        (5, {"code": "(memory.fill (i32.const 0) (i32.const 0) (i32.const 9))"}),
    ],
    ids=["too much", "a guest without an image", "passive data", "a long instruction"],
)
def test_a_guest_with_much_data_may_not_be_interrupted_soon(data_mib, given):
    assert not is_soon_interrupted(module(data_mib, **given))
