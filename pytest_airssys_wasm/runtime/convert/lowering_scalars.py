"""Converters of the primitive WIT types: bool, numbers, char and string."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 it is a class
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import WrongType, WrongValue
from pytest_airssys_wasm.runtime.capi.vals import BYTES, KINDS, MEMORY, PAYLOAD, VECTOR
from pytest_airssys_wasm.runtime.convert.sizes import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.convert.transfer import Transfer

    Lower = Callable[[Any, int, Transfer], None]


def lower_scalar(name: str) -> Lower:
    """The converter of this primitive type.

    Raises `TypeError` for an error context, which has no Python value.
    """
    if name == "string":
        return _string
    if name == "char":
        return _char
    if name == "bool":
        return _bool
    if name in ("f32", "f64"):
        return _float(name)
    if name in NUMBERS:
        return _integer(name)
    raise TypeError(f"values of type {name} cannot be passed from Python")


def _bool(value: Any, address: int, transfer: Transfer) -> None:
    if not isinstance(value, bool):
        raise WrongType("bool", value)
    BYTES[address] = KINDS["bool"]
    BYTES[address + PAYLOAD] = value


def _integer(name: str) -> Lower:
    slot, kind = Struct(f"<B7x{NUMBERS[name]}"), KINDS[name]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not int:
            value = _whole(name, value)
        try:
            slot.pack_into(MEMORY, address, kind, value)
        except StructError:
            raise WrongValue(name, value) from None

    return lower


def _float(name: str) -> Lower:
    slot, kind = Struct(f"<B7x{NUMBERS[name]}"), KINDS[name]

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if type(value) is not float:
            value = _real(name, value)
        try:
            slot.pack_into(MEMORY, address, kind, value)
        except OverflowError:
            raise WrongValue(f"{name} (this number is too large)", value) from None

    return lower


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(name, value)
    return int(value)


def _real(name: str, value: Any) -> float:
    """The float of an int that loses nothing, or of a subclass of float."""
    if isinstance(value, float):
        return float(value)
    whole = _whole(name, value)
    try:
        real = float(whole)
        (stored,) = Struct(f"<{NUMBERS[name]}").unpack(Struct(f"<{NUMBERS[name]}").pack(real))
    except OverflowError:
        stored = None
    if stored != whole:
        raise WrongValue(f"{name} (it cannot hold this int exactly)", value)
    return real


def _char(value: Any, address: int, transfer: Transfer) -> None:
    if not isinstance(value, str):
        raise WrongType("char", value)
    # A surrogate is no Unicode scalar value; wasmtime aborts the process when it is given one.
    if len(value) != 1 or "\ud800" <= value <= "\udfff":
        raise WrongValue("char (one Unicode scalar value)", value)
    _CHAR.pack_into(MEMORY, address, KINDS["char"], ord(value))


_CHAR = Struct("<B7xI")


def _string(value: Any, address: int, transfer: Transfer) -> None:
    if not isinstance(value, str):
        raise WrongType("string", value)
    try:
        encoded = str.encode(value)  # wasmtime aborts the process on anything but UTF-8
    except UnicodeEncodeError:
        raise WrongValue("string (without lone surrogates)", value) from None
    transfer.charge(len(encoded))
    data = transfer.allocate(len(encoded))
    BYTES[data : data + len(encoded)] = encoded
    VECTOR.pack_into(MEMORY, address, KINDS["string"], len(encoded), data)
