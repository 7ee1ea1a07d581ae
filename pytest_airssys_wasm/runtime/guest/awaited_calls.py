"""Awaited calls on a parked thread, for which nearly everything is prepared once.

The thread of the event loop asks a parked thread for the call, and waits in the guard for a moment. Short calls have
ended then, and the loop knows nothing of them. The others are left to the parked thread, and end as any awaited
execution.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi import failures
from pytest_airssys_wasm.runtime.execution.run import GuestFailed, Run
from pytest_airssys_wasm.runtime.guest.parked_calls import compile_preparing, compile_taking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
    from pytest_airssys_wasm.runtime.guest.direct_calls import DirectUse
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.parked_calls import ParkedFunction

_MOMENT_NS = 100_000
"""The maximum time in nanoseconds for which the thread of an event loop waits for the end of a call."""


def compile_awaited_call(
    name: str,
    found: ParkedFunction,
    function: Any,
    engine: EngineCore,
    limits: ResourceLimits,
    running: list[Run],
    use: DirectUse,
    on_this_loop: Callable[[], OnLoop],
    general: Callable[..., Awaitable[Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the coroutine function that calls an export on a parked thread of the engine."""
    raw, claims, is_watched, ended, interrupted = use.raw, use.claims, use.is_watched, use.ended, use.interrupted
    parked, runs, account = engine.guest_threads.parked, engine.runs, raw.run
    count, kind = found.count, found.entry
    prepare, take = compile_preparing(found, function, raw, limits), compile_taking(found, use, running)
    tell_end = partial(_tell_end, found, function, raw, engine)
    is_short = True

    async def call(*args: Any) -> Any:
        nonlocal is_short
        if is_watched() or len(args) != count:
            return await general(*args)
        finished, claim, has_value = None, object(), False
        on_loop = on_this_loop()
        try:
            claims.append(claim)
            if claims[0] is claim:
                run, entry = prepare(args, on_loop.adopt)
                if entry is not None:
                    thread = parked.take()
                    try:
                        running.append(run)
                        # A guest that took longer the last time would only hold up the loop.
                        has_ended = thread.ask(run, runs, tell_end, entry, kind, _MOMENT_NS if is_short else 0)
                        error = thread.error
                        if not has_ended:
                            await on_loop.wait(run, limits.timeout_ms)
                            is_short = account.finished_ns - account.started_ns < _MOMENT_NS
                    except BaseException:
                        thread.withdraw(run, runs)
                        interrupted(name, args, run)
                        raise
                    finally:
                        if run.finished:
                            parked.put_back(thread)
                    has_value = has_ended and take(run, entry[4], error)
                    if not has_value:
                        finished = ended(name, args, run)
        finally:
            if claim in claims:
                claims.remove(claim)
        if not has_value and finished is None:
            return await general(*args)
        if on_loop.has_waited_long():
            await on_loop.next_turn()
        return run.value if finished is None else finished()

    return call


def _tell_end(
    found: ParkedFunction,
    _function: Any,
    raw: RawStore,
    engine: EngineCore,
    run: Run,
    results: int,
    error: int | None,
) -> bool:
    """Finish the run of a call that has ended for which nobody waits in the guard, on the thread of the guest.

    Returns False if the run was abandoned.
    """
    if error:
        run.error = GuestFailed(failures.take(error))
    else:
        begun = run.begin_converting()
        try:
            run.value = found.lift(results, run.transfer)
        except BaseException as raised:  # noqa: BLE001 judged with all other errors
            run.error = raised
        finally:
            if found.release is not None:
                found.release(results)
            run.end_converting(begun)
    run.fuel_left = raw.run.fuel_left
    assert run.thread is not None
    del engine.runs[run.thread]
    if not run.finish():
        raw.delete()
        engine.abandoned_guests.remove(run)
        return False
    # Looked up afterwards: the loop looks whether the run has finished after it has set this.
    wake_loop = run.wake_loop
    if wake_loop is not None:
        wake_loop()
    return True
