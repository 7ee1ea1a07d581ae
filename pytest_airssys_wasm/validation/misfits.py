"""The comparison of values, in Python or in TOML, with the types that they are to have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.primitive_codec import Passage
from pytest_airssys_wasm.protocol.value_codec import codec_of
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.validation.placeholders import NoPlaceholder, placeholder
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNCHARGED = Passage(lambda _bytes: None, lambda: None, lambda value, _type: str(value))
"""The context in which values are compared with their types: they are not transferred."""


def misfit_of(value: Any, types: Sequence[Any]) -> str | None:
    """Return why a value does not fit the types of the results of a function, in one line; `None` if it fits.

    `types` has one WIT type, or the names of core value types, for which a tuple has one value each.
    """
    try:
        if isinstance(types[0], str):
            values = value if len(types) > 1 and isinstance(value, tuple) else (value,)
            if len(values) != len(types):
                return f"expected {len(types)} values, got {len(values)}"
            layout = core_values.RAW
            core_values.lower(types, values, bytearray(layout.size * len(types)), where="value", layout=layout)
        else:
            codec_of(types[0]).encode(value, _UNCHARGED)
    except (Mismatch, TypeError, ValueError) as mismatch:
        return str(mismatch)
    return None


def check_type(where: str, written: Any, types: Sequence[Any], *, key: str = "returns = ") -> None:
    """Raise `Unfit`, which begins with `where`, unless a value from TOML fits the types of the results of a function.

    `key` precedes the example in the remedy.
    """
    type_ = types[0] if len(types) == 1 else f"({', '.join(map(str, types))})"
    try:
        misfit = misfit_of(decode_results(written, types), types)
    except (TypeError, ValueError) as error:
        misfit = str(error)
    if misfit is not None:
        try:
            example = f", such as {key}{placeholder(type_)}"
        except NoPlaceholder:
            example = ""
        raise Unfit(f"{where}: {misfit}", f"write a value of type {type_}{example}")


def decode_results(written: Any, types: Sequence[Any]) -> Any:
    """Return a value from TOML as the result of a function whose results have these types."""
    value = wire.from_toml(written)
    if len(types) > 1 and isinstance(value, list) and len(value) == len(types):
        return tuple(map(decode, value, types))
    return decode(value, types[0]) if types else value
