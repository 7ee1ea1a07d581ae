"""What runs on a guest's thread, and the release of the store that it runs in."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, TypeVar

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.execution.clock import cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run

T = TypeVar("T")


def guest_job(run: Run, raw: RawStore, current: dict[int, Run], enter: Callable[[Run], T]) -> Job:
    """The job of the guest's thread: enter guest code, keep what comes of it, and say that it is through."""

    def job() -> Callable[[], None] | None:
        identity = get_ident()
        current[identity] = run
        try:
            raw.begin(run.fuel_at_start, stopped=run.is_stopped())
            run.value = enter(run)
        except BaseException as error:  # noqa: BLE001 the caller judges whatever was raised, and raises it
            run.error = error
        run.fuel_left = raw.fuel_left()
        for handle in run.handles:
            abi.resource_any_delete(handle)
        del current[identity]
        if not run.finish():
            raw.delete()  # the caller has given up, and left the store to this thread
        return run.wake_loop

    return job


def release_store(raw: RawStore, output: CapturedOutput | None, engine: WasmEngine, running: list[Run]) -> None:
    """Delete a store when it is closed, collected, or when the process ends."""
    if running:
        # Only at the end of the process can a guest still run in here, for a thread that will not go on; that
        # thread may be waiting for the output, so it stays open.
        if all(cancel(run, engine.interrupt) for run in running):
            raw.delete()
        return
    raw.delete()
    if output is not None:
        output.close()
