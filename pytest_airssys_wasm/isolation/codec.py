"""The conversions between JSON and the values, resources and WASI grants that this process and a worker exchange.

The driver, which must not trust the worker, checks everything that it sends and receives: values of components with
`ValueCodec`, and values of modules with the functions for core values.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.protocol import values, wire
from pytest_airssys_wasm.protocol.primitive_codec import Passage
from pytest_airssys_wasm.protocol.value_codec import codec_of
from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of
from pytest_airssys_wasm.runtime.base.values import WrongType, short_repr
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_airssys_wasm.runtime.wit.types import BorrowType, OwnType

_GUEST, _HOST = "resource", "host_resource"
_MOST = 2**62


class Handle(Struct, frozen=True):
    """A resource in a message: the side that has its object, and the number by which both sides identify it."""

    is_host: bool
    number: int


def handle_to_json(value: Any) -> Any:
    """Return a scalar value or a handle as a JSON value."""
    if isinstance(value, Handle):
        return {_HOST if value.is_host else _GUEST: value.number}
    return wire.encode_exact_float(value) if isinstance(value, float) else wire.encode(value)


def handle_from_json(value: Any) -> Any:
    """Return the handle that a JSON value stands for, or the JSON value itself if it is not a handle."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, number),) = value.items()
        if kind in (_GUEST, _HOST) and type(number) is int and 0 < number < _MOST:
            return Handle(kind == _HOST, number)
    return value


class ValueCodec:
    """The conversions between the values of one store and JSON. Both directions check the values.

    `hand_out` returns the handle of a resource that is sent, and `take_in` the object of a handle that was received.
    Both may raise errors.
    """

    def __init__(
        self,
        transfer_bytes: int,
        hand_out: Callable[[Any, OwnType | BorrowType], Handle],
        take_in: Callable[[Handle, OwnType | BorrowType], Any],
    ) -> None:
        self._transfer_bytes = transfer_bytes
        self._hand_out = hand_out
        self._take_in = take_in

    def encode(self, value: Any, type_: Any, transfer: Transfer | None = None) -> Any:
        """Return a Python value of this WIT type as JSON. The value is charged to `transfer` if a transfer is given.

        Raises `Mismatch` for a value that does not fit, and `ResourceLimitExceeded` for one that is too large.
        """
        codec = codec_of(type_)
        transfer = transfer or Transfer(self._transfer_bytes)
        return codec.encode(value, Passage(transfer.charge, transfer.check, self._encode_resource))

    def decode(self, value: Any, type_: Any) -> Any:
        """Return the Python value of this type (a WIT type, or the name of a core type) from JSON.

        Raises an exception of any class for JSON that does not represent a value of this type.
        """
        if isinstance(type_, str):
            return _core_value(values.scalar(value, type_), type_, "value[0]")
        codec = codec_of(type_)
        transfer = Transfer(self._transfer_bytes)
        return codec.decode(value, Passage(transfer.charge, transfer.check, self._decode_resource))

    def _encode_resource(self, value: Any, type_: OwnType | BorrowType) -> Any:
        return handle_to_json(self._hand_out(value, type_))

    def _decode_resource(self, value: Any, type_: OwnType | BorrowType) -> Any:
        handle = handle_from_json(value)
        if not isinstance(handle, Handle):
            raise WrongType(str(type_), value)
        return self._take_in(handle, type_)


def encode_core_values(given: Sequence[Any], types: Sequence[str], where: str) -> list[Any]:
    """Return values of a core function as JSON.

    Raises `TypeError` for a value of a wrong type and `ValueError` for a value out of range; both name the position.
    """
    return [
        handle_to_json(_core_value(value, name, f"{where}[{index}]"))
        for index, (name, value) in enumerate(zip(types, given))
    ]


def encode_core_results(results: Sequence[Any]) -> Any:
    """Return the encoded results of a core function as one value: null for no result, a list for several."""
    return results[0] if len(results) == 1 else [*results] or None


_BITS = {"i32": 32, "i64": 64}


def _core_value(value: Any, name: str, place: str) -> Any:
    """Return the Python value of a core type that corresponds to this value."""
    if name in _BITS:
        return _core_integer(value, name, place)
    if name not in ("f32", "f64"):
        raise TypeError(f"{place}: values of type {name} cannot be passed from Python")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
    try:
        return f32_of(f32_bits(float(value))) if name == "f32" else float(value)
    except OverflowError:
        raise ValueError(f"{place}: expected {name}, got {short_repr(value)}") from None


def _core_integer(value: Any, name: str, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
    whole, bits = int(value), _BITS[name]
    if not -(2 ** (bits - 1)) <= whole < 2**bits:
        raise ValueError(
            f"{place}: expected {name} (from {-(2 ** (bits - 1))} to {2**bits - 1}), got {short_repr(value)}"
        )
    return whole - 2**bits if whole >= 2 ** (bits - 1) else whole


def wasi_to_wire(wasi: Wasi) -> dict[str, Any]:
    """Return WASI grants as JSON.

    Raises `InvalidConfiguration` for grants that another process cannot have.
    """
    if wasi.inherit:
        wanted = "False: the guest runs in a separate process, without a terminal and an environment"
        raise InvalidConfiguration("wasi.inherit", wasi.inherit, wanted)
    wasi.check_directories()  # they were there when they were granted
    stdin = wasi.stdin.encode() if isinstance(wasi.stdin, str) else wasi.stdin
    return {
        "args": [*wasi.args],
        "env": dict(wasi.env),
        "stdin": {"bytes": base64.b64encode(stdin).decode()},
        # The worker's working folder is another one.
        "preopen": {
            guest: [str(Path(os.fspath(host)).absolute()), access] for guest, (host, access) in wasi.preopen.items()
        },
    }


def wasi_from_wire(grants: Mapping[str, Any]) -> Wasi:
    """Return WASI grants from JSON, in which stdin is base64 or text."""
    stdin = grants.get("stdin", "")
    return Wasi(**{**grants, "stdin": base64.b64decode(stdin["bytes"]) if isinstance(stdin, dict) else stdin})
