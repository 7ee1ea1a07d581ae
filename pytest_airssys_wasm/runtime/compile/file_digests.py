"""The notes about the digests of files, so that large files are not hashed at every start."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import system, time_ns
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, open_regular, read_open
from pytest_airssys_wasm.runtime.compile.private_files import open_own

if TYPE_CHECKING:
    import os
    from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""The age of the last change in nanoseconds below which a file may change again without new time stamps."""
_NOTE_BYTES = 4_096
_DIGEST = re.compile("[0-9a-f]{64}")


def read_file(path: Path) -> tuple[bytes, list[int] | None, bool]:
    """Return the content of a file, the signature of its state, and whether the signature is unique to that state.

    The signature is `None` for a file that changed while it was read. Raises the errors of `open_regular`.
    """
    # All from one open file: a build may replace it at any time, and the digest of one file with the content of another
    # would keep a wrong artefact for good.
    with open_regular(path, GUEST_BYTES) as descriptor:
        before = system.os.fstat(descriptor)
        content = read_open(descriptor, path, GUEST_BYTES)
        after = system.os.fstat(descriptor)
    signature = _signature(before)
    is_one_state = signature == _signature(after) and len(content) == before.st_size
    changed_ns = max(before.st_mtime_ns, before.st_ctime_ns)
    return content, signature if is_one_state else None, time_ns() - changed_ns > _SETTLED_NS


def new_note(signature: list[int], digest: str) -> bytes:
    """Return a note of a digest, which `noted_digest` reads."""
    return json.dumps({"signature": signature, "digest": digest}).encode()


def noted_digest(note: Path, signature: list[int]) -> str | None:
    """Return the digest in a note, or `None` if the note is damaged or about a file with another signature."""
    with suppress(OSError, ValueError, RecursionError):
        with open_own(note, _NOTE_BYTES) as descriptor:
            known = json.loads(read_open(descriptor, note, _NOTE_BYTES))
        if isinstance(known, dict) and known.get("signature") == signature:
            digest = known.get("digest")
            return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None
    return None


def _signature(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
