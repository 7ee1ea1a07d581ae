"""The codecs of primitive WIT types, which check values while they convert them, and the checks of whole lists of these
types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan
from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_airssys_wasm.protocol import values, wire
from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of
from pytest_airssys_wasm.runtime.base.values import WrongValue
from pytest_airssys_wasm.runtime.convert.accepted import (
    check_bool,
    check_char,
    check_float,
    check_integer,
    check_string,
)
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType


class Passage(NamedTuple):
    """The context of a conversion: the account to which values are charged, and the conversion of resources."""

    charge: Callable[[int], None]
    """The function that counts bytes before they are transferred. It raises `ResourceLimitExceeded` if the limit is
    exceeded.
    """
    check: Callable[[], None]
    """The function that raises an error if the execution should end."""
    resource: Callable[[Any, OwnType | BorrowType], Any]
    """The function that converts a resource to JSON, or back. It raises an error for anything else."""


Convert = Callable[[Any, Passage], Any]


class Codec(NamedTuple):
    """The conversions of one type. Both raise `WrongType` or `WrongValue` for a value that does not fit the type."""

    encode: Convert
    """The function that converts a Python value to JSON."""
    decode: Convert
    """The function that converts JSON to a Python value."""


def primitive_codec(name: str) -> Codec:
    """Return the codec of the primitive type with this name.

    Raises `TypeError` for an error context, which has no Python value.
    """
    match name:
        case "string":
            return Codec(_string, _string)
        case "char":
            return Codec(_char, _char)
        case "bool":
            return Codec(_bool, _bool)
        case "f32" | "f64":
            return _float(name)
        case _ if name in NUMBERS:
            return _integer(name)
        case _:
            raise TypeError(f"values of type {name} cannot be passed from Python")


def _bool(value: Any, _passage: Passage) -> bool:
    return check_bool(value)


def _char(value: Any, _passage: Passage) -> str:
    return chr(check_char(value))  # not an instance of a subclass


def _string(value: Any, passage: Passage) -> str:
    encoded = check_string(value)
    passage.charge(len(encoded))
    return value if type(value) is str else encoded.decode()


def _integer(name: str) -> Codec:
    least, most = _range(name)

    def encode(value: Any, _passage: Passage) -> int:
        if type(value) is not int:
            value = check_integer(name, value)
        if not least <= value <= most:
            raise WrongValue(name, value)
        return value  # type: ignore[no-any-return]

    return Codec(encode, lambda value, passage: encode(values.scalar(value, name), passage))


def _range(name: str) -> tuple[int, int]:
    bits, is_signed = 8 * Struct(f"<{NUMBERS[name]}").size, name[0] == "s"
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)


def _float(name: str) -> Codec:
    def check(value: Any) -> float:
        if type(value) is not float:
            value = check_float(name, value)
        try:
            return f32_of(f32_bits(value)) if name == "f32" else value
        except OverflowError:
            raise WrongValue(f"{name} (this number is too large)", value) from None

    return Codec(
        lambda value, _: wire.encode_exact_float(check(value)),
        lambda value, _: check(values.scalar(value, name)),
    )


def check_at_once(name: str) -> Callable[[Sequence[Any]], list[Any] | None]:
    """Return the check of a whole list of a primitive type.

    The check returns `None` if the elements must be checked one by one.
    """
    match name:
        case "bool":
            return lambda items: [*items] if set(map(type, items)) <= {bool} else None
        case "f64":
            return lambda items: [*items] if set(map(type, items)) <= {float} else None
        case "f32":
            return _singles
        case _ if name in NUMBERS:
            least, most = _range(name)

            def integers(items: Sequence[Any]) -> list[Any] | None:
                if not set(map(type, items)) <= {int}:
                    return None
                return [*items] if not items or (least <= min(items) and max(items) <= most) else None

            return integers
        case _:
            return lambda items: None


def _singles(items: Sequence[Any]) -> list[Any] | None:
    if not set(map(type, items)) <= {float}:
        return None
    if isnan(sum(items)):  # of NaNs each sum is one; `struct` would make signalling ones quiet
        return None
    slots = Struct(f"<{len(items)}f")
    try:
        return [*slots.unpack(slots.pack(*items))]
    except (OverflowError, StructError):
        return None
