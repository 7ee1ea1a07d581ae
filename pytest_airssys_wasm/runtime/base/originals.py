"""The functions of Python that keep the limits: clocks, locks, threads, waiting, pipes. Some tests replace these
functions in other modules.

freezegun stops every clock that it finds in a module, `unittest.mock` replaces `time.monotonic`, gevent makes greenlets
of threads and locks, and pyfakefs puts another file system under `os`. Limits must be enforced all the same. So
everything that measures time, waits, or reads a pipe takes its functions from here, and ruff refuses the others
(TID251).

The functions belong to private copies of the modules in C. Libraries that replace attributes of `time`, or look for its
functions in the modules that have imported them, do not find these, even if this module is imported afterwards.
"""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import BuiltinFunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

if not isinstance(importlib.import_module("os"), ModuleType):
    # wasmtime's library is not in the other file system, either.
    raise ImportError(
        "other files stand in for those of this machine (pyfakefs), where this package cannot be found: import what "
        "you use before that, as in `from pytest_airssys_wasm import WasmEngine` at the top of the module"
    )


def _copy(name: str, **replaced: Any) -> Any:
    """Return a copy of a module of the standard library in which imported names are replaced.

    Returns the module itself if it cannot be copied.
    """
    found = BuiltinImporter.find_spec(name) or importlib.import_module(name).__spec__
    if found is None or found.loader is None:
        return importlib.import_module(name)
    try:
        module = module_from_spec(found)
        found.loader.exec_module(module)
    except ImportError:
        return importlib.import_module(name)
    vars(module).update(replaced)
    return module


if TYPE_CHECKING:
    import _thread
    import posix
    import select
    import time
    from queue import Empty as Empty
    from queue import SimpleQueue as SimpleQueue
    from subprocess import Popen as Popen
    from subprocess import TimeoutExpired as TimeoutExpired
else:
    time, _thread, select, posix, _queue = map(_copy, ("time", "_thread", "select", "posix", "_queue"))
    Empty, SimpleQueue = _queue.Empty, _queue.SimpleQueue

monotonic = time.monotonic
"""The clock of all durations, in seconds."""
monotonic_ns = time.monotonic_ns
"""The clock of all durations, in nanoseconds."""
time_ns = time.time_ns
"""The time of day in nanoseconds since 1970, for comparisons with the times of files, and for reports."""
process_time = time.process_time
thread_time_ns = time.thread_time_ns
"""The processor time of the calling thread, in nanoseconds."""
clock_gettime, pthread_getcpuclockid = time.clock_gettime, time.pthread_getcpuclockid
"""The functions that read a clock, in seconds, and that find the clock of a thread's processor time."""
gmtime, strftime = time.gmtime, time.strftime
sleep = time.sleep

allocate_lock = _thread.allocate_lock
"""The function that creates a lock that blocks its thread."""
get_ident = _thread.get_ident
stack_size = _thread.stack_size

poll = select.poll
POLLIN, POLLOUT = select.POLLIN, select.POLLOUT


def _module_os() -> SimpleNamespace:
    """Return what is in `os`, with functions of the system that nobody replaces: gevent closes files later."""
    private = {name: found for name, found in vars(posix).items() if isinstance(found, BuiltinFunctionType)}
    return SimpleNamespace(**{**vars(importlib.import_module("os")), **private})


class system:
    """The functions of the operating system.

    They are in a class, because pyfakefs replaces functions of modules by their names.
    """

    pipe = staticmethod(posix.pipe)
    read = staticmethod(posix.read)
    write = staticmethod(posix.write)
    close = staticmethod(posix.close)
    set_blocking = staticmethod(posix.set_blocking)
    eventfd = staticmethod(posix.eventfd)
    eventfd_read = staticmethod(posix.eventfd_read)
    eventfd_write = staticmethod(posix.eventfd_write)
    waitid = staticmethod(posix.waitid)
    killpg = staticmethod(posix.killpg)

    # These are whole modules, as they were when this one was imported.
    import fcntl
    import io

    if TYPE_CHECKING:
        import os
    else:
        os = _module_os()


class _True:
    """The class of threads as it was when this module was imported."""

    Thread = threading.Thread
    os = importlib.import_module("os")


def is_true_os(module: ModuleType) -> bool:
    """Return whether a module is `os` itself, and not another file system that a test has put in its place."""
    return module is _True.os


def start_thread(work: Callable[[], object], name: str, stack_bytes: int | None = None) -> None:
    """Start a daemon thread of the operating system.

    It is an ordinary `threading.Thread`, unless a library such as gevent has replaced threads: then `threading` does
    not list it. Raises `RuntimeError` if the system cannot start more threads.
    """
    with _StackSize.lock:
        previous = None if stack_bytes is None else stack_size(stack_bytes)
        try:
            _start_thread(work, name)
        finally:
            if previous is not None:
                stack_size(previous)


def _start_thread(work: Callable[[], object], name: str) -> None:
    if _threads_are_threads():
        _True.Thread(target=work, name=name, daemon=True).start()
    else:
        _thread.start_new_thread(_observed, (work,))


class _StackSize:
    """The size of new stacks. It belongs to the whole process, so only one thread at a time may change it."""

    lock = allocate_lock()

    @classmethod
    def renew(cls) -> None:
        """Make a new lock, because a thread that does not exist in a forked process may hold the old one."""
        cls.lock = allocate_lock()


system.os.register_at_fork(after_in_child=_StackSize.renew)


def _threads_are_threads() -> bool:
    return isinstance(sys.modules["_thread"].start_new_thread, BuiltinFunctionType)


def _observed(work: Callable[[], object]) -> None:
    """Run `work` under the trace and profile functions for new threads, as `threading` does."""
    if (trace := threading.gettrace()) is not None:
        sys.settrace(trace)
    if (profile := threading.getprofile()) is not None:
        sys.setprofile(profile)
    work()


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # A copy of `subprocess`, for the few who start processes.
        if name not in ("Popen", "TimeoutExpired"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        copy = _copy(
            "subprocess",
            os=system.os,
            io=system.io,
            time=time,
            _time=monotonic,
            select=select,
            threading=SimpleNamespace(Lock=allocate_lock),
        )
        globals().update(Popen=copy.Popen, TimeoutExpired=copy.TimeoutExpired)
        return globals()[name]
