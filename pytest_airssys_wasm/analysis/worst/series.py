"""The shapes of sequences for which programs are known to be slow, as series of whole numbers and as texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.binary.constants import Constants

Series = Callable[[int, int], int]
"""The element of a sequence, from its index and the length of the sequence."""

_STRIDES = (2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 64, 128, 256)
_PERIODS = (2, 3, 4, 8, 16)
_COLLISIONS = ((16, 16), (8, 32), (4, 64), (16, 17), (32, 8))
_FIBONACCI = (12, 23, 46, 92, 0)
"""The indices of the largest two Fibonacci numbers in 8, 16, 32 and 64 bits: the worst for Euclid's algorithm."""
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_UNITS = (
    *("x", " ", "\n", "0", "9", "(", ")", "[", "]", "{", "<", '"', "'", "\\", "%", "&", "/", ".", ",", ";", "A", "\0"),
    *(
        "ab",
        "aab",
        "a ",
        "a,",
        "1,",
        "a\n",
        "()",
        "[]",
        "[[",
        '""',
        "/*",
        "<a>",
        '{"a":',
        "0.",
        "\u00e9",
        "\u20ac",
        "\U0001f600",
    ),
)
"""The units that are repeated to make texts."""
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ('{"a":', "}"))
_MOST_CONSTANTS = 48


def series(constants: Constants) -> list[Series]:
    """Return the shapes of lists, those first that are the worst for most programs."""
    found: list[Series] = [
        lambda i, n: n - i,
        lambda i, _: i,
        lambda *_: 0,
        lambda *_: 1,
        lambda i, n: min(i, n - 1 - i),
        lambda i, n: n - min(i, n - 1 - i),
        lambda i, n: (n - i) * 7 + 3,
        lambda i, n: i if i < n // 2 else n - i,
        lambda i, n: (i * 2) % n + (i * 2) // n if n else 0,
        lambda i, _: 0xFF * (i % 2),
        lambda i, _: i // 2,
        lambda i, n: n - i // 2,
        lambda i, _: i * i,
        lambda i, _: int(f"{i % 256:08b}"[::-1], 2),
        lambda i, _: 1 << (i % 64),
        lambda i, _: (1 << (i % 64)) - 1,
        lambda i, n: 0 if i < n - 1 else 1,
        lambda i, _: 0 if i else 1,
        _median_killer,
    ]
    found += map(_fibonacci, _FIBONACCI)
    found += map(_strides, _STRIDES)
    found += map(_falling_strides, _STRIDES)
    found += map(_periods, _PERIODS)
    found += map(_falling_periods, _PERIODS)
    for shape in (_few_values, _few_falling_values, _full_buckets):
        found += [shape(period, step) for period, step in _COLLISIONS]
    found += map(_equal, dict.fromkeys((*_EDGES, *constants.integers[:_MOST_CONSTANTS])))
    found += map(_strides, constants.integers[: _MOST_CONSTANTS // 4])
    return found


def _fibonacci(first: int) -> Series:
    return lambda i, _: _fibonacci_number(first + i % 64)


def _fibonacci_number(index: int) -> int:
    number, following = 0, 1
    for _ in range(index):
        number, following = following, number + following
    return number


def _equal(number: int) -> Series:
    return lambda *_: number


def _strides(step: int) -> Series:
    return lambda i, _: i * step


def _falling_strides(step: int) -> Series:
    return lambda i, n: (n - i) * step


def _periods(period: int) -> Series:
    return lambda i, _: i % period


def _falling_periods(period: int) -> Series:
    return lambda i, _: period - i % period


def _few_values(period: int, step: int) -> Series:
    return lambda i, _: i % period * step


def _few_falling_values(period: int, step: int) -> Series:
    return lambda i, _: (period - 1 - i % period) * step


def _full_buckets(period: int, step: int) -> Series:
    """Return a few values once and the last of them for the rest: the longest searches in a full hash table."""
    return lambda i, _: min(i, period - 1) * step


def _median_killer(i: int, n: int) -> int:
    """Return the element of a permutation that is bad for a quicksort whose pivot is the median of three."""
    half = n // 2
    if i >= half:
        return 2 * (i - half) + 2
    return i + 1 if i % 2 == 0 else half + i + half % 2


def texts(constants: Constants, size: int) -> list[bytes]:
    """Return texts of at most `size` bytes, in UTF-8. Each has the same place in the list whatever the size is."""
    words = [bytes(word) for word in constants.texts[:_MOST_CONSTANTS] if word]
    units = [*(unit.encode() for unit in _UNITS), *words]
    found = [_filled(unit, size) for unit in units]
    for opening, closing in _PAIRS:
        pair = (len(opening) + len(closing)) or 1
        found.append((opening * (size // pair) + closing * (size // pair)).encode())
    found += [b"a" * (size - 1) + b"b", b"b" + b"a" * (size - 1), b"a" * (size // 2) + b"b" + b"a" * (size // 2)]
    for word in words:
        room = size - len(word)
        found += [word + _filled(unit, room) for unit in (b"x", b"\x00", word[-1:])]
        found.append(_filled(b"x", room) + word)
    return [text[:size] for text in found]


def _filled(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))
