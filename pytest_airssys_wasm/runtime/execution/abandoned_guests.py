"""The guests that were abandoned while they were blocked, and the limits on the resources that they hold together.

An abandoned guest keeps its thread, its memories and its open files until it returns, which it may never do. wasmtime
also converts the result of a call to the end, whatever the deadline, and takes memory for it that no limit of a store
counts.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, clock_gettime, pthread_getcpuclockid, system
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.capi.heap import give_back_memory
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.execution.open_files import (
    LEAST_FREE_DESCRIPTORS,
    free_descriptors,
    used_descriptors,
)

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.execution.run import Run

MOST_GUESTS = 64
"""The number of abandoned guests from which an engine refuses new work."""
MOST_BYTES = 2 * 2**30
"""The number of bytes that several abandoned guests may hold together before an engine refuses new work."""
CONVERSION_BYTES = 384 * 2**20
"""The memory in bytes that a guest is taken to hold while wasmtime converts its result. wasmtime stops a call that
copies more than 128 MiB, which as values take two to three times as much.
"""
_AT_WORK_S = 0.02
"""The processor time in seconds from which on an abandoned guest counts as running, not blocked."""
_NAMED = 3
"""The maximum number of different guests that a message names."""


class _Guest(Struct, frozen=True):
    name: str
    has_folders: bool
    clock: int | None
    """The clock of the processor time of the guest's thread; `None` if the guest is in a host function, or in another
    process.
    """
    cpu_s: float
    """The processor time of the guest's thread, in seconds, when the guest was abandoned."""


class AbandonedGuests:
    """The abandoned guests of an engine that have not returned. It is thread-safe."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._guests: dict[Run, _Guest] = {}
        self._lock = allocate_lock()
        self._process_id = system.os.getpid()

    def __len__(self) -> int:
        return len(self._guests)

    def add(self, run: Run, name: str, *, has_folders: bool) -> None:
        """Count an abandoned run. `name` tells what it ran; `has_folders` whether it may have opened files."""
        with self._lock:
            if run.finished_at is not None:
                return  # it has returned in the meantime
            clock, cpu_s = None, 0.0
            if run.thread is not None and not run.in_host:
                # Its thread cannot end before `remove`, which waits for the lock.
                clock = pthread_getcpuclockid(run.thread)
                cpu_s = clock_gettime(clock)
            self._guests[run] = _Guest(name, has_folders, clock, cpu_s)

    def remove(self, run: Run) -> None:
        """Forget an abandoned run that has returned and released its store, and give its memory back."""
        with self._lock:
            self._guests.pop(run, None)
        give_back_memory()

    def check(self) -> None:
        """Raise `ResourceLimitExceeded`, which names the guests, if they hold so much that no other should start."""
        if not self._guests:
            return
        if self._process_id != system.os.getpid():
            self._begin()  # a forked process has none of their threads
            return
        with self._lock:
            guests = dict(self._guests)
            held_bytes = sum(run.account.used_bytes + _conversion_bytes(guest) for run, guest in guests.items())
        if len(guests) >= MOST_GUESTS:
            excess = f"an engine starts no other guest beside {MOST_GUESTS} of them"
        elif len(guests) > 1 and held_bytes > MOST_BYTES:
            excess = f"they hold about {held_bytes >> 20:,} MiB of memory, and may hold {MOST_BYTES >> 20:,} MiB"
        elif (
            any(guest.has_folders for guest in guests.values())
            and free_descriptors(used_descriptors()) < LEAST_FREE_DESCRIPTORS
        ):
            excess = f"they leave this process fewer than {LEAST_FREE_DESCRIPTORS} file descriptors"
        else:
            return
        names = Counter(guest.name for guest in guests.values()).most_common()
        named = [f"{name} ({counted(number, 'time')})" for name, number in names[:_NAMED]]
        if len(names) > _NAMED:
            named.append(f"{len(names) - _NAMED} more")
        raise ResourceLimitExceeded(
            f"{counted(len(guests), 'abandoned guest')} {'has' if len(guests) == 1 else 'have'} not "
            f"returned, and {excess}: {', '.join(named)}. Guests in separate processes are ended instead "
            f"(isolation)",
            "abandoned-guests",
        )


def _conversion_bytes(guest: _Guest) -> int:
    if guest.clock is None:
        return 0
    return CONVERSION_BYTES if clock_gettime(guest.clock) - guest.cpu_s > _AT_WORK_S else 0
