"""A cache of values that are computed from files, and kept as long as the files do not change."""

from __future__ import annotations

import hashlib
from stat import S_ISREG
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pytest_airssys_wasm.runtime.base.originals import system, time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

T = TypeVar("T")

_MOST_VALUES = 64
_SETTLED_NS = 100_000_000
"""The age in nanoseconds of the last change of a file from which on its status reveals every further change."""
_MOST_BYTES = 64 * 2**20
"""The size up to which a younger file is recognized by its content. The value of a larger one is not kept."""
_BLOCK_BYTES = 2**20


class _Kept(Struct, Generic[T], frozen=True):
    """A value and the state of the file from which it was computed."""

    status: tuple[int, ...]
    digest: bytes | None
    """The digest of the content; `None` if the status alone reveals every change."""
    value: T


class FileCache(Generic[T]):
    """A cache of the values of the most recently used files. The value of a changed file is computed again.

    Errors that `make` raises are not cached: the next use calls it again.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, _Kept[T]] = {}

    def get(self, path: Path, make: Callable[[], T], *key: Hashable) -> T:
        """Return the value that `make` computes from the file, or the cached value with the same `key`.

        Raises `OSError` if the file's status cannot be read, or the content of a file that was changed just now, and
        the errors of `make`.
        """
        place = (path, *key)
        status, is_settled = _status(path)
        kept = self._values.pop(place, None)
        if kept is None or kept.status != status or (kept.digest is not None and kept.digest != _digest(path)):
            digest = None if is_settled else _digest(path)
            kept = _Kept(status, digest, make())
        elif is_settled:
            kept = replace(kept, digest=None)
        if is_settled or kept.digest is not None:
            self._values[place] = kept  # the end is for the one used last
        if len(self._values) > _MOST_VALUES:
            self._values.pop(next(iter(self._values)), None)
        return kept.value

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()


def _status(path: Path) -> tuple[tuple[int, ...], bool]:
    """Return the figures of a file that a change of its content changes, and whether every later change would."""
    stat = system.os.stat(path)
    status = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
    return status, time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS


def _digest(path: Path) -> bytes | None:
    """Return the digest of a file's content, or `None` if the file is not a regular one or too large to be read."""
    digest = hashlib.sha256()
    if not S_ISREG(system.os.stat(path).st_mode):
        return None
    with system.io.open(path, "rb") as file:
        for _ in range(_MOST_BYTES // _BLOCK_BYTES):
            block = file.read(_BLOCK_BYTES)
            if not block:
                return digest.digest()
            digest.update(block)
    return None
