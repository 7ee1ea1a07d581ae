"""The memories of probes, which the host provides to the modules of an instrumented guest.

All of them are one file, mapped into the process. What a probe has written is in the file as soon as it is written, so
it can be read after a trap, after a deadline, and if the process has died. These memories are not charged to any store:
an instrumented guest meets its memory limit where the original does.
"""

from __future__ import annotations

import mmap
import os
import sys
from ctypes import CDLL, CFUNCTYPE, PYFUNCTYPE, c_int, c_long, c_size_t, c_void_p, cast
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.guard import guard
from pytest_airssys_wasm.runtime.capi.stores import Memories

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.probes import ProbeFile

_RESERVE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | (0x4000 if sys.platform == "linux" else 0)  # MAP_NORESERVE
_FIXED = mmap.MAP_SHARED | 0x10  # MAP_FIXED
_ACCESSIBLE = mmap.PROT_READ | mmap.PROT_WRITE
_NO_ACCESS = 0
_FAILED = c_void_p(-1).value

_map = PYFUNCTYPE(c_void_p, c_void_p, c_size_t, c_int, c_int, c_int, c_long)(("mmap", CDLL(None)))
_NewMemory = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t, c_size_t, c_size_t, c_size_t, c_void_p)
_GetMemory = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
_GrowMemory = CFUNCTYPE(c_void_p, c_void_p, c_size_t)


class ProbeMemories(Memories):
    """The memory creator of an engine for one instrumented guest.

    It creates the memories of probes itself, and leaves all others to the guard. Memories are created on the threads of
    guests only, where no signal handler can interrupt the callback.
    """

    def __init__(self, config: int, probes: ProbeFile) -> None:
        self._probes = probes
        self._base: int | None = None
        self._span = 0
        self._guarded: Any = None
        self._new_memory = _NewMemory(self._create)
        self._get_memory, self._grow_memory = _GetMemory(self._get), _GrowMemory(self._refuse)
        library = guard()
        library.wrappers[config] = self._wrap
        try:
            super().__init__(config)
        finally:
            del library.wrappers[config]
        # The engine may be used until the process ends, by guests that were abandoned.
        library.keep_alive(self)

    def _wrap(self, creator: int) -> None:
        """Replace the function of the guard's creator, which is a `wasmtime_memory_creator_t` at this address."""
        fields = (c_void_p * 3).from_address(creator)
        self._guarded = cast(c_void_p(fields[1]), _NewMemory)
        fields[1] = cast(self._new_memory, c_void_p).value

    def _create(
        self, env: int, type_: int, minimum: int, maximum: int, reserved: int, guarded: int, memory: int
    ) -> int | None:
        probes = self._probes
        if (minimum, maximum) != (probes.memory_bytes, probes.most_memory_bytes):
            error: int | None = self._guarded(env, type_, minimum, maximum, reserved, guarded, memory)
            return error
        try:
            if self._base is None:
                self._base = self._mapped(max(reserved, minimum) + guarded)
        except (OSError, MemoryError):
            return int(abi.error_new(b"the host cannot map the memory of the probes"))
        functions = (cast(one, c_void_p).value for one in (self._get_memory, self._grow_memory))
        (c_void_p * 4).from_address(memory)[:] = [None, *functions, None]
        return None

    def _mapped(self, span: int) -> int:
        """Map the file, and reserve the address space behind it, which stays mapped until the process ends."""
        whole = -(-span // mmap.PAGESIZE) * mmap.PAGESIZE
        base = _map(None, whole, _NO_ACCESS, _RESERVE, -1, 0)
        if base in (None, _FAILED):
            raise MemoryError
        file = os.open(self._probes.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.fstat(file).st_size < self._probes.memory_bytes:  # pages behind its end would kill the process
                raise MemoryError
            if _map(base, self._probes.memory_bytes, _ACCESSIBLE, _FIXED, file, 0) != base:
                raise MemoryError
        finally:
            os.close(file)
        self._span = whole
        return int(base)

    def _get(self, _env: None, size: int, capacity: int) -> int | None:
        c_size_t.from_address(size).value = self._probes.memory_bytes
        c_size_t.from_address(capacity).value = self._probes.memory_bytes
        return self._base

    def _refuse(self, _env: None, _size: int) -> int:
        return int(abi.error_new(b"the memory of the probes does not grow"))
