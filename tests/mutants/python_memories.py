"""Memories that are accounted for in Python, where mutants can reach them, in the place of the native guard's.

The guard's creator is C, and cannot be changed in parts. This one does the same, from the same fields of the store.
"""

from __future__ import annotations

import mmap
import sys
from ctypes import (
    CDLL,
    CFUNCTYPE,
    PYFUNCTYPE,
    Structure,
    addressof,
    c_int,
    c_long,
    c_size_t,
    c_uint64,
    c_void_p,
    cast,
    memmove,
)
from itertools import count
from typing import TYPE_CHECKING, Any

from mutants.mutant import around
from pytest_airssys_wasm.runtime.base.originals import get_ident
from pytest_airssys_wasm.runtime.capi import failures
from pytest_airssys_wasm.runtime.capi.abi import short
from pytest_airssys_wasm.runtime.guest import engine_core

if TYPE_CHECKING:
    import pytest

PAGE_BYTES = mmap.PAGESIZE

_PROT_NONE = 0
_ACCESSIBLE = mmap.PROT_READ | mmap.PROT_WRITE
_RESERVE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | (0x4000 if sys.platform == "linux" else 0)
_MAP_FAILED = c_void_p(-1).value

_libc = CDLL(None)
_mmap = PYFUNCTYPE(c_void_p, c_void_p, c_size_t, c_int, c_int, c_int, c_long)(("mmap", _libc))
_mprotect = PYFUNCTYPE(c_int, c_void_p, c_size_t, c_int)(("mprotect", _libc))
_munmap = PYFUNCTYPE(c_int, c_void_p, c_size_t)(("munmap", _libc))

_NewMemory = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t, c_size_t, c_size_t, c_size_t, c_void_p)
_GetMemory = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
_GrowMemory = CFUNCTYPE(c_void_p, c_void_p, c_size_t)
_Finalizer = CFUNCTYPE(None, c_void_p)

set_fuel = short("wasmtime_context_set_fuel", c_void_p, c_void_p, c_uint64)
"""A function `(context, fuel)` that sets the fuel counter of a store."""
_get_fuel = short("wasmtime_context_get_fuel", c_void_p, c_void_p, c_void_p)
_set_creator = short("wasmtime_config_host_memory_creator_set", None, c_void_p, c_void_p)


class Account:
    """The memory account of a store: its methods take the `GuardRun` that holds the figures."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def take(self, size_bytes: int) -> bool:
        """Charge the account, and return whether the limit allows it."""
        return take(self.run, size_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Subtract from the account."""
        give_back(self.run, size_bytes)

    def refused_by_host(self, size_bytes: int) -> None:
        """Subtract what the machine has refused."""
        self.give_back(size_bytes)
        self.run.was_refused_by_host = 1


def take(run: Any, size_bytes: int) -> bool:
    """Charge an account, and return whether its limit allows it."""
    used_bytes = run.used_bytes + size_bytes
    if used_bytes > run.limit_bytes:
        run.denied_growths += 1
        return False
    run.used_bytes = used_bytes
    run.peak_bytes = max(run.peak_bytes, used_bytes)
    return True


def give_back(run: Any, size_bytes: int) -> None:
    """Subtract from an account."""
    run.used_bytes -= size_bytes


def payer(engine: Any) -> Any:
    """Return the account of the execution on this thread."""
    run = engine.runs.get(get_ident())
    return None if run is None else Account(run.account)


class Mapping:
    """One linear memory: an accessible head, the rest of its reservation, and a guard behind it."""

    def __init__(self, account: Any, size_bytes: int, reserved_bytes: int, guard_bytes: int) -> None:
        self.account = account
        self.size_bytes = size_bytes
        self.guard_bytes = guard_bytes
        self.reserved_bytes = _whole_pages(max(size_bytes, reserved_bytes))
        self.base = self._reserve(self.reserved_bytes)
        self._open(0, size_bytes)

    def _reserve(self, reserved_bytes: int) -> int:
        address = _mmap(None, max(PAGE_BYTES, reserved_bytes + self.guard_bytes), _PROT_NONE, _RESERVE, -1, 0)
        if address is None or address == _MAP_FAILED:
            raise MemoryError
        return int(address)

    def _open(self, from_bytes: int, to_bytes: int) -> None:
        start, end = _whole_pages(from_bytes), _whole_pages(to_bytes)
        if end > start and _mprotect(self.base + start, end - start, _ACCESSIBLE):
            raise MemoryError

    def grow(self, size_bytes: int) -> None:
        """Make `size_bytes` accessible. The memory is moved if its reservation is too small."""
        if size_bytes > self.reserved_bytes:
            moved = Mapping(self.account, size_bytes, size_bytes + size_bytes // 2, self.guard_bytes)
            memmove(moved.base, self.base, self.size_bytes)
            self.unmap()
            self.base, self.reserved_bytes = moved.base, moved.reserved_bytes
        else:
            self._open(self.size_bytes, size_bytes)
        self.size_bytes = size_bytes

    def unmap(self) -> None:
        """Give the memory back to the system."""
        _munmap(self.base, max(PAGE_BYTES, self.reserved_bytes + self.guard_bytes))


class _Image(Structure):
    """The first fields of a `guard_image`."""

    _fields_ = (
        ("content", c_void_p),
        ("size_bytes", c_size_t),
        ("offset", c_size_t),
        ("memory_bytes", c_size_t),
        ("units", c_uint64),
    )


def _lay_image(engine: Any, mapping: Mapping) -> None:
    """Copy the image of the guest that is instantiated on this thread, if it belongs to this memory."""
    running = engine.runs.get(get_ident())
    if running is None or not running.account.image:
        return
    run = running.account
    image = _Image.from_address(run.image)
    if image.memory_bytes == mapping.size_bytes:
        run.image = None
        memmove(mapping.base + image.offset, image.content, image.size_bytes)
        left = c_uint64()
        _get_fuel(run.context, addressof(left))
        set_fuel(run.context, left.value - min(left.value, image.units))


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES


MADE: list[PythonMemories] = []
"""All creators, which also keeps them alive."""


class PythonMemories:
    """The memory creator of one engine, with the interface of `Memories`. It must outlive the engine."""

    def __init__(self, config: int, _probes: object = None) -> None:
        self._engine = _under_construction[-1]
        self.mappings: dict[int, Mapping] = {}
        self._ids = count(1)  # never 0: ctypes shows a null env as None
        self._callbacks = (_GetMemory(self._get), _GrowMemory(self._grow), _Finalizer(self._drop))
        self._addresses = tuple(cast(callback, c_void_p).value for callback in self._callbacks)
        self._new_memory = _NewMemory(self._new)
        self._struct = (c_void_p * 3)(None, cast(self._new_memory, c_void_p).value, None)
        _set_creator(config, self._struct)
        MADE.append(self)

    @property
    def live(self) -> int:
        """The number of existing memories."""
        return len(self.mappings)

    def _new(
        self, _env: None, _type: int, minimum: int, _maximum: int, reserved: int, guard: int, out: int
    ) -> int | None:
        account = payer(self._engine)
        if account is None:
            return failures.new_error("a memory was created outside of an execution")
        if not account.take(minimum):
            return failures.new_error(f"memory of {minimum} bytes exceeds the memory limit of the store")
        try:
            mapping = Mapping(account, minimum, reserved, guard)
        except MemoryError:
            account.refused_by_host(minimum)
            return failures.new_error("the host cannot reserve memory")
        identity = next(self._ids)
        self.mappings[identity] = mapping
        _lay_image(self._engine, mapping)
        (c_void_p * 4).from_address(out)[:] = [identity, *self._addresses]
        return None

    def _get(self, identity: int, size_out: int, capacity_out: int) -> int:
        mapping = self.mappings[identity]
        c_size_t.from_address(size_out).value = mapping.size_bytes
        c_size_t.from_address(capacity_out).value = mapping.reserved_bytes
        return mapping.base

    def _grow(self, identity: int, size_bytes: int) -> int | None:
        mapping = self.mappings[identity]
        wanted = size_bytes - mapping.size_bytes
        if not mapping.account.take(wanted):
            return failures.new_error("memory limit of the store")
        try:
            mapping.grow(size_bytes)
        except MemoryError:
            mapping.account.refused_by_host(wanted)
            return failures.new_error("the host cannot reserve memory")
        return None

    def _drop(self, identity: int) -> None:
        mapping = self.mappings.pop(identity)
        mapping.account.give_back(mapping.size_bytes)
        mapping.unmap()


_under_construction: list[Any] = []


def account_in_python(patch: pytest.MonkeyPatch) -> None:
    """Let engines that are made from now on use `PythonMemories`."""

    def make(original: Any, self: Any, *args: Any) -> None:
        _under_construction.append(self)
        try:
            original(self, *args)
        finally:
            _under_construction.pop()

    around(patch, engine_core.EngineCore, "__init__", make)
    patch.setattr(engine_core, "Memories", PythonMemories)
