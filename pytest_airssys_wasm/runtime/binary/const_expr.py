"""The reader of constant expressions in core modules, which finds their ends and their integer values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.binary.byte_reader import Reader

_END = 0x0B
_MOST_INSTRUCTIONS = 1_000
"""The maximum number of instructions in an expression. Real expressions have few; without a bound, every byte of a
binary could be one.
"""
_ARITHMETIC: dict[int, Callable[[int, int], int]] = {
    0x6A: int.__add__,
    0x6B: int.__sub__,
    0x6C: int.__mul__,
    0x7C: int.__add__,
    0x7D: int.__sub__,
    0x7E: int.__mul__,
}
# The count of numbers that follow an instruction whose value is not computed: global.get, ref.func; below 0xFB:
# struct.new, struct.new_default, array.new, array.new_default, array.new_fixed, any.convert_extern, extern.convert_any,
# ref.i31.
_NUMBERS = {0x23: 1, 0xD2: 1}
_GC_NUMBERS = {0: 1, 1: 1, 6: 1, 7: 1, 8: 2, 26: 0, 27: 0, 28: 0}


def read_const_expr(reader: Reader) -> int | None:
    """Read a constant expression up to its end, and return its value modulo 2**64.

    The value is `None` unless it is computed from integer constants by addition, subtraction and multiplication. Raises
    `Malformed` for an unknown instruction, and for more than 1,000 instructions.
    """
    values: list[int | None] = []
    for _ in range(_MOST_INSTRUCTIONS):
        code = reader.byte()
        if code == _END:
            return values[0] % 2**64 if len(values) == 1 and values[0] is not None else None
        if code in (0x41, 0x42):
            values.append(reader.signed(32 if code == 0x41 else 64))
        elif code in _ARITHMETIC and len(values) >= 2:
            second, first = values.pop(), values.pop()
            unknown = first is None or second is None
            values.append(None if unknown else _ARITHMETIC[code](first, second) % 2**64)  # type: ignore[arg-type]
        else:
            _pass_over(code, reader)
            values.append(None)
    raise Malformed(f"a constant expression of more than {_MOST_INSTRUCTIONS:,} instructions")


def _pass_over(code: int, reader: Reader) -> None:
    if code in (0x43, 0x44):
        reader.take(4 if code == 0x43 else 8)
    elif code in _NUMBERS:
        reader.number(32)
    elif code == 0xD0:
        reader.signed(33)
    elif code == 0xFD and reader.number(32) == 0x0C:
        reader.take(16)
    else:
        numbers = _GC_NUMBERS.get(reader.number(32)) if code == 0xFB else None
        if numbers is None:
            raise Malformed(f"unknown instruction 0x{code:02x} in a constant expression")
        for _ in range(numbers):
            reader.number(32)


_PLAIN_NUMBERS = {0x23: 32, 0xD2: 32}
"""The bits of the number that follows a plain instruction: global.get, ref.func."""


def read_plain_const_expr(reader: Reader) -> int | None:
    """Read a constant expression that cannot fail, because it does not allocate.

    Returns the value of an expression that is one `i32.const`, modulo 2**32, and `None` for any other. Raises
    `Malformed` for instructions that allocate or are not known.
    """
    first = None
    for count in range(_MOST_INSTRUCTIONS):
        code = reader.byte()
        if code == _END:
            return first if count == 1 else None
        if code == 0x41:
            first = reader.signed(32) % 2**32
        elif code == 0x42:
            reader.signed(64)
        elif code in _PLAIN_NUMBERS:
            reader.number(_PLAIN_NUMBERS[code])
        elif code not in _ARITHMETIC and code not in (0x43, 0x44, 0xD0, 0xFD):
            raise Malformed(f"instruction 0x{code:02x} in a constant expression")
        elif code not in _ARITHMETIC:
            _pass_over(code, reader)
    raise Malformed(f"a constant expression of more than {_MOST_INSTRUCTIONS:,} instructions")
