"""The text of instructions, for people who want to know which block of a function they are looking at.

Operations on vectors, and those whose first byte is 0xFB or 0xFE, are named by their numbers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.binary import code_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_MOST_OPERANDS = 8


def _names() -> dict[int, str]:
    found = {
        0x00: "unreachable", 0x01: "nop", 0x02: "block", 0x03: "loop", 0x04: "if", 0x05: "else", 0x08: "throw",
        0x0A: "throw_ref", 0x0B: "end", 0x0C: "br", 0x0D: "br_if", 0x0E: "br_table", 0x0F: "return", 0x10: "call",
        0x11: "call_indirect", 0x12: "return_call", 0x13: "return_call_indirect", 0x14: "call_ref",
        0x15: "return_call_ref", 0x1A: "drop", 0x1B: "select", 0x1C: "select", 0x1F: "try_table", 0xD0: "ref.null",
        0xD1: "ref.is_null", 0xD2: "ref.func", 0xD3: "ref.eq", 0xD4: "ref.as_non_null", 0xD5: "br_on_null",
        0xD6: "br_on_non_null", 0xFB: "object", 0xFC: "numbered", 0xFD: "vector",
    }  # fmt: skip
    tables = {
        0x20: "local.get local.set local.tee global.get global.set table.get table.set",
        0x28: "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s "
        "i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u i32.store i64.store f32.store f64.store "
        "i32.store8 i32.store16 i64.store8 i64.store16 i64.store32 memory.size memory.grow i32.const i64.const "
        "f32.const f64.const",
    }
    compare = "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
    compare_float = "eq ne lt gt le ge"
    whole = "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
    real = "abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
    at = 0x45
    for prefix, words in (
        *(("i32", compare), ("i64", compare), ("f32", compare_float), ("f64", compare_float)),
        *(("i32", whole), ("i64", whole), ("f32", real), ("f64", real)),
        ("i32", "wrap_i64 trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u"),
        ("i64", "extend_i32_s extend_i32_u trunc_f32_s trunc_f32_u trunc_f64_s trunc_f64_u"),
        ("f32", "convert_i32_s convert_i32_u convert_i64_s convert_i64_u demote_f64"),
        ("f64", "convert_i32_s convert_i32_u convert_i64_s convert_i64_u promote_f32"),
        *(("i32", "reinterpret_f32"), ("i64", "reinterpret_f64"), ("f32", "reinterpret_i32")),
        *(("f64", "reinterpret_i64"), ("i32", "extend8_s extend16_s"), ("i64", "extend8_s extend16_s extend32_s")),
    ):
        for word in words.split():
            found[at] = f"{prefix}.{word}"
            at += 1
    for first, words in tables.items():
        found.update(enumerate(words.split(), start=first))
    return found


_NAME_OF: Final = _names()
_NUMBERED: Final = (
    *(f"{to}.trunc_sat_{of}_{sign}" for to in ("i32", "i64") for of in ("f32", "f64") for sign in "su"),
    *["memory.init", "data.drop", "memory.copy", "memory.fill", "table.init", "elem.drop", "table.copy"],
    *["table.grow", "table.size", "table.fill"],
)
_BORDERS: Final = frozenset([0x01, 0x02, 0x03, 0x05, 0x0B])
"""The instructions that do nothing: `nop`, and the beginnings and ends of constructs other than `if`."""
_TYPED: Final = frozenset([0x02, 0x03, 0x04, 0x1C, 0x1F, 0xD0])
"""The instructions whose operand is a type, which is left out."""
_CALLS: Final = frozenset([0x10, 0x12, 0xD2])
"""The instructions whose operand is the index of a function."""


def instruction_texts(
    code: memoryview | bytes, at: int, end: int, *, names: Mapping[int, str], most: int
) -> tuple[list[str], int]:
    """Return the texts of the instructions in `code[at:end]`, at most the first ones, and how many there are.

    The borders of blocks and loops are left out, which do nothing.
    `names` has the names of functions by index. The code must have passed `find_blocks`.
    """
    texts: list[str] = []
    count = 0
    while at < end:
        start = at
        at = code_blocks.end_of_instruction(code, at)
        if code[start] in _BORDERS:
            continue
        count += 1
        if len(texts) < most:
            texts.append(_text(code, start, at, names))
    return texts, count


def _text(code: memoryview | bytes, start: int, end: int, names: Mapping[int, str]) -> str:
    opcode = code[start]
    name = _NAME_OF.get(opcode, f"0x{opcode:02x}")
    at = start + 1
    if opcode == 0x43:
        return f"{name} {struct.unpack('<f', bytes(code[at : at + 4]))[0]!r}"
    if opcode == 0x44:
        return f"{name} {struct.unpack('<d', bytes(code[at : at + 8]))[0]!r}"
    if opcode in _TYPED:
        return name
    operands = _numbers(code, at, end, is_signed=opcode in (0x41, 0x42))
    if opcode == 0xFC and operands and operands[0] < len(_NUMBERED):
        name = _NUMBERED[operands.pop(0)]
    elif opcode == 0xFD:
        operands = operands[:1]
    elif opcode == 0x0E:  # first their number
        operands = operands[1:]
    elif 0x28 <= opcode <= 0x3E:  # the alignment tells nothing
        operands = operands[1:]
        name, operands = (name, []) if operands == [0] else (f"{name} offset", operands)
    if opcode in _CALLS and operands:
        return f"{name} {names.get(operands[0], operands[0])}"
    more = " …" if len(operands) > _MOST_OPERANDS else ""
    return " ".join([name, *map(str, operands[:_MOST_OPERANDS])]) + more


def _numbers(code: memoryview | bytes, at: int, end: int, *, is_signed: bool) -> list[int]:
    found = []
    while at < end:
        value = shift = 0
        while True:
            byte = code[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or at >= end:
                break
        found.append(value - (1 << shift) if is_signed and byte & 0x40 else value)
    return found
