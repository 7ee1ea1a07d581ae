"""The names of the scalar lifts in a compiled component.

They are exports of one instance that the component exports. Its name contains the digest of the binary, which no binary
can contain: so it is not a name of the guest, and a guest cannot pretend that a function is a scalar lift.
"""

from __future__ import annotations

from hashlib import sha256

REVISION = 2
"""The number to raise when other lifts come to be appended to the same binary."""
CALL, REALLOC, POST_RETURN = "call", "realloc", "post-return"
"""The functions that are lifted for an export."""


def instance_name(digest: str) -> str:
    """Return the name of the instance, for the SHA-256 digest of the binary in hexadecimal."""
    return f"airssys-lifts-d{digest}"


def function_name(role: str, export: str) -> str:
    """Return the name of a scalar lift for an export, given by its full name."""
    return f"{role}-d{sha256(export.encode()).hexdigest()[:32]}"
