"""The bounds that the system sets for this process, and the errors for a machine that lacks what guests need."""

from __future__ import annotations

import errno
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, monotonic, sleep, start_thread, system
from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESERVATION_BYTES = 8 * 2**30
"""The addresses that an ordinary guest needs: wasmtime reserves 4 GiB and a guard for each 32-bit memory."""


def address_space_bytes() -> int | None:
    """Return the limit on the addresses of this process, in bytes; `None` means unlimited."""
    return _limit(resource.RLIMIT_AS)


def _limit(kind: int) -> int | None:
    limit = resource.getrlimit(kind)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def is_short_of_addresses(data_bytes: int) -> bool:
    """Return whether a process can run out of addresses before it has `data_bytes` of data."""
    limit = address_space_bytes()
    return limit is not None and limit < data_bytes + _RESERVATION_BYTES


def no_memory() -> UnfitHost:
    """Return the error for a machine that refuses memory, or addresses for it, that the limits of the guest allow."""
    addresses, data = address_space_bytes(), _limit(resource.RLIMIT_DATA)
    if addresses is not None:
        wanted = "addresses for guests (ulimit -v unlimited): each of their memories reserves 4 GiB, without using them"
        return UnfitHost("the address space of this process", addresses, wanted)
    wanted = "room for the memories that the limits of guests allow"
    if data is not None:
        where = "the data of this process (ulimit -d; in isolation, memory_bytes of ProcessIsolation)"
        return UnfitHost(where, data, wanted)
    return UnfitHost("the memory of this machine", NOTHING, wanted)


@contextmanager
def naming_lacks() -> Iterator[None]:
    """Turn an error of the block into `UnfitHost` if it means that the machine allows no more files, threads or
    processes, or no larger files.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        lack = lack_of(error)
        if lack is None:
            raise
        raise lack from error


def lack_of(error: OSError | RuntimeError) -> UnfitHost | None:
    """Return the error that names what the machine lacks according to this one; `None` if it means something else."""
    if isinstance(error, RuntimeError):
        return no_thread() if str(error).startswith(_NO_THREAD) else None
    match error.errno:
        case errno.EMFILE:
            return no_descriptors()
        case errno.ENFILE:
            return UnfitHost("the open files of this machine", NOTHING, "some that are left for guests")
        case errno.EAGAIN:
            return no_thread()
        case errno.EFBIG:
            limit = _limit(resource.RLIMIT_FSIZE)
            where = "the size of files that this process may write (ulimit -f)"
            return UnfitHost(where, NOTHING if limit is None else limit, "a size that has room for what guests read")
    return None


def no_descriptors() -> UnfitHost:
    """Return the error for a process that has as many open files as it may have."""
    limit = _limit(resource.RLIMIT_NOFILE)
    where = "the open files of this process (ulimit -n)"
    return UnfitHost(where, NOTHING if limit is None else limit, "a limit that leaves some for guests")


_NO_THREAD = "can't start new thread"


def no_thread() -> UnfitHost:
    """Return the error for a machine that starts no more threads or processes."""
    limit = _limit(resource.RLIMIT_NPROC)
    where = "the threads and processes of this user (ulimit -u, or the limit of a container)"
    return UnfitHost(where, NOTHING if limit is None else limit, "a limit that leaves some for guests")


_THREADS = "/proc/self/task"
_PROBE_STACK_BYTES = 2**20
_SPARE_THREADS = 2
_END_S = 0.02
"""The maximum time in seconds to wait until the system has removed threads that have ended."""


def check_threads(number: int) -> None:
    """Raise `UnfitHost` if this process cannot start this many threads, and two more. It starts them to find out."""
    at_first = _number_of_threads()
    enough = allocate_lock()
    enough.acquire()

    def wait() -> None:
        with enough:
            pass

    try:
        with naming_lacks():
            for _ in range(number + _SPARE_THREADS):
                # The C library keeps the stacks of ended threads, and they count as data of the process.
                start_thread(wait, "airssys-wasm-probe", _PROBE_STACK_BYTES)
    finally:
        enough.release()
    until = monotonic() + _END_S
    while _number_of_threads() > at_first and monotonic() < until:
        sleep(_END_S / 40)


def _number_of_threads() -> int:
    try:
        return len(system.os.listdir(_THREADS))
    except OSError:
        return 0
