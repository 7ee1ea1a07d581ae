"""Values on their way between two processes.

A value goes through the converters that take it into a guest, and comes back from C memory as the one Python value
that stands for it. So what leaves is checked as a call in this process would, with the same messages, and nothing of
what arrives is believed that does not fit its type.
"""

from __future__ import annotations

from ctypes import c_char
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.base.values import WrongType
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GUEST, _HOST = "resource", "host_resource"
_MOST = 2**62


@dataclass(frozen=True, slots=True)
class Handle:
    """A resource while it crosses: whose object it is, and by which number both sides know it."""

    is_host: bool
    number: int


def handle_to_json(value: Any) -> Any:
    """The innermost parts of a value, handles among them, as JSON can carry them."""
    if isinstance(value, Handle):
        return {_HOST if value.is_host else _GUEST: value.number}
    return wire.encode(value)


def handle_from_json(value: Any) -> Any:
    """The handle, or what came instead."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, number),) = value.items()
        if kind in (_GUEST, _HOST) and type(number) is int and 0 < number < _MOST:
            return Handle(kind == _HOST, number)
    return value


class ValueCodec:
    """The values of one store, on the side that must not believe the other.

    `hand_out` gives the handle of a resource that leaves; `take_in` gives what a handle that arrives stands for.
    Both may raise.
    """

    def __init__(
        self,
        transfer_bytes: int,
        hand_out: Callable[[Any, Any], Handle],
        take_in: Callable[[Handle, Any], Any],
    ) -> None:
        self._transfer_bytes = transfer_bytes
        self._hand_out = hand_out
        self._take_in = take_in

    def leave(self, value: Any, type_: Any, transfer: Transfer | None = None) -> Any:
        """A value of this WIT type as JSON; charged to `transfer` where it is given.

        Raises `Mismatch`, and `ResourceLimitExceeded` where it is too large.
        """
        return encode(self._plain(value, type_, self._hand_out, _as_handle, transfer), handle_to_json)

    def arrive(self, value: Any, type_: Any) -> Any:
        """The Python value of this type that JSON carried. Raises anything for what is none."""
        if isinstance(type_, str):
            return _plain_core((decode(value, type_),), (type_,), "value")[0]
        found = decode(value, type_, lambda handle, _type: handle_from_json(handle))
        return self._plain(found, type_, _only_handles, self._take_in, None)

    def _plain(
        self,
        value: Any,
        type_: Any,
        hand_out: Callable[[Any, Any], Handle],
        take_in: Callable[[Handle, Any], Any],
        transfer: Transfer | None,
    ) -> Any:
        down, up = transfer or Transfer(self._transfer_bytes), Transfer(None)

        def lower_resource(value: object, type_: Any) -> int:
            handle = hand_out(value, type_)
            return handle.number << 1 | handle.is_host

        def lift_resource(pointer: int, type_: Any) -> object:
            return take_in(Handle(bool(pointer & 1), pointer >> 1), type_)

        down.lower_resource, up.lift_resource = lower_resource, lift_resource
        address = down.allocate(VAL_BYTES)
        compile_lower(type_)(value, address, down)
        return compile_lift(type_)(address, up)


def results_to_json(values: Sequence[Any]) -> Any:
    """The results of a core function: none is null, of several a list is made."""
    return values[0] if len(values) == 1 else [*values] or None


def leave_core(values: Sequence[Any], types: Sequence[str], where: str) -> list[Any]:
    """Values of a core function as JSON. Raises as `core_values.lower`."""
    return [*map(encode, _plain_core(values, types, where))]


def _plain_core(values: Sequence[Any], types: Sequence[str], where: str) -> tuple[Any, ...]:
    buffer = (c_char * (VAL_BYTES * max(1, len(types))))()
    core_values.lower(types, values, buffer, where=where)
    return core_values.lift(types, buffer)


def _as_handle(handle: Handle, _type: Any) -> Handle:
    return handle


def _only_handles(value: Any, type_: Any) -> Handle:
    if not isinstance(value, Handle):
        raise WrongType(str(type_), value)
    return value
