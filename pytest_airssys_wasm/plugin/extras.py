"""The extras of this distribution, which some options and tests need."""

from __future__ import annotations

import importlib.util

_PACKAGES = {"fuzz": "hypothesis"}
"""The package that each extra installs."""


def missing_extra(extra: str) -> str | None:
    """Return `needs pytest-airssys-wasm[<extra>]` if the extra is not installed, else `None`.

    The text is the reason of a skipped test, and the end of the usage error of an option that needs the extra. The
    package of the extra is not imported.
    """
    installed = importlib.util.find_spec(_PACKAGES[extra]) is not None
    return None if installed else f"needs pytest-airssys-wasm[{extra}]"
