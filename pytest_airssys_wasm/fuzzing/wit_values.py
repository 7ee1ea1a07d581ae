"""The strategies for values of WIT types and of core types.

Each type has plain values, towards which Hypothesis shrinks, and edges: values that programs forget. The constants of a
guest are mixed in where they are known. All lists and strings of an example share one budget of sizes, so that nested
types do not explode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of, f64_of
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Some, Variant
from pytest_airssys_wasm.runtime.binary.constants import NO_CONSTANTS
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResourceType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from pytest_airssys_wasm.runtime.binary.constants import Constants
    from pytest_airssys_wasm.runtime.wit.types import WitType

MAX_SIZE = 64
"""The default size of the values of one example: elements of lists and bytes of strings, in all."""

INTEGERS: dict[str, tuple[int, int]] = {
    **{f"s{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    # Core integers have no sign; results are signed, and so are the arguments.
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64)},
}
"""The lowest and the highest number of each type of integers."""
_SMALL = (0, 1, -1, 2, 9, 10, 16, 64, 100, 127, 128, 255, 256, 1000, 65_535, 65_536)
F32_BITS = (
    *(0x8000_0000, 0x0000_0001, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000),
    *(0x7FC0_0000, 0xFFC0_0000, 0x7FC0_0001, 0x7FFF_FFFF, 0x7F80_0001, 0x4B80_0000, 0x4F00_0000),
)
"""The bits of -0.0, subnormal, extreme and infinite floats, of NaNs of both signs with and without a payload, quiet and
signalling, and of the powers of 2 beyond which not every integer is a float.
"""
F64_BITS = (
    *(0x8000_0000_0000_0000, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF),
    *(0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0xFFF8_0000_0000_0000),
    *(0x7FF8_0000_0000_0001, 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0001, 0x4340_0000_0000_0000),
)
"""The bits of the same edges of `f64` as `F32_BITS` has for `f32`."""
CHARACTERS: tuple[str, ...] = (
    *"\0\t\n\r \"\\'/-0aA~\x7f\x80ß\u0130",
    *"\u0301\u200b\u200d\u202e\u2028\ufeff\ufffd\uffff\U00010000\U0001f600",
    "\ud7ff",  # the last character before the surrogates, and the first behind them
    "\ue000",
    "\U0010ffff",
)
"""The characters that programs forget: controls, quotes, combining and invisible ones, and the ends of ranges."""
TEXTS: tuple[str, ...] = (
    "",
    " ",
    "a",
    "\0",
    "\n",
    "-1",
    "0",
    "null",
    "../",
    "%s%n",
    "\ufeff",
    "e\u0301",
    "\U0001f469\u200d\U0001f680",
    "\ud7ff\ue000",
    "\U0010ffff",
    '"\\"',
    "1e999",
    "18446744073709551616",
)
"""The strings that programs forget."""


def values(
    wit_type: WitType | str,
    *,
    max_size: int = MAX_SIZE,
    constants: Constants = NO_CONSTANTS,
    resources: Mapping[ResourceType, SearchStrategy[Any]] | None = None,
) -> SearchStrategy[Any]:
    """Return a strategy for the Python values of a type.

    `wit_type` is a WIT type, as `Component.parameter_types` gives it, or the name of a primitive type (`"u8"`) or of a
    core type (`"i32"`, `"i64"`, `"f32"`, `"f64"`). The elements of all lists and the UTF-8 bytes of all strings of one
    value are at most `max_size` together. `constants` of a guest are mixed in, and `resources` has the strategies for
    handles. Raises `TypeError` for a type without Python values, and `ValueError` for a resource without a strategy.
    """
    makers = _Makers(max_size, constants, resources or {})
    return _bounded(makers, makers.of(_type(wit_type)))


def all_values(
    types: Sequence[WitType | str],
    *,
    max_size: int = MAX_SIZE,
    constants: Constants = NO_CONSTANTS,
    resources: Mapping[ResourceType, SearchStrategy[Any]] | None = None,
) -> SearchStrategy[tuple[Any, ...]]:
    """Return a strategy for tuples of values of these types, which share `max_size`. See `values`."""
    makers = _Makers(max_size, constants, resources or {})
    return _bounded(makers, st.tuples(*(makers.of(_type(one)) for one in types)))


def _type(wit_type: WitType | str) -> WitType:
    return Primitive(wit_type) if isinstance(wit_type, str) else wit_type


def _bounded(makers: _Makers, strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Return a strategy that gives each example the whole budget of sizes."""

    # It has no parameters because Hypothesis computes their repr, and warns if that takes long, as for nested records.
    @st.composite
    def bounded(draw: DrawFn) -> Any:
        makers.left = makers.max_size
        return draw(strategy)

    return bounded()


_OVER = object()
"""The element that a list gets when the budget of sizes is spent."""


class _Makers:
    """The strategies of the parts of one type. They share a budget, which begins anew with each example."""

    def __init__(
        self, max_size: int, constants: Constants, resources: Mapping[ResourceType, SearchStrategy[Any]]
    ) -> None:
        self.max_size = max_size
        self.left = max_size
        self._constants = constants
        self._resources = resources
        self._texts = [*TEXTS, *_decoded(constants.texts)]
        self._bytes = [*constants.texts]

    def of(self, type_: WitType) -> SearchStrategy[Any]:
        """Return the strategy for values of a type."""
        match type_:
            case Primitive(name):
                return self._primitive(name)
            case ListType(Primitive("u8")):
                return self._byte_lists()
            case ListType(element):
                return self._lists(self.of(element))
            case TupleType(elements):
                return st.tuples(*map(self.of, elements))
            case RecordType(fields):
                names = [name for name, _ in fields]
                # Not fixed_dictionaries, which has them in any order.
                return st.tuples(*(self.of(field) for _, field in fields)).map(lambda parts: dict(zip(names, parts)))
            case VariantType(cases):
                return st.one_of([self._case(name, payload) for name, payload in cases])
            case EnumType(names):
                return st.sampled_from(names)
            case FlagsType(names):
                return _flags(names)
            case OptionType(payload):
                some = self.of(payload)
                return st.none() | (some.map(Some) if isinstance(payload, OptionType) else some)
            case ResultType(ok, err):
                return self._payload(ok).map(Ok) | self._payload(err).map(Err)
            case OwnType(resource) | BorrowType(resource):
                if resource not in self._resources:
                    raise ValueError(f"the resource {resource} needs a strategy in `resources`")
                return self._resources[resource]
            case FutureType() | StreamType():
                raise TypeError(f"values of type {type_} cannot be passed from Python")
            case _:
                assert_never(type_)

    def _primitive(self, name: str) -> SearchStrategy[Any]:
        match name:
            case "bool":
                return st.booleans()
            case "char":
                return ANY_CHARACTER | st.sampled_from(CHARACTERS)
            case "string":
                return self._strings()
            case "f32" | "f64":
                return self._floats(name)
            case _ if name in INTEGERS:
                return self._integers(name)
        raise TypeError(f"values of type {name} cannot be passed from Python")

    def _payload(self, type_: WitType | None) -> SearchStrategy[Any]:
        return st.none() if type_ is None else self.of(type_)

    def _case(self, name: str, payload: WitType | None) -> SearchStrategy[Variant]:
        return self._payload(payload).map(lambda value: Variant(name, value))

    def _integers(self, name: str) -> SearchStrategy[int]:
        low, high = INTEGERS[name]
        edges = _within([*_SMALL, low, low + 1, high, high - 1, high // 2, high // 2 + 1], low, high)
        near = (one + change for one in self._constants.integers for change in (0, 1, -1))
        # Ranges are compared by adding their negative beginnings; and unsigned constants are stored as signed ones.
        others = [*near, *(-one for one in self._constants.integers)]
        bits = int(name[1:])
        wrapped = [one % 2**bits if low == 0 else one for one in others if -(2 ** (bits - 1)) <= one < 2**bits]
        return _one_of(
            st.integers(low, high),
            st.integers(max(low, -20), min(high, 20)),
            _sampled(edges),
            _sampled(_within(wrapped, low, high)),
        )

    def _floats(self, name: str) -> SearchStrategy[float]:
        width, bits_of, bits = (32, f32_of, F32_BITS) if name == "f32" else (64, f64_of, F64_BITS)
        constants = [*self._constants.floats, *(-one for one in self._constants.floats)]
        small = [one for one in self._constants.integers if abs(one) < 2**24]
        fits = [as_width(float(one), width) for one in (*constants, *small)]
        return _one_of(
            st.floats(width=width),  # type: ignore[arg-type] # one of the two that it takes
            st.integers(-20, 20).map(float),
            st.sampled_from([bits_of(one) for one in bits]),
            _sampled([one for one in fits if math.isfinite(one)]),
        )

    def _strings(self) -> SearchStrategy[str]:
        plain = st.text(ANY_CHARACTER, max_size=self.max_size)
        known = st.sampled_from(_Elements(self._texts))
        odd = st.text(st.sampled_from(CHARACTERS), max_size=self.max_size)
        most = self.max_size
        long = ANY_CHARACTER.map(lambda one: one * max(1, most))
        around = st.tuples(plain, known, plain).map("".join)
        short = st.text(st.sampled_from("a0 -"), max_size=self.max_size)
        return _one_of(plain, short, known, around, odd, long).map(self._cut_text)

    def _cut_text(self, text: str) -> str:
        """Return the text, cut to what is left of the budget, in whole characters."""
        encoded = text.encode()
        if len(encoded) > self.left:
            text = encoded[: self.left].decode(errors="ignore")
            encoded = text.encode()
        self.left -= len(encoded)
        return text

    def _byte_lists(self) -> SearchStrategy[bytes]:
        plain = st.binary(max_size=self.max_size)
        long = st.integers(0, 255).map(lambda byte: bytes([byte]) * self.max_size)
        known = _sampled(self._bytes)
        around = None if known is None else st.tuples(known, plain).map(b"".join)
        joined = None if known is None else st.tuples(plain, known, plain).map(b"".join)
        return _one_of(plain, known, around, joined, long).map(self._cut_bytes)

    def _cut_bytes(self, data: bytes) -> bytes:
        data = data[: self.left]
        self.left -= len(data)
        return data

    def _lists(self, element: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
        charged = self._charged(element)
        most = self.max_size
        plain = st.lists(charged, max_size=most)
        longest = st.lists(charged, min_size=most, max_size=most)
        # The longest list is one example of several: it takes as long to make as many short ones.
        return _one_of(plain, plain, plain, longest).map(_cut)

    def _charged(self, element: SearchStrategy[Any]) -> SearchStrategy[Any]:
        @st.composite
        def drawn(draw: DrawFn) -> Any:
            if self.left <= 0:
                return _OVER
            self.left -= 1
            return draw(element)

        return drawn()


def size_of(value: Any) -> int:
    """Return the size of a value: the elements of its lists and the UTF-8 bytes of its strings, in all.

    Characters, enums and the names of cases and flags do not count. A string of one character may be a `char`, and
    counts all the same.
    """
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case list():
            return len(value) + sum(map(size_of, value))
        case tuple():
            return sum(map(size_of, value))
        case dict():
            return sum(map(size_of, value.values()))
        case Variant(payload=inner) | Some(inner) | Ok(inner) | Err(inner):
            return size_of(inner)
        case _:
            return 0


def _cut(elements: list[Any]) -> list[Any]:
    return [one for one in elements if one is not _OVER]


def _flags(names: Sequence[str]) -> SearchStrategy[frozenset[str]]:
    ends = [frozenset(), frozenset(names)]
    return st.sampled_from(ends) | st.frozensets(st.sampled_from(names)) if names else st.just(frozenset())


def _one_of(*strategies: SearchStrategy[Any] | None) -> SearchStrategy[Any]:
    return st.one_of([one for one in strategies if one is not None])


def _sampled(found: Iterable[Any]) -> SearchStrategy[Any] | None:
    elements = _Elements(found)
    return st.sampled_from(elements) if elements else None


class _Elements(tuple[Any, ...]):
    """The elements of a strategy, of which there may be hundreds. Hypothesis shows only how many."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} values>"


def _within(numbers: Iterable[int], low: int, high: int) -> list[int]:
    return [*dict.fromkeys(one for one in numbers if low <= one <= high)]


def as_width(value: float, width: int) -> float:
    """Return the nearest float of this width; infinity for one that is too large."""
    if width == 64:
        return value
    try:
        return f32_of(f32_bits(value))
    except OverflowError:
        return math.inf


def _decoded(texts: Iterable[bytes]) -> list[str]:
    """Return those of the texts that are UTF-8."""
    found = []
    for text in texts:
        try:
            found.append(text.decode())
        except UnicodeDecodeError:
            continue
    return found
