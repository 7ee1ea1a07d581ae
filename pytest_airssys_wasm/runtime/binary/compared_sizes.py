"""The numbers that the code of an export compares with something, those first that are nearest to the export.

A guest that behaves differently at one size has this size in its code, or a number from which it is found: the size in
bytes of so many elements, the size with a header. As in `constants.py`, instructions are searched for, not decoded: a
few numbers that are found are parts of other instructions, and encodings that are newer than this module do no harm.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.code_modules import code_modules
from pytest_airssys_wasm.runtime.binary.const_expr import read_const_expr
from pytest_airssys_wasm.runtime.binary.constants import signed_constant
from pytest_airssys_wasm.runtime.binary.sections import count_imported_functions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_airssys_wasm.runtime.binary.code_modules import CodeModule

_MOST_BYTES = 2**19
"""The maximum number of bytes of code that are searched, which takes about a tenth of a second."""
_MOST_IN_A_BODY = 1_000
"""The maximum number of places in one function that are looked at for one kind of constant."""
_MOST_GLOBALS = 1_000
_MOST_ADDED = 64
"""The largest number that may be a header, which is added to a size before it is compared."""
_MOST_FACTORS = 4
"""The number of factors and of headers of one function that are tried."""
_MOST_CHARACTER = 127
"""The largest number that is more often a character than a size."""
_EXPORT, _GLOBAL = 7, 6
_CALL = re.compile(rb"[\x10\x12]([\x80-\xff]{0,4}[\x00-\x7f])")


def _used_by(i32: bytes, i64: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a constant that is the last operand of one of these operations."""
    return re.compile(
        rb"(?:\x41([\x80-\xff]{0,4}[\x00-\x7f])[" + i32 + rb"])|(?:\x42([\x80-\xff]{0,9}[\x00-\x7f])[" + i64 + rb"])"
    )


_EQUAL = _used_by(rb"\x46\x47\x73", rb"\x51\x52\x85")
"""The constants of `eq`, `ne` and `xor`."""
_ORDERED = _used_by(rb"\x48-\x4f", rb"\x53-\x5a")
"""The constants of comparisons of order."""
_ADDED = _used_by(rb"\x6a", rb"\x7c")
_SUBTRACTED = _used_by(rb"\x6b", rb"\x7d")
_MULTIPLIED = _used_by(rb"\x6c", rb"\x7e")
_DIVIDED = _used_by(rb"\x6f\x70", rb"\x81\x82")
"""The constants of remainders: the distances at which something is done."""
_SHIFTED = _used_by(rb"\x74", rb"\x86")
_FIRST_OPERAND = re.compile(
    rb"\x41([\x80-\xff]{0,4}[\x00-\x7f])\x20[\x00-\x7f][\x46\x47]|\x42([\x80-\xff]{0,9}[\x00-\x7f])\x20[\x00-\x7f][\x51\x52]"
)
"""The constants of `eq` and `ne` whose second operand is a local variable."""


def compared_sizes(binary: bytes, export: str, low: int, high: int) -> Iterator[int]:
    """Yield sizes from `low` to `high` at which an export may behave differently, likeliest first, each once.

    They are numbers that its code tests for equality, then those that are found from these (without a factor or a
    header), then those at which comparisons of order change, and the values with which globals begin. Functions that
    the export calls come before others. A binary that is malformed has the numbers before the fault.
    """
    own: list[bytes] = []
    others: list[bytes] = []
    first: list[int] = []
    with suppress(Malformed, IndexError, UnicodeDecodeError):
        left = _MOST_BYTES
        for module in code_modules(binary):
            near, far = _bodies(module, export.encode())
            for bodies, found in ((near, own), (far, others)):
                for body in bodies:
                    if (left := left - len(body)) < 0:
                        break
                    found.append(body)
            first += _globals(module)
    met: set[int] = set()
    for bodies, more in ((own, first), (others, [])):
        numbers = chain(_tested(bodies), _derived(bodies), _edges(bodies), more)
        inside = [number for number in dict.fromkeys(numbers) if low <= number <= high and number not in met]
        yield from sorted(inside, key=lambda number: number <= _MOST_CHARACTER)
        met.update(inside)


def _tested(bodies: Iterable[bytes]) -> Iterator[int]:
    for body in bodies:
        yield from chain(_equal(body), _numbers(_DIVIDED, body))


def _equal(body: bytes) -> Iterator[int]:
    """Yield the numbers at which something is equal, zero, or a border between two."""
    yield from chain(_numbers(_EQUAL, body), _numbers(_FIRST_OPERAND, body), _numbers(_SUBTRACTED, body))
    yield from (-number for number in _numbers(_ADDED, body) if number < 0)


def _derived(bodies: Iterable[bytes]) -> Iterator[int]:
    """Yield the sizes for which a product or a sum is equal to a number."""
    for body in bodies:
        factors = [
            *_numbers(_MULTIPLIED, body),
            *(1 << number for number in _numbers(_SHIFTED, body) if 0 < number < 8),
        ]
        added = [number for number in _numbers(_ADDED, body) if 0 < number <= _MOST_ADDED]
        for number in _equal(body):
            for factor in islice(dict.fromkeys(factors), _MOST_FACTORS):
                if factor > 1 and number % factor == 0:
                    yield number // factor
            yield from (number - more for more in islice(dict.fromkeys(added), _MOST_FACTORS))


def _edges(bodies: Iterable[bytes]) -> Iterator[int]:
    for body in bodies:
        for number in _numbers(_ORDERED, body):
            yield from (number, number + 1)


def _numbers(pattern: re.Pattern[bytes], body: bytes) -> Iterator[int]:
    return map(signed_constant, islice(pattern.finditer(body), _MOST_IN_A_BODY))


def _bodies(module: CodeModule, export: bytes) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return the code of the functions that an export calls, directly or not, nearest first, and that of the others."""
    bodies = []
    reader = Reader(module.code)
    for _ in reader.each():
        bodies.append(reader.take(reader.number(32)))
    imported = count_imported_functions(module.binary)
    waiting = deque(index - imported for index in _exported(module, export))
    met: dict[int, None] = {}
    while waiting:
        index = waiting.popleft()
        if index in met or not 0 <= index < len(bodies):
            continue
        met[index] = None
        called = (Reader(memoryview(found[1])).number(32) for found in _CALL.finditer(bodies[index]))
        waiting.extend(one - imported for one in called)
    return [bytes(bodies[index]) for index in met], [
        bytes(body) for index, body in enumerate(bodies) if index not in met
    ]


def _exported(module: CodeModule, export: bytes) -> Iterator[int]:
    """Yield the index of the function that a module exports by this name."""
    for body in _sections(module, _EXPORT):
        for _ in body.each():
            name, kind, index = bytes(body.take(body.number(32))), body.byte(), body.number(32)
            if kind == 0 and (name == export or name.endswith(b"#" + export)):
                yield index


def _globals(module: CodeModule) -> Iterator[int]:
    for body in _sections(module, _GLOBAL):
        for _ in islice(body.each(), _MOST_GLOBALS):
            body.take(2)
            value = read_const_expr(body)
            if value is not None:
                yield value


def _sections(module: CodeModule, wanted: int) -> Iterator[Reader]:
    for section, body in Reader(module.binary[8:]).sections():
        if section == wanted:
            yield body
