"""The default limits, and limits as people read them.

Every run of pytest shows some, so this module loads little else.
"""

from __future__ import annotations

from pytest_airssys_wasm.runtime.base.figures import milliseconds, size

DEFAULT_FUEL = 1_000_000
"""The fuel limit that holds unless another one is given, in units of fuel."""
DEFAULT_TIMEOUT_MS = 100
"""The timeout that holds unless another one is given, in milliseconds."""

WORDS = {"memory": "memory", "fuel": "fuel", "timeout_ms": "timeout"}
"""The limits that people set most, with the words for them in messages."""


def limit_text(name: str, value: float | None) -> str:
    """Write the value of a limit for a message: `512 KiB`, `1,000,000`, `100 ms`, `unlimited`."""
    if value is None:
        return "unlimited"
    if name == "timeout_ms":
        return f"{milliseconds(value)} ms"
    return size(value) if name in ("memory", "transfer", "output") else f"{value:,}"
