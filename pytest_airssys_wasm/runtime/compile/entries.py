"""The entries in the folder of the compile cache: found by key, added, and removed when there are too many."""

from __future__ import annotations

import mmap
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import time_ns
from pytest_airssys_wasm.runtime.compile.entry_checks import EntryChecks, key_of
from pytest_airssys_wasm.runtime.compile.private_files import open_own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_ENTRY_BYTES = 2**34
"""The maximum size in bytes of an entry that is loaded. Files are mapped, and never read as a whole."""
_SWEEPS = 64
"""The fraction of the bound after which a process removes old entries again; it first does so with the first entry that
it writes. Looking at every file after each compilation would take longer than most compilations.
"""
LEFTOVERS = {".part": 3_600, ".lock": 30 * 86_400, ".source": 30 * 86_400, EntryChecks.SUFFIX: 30 * 86_400}
"""The age in seconds after which a file with this suffix is removed. Either a killed process has left it behind, or it
can be created again.
"""


class Entries:
    """The entries of a cache in `directory`, of about `max_bytes` at most."""

    def __init__(self, directory: Path, max_bytes: int, checks: EntryChecks) -> None:
        self.checks = checks
        """The notes about checked entries."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._seen: dict[str, str] | None = None
        self._unswept_bytes = max_bytes

    def seen(self, key: str) -> Iterator[Path]:
        """Yield the entry of a key, if it existed when this process first listed the folder, or was added by this
        process.

        Listing a folder with thousands of entries for each guest would take longer than loading the guest.
        """
        if self._seen is None:
            seen: dict[str, str] = {}
            with suppress(OSError), os.scandir(self._directory) as found:  # or the folder was removed
                seen.update((key_of(one.name), one.name) for one in found if one.name.endswith(".cwasm"))
            self._seen = seen  # now that it is complete, because other threads look into it
        if key in self._seen:
            yield self._directory / self._seen[key]

    def found(self, key: str) -> Iterator[Path]:
        """Return the current entries of a key."""
        return self._directory.glob(f"{key}.*.cwasm")

    def add(self, key: str, part: Path) -> None:
        """Make the file `part` the entry of a key. Raises `OSError` if it cannot be renamed."""
        size_bytes = part.stat().st_size
        with open_own(part, MOST_ENTRY_BYTES) as descriptor:
            checksum = checksum_of(descriptor)
        entry = part.replace(self._directory / f"{key}.{checksum}.cwasm")
        if self._seen is not None:
            self._seen[key] = entry.name
        self._unswept_bytes += size_bytes
        if self._unswept_bytes > self._max_bytes // _SWEEPS:
            self._unswept_bytes = 0
            self._sweep()

    def _sweep(self) -> None:
        for suffix, age_s in LEFTOVERS.items():
            for path in self._directory.glob(f"*{suffix}"):
                with suppress(OSError):  # gone, or a folder of that name
                    if time_ns() - path.lstat().st_mtime_ns > age_s * 1e9:
                        path.unlink()
        entries = []
        for path in self._directory.glob("*.cwasm"):
            with suppress(FileNotFoundError):
                stat = path.lstat()
                used_ns = max(stat.st_mtime_ns, self.checks.last_use_ns(path))
                entries.append((used_ns, stat.st_size, path))
        total_bytes = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total_bytes <= self._max_bytes:
                break
            with suppress(OSError):
                path.unlink()
                total_bytes -= size
                self.checks.remove(path)


def checksum_of(descriptor: int) -> str:
    """Return the checksum of an open file, as it stands in the names of entries."""
    if not os.fstat(descriptor).st_size:
        return "nothing"
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        return f"{zlib.crc32(content):08x}"
