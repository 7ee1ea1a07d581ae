"""The memory, files and threads of processes, on systems that report them."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import get_native_id
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import sleep

if TYPE_CHECKING:
    from collections.abc import Iterable

_MIB = 2**20
_LOOKS = 50
_LOOK_S = 0.01
"""The maximum number of times that threads are looked at, and the pause before each, in seconds."""


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


def busy_threads(process_ids: Iterable[int]) -> int:
    """Return the smallest number of threads of these processes that are at work at once, within half a second.

    A thread that waits for a processor counts too, so that other load makes no thread look idle; but on a loaded
    machine, threads that are about to end take some time for it. The calling thread does not count.
    """
    places = [Path(f"/proc/{process_id}/task") for process_id in process_ids]
    least = None
    for _ in range(_LOOKS):
        sleep(_LOOK_S)
        number = sum(_is_at_work(thread) for place in places for thread in place.iterdir())
        least = number if least is None else min(least, number)
        if not least:
            break
    return least or 0


def _is_at_work(thread: Path) -> bool:
    if int(thread.name) == get_native_id():
        return False
    try:
        # The name, in brackets, may hold anything; the state follows.
        stat = (thread / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return False
    return stat.rpartition(")")[2].split()[0] == "R"


def files_within(folder: Path) -> int:
    """Return the number of files and folders within a folder."""
    return sum(1 for _ in folder.rglob("*"))


def _page_bytes() -> int:
    import resource

    return resource.getpagesize()
