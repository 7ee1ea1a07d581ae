"""The basic blocks of a function's code: where each of them begins.

A block is a sequence of instructions that is entered only at its beginning and left only at its end, apart from calls
that do not return, and traps. Code that cannot be reached, and sequences that only consist of `nop`, `drop` and the
borders of constructs, are not blocks: wasmtime charges no fuel for these, so there is nothing to be reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed

if TYPE_CHECKING:
    from typing import Final

# How the immediate operands of an instruction are encoded, and what the instruction does to the flow of control. Those
# up to `_EIGHT_BYTES` are plain.
(
    _NOTHING,
    _INDEX,
    _TWO_INDICES,
    _MEMORY,
    _FOUR_BYTES,
    _EIGHT_BYTES,
    _FREE,
    _VECTOR_OPERATION,
    _NUMBERED,
    _OBJECT,
    _TYPED_SELECT,
    _BLOCK,
    _LOOP,
    _IF,
    _ELSE,
    _END,
    _BRANCH,
    _BRANCH_IF,
    _BRANCH_TABLE,
    _TRY,
    _LEAVE,
    _LEAVE_INDEX,
    _LEAVE_TWO,
    _UNKNOWN,
) = range(24)


def _classes() -> bytes:
    known = dict.fromkeys(range(0x45, 0xC5), _NOTHING)
    known |= dict.fromkeys([0x1B, 0xD1, 0xD3, 0xD4], _NOTHING)
    # call, call_ref, variables, tables, memory.size and memory.grow, i32.const, i64.const, ref.null, ref.func
    known |= dict.fromkeys([0x10, 0x14, *range(0x20, 0x27), 0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2], _INDEX)
    known |= dict.fromkeys(range(0x28, 0x3F), _MEMORY)
    known |= {0x11: _TWO_INDICES, 0x43: _FOUR_BYTES, 0x44: _EIGHT_BYTES, 0x01: _FREE, 0x1A: _FREE}
    known |= {0xFD: _VECTOR_OPERATION, 0xFC: _NUMBERED, 0xFB: _OBJECT, 0x1C: _TYPED_SELECT}
    known |= {0x02: _BLOCK, 0x03: _LOOP, 0x04: _IF, 0x05: _ELSE, 0x0B: _END, 0x1F: _TRY}
    known |= {0x0C: _BRANCH, 0x0D: _BRANCH_IF, 0x0E: _BRANCH_TABLE, 0xD5: _BRANCH_IF, 0xD6: _BRANCH_IF}
    # unreachable, throw_ref, return; throw, return_call, return_call_ref; return_call_indirect
    known |= {0x00: _LEAVE, 0x0A: _LEAVE, 0x0F: _LEAVE}
    known |= {0x08: _LEAVE_INDEX, 0x12: _LEAVE_INDEX, 0x15: _LEAVE_INDEX, 0x13: _LEAVE_TWO}
    return bytes(known.get(code, _UNKNOWN) for code in range(256))


_CLASS_OF: Final = _classes()
_NUMBERED_OPERANDS: Final = (*[0] * 8, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1, None, 0, 0, 0, 0)
"""The number of operands after the prefix 0xFC, by the number of the instruction: conversions, bulk operations, and
wide arithmetic.
"""
_OBJECT_OPERANDS: Final = (1, 1, 2, 2, 2, 2, 1, 1, 2, 2, 2, 1, 1, 1, 1, 0, 1, 2, 2, 2, 1, 1, 1, 1, None, None, *[0] * 5)
"""The number of operands after the prefix 0xFB, which is for garbage-collected objects."""
_CASTING_BRANCHES: Final = (24, 25)
_DEEPEST = 100_000


class _Construct:
    """A construct of the code that is open: the function, or a block, loop, conditional or handler."""

    __slots__ = ("has_live_consequence", "is_live", "is_target", "kind")

    def __init__(self, kind: int, is_live: bool) -> None:
        self.kind = kind
        self.is_live = is_live
        """Whether its beginning can be reached."""
        self.is_target = False
        """Whether a branch leads to its end."""
        self.has_live_consequence = False
        """Whether the end of the part before `else` can be reached."""


def find_blocks(code: memoryview | bytes, at: int, end: int) -> list[int]:
    """Return where the basic blocks of a function begin, in the order of the code.

    The instructions are `code[at:end]`, without the declarations of local variables. The function must be valid. Raises
    `Malformed` or `IndexError` for an instruction that is not known, and for code that is cut off.
    """
    found: list[int] = []
    constructs = [_Construct(_BLOCK, is_live=True)]
    is_live = is_leader = True  # a leader is the first instruction of a block that was not met yet; it is live
    while True:
        start = at
        opcode = code[at]
        at += 1
        kind = _CLASS_OF[opcode]
        if is_leader and kind not in _NOT_LEADING:
            found.append(start)
            is_leader = False
        if kind == _INDEX:
            while code[at] >= 0x80:
                at += 1
            at += 1
        elif kind in _PASSED_OVER:
            pass
        elif kind == _MEMORY:
            at = _memory_operand(code, at)
        elif kind == _END:
            ended = constructs.pop()
            if not constructs:
                if at != end:
                    raise Malformed("code behind the end of a function")
                return found
            is_joined = ended.is_target and ended.kind != _LOOP
            if ended.kind == _IF:
                is_joined |= ended.is_live
            elif ended.kind == _ELSE:
                is_joined |= ended.has_live_consequence
            is_live |= is_joined
            is_leader |= is_joined
        elif kind == _BRANCH_IF:
            depth, at = _number(code, at)
            if is_live:
                constructs[-1 - depth].is_target = True
            is_leader = is_live
        elif kind in (_BLOCK, _LOOP, _IF):
            at = _block_type(code, at)
            constructs.append(_Construct(kind, is_live))
            if kind != _BLOCK:
                is_leader = is_live
            if len(constructs) > _DEEPEST:
                raise Malformed("constructs are nested too deeply")
        elif kind == _BRANCH:
            depth, at = _number(code, at)
            if is_live:
                constructs[-1 - depth].is_target = True
            is_live = is_leader = False
        elif kind == _ELSE:
            construct = constructs[-1]
            construct.kind, construct.has_live_consequence = _ELSE, is_live
            is_live = is_leader = construct.is_live
        elif kind in (_LEAVE, _LEAVE_INDEX, _LEAVE_TWO):
            at = _skip_numbers(code, at, kind - _LEAVE)
            is_live = is_leader = False
        elif kind == _BRANCH_TABLE:
            count, at = _number(code, at)
            for _ in range(count + 1):
                depth, at = _number(code, at)
                if is_live:
                    constructs[-1 - depth].is_target = True
            is_live = is_leader = False
        elif kind == _OBJECT:
            number, at = _number(code, at)
            if number in _CASTING_BRANCHES:
                depth, at = _number(code, at + 1)
                if is_live:
                    constructs[-1 - depth].is_target = True
                is_leader = is_live
                at = _skip_numbers(code, at, 2)
            else:
                at = _skip_numbers(code, at, _count(_OBJECT_OPERANDS, number, "0xfb"))
        elif kind == _TRY:
            at = _block_type(code, at)
            at = _handlers(code, at, constructs, is_live)
            constructs.append(_Construct(_BLOCK, is_live))
        elif kind != _UNKNOWN:
            at = _behind_operands(code, at, kind)
        else:
            raise Malformed(f"unknown instruction 0x{opcode:02x}")


_PASSED_OVER: Final = frozenset([_NOTHING, _FREE])
_NOT_LEADING: Final = frozenset([_END, _ELSE, _BLOCK, _LOOP, _FREE])


def end_of_instruction(code: memoryview | bytes, at: int) -> int:
    """Return the position behind the instruction that begins at `at`, in a function that `find_blocks` has read."""
    kind = _CLASS_OF[code[at]]
    at += 1
    if kind in (_NOTHING, _FREE, _ELSE, _END):
        return at
    if kind in (_INDEX, _BRANCH, _BRANCH_IF):
        return _skip_numbers(code, at, 1)
    if kind in (_BLOCK, _LOOP, _IF):
        return _block_type(code, at)
    if kind in (_LEAVE, _LEAVE_INDEX, _LEAVE_TWO):
        return _skip_numbers(code, at, kind - _LEAVE)
    return _behind_operands(code, at, kind)


def _behind_operands(code: memoryview | bytes, at: int, kind: int) -> int:
    """Return the position behind the operands of an instruction of this kind."""
    if kind == _MEMORY:
        return _memory_operand(code, at)
    if kind == _TWO_INDICES:
        return _skip_numbers(code, at, 2)
    if kind in (_FOUR_BYTES, _EIGHT_BYTES):
        return at + (4 if kind == _FOUR_BYTES else 8)
    if kind == _VECTOR_OPERATION:
        return _vector_operands(code, at)
    if kind == _TYPED_SELECT:
        count, at = _number(code, at)
        for _ in range(count):
            at = _block_type(code, at)
        return at
    if kind == _BRANCH_TABLE:
        count, at = _number(code, at)
        return _skip_numbers(code, at, count + 1)
    if kind == _TRY:
        count, at = _number(code, _block_type(code, at))
        for _ in range(count):
            at = _skip_numbers(code, at + 1, 2 if code[at] < 2 else 1)
        return at
    number, at = _number(code, at)
    if kind == _NUMBERED:
        return _skip_numbers(code, at, _count(_NUMBERED_OPERANDS, number, "0xfc"))
    if number in _CASTING_BRANCHES:
        return _skip_numbers(code, at + 1, 3)
    return _skip_numbers(code, at, _count(_OBJECT_OPERANDS, number, "0xfb"))


def _number(code: memoryview | bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number (LEB128), and the position behind it."""
    value = shift = 0
    while True:
        byte = code[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _skip_numbers(code: memoryview | bytes, at: int, count: int) -> int:
    for _ in range(count):
        while code[at] >= 0x80:
            at += 1
        at += 1
    return at


def _memory_operand(code: memoryview | bytes, at: int) -> int:
    alignment = code[at]
    if alignment >= 0x80:
        alignment, at = _number(code, at)
    else:
        at += 1
    return _skip_numbers(code, at, 2 if alignment & 0x40 else 1)


def _block_type(code: memoryview | bytes, at: int) -> int:
    return _skip_numbers(code, at, 2 if code[at] in (0x63, 0x64) else 1)


def _vector_operands(code: memoryview | bytes, at: int) -> int:
    number, at = _number(code, at)
    if number <= 11 or number in (92, 93):
        return _memory_operand(code, at)
    if number in (12, 13):
        return at + 16
    if 84 <= number <= 91:
        return _memory_operand(code, at) + 1
    return at + 1 if 21 <= number <= 34 else at


def _count(counts: tuple[int | None, ...], number: int, prefix: str) -> int:
    count = counts[number] if number < len(counts) else None
    if count is None:
        raise Malformed(f"unknown instruction {prefix} {number}")
    return count


def _handlers(code: memoryview | bytes, at: int, constructs: list[_Construct], is_live: bool) -> int:
    """Note where the handlers of `try_table` lead, and return the position behind them."""
    count, at = _number(code, at)
    for _ in range(count):
        kind = code[at]
        at = _skip_numbers(code, at + 1, 1 if kind < 2 else 0)
        depth, at = _number(code, at)
        if is_live:
            constructs[-1 - depth].is_target = True
    return at
