"""Calls on a parked thread of guests that may not run on their caller's thread: nearly everything is prepared once.

They are made as direct calls are, but on another thread, so that a guest that is blocked in a host function, or in the
conversion of a list, can be abandoned at its deadline. Each has a run, which host functions ask for.
"""

from __future__ import annotations

from ctypes import addressof, c_char
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import monotonic_ns
from pytest_airssys_wasm.runtime.capi import abi, failures, vals
from pytest_airssys_wasm.runtime.capi.guard import IS_LIFTED, OF_COMPONENT, OF_MODULE, READ_FIGURES, guard
from pytest_airssys_wasm.runtime.convert.plain_layout import plain_core_layout
from pytest_airssys_wasm.runtime.execution.run import GuestFailed, Run, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.binary.types import CoreFunction
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.convert.transfer import Transfer
    from pytest_airssys_wasm.runtime.execution.parked_threads import Entry
    from pytest_airssys_wasm.runtime.guest.direct_calls import Call, DirectUse
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.wit_component import WitExport
    from pytest_airssys_wasm.runtime.lift.exported import LiftedExport


class ParkedFunction(Struct, frozen=True, kw_only=True):
    """An export as it is called on a parked thread."""

    entry: int
    """The kind of the function: one of those of the guard."""
    count: int
    """The number of arguments."""
    counts: tuple[int, int]
    """The numbers of C values for arguments and for results."""
    lower: Callable[[Sequence[Any], Transfer], tuple[int, int]]
    """A function that returns the addresses of the arguments and of the results. Raises any error for arguments that
    have to go the general way, which tells their places.
    """
    lift: Callable[[int, Transfer], Any]
    """A function that returns the value at the address of the results."""
    release: Callable[[int], object] | None
    """A function that frees what the results at an address own; `None` if they own nothing."""
    is_plain: bool
    """Whether the result is a number or bool or nothing, so that lifting it takes no time worth measuring."""


def module_function(found: CoreFunction) -> ParkedFunction | None:
    """Return an export of a module; `None` if its types do not allow that."""
    params, results = found.params, found.results
    layout = plain_core_layout(params, results)
    if layout is None:
        return None
    count, values = max(len(params), len(results)), (c_char * layout.size)()
    write, read, classes = layout.write, layout.read, layout.classes
    at, moved_bytes, is_single = addressof(values), 8 * (len(params) + len(results)), len(results) == 1

    def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
        if tuple(map(type, args)) != classes:
            raise TypeError
        transfer.charge(moved_bytes)
        write(values, 0, *args)
        return at, at

    def lift(_at: int, _transfer: Transfer) -> Any:
        value = read(values)
        return value[0] if is_single else value or None

    return ParkedFunction(
        entry=OF_MODULE, count=len(params), counts=(count, 0), lower=lower, lift=lift, release=None, is_plain=True
    )


def component_function(export: WitExport) -> ParkedFunction:
    """Return an export of a component."""
    layout, lowers, fixed_bytes = export.plain, export.lower, export.fixed_bytes
    count, has_result, val_bytes = len(lowers), export.lift is not None, abi.VAL_BYTES
    if layout is None:

        def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
            transfer.charge(fixed_bytes)
            place = area = transfer.allocate(val_bytes * (count + 1))
            for each, value in zip(lowers, args):
                each(value, place, transfer)
                place += val_bytes
            return area, place

        lift = export.lift or _nothing
    else:
        write, read, classes, kinds = layout.write, layout.read, layout.classes, layout.kinds
        kept = (c_char * (val_bytes * (count + 1)))()
        at, offset, flat = addressof(kept), val_bytes * count, chain.from_iterable

        def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
            if tuple(map(type, args)) != classes:
                raise TypeError
            transfer.charge(fixed_bytes)
            write(kept, 0, *flat(zip(kinds, args)))
            return at, at + offset

        def lift(_at: int, _transfer: Transfer) -> Any:
            return read(kept, offset)[0] if has_result else None

    return ParkedFunction(
        entry=OF_COMPONENT,
        count=count,
        counts=(count, int(has_result)),
        lower=lower,
        lift=lift,
        release=vals.val_delete if layout is None and has_result else None,
        is_plain=layout is not None,
    )


def lifted_call(found: LiftedExport, export: WitExport) -> ParkedFunction:
    """Return an export of a component that is called by its scalar lift."""
    fixed_bytes, lower_all = export.fixed_bytes, found.lower

    def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
        transfer.charge(fixed_bytes)
        return lower_all(args, transfer)

    return ParkedFunction(
        entry=IS_LIFTED,
        count=found.count,
        counts=(0, 0),
        lower=lower,
        lift=found.lift or _nothing,
        release=guard().free if found.owns_results else None,
        is_plain=False,
    )


def compile_parked_call(
    name: str,
    found: ParkedFunction,
    function: Any,
    engine: EngineCore,
    limits: ResourceLimits,
    running: list[Run],
    use: DirectUse,
    general: Call,
) -> Call:
    """Return the function that calls an export on a parked thread of the engine."""
    raw, claims, is_watched, ended, interrupted = use.raw, use.claims, use.is_watched, use.ended, use.interrupted
    parked, runs, count, kind = engine.guest_threads.parked, engine.runs, found.count, found.entry
    prepare, take = compile_preparing(found, function, raw, limits), compile_taking(found, use, running)
    leave = partial(_leave, raw, engine, found.release, (function, found))

    def call(*args: Any) -> Any:
        if is_watched() or len(args) != count:
            return general(*args)
        finished, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                run, entry = prepare(args)
                if entry is not None:
                    thread = parked.take()
                    try:
                        running.append(run)
                        error = thread.call(run, runs, leave, entry, kind)
                    except BaseException:
                        thread.withdraw(run, runs)
                        interrupted(name, args, run)
                        raise
                    finally:
                        parked.put_back(thread)
                    if take(run, entry[4], error):
                        return run.value
                    finished = ended(name, args, run)
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if finished is None else finished()

    return call


def compile_preparing(
    found: ParkedFunction, function: Any, raw: RawStore, limits: ResourceLimits
) -> Callable[..., tuple[Run, Entry | None]]:
    """Return the function that makes the run of a call, and what a parked thread needs to make it.

    That function takes the arguments, and a function that is told of the run before these are converted. The second
    result is `None` for arguments that have to go the general way, which raises their error with its place.
    """
    account, lower = raw.run, found.lower
    at, function_at, (argument_count, result_count) = raw.address, addressof(function), found.counts

    def prepare(args: Sequence[Any], adopt: Callable[[Run], object] | None = None) -> tuple[Run, Entry | None]:
        run = Run(limits, limits.fuel, account)
        run.is_in_process = True
        if adopt is not None:
            adopt(run)
        try:
            place, results = lower(args, run.transfer)
        except Exception:  # noqa: BLE001 the general way raises it
            run.transfer.end()
            return run, None
        return run, (at, function_at, place, argument_count, results, result_count)

    return prepare


def compile_taking(found: ParkedFunction, use: DirectUse, running: list[Run]) -> Callable[[Run, int, int | None], bool]:
    """Return the function that stores in a run what its call has returned, and notes what it has cost.

    That function takes the run, the address of the results, and the error. If the call has failed, it returns False,
    and the run holds how.
    """
    account, note, lift, release, is_plain = use.raw.run, use.note, found.lift, found.release, found.is_plain

    def is_late() -> bool:
        return bool(account.stop) or monotonic_ns() >= account.due_ns

    def take(run: Run, results: int, error: int | None) -> bool:
        figures, failed, after_ns, transfer = READ_FIGURES(account), None, 0, run.transfer
        if not error and not figures[0]:
            running.clear()
            if is_plain:
                run.value = lift(results, transfer)
                note((figures, transfer.moved_bytes, 0, run.host_calls, run.host_s, tuple(run.denied)))
                return True
            began_ns = monotonic_ns()
            transfer.stop_at(is_late)
            try:
                run.value = lift(results, transfer)
            except Exception as raised:  # noqa: BLE001 judged with all other errors
                failed = raised
            finally:
                if release is not None:
                    release(results)
            after_ns = monotonic_ns() - began_ns
            if failed is None and figures[4] + after_ns < account.due_ns:
                note((figures, transfer.moved_bytes, after_ns, run.host_calls, run.host_s, tuple(run.denied)))
                return True
        elif not error and release is not None and not run.abandoned:
            release(results)
        _store_failure(run, error, failed, after_ns)
        return False

    return take


def _store_failure(run: Run, error: int | None, failed: Exception | None, after_ns: int) -> None:
    """Store in a run how it has failed: with an error of the guest, or of the conversion of its result, or late."""
    if run.abandoned:
        return
    run.error = GuestFailed(failures.take(error)) if error else failed
    run.fuel_left = run.account.fuel_left
    run.after_ns = run.after_cpu_ns = after_ns
    run.finished_at = ((run.account.finished_ns or monotonic_ns()) + after_ns) / 1e9
    if run.error is None and run.stop is None:
        run.stop = Stop.TIMEOUT


def _leave(
    raw: RawStore,
    engine: EngineCore,
    release: Callable[[int], object] | None,
    _kept: Any,
    run: Run,
    results: int,
    error: int | None,
) -> None:
    """Release the store of an abandoned run whose guest has returned."""
    if error:
        abi.error_delete(error)
    elif release is not None:
        release(results)
    run.finish()
    raw.delete()
    engine.abandoned_guests.remove(run)


def _nothing(_at: int, _transfer: Transfer) -> None:
    return None
