"""The constants of a guest, harvested from its binary: numbers in its code, texts in its data, names of its exports.

A guest that waits for one particular value has that value, or its bytes, in its binary. Fuzzing mixes the constants
into the values that it generates, so that it reaches code behind a comparison that random values would never pass.

Instructions are not decoded but searched for, at the speed of `re`. A few numbers that are found are parts of other
instructions, which does no harm, and encodings that are newer than this module are no obstacle. Numbers that the code
compares with something come first. The work is bounded, whatever the binary.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from contextlib import suppress
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.component_reader import COMPONENT_MAGIC, DEEPEST
from pytest_airssys_wasm.runtime.binary.const_expr import read_const_expr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

_MODULE_MAGIC = b"\0asm\x01\0\0\0"
_MOST_BYTES = 8 * 2**20
"""The maximum number of bytes of code and data that are searched, which takes about a second."""
_MOST_CONSTANTS = 512
"""The maximum number of constants of each kind."""
_MOST_RUNS = 128
_MOST_MATCHES = 100_000
"""The maximum number of places in the code of one module that are looked at for one kind of constant."""
_MOST_CHARACTERS = 64
"""The maximum number of bytes of a text."""

_I32, _I64 = rb"\x41([\x80-\xff]{0,4}[\x00-\x7f])", rb"\x42([\x80-\xff]{0,9}[\x00-\x7f])"
# Between the constant and the operation that uses it, nothing stands: it is the last operand. Beside comparisons these
# are br_table, and the arithmetic into which compilers turn comparisons of ranges: add, sub, and, xor.
_COMPARED = re.compile(rb"(?:" + _I32 + rb"[\x46-\x4f\x6a\x6b\x71\x73])|(?:" + _I64 + rb"[\x51-\x5a\x7c\x7d\x83\x85])")
_TESTED = re.compile(rb"(?:" + _I32 + rb"[\x46\x47\x73\x6b])|(?:" + _I64 + rb"[\x51\x52\x85\x7d])")
"""The constants in tests for equality. Several in a row may be the characters of a word, or pieces of it."""
_WIDEST = 4
"""The maximum number of neighbouring constants that are joined to a word if one of them has several characters."""
_ANY = re.compile(rb"(?:" + _I32 + rb")|(?:" + _I64 + rb")")
_FLOAT = re.compile(rb"\x43(.{4})|\x44(.{8})", re.DOTALL)
_COMPARED_FLOAT = re.compile(rb"\x43(.{4})[\x5b-\x60\x92-\x98]|\x44(.{8})[\x61-\x66\xa0-\xa6]", re.DOTALL)
_PAIR = re.compile(rb"(?=" + _I32 + rb"(?:\x20.)?" + _I32 + rb")", re.DOTALL)
_TEXT = re.compile(
    rb"(?:[\x20-\x7e\t\r\n]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){2,64}"
)


class Constants(Struct, frozen=True, kw_only=True):
    """The constants of one guest, without duplicates, those first that its code compares with something."""

    integers: tuple[int, ...] = ()
    """The signed values of `i32.const` and `i64.const`."""
    floats: tuple[float, ...] = ()
    """The finite values of `f32.const` and `f64.const` of ordinary magnitude."""
    texts: tuple[bytes, ...] = ()
    """The texts of data segments, the bytes of large integers, characters that are compared one after the other, and
    the names of exports; each of at most 64 bytes.
    """


NO_CONSTANTS = Constants()


def harvest_constants(binary: bytes) -> Constants:
    """Return the constants of a module or a component, those of all modules in it.

    At most 8 MiB of code and data are searched, and at most 512 constants of each kind are returned. A binary that is
    malformed has the constants that are found before the fault.
    """
    found = _Found()
    with suppress(Malformed, IndexError, UnicodeDecodeError):  # wasmtime says what is wrong with it
        found.read(memoryview(binary), 0)
    return found.constants()


class _Found:
    """The constants that were found so far, each kind in the order of importance."""

    def __init__(self) -> None:
        self._left_bytes = _MOST_BYTES
        self._compared: dict[int, None] = {}
        self._others: dict[int, None] = {}
        self._floats: dict[float, None] = {}
        self._runs: dict[bytes, None] = {}
        self._referenced: dict[bytes, None] = {}
        self._texts: dict[bytes, None] = {}
        self._names: dict[bytes, None] = {}

    def constants(self) -> Constants:
        integers = {**self._compared, **self._others}
        spelled = dict.fromkeys(bytes_ for number in self._compared for bytes_ in _as_bytes(number))
        texts = {**self._runs, **spelled, **self._referenced, **self._texts, **self._names}
        return Constants(
            integers=tuple(islice(integers, _MOST_CONSTANTS)),
            floats=tuple(self._floats),
            texts=tuple(islice(texts, _MOST_CONSTANTS)),
        )

    def read(self, binary: memoryview, depth: int) -> None:
        magic = bytes(binary[:8])
        if magic == _MODULE_MAGIC:
            self._module(binary)
        elif magic == COMPONENT_MAGIC and depth < DEEPEST:
            for section, body in Reader(binary[8:]).sections():
                if section in (1, 4):  # a core module, a component
                    self.read(body.data, depth + 1)

    def _module(self, binary: memoryview) -> None:
        code, segments = b"", {}
        for section, body in Reader(binary[8:]).sections():
            if section == 7:
                self._export_names(body)
            elif section == 10:
                code = self._searched(body.data)
            elif section == 11:
                segments = self._data(body)
        self._code(code)
        self._pairs(code, segments)

    def _searched(self, data: memoryview) -> bytes:
        taken = data[: self._left_bytes]
        self._left_bytes -= len(taken)
        return bytes(taken)

    def _code(self, code: bytes) -> None:
        _add(self._compared, (signed_constant(match) for match in _COMPARED.finditer(code)))
        _add(self._others, (signed_constant(match) for match in _ANY.finditer(code)))
        for pattern in (_COMPARED_FLOAT, _FLOAT):
            _add(self._floats, filter(_is_plain, map(_float, pattern.finditer(code))))
        _add(self._runs, _words(code), _MOST_RUNS)

    def _pairs(self, code: bytes, segments: Mapping[int, bytes]) -> None:
        """Add the parts of data segments to which the code has an address and a size: texts stand without separators
        in them.
        """
        if not segments:
            return
        _add(self._referenced, _slices(code, segments))

    def _data(self, body: Reader) -> dict[int, bytes]:
        segments: dict[int, bytes] = {}
        for _ in body.each():
            mode = body.number(32)
            if mode == 2:
                body.number(32)
            offset = None if mode == 1 else read_const_expr(body)
            data = self._searched(body.take(body.number(32)))
            if offset is not None and len(segments) < _MOST_CONSTANTS:
                segments[offset] = data
            if 2 <= len(data) <= 16:
                _add(self._texts, [data])
            _add(self._texts, (match[0] for match in _TEXT.finditer(data)))
        return segments

    def _export_names(self, body: Reader) -> None:
        for _ in body.each():
            name = bytes(body.take(body.number(32)))
            body.byte()
            body.number(32)
            if name and b"#" not in name and not name.startswith(b"cabi_"):
                _add(self._names, [name[:_MOST_CHARACTERS]])


def _add(found: dict[T, None], more: Iterable[T], most: int = _MOST_CONSTANTS) -> None:
    for one in islice(more, _MOST_MATCHES):
        if len(found) >= most:
            return
        found[one] = None


def _leb128(encoded: bytes) -> int:
    value = 0
    for index, byte in enumerate(encoded):
        value |= (byte & 0x7F) << (7 * index)
    return value - (1 << 7 * len(encoded)) if encoded[-1] & 0x40 else value


def signed_constant(match: re.Match[bytes]) -> int:
    """Return the value of the instruction that was found, as a signed number of its width."""
    small, large = match.groups()
    value, bits = (_leb128(small), 32) if small is not None else (_leb128(large), 64)
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def _float(match: re.Match[bytes]) -> float:
    single, double = match.groups()
    return float(struct.unpack("<f", single)[0] if single is not None else struct.unpack("<d", double)[0])


def _is_plain(value: float) -> bool:
    """Return whether a float is likely to be a constant, and not the middle of other instructions."""
    return value == value and (value == 0 or 1e-12 <= abs(value) <= 1e18)


def _as_bytes(number: int) -> Iterator[bytes]:
    """Yield the bytes of a number that may be several characters at once, in the order of memory and in the other."""
    for size, low in ((2, 2**8), (4, 2**16), (8, 2**32)):
        if low <= number % (1 << 8 * size) and abs(number) < 1 << 8 * size:
            little = (number % (1 << 8 * size)).to_bytes(size, "little")
            yield little
            yield little[::-1]
            return


def _words(code: bytes) -> Iterator[bytes]:
    """Yield the words whose characters the code compares one after the other, or several at once, as compilers do."""
    pieces: list[bytes] = []
    end = 0
    for match in islice(_TESTED.finditer(code), _MOST_MATCHES):
        piece = _piece(signed_constant(match))
        is_near = match.start() - end < _MOST_CHARACTERS
        end = match.end()
        if not is_near or not piece or sum(map(len, pieces)) >= 16:
            yield from _as_words(pieces)
            pieces.clear()
        if piece:
            pieces.append(piece)
    yield from _as_words(pieces)


def _piece(value: int) -> bytes:
    """Return the characters that a number encodes: one byte, or several printable ones in memory order; else none."""
    if 0 < value < 256:
        return bytes([value])
    characters = value.to_bytes(8, "little", signed=True).rstrip(b"\0")
    return characters if all(0x20 <= byte < 0x7F for byte in characters) else b""


def _as_words(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the words that single characters in a row make, and those that a few neighbours make if one of them has
    several characters: joined in their order, in reverse order, and with overlaps merged, as for overlapping loads.
    """
    for is_single, row in groupby(pieces, key=lambda piece: len(piece) == 1):
        if is_single:
            yield from _as_word(b"".join(row))
    for width in range(2, _WIDEST + 1):
        for start in range(len(pieces) - width + 1):
            some = pieces[start : start + width]
            if max(map(len, some)) > 1:
                for ordered in (some, some[::-1]):
                    yield from _as_word(b"".join(ordered))
                    yield from _as_word(_merged(ordered))


def _as_word(word: bytes) -> Iterator[bytes]:
    """Yield the word if at least half of it is printable: small numbers are more often cases and sizes."""
    if len(word) > 1 and 2 * sum(0x20 <= byte < 0x7F for byte in word) >= len(word):
        yield word


def _merged(pieces: Sequence[bytes]) -> bytes:
    word = b""
    for piece in pieces:
        most = min(len(word), len(piece))
        shared = next((size for size in range(most, 0, -1) if word.endswith(piece[:size])), 0)
        word += piece[shared:]
    return word


def _slices(code: bytes, segments: Mapping[int, bytes]) -> Iterator[bytes]:
    """Yield the parts of data segments whose address and size stand side by side in the code."""
    starts = sorted(segments)
    for match in islice(_PAIR.finditer(code), _MOST_MATCHES):
        for address, size in ((_leb128(match[1]), _leb128(match[2])), (_leb128(match[2]), _leb128(match[1]))):
            if not 1 < size <= _MOST_CHARACTERS or address < starts[0]:
                continue
            start = starts[bisect_right(starts, address) - 1]
            data = segments[start][address - start : address - start + size]
            if len(data) == size:
                yield data
