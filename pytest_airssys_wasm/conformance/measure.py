"""The memory, files, threads and processor time of processes, on systems that report them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIB = 2**20


def can_measure() -> bool:
    """Return whether this system reports the memory and files of a process."""
    return sys.platform == "linux"


def resident_mib(process_ids: Iterable[int]) -> float:
    """Return the total resident memory of these processes in MiB, excluding pages that are backed by files."""
    pages = 0
    for process_id in process_ids:
        resident, shared = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1:3]
        pages += int(resident) - int(shared)
    return pages * _page_bytes() / _MIB


def open_files(process_ids: Iterable[int]) -> int:
    """Return the total number of open file descriptors of these processes."""
    return sum(len(list(Path(f"/proc/{process_id}/fd").iterdir())) for process_id in process_ids)


def threads(process_ids: Iterable[int]) -> int:
    """Return the total number of threads of these processes."""
    return sum(len(list(Path(f"/proc/{process_id}/task").iterdir())) for process_id in process_ids)


def processor_ms(process_ids: Iterable[int]) -> float:
    """Return the total processor time in milliseconds that these processes have used."""
    ticks = 0
    for process_id in process_ids:
        # The name, in brackets, may hold anything. The twelfth and thirteenth of what follows are user and system time.
        after_name = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        ticks += sum(map(int, after_name.split()[11:13]))
    return ticks * 1_000 / os.sysconf("SC_CLK_TCK")


def files_within(folder: Path) -> int:
    """Return the number of files and folders within a folder."""
    return sum(1 for _ in folder.rglob("*"))


def _page_bytes() -> int:
    import resource

    return resource.getpagesize()
