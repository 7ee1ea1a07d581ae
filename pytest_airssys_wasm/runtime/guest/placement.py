"""The decisions on which thread a guest may run: that of its caller, or one that waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.capi.guard import HAS_PARKED_THREADS

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component

_MOST_BULK_BYTES = 8 * 2**20
"""The bytes that one operation of a guest on its caller's thread may fill or copy, at a unit of fuel for each."""
_MOST_TEXT_BYTES = 64 * 2**20
"""The bytes of text in the result of such a guest that may be copied without an interruption."""


def may_run_here(
    component: Component, function: str | None, limits: ResourceLimits, fuel: int | None, copies: int | None = None
) -> bool:
    """Return whether a guest without WASI may run on the thread of its caller, with this budget of fuel.

    `copies` is the number of texts and lists in the result that are copied without an interruption, if the call is made
    by a scalar lift.

    It may if it cannot be blocked, and can always be interrupted soon. Otherwise the caller must be free to abandon it.
    Text is copied at about 0.2 ms for each MiB, as are lists by scalar lifts; wasmtime converts other lists so slowly
    that they need their own thread.
    """
    if component.calls_out:
        return False
    bulk_bytes = min(limits.memory, MAX_U64 if fuel is None else fuel)
    if bulk_bytes > _MOST_BULK_BYTES and not component.is_soon_interrupted:
        return False
    texts = copies if copies is not None else 0 if function is None else component.text_results(function)
    return texts is not None and texts * limits.memory <= _MOST_TEXT_BYTES


def may_use_parked_thread(limits: ResourceLimits) -> bool:
    """Return whether prepared calls of a guest without WASI may be made on a parked thread, if it may not run here.

    A guest that has no time at all is stopped before it begins, which only the general way does.
    """
    return HAS_PARKED_THREADS and limits.timeout_ms != 0
