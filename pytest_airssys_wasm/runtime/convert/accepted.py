"""The Python values that each WIT type accepts, and the errors for all others.

The lowering into a guest (`lowering`) and the protocol's codecs (`protocol.value_codec`) both check values with these
functions, so that a call accepts and refuses the same values in this process and in another.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_airssys_wasm.runtime.base.values import Record, Variant, WrongType, WrongValue, field_name
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.wit.types import RecordType, TupleType

T = TypeVar("T")


def check_bool(value: Any) -> bool:
    """Return a value of type `bool`. Raises `WrongType`."""
    if not isinstance(value, bool):
        raise WrongType("bool", value)
    return value


def check_integer(name: str, value: Any) -> int:
    """Return an int for the number type with this name, of any size. Raises `WrongType`; bools are not accepted."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(name, value)
    return int(value)


def check_float(name: str, value: Any) -> float:
    """Return a float for `f32` or `f64`, from a float or from an int that the type represents exactly.

    Raises `WrongType`, or `WrongValue` for other ints. A float may still be too large for `f32`.
    """
    if isinstance(value, float):
        return float(value)
    whole = check_integer(name, value)
    slot = Struct(f"<{NUMBERS[name]}")
    try:
        real = float(whole)
        (stored,) = slot.unpack(slot.pack(real))
    except OverflowError:
        stored = None
    if stored != whole:
        raise WrongValue(f"{name} (it cannot hold this int exactly)", value)
    return real


def check_char(value: Any) -> int:
    """Return the number of a Unicode scalar value, from a string of one character. Raises `WrongType` or `WrongValue`.

    wasmtime aborts the process when it is given a surrogate.
    """
    if not isinstance(value, str):
        raise WrongType("char", value)
    if len(value) != 1 or "\ud800" <= value <= "\udfff":
        raise WrongValue("char (one Unicode scalar value)", value)
    return ord(value)


def check_string(value: Any) -> bytes:
    """Return a string as UTF-8. Raises `WrongType`, or `WrongValue` for a string with surrogates.

    wasmtime aborts the process when it is given anything but UTF-8.
    """
    if not isinstance(value, str):
        raise WrongType("string", value)
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        raise WrongValue("string (without lone surrogates)", value) from None


def check_list(value: Any, expected: str, is_bytes: bool, charge: Callable[[int], None]) -> bytes | tuple[Any, ...]:
    """Return a copy of the elements of a list, whose length cannot change while they are converted.

    `expected` is the text of the type, `is_bytes` whether it is `list<u8>`, and `charge` is called with the number of
    elements before they are copied. Bytes are returned for bytes and the like, also for lists of other numbers. Raises
    `WrongType`.
    """
    if isinstance(value, memoryview) and (not is_bytes or value.format not in ("B", "c")):
        if is_bytes:
            raise WrongType(f"{expected} (bytes)", value)
        value = value.tolist()
    if isinstance(value, (str, Mapping)) or not isinstance(value, (Sequence, memoryview, bytearray, array)):
        raise WrongType(f"{expected} (bytes)" if is_bytes else expected, value)
    charge(len(value))
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else tuple(value)


def record_checker(type_: RecordType) -> Callable[[Any], Sequence[Any]]:
    """Return the function that takes a value for a record apart: `value -> values of the fields, in order`.

    It accepts a `Record`, a mapping, and any object with these attributes. Raises `WrongType` for missing fields, and
    for keys of a mapping that are not fields.
    """
    keys = [(name, field_name(name), name.replace("-", "_")) for name, _ in type_.fields]
    known = {key for field in keys for key in field}
    expected = f"record {{{', '.join(name for name, _ in type_.fields)}}}"

    attributes = [attribute for _, attribute, _ in keys]
    exact, pick = frozenset(attributes), itemgetter(*attributes)
    has_several = len(attributes) > 1

    def check(value: Any) -> Sequence[Any]:
        if isinstance(value, Record):
            value = value.as_dict()
        if has_several and type(value) is dict and value.keys() == exact:
            picked: tuple[Any, ...] = pick(value)
            return picked
        if not isinstance(value, Mapping):
            return [attribute_of(value, name, attribute) for name, attribute, _ in keys]
        if not value.keys() <= known:
            raise WrongType(f"{expected} (unknown: {unknown_keys(value, known)})", value)
        return [entry_of(value, field) for field in keys]

    def attribute_of(value: Any, name: str, attribute: str) -> Any:
        try:
            return getattr(value, attribute)
        except AttributeError:
            raise WrongType(f"{expected} (missing: {name})", value) from None

    def entry_of(value: Mapping[Any, Any], field: tuple[str, str, str]) -> Any:
        for key in field:
            if key in value:
                return value[key]
        raise WrongType(f"{expected} (missing: {field[0]})", value)

    return check


def unknown_keys(value: Mapping[Any, Any], known: set[str]) -> str:
    """Return the keys of a mapping that are not known, as text for a message."""
    return ", ".join(sorted(map(str, value.keys() - known)))


def check_tuple(value: Any, type_: TupleType) -> tuple[Any, ...]:
    """Return the elements of a tuple, from a tuple or a list. Raises `WrongType` or `WrongValue`."""
    if not isinstance(value, (tuple, list)):
        raise WrongType(str(type_), value)
    elements, count = tuple(value), len(type_.elements)
    if len(elements) != count:
        raise WrongValue(f"{type_} ({count} elements)", elements)
    return elements


def check_variant(value: Any, cases: Mapping[str, T], expected: str) -> T:
    """Return what `cases` has for the case of a `Variant`. Raises `WrongType` or `WrongValue`."""
    if not isinstance(value, Variant):
        raise WrongType(f"Variant ({expected})", value)
    if not isinstance(value.case, str) or value.case not in cases:
        raise WrongValue(expected, value)
    return cases[value.case]


def check_no_payload(value: Any, step: str) -> None:
    """Raise `WrongValue` at a step of the path, if there is a payload for a case without one."""
    if value is not None:
        raise WrongValue("no payload", value).at(step)


def check_enum(value: Any, cases: Mapping[str, T], expected: str) -> T:
    """Return what `cases` has for the name of a case. Raises `WrongType` or `WrongValue`."""
    if not isinstance(value, str):
        raise WrongType(expected, value)
    if value not in cases:
        raise WrongValue(expected, value)
    return cases[value]


def check_flags(value: Any, names: Mapping[str, T], expected: str) -> list[T]:
    """Return what `names` has for each flag of an iterable of names, in the order of the names.

    Raises `WrongType` or `WrongValue`.
    """
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise WrongType(expected, value)
    given = list(value)
    if not all(isinstance(name, str) for name in given):
        raise WrongType(expected, value)
    chosen = sorted(set(given))
    if not names.keys() >= set(chosen):
        raise WrongValue(expected, value)
    return [names[name] for name in chosen]
