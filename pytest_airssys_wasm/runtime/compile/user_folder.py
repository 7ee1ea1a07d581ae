"""The folder of the compile cache, if no other is given."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache_path() -> Path:
    """Return the folder of this package among the caches of the user, by the XDG base directory specification.

    A user without a home directory, as in some containers, has it among the temporary files.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # then the specification wants it to be ignored
        caches = Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 raises no error without a home
    if not caches.is_absolute():
        # The cache itself refuses the folder if another user has made it.
        return Path(tempfile.gettempdir(), f"pytest-airssys-wasm-of-{os.geteuid()}")
    return caches / "pytest-airssys-wasm"
