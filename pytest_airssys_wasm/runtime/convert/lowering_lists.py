"""Python sequences to WIT lists: numbers all at once, anything else one by one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Mismatch, WrongType
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.vals import BYTES, KINDS, MEMORY, PAYLOAD, VECTOR
from pytest_airssys_wasm.runtime.convert.packing import pack
from pytest_airssys_wasm.runtime.convert.sizes import NUMBERS, fixed_size
from pytest_airssys_wasm.runtime.wit.types import ListType, Primitive

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.convert.lowering_scalars import Lower
    from pytest_airssys_wasm.runtime.convert.transfer import Transfer

_BATCH = 4_096


def lower_list(type_: ListType, lower: Lower) -> Lower:
    """The converter of this list type, whose elements `lower` converts."""
    element = type_.element
    cost = max(1, fixed_size(element))
    name = element.name if isinstance(element, Primitive) else ""
    code = {"char": "I", "bool": "B"}.get(name) or NUMBERS.get(name)
    is_bytes = name == "u8"

    def lower_all(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, memoryview) and (not is_bytes or value.format not in ("B", "c")):
            if is_bytes:
                raise WrongType("list<u8> (bytes)", value)
            value = value.tolist()
        if isinstance(value, (str, Mapping)) or not isinstance(value, (Sequence, memoryview, bytearray, array)):
            raise WrongType(str(type_) + (" (bytes)" if is_bytes else ""), value)
        transfer.charge(len(value) * cost)
        # A copy, for its length must not change under way: there is memory for so many, and all of it is read.
        value = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else tuple(value)
        count = len(value)
        data = transfer.allocate(VAL_BYTES * count)
        packed = pack(name, code, value) if code is not None and count else None
        if packed is not None:
            assert code is not None
            view, width = BYTES[data : data + VAL_BYTES * count], Struct(f"<{code}").size
            view[::VAL_BYTES] = bytes([KINDS[name]]) * count
            if width == 1:
                view[PAYLOAD::VAL_BYTES] = packed.tobytes()
            else:
                column: Any = view.cast(code)  # type: ignore[call-overload]  # a format code
                column[PAYLOAD // width :: VAL_BYTES // width] = memoryview(packed)
        else:
            _each(value, data, lower, transfer)
        VECTOR.pack_into(MEMORY, address, KINDS["list"], count, data)

    return lower_all


def _each(values: Iterable[Any], data: int, lower: Lower, transfer: Transfer) -> None:
    for index, value in enumerate(values):
        if index % _BATCH == 0:
            transfer.check()
        try:
            lower(value, data + index * VAL_BYTES, transfer)
        except Mismatch as error:
            raise error.at(f"[{index}]")
