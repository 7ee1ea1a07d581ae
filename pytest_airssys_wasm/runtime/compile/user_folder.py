"""The folder of the compile cache, if no other is given."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache_path() -> Path:
    """Return the folder of this package among the caches of the user, by the XDG base directory specification."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # then the specification wants it to be ignored
        caches = Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 raises no error without a home
    return caches / "pytest-airssys-wasm"
