"""The bounds that the system sets for this process, and the errors for a machine that lacks what guests need."""

from __future__ import annotations

import resource

from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost

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
