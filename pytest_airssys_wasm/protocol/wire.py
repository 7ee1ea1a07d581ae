"""The protocol's encoding of values, and the equality of encoded values.

64-bit integers are numbers or decimal strings, non-finite floats are strings, `list<u8>` is
`{"bytes": base64}`, a variant `{"case", "value"}`, a result `{"ok"}` or `{"err"}`, flags are a list, char and
enum strings, a record an object.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any

from pytest_airssys_wasm.runtime.base.floats import write_nan

_DECIMAL = re.compile(r"-?[0-9]+")


def from_toml(value: Any) -> Any:
    """Return a value from TOML as a JSON value: `{}` becomes null, and `inf` and `nan` become strings."""
    if isinstance(value, dict):
        return {key: from_toml(item) for key, item in value.items()} if value else None
    if isinstance(value, list):
        return [from_toml(item) for item in value]
    return encode_float(value) if isinstance(value, float) else value


def encode(value: Any) -> Any:
    """Return a scalar Python value as a JSON value; a resource becomes its description."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return encode_float(value)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value)


def encode_float(value: float) -> float | str:
    """Return a float as a JSON value: the string `"nan"`, `"inf"` or `"-inf"`, or else the number."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def encode_exact_float(value: float) -> float | str:
    """Return a float as JSON that keeps all of its bits: a NaN other than the canonical one is `nan:` with its bits.

    Only processes of this package exchange such texts. The protocol of adapters knows one NaN.
    """
    return write_nan(value) if math.isnan(value) else encode_float(value)


def same(expected: Any, got: Any) -> bool:
    """Return whether two encoded values are equal, regardless of whether their numbers are written as numbers or
    strings.
    """
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(item, got[key]) for key, item in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(same, expected, got))
    if isinstance(expected, str) and isinstance(got, str):
        return expected == got
    left, right = number(expected), number(got)
    if left is None or right is None:
        return expected is None and got is None
    # Equal zeros of different sign are different floats.
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def number(value: Any) -> int | float | None:
    """Return the number that an encoded value represents; `None` for a value that is not a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if _DECIMAL.fullmatch(value) and len(value) <= 20 else None
    return value if isinstance(value, (int, float)) else None
