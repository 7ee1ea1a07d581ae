"""Python strings to WIT enums, and sets of them to WIT flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ctypes import addressof, c_char
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import WrongType, WrongValue
from pytest_airssys_wasm.runtime.capi.vals import KINDS, MEMORY, NAME, NAME_BYTES, VECTOR

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.convert.lowering_scalars import Lower
    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit.types import EnumType, FlagsType


def lower_enum(type_: EnumType) -> Lower:
    """The converter of this enum type."""
    cases = {name: constant(name) for name in type_.cases}
    shown = f"enum, one of {', '.join(cases)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if not isinstance(value, str):
            raise WrongType(shown, value)
        if value not in cases:
            raise WrongValue(shown, value)
        text, length = cases[value]
        VECTOR.pack_into(MEMORY, address, KINDS["enum"], length, addressof(text))

    return lower


def lower_flags(type_: FlagsType) -> Lower:
    """The converter of this flags type."""
    names = {name: constant(name) for name in type_.names}
    shown = f"flags, a set of {', '.join(names)}"

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise WrongType(shown, value)
        given = list(value)
        if not all(isinstance(name, str) for name in given):
            raise WrongType(shown, value)
        chosen = sorted(set(given))
        if not names.keys() >= set(chosen):
            raise WrongValue(shown, value)
        data = transfer.allocate(NAME_BYTES * len(chosen))
        for index, name in enumerate(chosen):
            text, length = names[name]
            NAME.pack_into(MEMORY, data + index * NAME_BYTES, length, addressof(text))
        VECTOR.pack_into(MEMORY, address, KINDS["flags"], len(chosen), data)

    return lower


def constant(name: str) -> tuple[Any, int]:
    """A name in C memory that lives as long as the converter that holds it, and its length."""
    encoded = name.encode()
    return (c_char * max(1, len(encoded))).from_buffer_copy(encoded or b"\0"), len(encoded)
