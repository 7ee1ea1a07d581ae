"""The native guard: its functions, and the struct through which it tells what a guest does.

The guard is the C library of `native/guard.c`, which meters guests without Python: memory, deadlines, fuel and
processor time. `native/guard.h` describes it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from ctypes import CFUNCTYPE, PYFUNCTYPE, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from functools import cache
from struct import Struct
from typing import Any, NamedTuple

from wasmtime import _ffi

from pytest_airssys_wasm.runtime.capi.guard_library import guard_library
from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost

_VERSION = 9
STACK_BYTES = 2**20
"""The bytes of stack that a thread must have left to enter a guest: wasmtime's limit of 512 KiB, and room for Python's
frames in host functions and signal handlers.
"""

RUNNING, TIMEOUT, OUTPUT, CANCELLED, RAISED, FILES = range(6)
"""The reasons for which a run is stopped, as numbers of the guard. `RAISED`: a signal handler has raised."""
NO_STACK, NO_THREAD, NOT_LIFTED = 1, 2, 3
"""The reasons for which an entry did not take place: the thread has too little stack left for a guest; the thread that
keeps deadlines cannot be started; the guest has not made the one memory that a scalar lift needs.
"""

PARKED_DONE, PARKED_LEFT = 0, 3
"""The ends of a wait on a parked thread: the call has ended; nobody waits there any more, and the thread will tell."""
SERVED_CLOSED = 0
"""The reason for which a thread is no longer parked if it was closed; otherwise it has to tell the end of a call."""
OF_COMPONENT, OF_MODULE, IS_LIFTED = range(3)
"""The kinds of functions that a parked thread can call: of components, of modules, and those of a `GuardLifted`."""

HAS_PARKED_THREADS = sys.platform == "linux"
"""Whether the guard can have other threads call guests, for which it needs futexes."""

_WASMTIME = (
    *("error_new", "error_delete", "trap_new_code", "engine_increment_epoch", "config_host_memory_creator_set"),
    *("store_new", "store_context", "store_delete", "store_limiter", "store_epoch_deadline_callback"),
    *("context_set_epoch_deadline", "context_set_fuel", "context_get_fuel", "component_linker_instantiate"),
    *("component_instance_get_func", "component_func_call", "linker_instantiate", "func_call_unchecked"),
    *("instance_export_get", "component_resource_any_drop"),
)
_PYTHON = ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals", "PyErr_Fetch", "Py_IsInitialized")


class GuardRun(ctypes.Structure):
    """A store of the guard, with its memory account and its current or last run: `guard_run` in `native/guard.h`.

    The library writes it while a guest runs. It must live as long as the store.
    """

    stop: int
    """The reason for which the run is to end, 0 for none."""
    entries: int
    """The number of entries into guest code."""
    timeout_ns: int
    fuel: int
    fuel_left: int
    """The units of fuel that were left after the last entry."""
    started_ns: int
    """The time of the first entry, by the clock of `monotonic_ns`; 0 before."""
    finished_ns: int
    """The time at which the last entry ended; 0 while guest code runs."""
    limit_bytes: int
    """The memory limit of the store."""
    cpu_ns: int
    """The processor time of the entries that have ended."""
    used_bytes: int
    """The bytes of all memories and GC heaps of the store."""
    peak_bytes: int
    """The highest value of `used_bytes` in this run."""
    denied_growths: int
    """The number of growths and initial sizes that the limit refused in this run."""
    was_refused_by_host: int
    """Whether the machine has refused memory in this run that the limit allows."""
    refused: int
    """The reason for which the last entry did not take place."""
    exception: Any
    """The type, value and traceback that a signal handler raised, as addresses."""
    context: int
    """The address of the `wasmtime_context_t`."""
    due_ns: int
    """The time of the deadline, once the run has started."""
    entered_cpu_ns: int
    """The processor time of the guest's thread at the last entry."""
    cpu_clock: int
    """The clock of that time."""
    image: int | None
    """The address of the image of a guest, which is set before an entry that instantiates the guest."""
    memory: int | None
    """The address of the last memory that the last instantiation has made, for `GuardLifted`."""
    memories: int
    """The number of memories that the last instantiation has made."""

    _fields_ = (
        ("stop", c_int32),
        ("entries", c_int32),
        ("timeout_ns", c_int64),
        ("fuel", c_uint64),
        ("fuel_left", c_uint64),
        ("started_ns", c_int64),
        ("finished_ns", c_int64),
        ("limit_bytes", c_int64),
        ("cpu_ns", c_int64),
        ("used_bytes", c_int64),
        ("peak_bytes", c_int64),
        ("denied_growths", c_int64),
        ("was_refused_by_host", c_int32),
        ("refused", c_int32),
        ("exception", c_void_p * 3),
        ("store", c_void_p),
        ("context", c_void_p),
        ("engine", c_void_p),
        ("due_ns", c_int64),
        ("nudged_ns", c_int64),
        ("entered_cpu_ns", c_int64),
        ("cpu_clock", c_int32),
        ("private", c_int32),
        ("lists", c_void_p * 3),
        ("image", c_void_p),
        ("memory", c_void_p),
        ("memories", c_int64),
    )


class GuardPart(ctypes.Structure):
    """A part of a result, or of a list in the arguments: `guard_part` in `native/guard.h`."""

    kind: int
    offset: int
    size: int
    cost: int

    _fields_ = tuple(
        (name, c_int32) for name in ("kind", "offset", "size", "alignment", "count", "cost", "element_cost", "inner")
    )


class GuardLifted(ctypes.Structure):
    """A function that is called by its scalar lift: `guard_lifted` in `native/guard.h`."""

    size: int
    alignment: int
    kept: object
    """The C structs whose addresses are in the fields."""

    _fields_ = (
        *((name, c_void_p) for name in ("memory", "call", "reallocate", "post_return", "parts")),
        *((name, c_int32) for name in ("part_count", "values", "blocks", "result", "size", "alignment")),
    )


WRITE_BLOCK = Struct("<QQQi4x").pack_into
"""The function that writes a `guard_block`: the addresses of the content and of its part, its length, the argument."""
BLOCK_BYTES = 32
COST, CHAR, TEXT, LIST, VARIANT, CASE, FLAGS, STORED = range(8)
"""The kinds of parts of values. `STORED`: numbers, which are stored as they are."""
LIFTED_VAL_BYTES = 48
"""What wasmtime charges for each part of a result: the size of its own values."""
NO_RESULT, SCALAR, POINTER, CHOICE = range(4)
"""The results of scalar lifts."""


class GuardParkedThread(ctypes.Structure):
    """The place where a thread that waits for calls is asked to make them: `guard_parked` in `native/guard.h`."""

    error: int | None
    """The error of the call that has ended."""

    state: int
    """0 from `WRITE_CALL` until the thread is asked for the call."""

    _fields_ = (("state", c_int32), ("entry", c_int32), ("error", c_void_p), ("private", c_void_p * 13))


WRITE_CALL = Struct("iiPPPPNPN").pack_into
"""The function that writes what is asked of a parked thread, while no call is open.

It takes the struct, 0, and the fields: the state 0 (no call was asked for), the kind of the function (`OF_COMPONENT`,
`OF_MODULE` or `IS_LIFTED`), the error 0, the addresses of the run, the function and the arguments, their number, the
address of the results, and their number.
"""


class GuardImport(ctypes.Structure):
    """An import that the host serves: `guard_import` in `native/guard.h`."""

    serve: int | None
    destroy: int | None

    _fields_ = (("serve", c_void_p), ("destroy", c_void_p))


READ_FIGURES = Struct("<i12xQQqqqq8xqq").unpack_from
"""The function that reads the `Figures` of a run."""


class Figures(NamedTuple):
    """The figures of a run that has ended, as `READ_FIGURES` reads them."""

    stop: int
    fuel: int
    fuel_left: int
    started_ns: int
    finished_ns: int
    limit_bytes: int
    cpu_ns: int
    peak_bytes: int
    denied_growths: int


_LONGEST_NS = 2**62
"""The longest timeout in nanoseconds, 146 years."""
_LONGEST_MS = _LONGEST_NS / 1e6
_write_beginning = Struct("<iiqQQqq").pack_into
"""The function that writes the fields with which a run begins: `stop` to `finished_ns`."""


def begin_run(run: GuardRun, fuel: int, timeout_ms: float | None) -> None:
    """Prepare the next run of a store, which begins with the first entry into guest code."""
    timeout_ns = -1 if timeout_ms is None else int(timeout_ms * 1e6) if timeout_ms < _LONGEST_MS else _LONGEST_NS
    _write_beginning(run, 0, RUNNING, 0, timeout_ns, fuel, fuel, 0, 0)


class Guard:
    """The functions of the library. Those that may run a guest release the GIL."""

    def __init__(self, library: ctypes.CDLL) -> None:
        def short(name: str, result: Any, *arguments: Any) -> Any:
            return PYFUNCTYPE(result, *arguments)((f"guard_{name}", library))

        def long(name: str, result: Any, *arguments: Any) -> Any:
            return CFUNCTYPE(result, *arguments)((f"guard_{name}", library))

        pointer = c_void_p
        self._load = short("load", c_int32, pointer, c_size_t)
        self.shutdown = long("shutdown", None)
        self.memories_new = short("memories_new", pointer, pointer)
        self.memories_live = short("memories_live", c_int64, pointer)
        self.memories_probe = short("memories_probe", c_int32, pointer, c_int32, c_size_t, c_size_t)
        self.image_new = long("image_new", pointer, c_int32, c_int64, pointer, *[c_size_t] * 3, c_uint64)
        self.image_delete = short("image_delete", None, pointer)
        self.store_new = short("store_new", None, pointer, pointer, *[c_int64] * 4)
        # Deleting a store unmaps its memories and may run host destructors.
        self.store_delete = long("store_delete", None, pointer)
        self.component_instantiate = long("component_instantiate", pointer, *[pointer] * 4)
        self.component_call = long("component_call", pointer, *[pointer] * 3, c_size_t, pointer, c_size_t)
        self.component_call_anew = long("component_call_anew", pointer, *[pointer] * 3, c_size_t, pointer, c_size_t)
        self.component_run = long("component_run", *[pointer] * 10, c_size_t, pointer, c_size_t)
        self.component_execute = long("component_execute", pointer, *[pointer] * 7, c_size_t, pointer, c_size_t)
        self.module_instantiate = long("module_instantiate", pointer, *[pointer] * 4)
        self.module_call = long("module_call", pointer, *[pointer] * 3, c_size_t)
        self.module_call_anew = long("module_call_anew", pointer, *[pointer] * 3, c_size_t)
        self.module_execute = long("module_execute", *[pointer] * 5, c_char_p, c_size_t, pointer, pointer, c_size_t)
        self.lifted_call = long("lifted_call", pointer, *[pointer] * 3, c_size_t, pointer, c_size_t)
        self.lifted_call_anew = long("lifted_call_anew", pointer, *[pointer] * 3, c_size_t, pointer, c_size_t)
        self.lifted_execute = long("lifted_execute", *[pointer] * 9)
        self.lifted_run = long("lifted_run", *[pointer] * 11)
        self.free = short("free", None, pointer)
        self.resource_drop = long("resource_drop", pointer, pointer, pointer)
        self.stop = short("stop", None, pointer, c_int32)
        self.serve_component, self.serve_module, self.serve_destructor = (
            ctypes.cast(getattr(library, f"guard_serve_{kind}"), pointer)
            for kind in ("component", "module", "destructor")
        )
        self.ask = long("ask", c_int64, pointer)
        self.serve = long("serve", c_int64, pointer, pointer, c_int64)
        self.has_stack = short("has_stack", c_bool)
        if HAS_PARKED_THREADS:
            self.parked_serve = long("parked_serve", c_int32, pointer)
            self.parked_call = long("parked_call", c_int32, pointer)
            self.parked_ask = long("parked_ask", c_int32, pointer, c_int64)
            self.parked_leave = short("parked_leave", None, pointer)
            self.parked_wait = long("parked_wait", c_int32, pointer, c_int64)
            self.parked_give_up = short("parked_give_up", c_bool, pointer)
            self.parked_close = short("parked_close", None, pointer)
        self._equipped: set[int] = set()
        self._set_creator = CFUNCTYPE(None, pointer, pointer)(self._equip)
        self._check(library)
        self._begin()

    def _check(self, library: ctypes.CDLL) -> None:
        sizes = (
            *(library.guard_version(), library.guard_run_size(), library.guard_table_size()),
            library.guard_lifted_size() if library.guard_version() == _VERSION else 0,
        )
        expected = (
            *(_VERSION, ctypes.sizeof(GuardRun), (len(_WASMTIME) + len(_PYTHON)) * ctypes.sizeof(c_void_p)),
            ctypes.sizeof(GuardLifted),
        )
        if sizes != expected:
            raise UnfitHost(
                f"the native guard ({library._name})",
                f"version {sizes[0]}",
                f"version {_VERSION}: install the package again, so that the library and the modules are of one build",
            )

    def _begin(self) -> None:
        of_wasmtime = {name: getattr(_ffi.dll, f"wasmtime_{name}") for name in _WASMTIME}
        of_wasmtime["config_host_memory_creator_set"] = self._set_creator
        addresses = [
            *(ctypes.cast(function, c_void_p) for function in of_wasmtime.values()),
            *(ctypes.cast(getattr(ctypes.pythonapi, name), c_void_p) for name in _PYTHON),
        ]
        error = self._load((c_void_p * len(addresses))(*addresses), STACK_BYTES)
        if error:
            raise UnfitHost("the native guard", NOTHING, f"a lock of the system: {os.strerror(error)}")
        atexit.register(self.shutdown)

    def _equip(self, config: int, creator: int) -> None:
        """Give an engine its memory creator, for the guard."""
        _set_creator(config, creator)
        self._equipped.add(config)

    def was_equipped(self, config: int) -> bool:
        """Return whether an engine was given its memory creator since the last question about it.

        It was not if a signal handler has raised at that moment: without the creator, no memory limit would hold.
        """
        if config not in self._equipped:
            return False
        self._equipped.remove(config)
        return True


@cache
def guard() -> Guard:
    """Return the functions of the native guard, which is loaded by the first call.

    Raises `UnfitHost` if the library cannot be used.
    """
    return Guard(guard_library())


def has_raised(run: GuardRun) -> bool:
    """Return whether a signal handler raised an exception while the guest ran on the main thread."""
    return bool(run.exception[0])


def restore_exception(run: GuardRun) -> None:
    """Raise the exception that a signal handler raised while the guest ran on the main thread, if there is one."""
    exception = run.exception
    if exception[0]:
        taken = tuple(exception)
        exception[0] = exception[1] = exception[2] = None
        _restore(*taken)


_set_creator = PYFUNCTYPE(None, c_void_p, c_void_p)(("wasmtime_config_host_memory_creator_set", _ffi.dll))

# Called with the GIL held; ctypes raises the exception that is set afterwards.
_restore = PYFUNCTYPE(None, c_void_p, c_void_p, c_void_p)(("PyErr_Restore", ctypes.pythonapi))
