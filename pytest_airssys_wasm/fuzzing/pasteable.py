"""The text of values and calls for people to paste: into a `Component.toml`, and into a Python test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import encode
from pytest_airssys_wasm.runtime.base.floats import f64_bits, write_nan
from pytest_airssys_wasm.runtime.base.printable import prints
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_TOML = 2**63
_BARE_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def as_json(value: Any) -> Any:
    """Return a value as JSON from which `protocol.values.decode` makes it again, with all bits of its floats."""
    return encode(value, _exact)


def _exact(value: Any) -> Any:
    return wire.encode_exact_float(value) if isinstance(value, float) else wire.encode(value)


def as_toml(value: Any) -> str:
    """Return a value as TOML on one line, as `args` and `returns` of a `[[tests]]` entry have it."""
    return toml_of(as_json(value))


def toml_of(encoded: Any) -> str:
    """Return an encoded value, or another one of JSON, as TOML on one line; null becomes `{}`."""
    match encoded:
        case None:
            return "{}"
        case bool():
            return "true" if encoded else "false"
        case int():
            return str(encoded) if -_MOST_TOML <= encoded < _MOST_TOML else f'"{encoded}"'
        case float():
            return repr(encoded)
        case str():
            return quoted(encoded)
        case list():
            return f"[{', '.join(map(toml_of, encoded))}]"
        case dict():
            return "{ " + ", ".join(f"{_key(name)} = {toml_of(item)}" for name, item in encoded.items()) + " }"
    raise TypeError(f"{encoded!r} cannot be written as TOML")


def quoted(text: str) -> str:
    """Return a text as a basic string of TOML, with escapes for all that a terminal would not show."""
    return '"' + "".join(_character(one) for one in text) + '"'


def _character(one: str) -> str:
    if one in '"\\':
        return "\\" + one
    if prints(one):
        return one
    return _ESCAPES.get(one) or (f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}")


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _key(name: str) -> str:
    return name if name and _BARE_KEY.issuperset(name) else quoted(name)


def as_python(value: Any) -> str:
    """Return a value as a Python expression, in which the classes of `pytest_airssys_wasm` stand by their names."""
    match value:
        case float():
            return _python_float(value)
        case Ok(inner) | Err(inner) | Some(inner):
            return (
                f"{type(value).__name__}({'' if inner is None and not isinstance(value, Some) else as_python(inner)})"
            )
        case Variant(case, payload):
            return f"Variant({case!r}" + ("" if payload is None else f", {as_python(payload)}") + ")"
        case Record():
            return f"Record({', '.join(f'{name}={as_python(item)}' for name, item in value.as_dict().items())})"
        case dict():
            return "{" + ", ".join(f"{name!r}: {as_python(item)}" for name, item in value.items()) + "}"
        case list():
            return f"[{', '.join(map(as_python, value))}]"
        case tuple():
            return f"({', '.join(map(as_python, value))}{',' if len(value) == 1 else ''})"
        case frozenset():
            return "{" + ", ".join(map(repr, sorted(value))) + "}" if value else "set()"
        case str():
            return _python_text(value)
        case _:
            return repr(value)


def _python_text(text: str) -> str:
    # `repr` leaves some of what a terminal would turn around.
    shown = repr(text)
    return shown if all(map(prints, shown)) else ascii(text)


def _python_float(value: float) -> str:
    if math.isnan(value):
        return (
            'float("nan")' if write_nan(value) == "nan" else f'struct.unpack("<d", bytes.fromhex("{_hex(value)}"))[0]'
        )
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def _hex(value: float) -> str:
    return f64_bits(value).to_bytes(8, "little").hex()


def python_imports(texts: Iterable[str]) -> list[str]:
    """Return the lines of imports that Python expressions of `as_python` need."""
    text = "\n".join(texts)
    names = [name for name in ("Err", "Ok", "Record", "Some", "Variant") if f"{name}(" in text]
    lines = ["import struct"] if "struct.unpack(" in text else []
    lines.append("import pytest")
    if names:
        lines.append(f"from pytest_airssys_wasm import {', '.join(names)}")
    return lines


def python_call(export: str, args: Iterable[str], on: str = "component") -> str:
    """Return a call of an export as a Python expression; `args` are expressions."""
    return f"{on}.call({', '.join([repr(export), *args])})"
