"""The comparison of Python values with the types that they are to have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol.primitive_codec import Passage
from pytest_airssys_wasm.protocol.value_codec import codec_of
from pytest_airssys_wasm.runtime.base.values import Mismatch
from pytest_airssys_wasm.runtime.convert import core_values

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
