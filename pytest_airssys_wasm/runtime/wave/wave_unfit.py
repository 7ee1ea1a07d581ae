"""Values of no known type in the notation nearest to WAVE, for messages about a value that does not fit its type."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.wave.wave_text import Spent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_airssys_wasm.runtime.wave.wave_text import Text

DEEPEST = 64
"""How far values are followed into each other: a list may hold itself."""
_MOST_BITS = 256
_SEQUENCES = (list, tuple, set, frozenset, bytes, bytearray, array)


def write_unfit(out: Text, value: Any, depth: int = 0) -> None:
    """Append what can be told of `value` without calling its `__repr__`; of other classes that is their name.

    Raises `Spent` alone.
    """
    mark = out.mark()
    try:
        _write(out, value, depth)
    except Spent:
        raise
    except Exception:  # noqa: BLE001 a subclass of a builtin type may raise anything
        out.rewind(mark)
        out.name(type.__dict__["__name__"].__get__(type(value)))


def _write(out: Text, value: Any, depth: int) -> None:
    if depth > DEEPEST:
        out.put("…")
    elif value is None or isinstance(value, bool):
        out.put("none" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        bits = int.bit_length(value)
        out.put(int.__repr__(value) if bits <= _MOST_BITS else f"int of {bits} bits")
    elif isinstance(value, float):
        out.put(float.__repr__(value))
    elif isinstance(value, str):
        out.quoted(value, '"')
    elif isinstance(value, Variant):
        out.label(value.case)
        if value.payload is not None:
            _several(out, "(", [value.payload], ")", depth)
    elif isinstance(value, (Some, Ok)):
        _several(out, "some(" if isinstance(value, Some) else "ok(", [value.value], ")", depth)
    elif isinstance(value, Err):
        _several(out, "err(", [value.error], ")", depth)
    elif isinstance(value, (Record, dict)):
        _mapping(out, value.as_dict() if isinstance(value, Record) else value, depth)
    elif isinstance(value, _SEQUENCES):
        opening, closing = "()" if isinstance(value, tuple) else "{}" if isinstance(value, (set, frozenset)) else "[]"
        _several(out, opening, value, closing, depth)
    else:
        raise TypeError


def _several(out: Text, opening: str, values: Iterable[Any], closing: str, depth: int) -> None:
    out.put(opening)
    for index, value in enumerate(values):
        out.put(", " if index else "")
        write_unfit(out, value, depth + 1)
    out.put(closing)


def _mapping(out: Text, fields: dict[Any, Any], depth: int) -> None:
    out.put("{")
    for index, (name, value) in enumerate(dict.items(fields)):
        out.put(", " if index else "")
        if isinstance(name, str):
            out.name(name)
        else:
            write_unfit(out, name, depth + 1)
        out.put(": ")
        write_unfit(out, value, depth + 1)
    out.put("}")
