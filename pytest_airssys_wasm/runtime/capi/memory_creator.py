"""The creation of linear memories by the host, so that each memory is charged before it exists.

wasmtime's own limit `memory_size` applies to each memory separately and does not report refusals; its host memory
creator is called for every memory and every growth. The callbacks run on the thread of the guest, which is never the
main thread: on the main thread, an exception of a signal handler would return garbage to wasmtime.
"""

from __future__ import annotations

import mmap
import sys
from ctypes import CDLL, CFUNCTYPE, PYFUNCTYPE, c_int, c_long, c_size_t, c_void_p, cast, memmove
from itertools import count
from typing import TYPE_CHECKING, Protocol

from pytest_airssys_wasm.runtime.capi import abi, failures

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE_BYTES = mmap.PAGESIZE

_PROT_NONE = 0
_ACCESSIBLE = mmap.PROT_READ | mmap.PROT_WRITE
# Address space only: nothing is charged for it until it is made accessible and touched.
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


class Account(Protocol):
    """An account to which memories are charged."""

    def take(self, size_bytes: int, /) -> bool: ...
    def give_back(self, size_bytes: int, /) -> None: ...
    def refused_by_host(self, size_bytes: int, /) -> None: ...


class _Mapping:
    """One linear memory: an accessible head, the rest of its reservation, and a guard behind it."""

    __slots__ = ("account", "base", "guard_bytes", "reserved_bytes", "size_bytes")

    def __init__(self, account: Account, size_bytes: int, reserved_bytes: int, guard_bytes: int) -> None:
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
            moved = _Mapping(self.account, size_bytes, size_bytes + size_bytes // 2, self.guard_bytes)
            memmove(moved.base, self.base, self.size_bytes)
            self.unmap()
            self.base, self.reserved_bytes = moved.base, moved.reserved_bytes
        else:
            self._open(self.size_bytes, size_bytes)
        self.size_bytes = size_bytes

    def unmap(self) -> None:
        _munmap(self.base, max(PAGE_BYTES, self.reserved_bytes + self.guard_bytes))


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES


class MemoryCreator:
    """The memory creator of one engine; `payer` returns the account of the execution on the current thread.

    The creator must outlive the engine, because it owns the callbacks that wasmtime calls.
    """

    def __init__(self, payer: Callable[[], Account | None]) -> None:
        self._payer = payer
        self._mappings: dict[int, _Mapping] = {}
        self._ids = count(1)  # never 0: ctypes shows a null env as None
        # Callbacks as addresses, kept alive by these attributes.
        self._callbacks = (_GetMemory(self._get), _GrowMemory(self._grow), _Finalizer(self._drop))
        self._addresses = tuple(_address(callback) for callback in self._callbacks)
        self._new_memory = _NewMemory(self._new)
        self._struct = (c_void_p * 3)(None, _address(self._new_memory), None)

    @property
    def live(self) -> int:
        """The number of existing memories."""
        return len(self._mappings)

    def install(self, config: int) -> None:
        """Use this creator in the engine that will be made from the `wasm_config_t` at the address `config`."""
        abi.config_host_memory_creator_set(config, self._struct)

    def _new(
        self, _env: None, _type: int, minimum: int, _maximum: int, reserved: int, guard: int, out: int
    ) -> int | None:
        account = self._payer()
        if account is None:
            return failures.new_error("a memory was created outside of an execution")
        if not account.take(minimum):
            return failures.new_error(f"memory of {minimum} bytes exceeds the memory limit of the store")
        try:
            mapping = _Mapping(account, minimum, reserved, guard)
        except MemoryError:
            account.refused_by_host(minimum)
            return failures.new_error("the host cannot reserve memory")
        identity = next(self._ids)
        self._mappings[identity] = mapping
        (c_void_p * 4).from_address(out)[:] = [identity, *self._addresses]
        return None

    def _get(self, identity: int, size_out: int, capacity_out: int) -> int:
        mapping = self._mappings[identity]
        c_size_t.from_address(size_out).value = mapping.size_bytes
        c_size_t.from_address(capacity_out).value = mapping.reserved_bytes
        return mapping.base

    def _grow(self, identity: int, size_bytes: int) -> int | None:
        mapping = self._mappings[identity]
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
        mapping = self._mappings.pop(identity)
        mapping.account.give_back(mapping.size_bytes)
        mapping.unmap()


def _address(callback: object) -> int:
    address = cast(callback, c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address
