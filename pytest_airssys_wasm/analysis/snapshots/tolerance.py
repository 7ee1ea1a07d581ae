"""The share by which a cost may grow before it counts as a regression."""

from __future__ import annotations

import re
from fractions import Fraction

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

_PERCENT = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?%?")
_WANTED = "a share in percent, such as '2 %' or 0.5"


def parse_tolerance(value: object, where: str) -> Fraction:
    """Return a tolerance such as `2 %` or `0.5`, both in percent, as an exact share: 1/50 for 2 %.

    Raises `InvalidConfiguration`, which names `where`, for anything else.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    found = _PERCENT.fullmatch(str(value).strip()) if is_number or isinstance(value, str) else None
    if found is None:
        raise InvalidConfiguration(where, value, _WANTED)
    return Fraction(found[1]) / 100
