"""The conversions between core values and Python: i32 and i64 are ints, f32 and f64 are floats.

Integers have no sign in WebAssembly: both ranges are accepted (i32 from -2**31 to 2**32 - 1), and results are signed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.floats import f32_bits, f32_of
from pytest_airssys_wasm.runtime.base.values import short_repr
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}  # wasmtime_valkind_t
_SLOTS = {
    "i32": struct.Struct("<B7xi"),
    "i64": struct.Struct("<B7xq"),
    "f32": struct.Struct("<B7xI"),
    "f64": struct.Struct("<B7xd"),
}


def lower(types: Sequence[str], values: Sequence[Any], target: Any, offset: int = 0, where: str = "args") -> None:
    """Write `values` as `wasmtime_val_t`s into the writable buffer `target`.

    Raises `TypeError` for a value of a wrong type and `ValueError` for a value out of range; both name the position.
    """
    for index, (name, value) in enumerate(zip(types, values)):
        place = f"{where}[{index}]"
        if name in ("i32", "i64"):
            value = _integer(name, value, place)
        elif name in ("f32", "f64"):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
        else:
            raise TypeError(f"{place}: values of type {name} cannot be passed from Python")
        try:
            if name == "f32":
                value = f32_bits(float(value))
            _SLOTS[name].pack_into(target, offset + index * VAL_BYTES, _KINDS[name], value)
        except (OverflowError, struct.error):
            raise ValueError(f"{place}: expected {name}, got {short_repr(value)}") from None


def lift(types: Sequence[str], source: Any, offset: int = 0) -> tuple[Any, ...]:
    """Return one Python value for each type, read from consecutive `wasmtime_val_t`s."""
    found = [_SLOTS[name].unpack_from(source, offset + index * VAL_BYTES)[1] for index, name in enumerate(types)]
    return tuple(f32_of(value) if name == "f32" else value for name, value in zip(types, found))


def unsupported(types: Sequence[str]) -> list[str]:
    """Return the members of `types` that do not have a Python value (v128 and references)."""
    return [name for name in types if name not in _KINDS]


def _integer(name: str, value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{place}: expected {name}, got {short_repr(value)}")
    bits = 32 if name == "i32" else 64
    if not -(2 ** (bits - 1)) <= value < 2**bits:
        raise ValueError(
            f"{place}: expected {name} (from {-(2 ** (bits - 1))} to {2**bits - 1}), got {short_repr(value)}"
        )
    return value - 2**bits if value >= 2 ** (bits - 1) else value
