"""Python bools, numbers and text -> component values.

Floats are stored as they are: f32 rounds to the nearest, NaN and -0.0 stay, a finite number beyond f32's range is
an error. Ints are taken for floats where nothing is lost. Bools are no ints, and ints no bools.
"""

from __future__ import annotations

import operator
from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.vals import BYTES, KINDS, MEMORY, NUMBER_CODES, VECTOR
from pytest_airssys_wasm.runtime.values import OutOfRange, WrongType, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.transfer import Transfer

    Lower = Callable[[Any, int, Transfer], None]
    """`(value, address, transfer)`: write one value. Raises `WrongType` or `OutOfRange`."""

_BOOL = Struct("<B7x?")
_CHAR = Struct("<B7xI")
_F32 = Struct("<f")
_SURROGATES = range(0xD800, 0xE000)


def lower_scalar(name: str) -> Lower:
    """The converter of a primitive type."""
    if name == "bool":
        return _lower_bool
    if name == "char":
        return _lower_char
    if name == "string":
        return _lower_string
    return _float(name) if name in ("f32", "f64") else _integer(name)


def _integer(name: str) -> Lower:
    kind = KINDS[name]
    pack_into = Struct(f"<B7x{NUMBER_CODES[name]}").pack_into

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not int:
            value = _whole(name, value)
        try:
            pack_into(MEMORY, address, kind, value)
        except StructError:
            raise OutOfRange(f"expected {name}, got {show(value)}") from None

    return lower


def _float(name: str) -> Lower:
    kind = KINDS[name]
    pack_into = Struct(f"<B7x{NUMBER_CODES[name]}").pack_into

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not float:
            value = _real(name, value)
        try:
            pack_into(MEMORY, address, kind, value)
        except OverflowError:
            raise OutOfRange(f"expected {name}, got {show(value)}") from None

    return lower


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise WrongType(f"expected {name}, got {show(value)}")


def _real(name: str, value: Any) -> float:
    if isinstance(value, float):
        return value
    whole = _whole(name, value)
    try:
        real = float(whole)
        stored = real if name == "f64" else _F32.unpack(_F32.pack(real))[0]
    except OverflowError:
        stored = None
    if stored != whole:
        raise OutOfRange(f"expected {name}, got {show(value)}, which it cannot hold exactly")
    return real


def _lower_bool(value: Any, address: int, transfer: Transfer) -> None:
    if value is not True and value is not False:
        raise WrongType(f"expected bool, got {show(value)}")
    _BOOL.pack_into(MEMORY, address, KINDS["bool"], value)


def _lower_char(value: Any, address: int, transfer: Transfer) -> None:
    if not isinstance(value, str):
        raise WrongType(f"expected char, got {show(value)}")
    if len(value) != 1 or ord(value) in _SURROGATES:
        raise OutOfRange(f"expected char (one Unicode scalar value), got {show(value)}")
    _CHAR.pack_into(MEMORY, address, KINDS["char"], ord(value))


def _lower_string(value: Any, address: int, transfer: Transfer) -> None:
    if not isinstance(value, str):
        raise WrongType(f"expected string, got {show(value)}")
    transfer.charge(len(value))
    try:
        text = str.encode(value)
    except UnicodeEncodeError as error:
        raise OutOfRange(
            f"expected string, got {show(value)}, which has a lone surrogate at index {error.start}"
        ) from None
    size_bytes = len(text)
    if size_bytes != len(value):
        transfer.charge(size_bytes - len(value))
    target = transfer.allocate(size_bytes)
    BYTES[target : target + size_bytes] = text
    VECTOR.pack_into(MEMORY, address, KINDS["string"], size_bytes, target)
