"""The entries of a cache folder: which there are, how one comes in, and which go when there are too many.

wasmtime accepts an artefact with a flipped byte. So each entry carries a checksum in its name: one file is an entry,
complete or absent. CRC-32 finds what damages files; against who could write here no sum would help.
"""

from __future__ import annotations

import mmap
import os
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SWEEPS = 64
"""To look at each file after each compilation takes longer than most compilations. So what is over the bound is removed
with the first entry that a process writes, and then whenever it has written this fraction of the bound."""
_LEFTOVERS = {".part": 3_600, ".lock": 30 * 86_400, ".source": 30 * 86_400}
"""Seconds after which a file of this kind goes: it was left by a process that was killed, or can be made again."""


class Entries:
    """The entries in `directory`, about `max_bytes` of them together at most."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._seen: dict[str, Path] | None = None
        self._unswept_bytes = max_bytes

    def seen(self, key: str) -> Iterator[Path]:
        """The entry of that key, if there was one when this process first asked, or was added by it.

        To look through a folder of thousands for each guest takes longer than to load one.
        """
        if self._seen is None:
            self._seen = {path.name.rsplit(".", 2)[0]: path for path in self._directory.glob("*.cwasm")}
        if key in self._seen:
            yield self._seen[key]

    def found(self, key: str) -> Iterator[Path]:
        """The entries of that key that there are now."""
        return self._directory.glob(f"{key}.*.cwasm")

    def add(self, key: str, part: Path) -> None:
        """Make an entry of this file. Raises `OSError`."""
        size_bytes = part.stat().st_size
        entry = part.replace(self._directory / f"{key}.{_checksum(part)}.cwasm")
        if self._seen is not None:
            self._seen[key] = entry
        self._unswept_bytes += size_bytes
        if self._unswept_bytes > self._max_bytes // _SWEEPS:
            self._unswept_bytes = 0
            self._sweep()

    def _sweep(self) -> None:
        for suffix, age_s in _LEFTOVERS.items():
            for path in self._directory.glob(f"*{suffix}"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > age_s:
                        path.unlink()
        entries = []
        for path in self._directory.glob("*.cwasm"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                entries.append((stat.st_mtime_ns, stat.st_size, path))
        total_bytes = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total_bytes <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total_bytes -= size


def is_sound(path: Path) -> bool:
    """Whether the entry is as it was written. Raises `OSError` where it cannot be read."""
    return path.name.split(".")[-2] == _checksum(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return "nothing"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return f"{zlib.crc32(content):08x}"
