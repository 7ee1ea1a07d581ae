"""The place of the native guard's library, and the digest that tells which sources a library was built from.

The build writes the library into this package, and `runtime/capi/guard_library.py` loads it when the first engine is
made. The build imports this module before any dependency is installed, so it uses only the standard library.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

LIBRARY = Path(__file__).with_name("guard.dylib" if sys.platform == "darwin" else "guard.so")
"""The path of the library."""

CHECKOUT = Path(__file__).parents[2]
"""The root of the checkout or source distribution, if the package is used from there."""


def sources_of(native: Path) -> list[Path]:
    """Return the C sources and headers in the folder `native`, in the order in which they are hashed."""
    return sorted(path for path in native.iterdir() if path.suffix in (".c", ".h"))


def digest_of(native: Path) -> str:
    """Return the SHA-256 of the names and contents of the C sources in the folder `native`, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sources_of(native):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
