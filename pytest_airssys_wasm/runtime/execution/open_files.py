"""The files that guests open in the folders that they were granted, and the limit on their number.

Each of them takes a file descriptor of the process. wasmtime does not limit their number, and if none is left, the host
cannot open files either. So the waiting caller counts them while the guest runs, and when it has finished.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic, system
from pytest_airssys_wasm.runtime.execution.run import Stop

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.runtime.execution.run import Run

MOST_OPEN_FILES = 128
"""The maximum number of files and folders that the guests of a store may hold open."""
LEAST_FREE_DESCRIPTORS = 64
"""The number of free file descriptors that guests should leave to the process."""
_MOST_OPEN_FILES_IN_NEED = 16
"""The maximum number of open files of a store while fewer descriptors are free."""
TICK_S = 0.001
"""The time in seconds between two counts. A guest opens up to about a hundred files in it."""
_CLOSED = 16
"""The number of other descriptors that may have been closed before the files of a store are counted one by one."""
_DESCRIPTORS = "/proc/self/fd"
_MOST_NUMBERS = 2**16
"""The maximum number of descriptors that are examined one by one if none is left to list them with."""


class OpenFiles:
    """The open files of the guests of one store, below these folders of the host.

    It is created when the store has opened all that it needs itself. Files that guests of other stores open in the same
    folders count, too, because the system does not tell them apart.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        self._folders = tuple(system.os.path.realpath(folder) for folder in folders)
        self._before = {number: _target(number) for number in _numbers()}
        self._enough = len(self._before) + MOST_OPEN_FILES - _CLOSED
        """The number of descriptors of the process up to which the store cannot hold too many files."""

    def are_too_many(self) -> bool:
        """Return whether the guests hold more files open than they may."""
        used = used_descriptors()
        in_need = free_descriptors(used) < LEAST_FREE_DESCRIPTORS
        if used <= self._enough and not in_need:
            # Files were closed outside of this store, which must not open as many in their place.
            self._enough = min(self._enough, used + MOST_OPEN_FILES)
            return False
        number = sum(map(self._is_of_a_guest, _numbers()))
        most = _MOST_OPEN_FILES_IN_NEED if in_need else MOST_OPEN_FILES
        self._enough = used + most - number
        return number > most

    def watched(self, wait: Callable[[Run, float | None], bool]) -> Callable[[Run, float | None], bool]:
        """Return a function that waits for a run as `wait` does, and stops a run that holds too many files open."""

        def wait_and_count(run: Run, timeout_s: float | None) -> bool:
            until = None if timeout_s is None else monotonic() + timeout_s
            while True:
                left_s = TICK_S if until is None else min(TICK_S, until - monotonic())
                has_finished = wait(run, left_s)
                self.judge(run)
                if has_finished or run.stop is not None:
                    return has_finished
                if until is not None and monotonic() >= until:
                    return False

        return wait_and_count

    def judge(self, run: Run) -> None:
        """Stop a run whose guest holds too many files open."""
        if run.stop is None and self.are_too_many():
            run.stop = Stop.FILES

    def _is_of_a_guest(self, number: str) -> bool:
        path = _target(number)
        if path is None or path == self._before.get(number):
            return False
        return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in self._folders)


def used_descriptors() -> int:
    """Return the number of open file descriptors of this process, 0 if the system does not tell it."""
    try:
        # Since Linux 6.2 the size of the folder is their number.
        return system.os.stat(_DESCRIPTORS).st_size or len(system.os.listdir(_DESCRIPTORS))
    except FileNotFoundError:
        return 0
    except OSError:  # there is none left to look with
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_descriptors(used: int) -> int:
    """Return how many more descriptors this process may open if it has opened `used`."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return LEAST_FREE_DESCRIPTORS if most == resource.RLIM_INFINITY else most - used


def _target(number: str) -> str | None:
    """Return the path of an open descriptor, or the text that stands for it; `None` if it is not open."""
    try:
        return system.os.readlink(f"{_DESCRIPTORS}/{number}")
    except OSError:
        return None


def _numbers() -> Iterator[str]:
    """Iterate over the numbers of the open descriptors, and of others if none is left to list them with."""
    try:
        return iter(system.os.listdir(_DESCRIPTORS))
    except FileNotFoundError:
        return iter(())
    except OSError:
        return map(str, range(min(_MOST_NUMBERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])))
