"""Notes about files whose digest is known, so that the same 18 MB are not hashed at each start."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again without its time stamps showing it."""
_DIGEST = re.compile("[0-9a-f]{64}")


def read_file(path: Path) -> tuple[bytes, list[int] | None, bool]:
    """A file's content, the signature of the state it was read in, and whether no other state can have the same.

    The signature is `None` for a file that changed meanwhile.
    """
    # By one open file: a build may put another in its place at any time, and the digest of one with the content of
    # the other would keep a wrong artefact for good.
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        content = file.read()
        after = os.fstat(file.fileno())
    signature = _signature(before)
    is_one_state = signature == _signature(after) and len(content) == before.st_size
    changed_ns = max(before.st_mtime_ns, before.st_ctime_ns)
    return content, signature if is_one_state else None, time.time_ns() - changed_ns > _SETTLED_NS


def new_note(signature: list[int], digest: str) -> bytes:
    """What `noted_digest` reads."""
    return json.dumps({"signature": signature, "digest": digest}).encode()


def noted_digest(note: Path, signature: list[int]) -> str | None:
    """The digest in a note, where there is a sound one about a file of this signature."""
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(note.read_bytes())
        if isinstance(known, dict) and known.get("signature") == signature:
            digest = known.get("digest")
            return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None
    return None


def _signature(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
