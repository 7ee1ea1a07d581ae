"""Calls on the thread of the caller for which nearly everything is prepared once, for each function of an instance.

Such a function checks and lowers the arguments, enters the guest, and lifts the result. All other things that belong to
an execution are made if they are needed: the usage when it is read, the run and its verdict if the guest fails. If
anything is not as it was when the function was prepared, the call goes the general way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ctypes import addressof, c_char
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import monotonic_ns
from pytest_airssys_wasm.runtime.capi import abi, failures, vals
from pytest_airssys_wasm.runtime.capi.guard import NO_STACK, READ_FIGURES
from pytest_airssys_wasm.runtime.convert.plain_layout import plain_core_layout
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.execution.run import GuestFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.binary.types import CoreFunction
    from pytest_airssys_wasm.runtime.convert.plain_layout import PlainLayout
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.lifted_functions import LiftedFunction
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.guest.wit_component import WitExport

Call = Callable[..., Any]


class DirectUse(Struct, frozen=True, kw_only=True):
    """The store as direct calls see it."""

    raw: Any
    """The store of wasmtime."""
    claims: list[object]
    """The claims on the store, of which the first holds it."""
    is_watched: Callable[[], bool]
    """A function that tells whether each execution has to be reported."""
    note: Callable[[tuple[Any, ...]], object]
    """A function that takes the figures of a call that has returned, the transferred bytes, and the nanoseconds that
    converting the result took; if host functions were called, also the number of calls, their seconds, and what they
    have denied.
    """
    fail: Callable[[str, tuple[Any, ...], BaseException | None, int, int], Callable[[], Any]]
    """A function that takes the export, the arguments, the error, the transferred bytes and the nanoseconds of a call
    that has failed, while the store is claimed. It returns the function that raises its verdict.
    """
    transfer_bytes: int | None
    """The limit on transferred bytes."""
    finish: Callable[[str, tuple[Any, ...], float, Callable[[Operation, Run], object]], Callable[[], Any]]
    """A function that takes the export, the arguments and the beginning, by `monotonic`, of a call that another process
    has made, and the function that stores its end in a run. It returns the function that returns the value of the call
    or raises its verdict.
    """
    ended: Callable[[str, tuple[Any, ...], Run], Callable[[], Any]]
    """A function that takes the export, the arguments and the run of a call that has failed. It returns the function
    that raises its verdict.
    """
    interrupted: Callable[[str, tuple[Any, ...], Run], object]
    """A function that takes the same for a call whose caller no longer waits, because a signal handler has raised."""


def compile_module_call(name: str, found: CoreFunction, function: Any, use: DirectUse, general: Call) -> Call | None:
    """Return the function that calls an export of a module; `None` if its types do not allow it."""
    params, results = found.params, found.results
    moved_bytes = 8 * (len(params) + len(results))
    layout = plain_core_layout(params, results)
    if layout is None or not _may_move(use, moved_bytes):
        return None
    count, values = max(len(params), len(results)), (c_char * layout.size)()
    write, read, classes = layout.write, layout.read, layout.classes
    raw, claims, is_watched, note, fail = use.raw, use.claims, use.is_watched, use.note, use.fail
    at, function_at, values_at, run = raw.address, addressof(function), addressof(values), raw.run
    enter = raw.guard.module_call_anew
    is_single = len(results) == 1

    def call(*args: Any) -> Any:
        if is_watched() or tuple(map(type, args)) != classes:
            return general(*args)
        failed, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                try:
                    write(values, 0, *args)
                except struct.error:  # out of the range of its type, or without a sign
                    pass
                else:
                    error = enter(at, function_at, values_at, count)
                    figures = READ_FIGURES(run)
                    if not error and not figures[0]:
                        note((figures, moved_bytes, 0))
                        found = read(values)
                        return found[0] if is_single else found or None
                    if not is_refused(run, error):
                        failed = fail(name, args, failure_of(error), 8 * len(args), 0)
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if failed is None else failed()

    return call


def compile_component_call(name: str, export: WitExport, function: Any, use: DirectUse, general: Call) -> Call | None:
    """Return the function that calls an export of a component; `None` if its result may take long to convert."""
    if not _may_move(use, export.fixed_bytes):
        return None
    if export.plain is not None:
        return _plain_call(name, export, export.plain, function, use, general)
    lowers, val_bytes = export.lower, abi.VAL_BYTES
    area_bytes = val_bytes * (len(lowers) + 1)

    def lower(args: Sequence[Any], transfer: Transfer) -> tuple[int, int]:
        place = area = transfer.allocate(area_bytes)
        for each, value in zip(lowers, args):
            each(value, place, transfer)
            place += val_bytes
        return area, place

    way = _Way(
        enter=use.raw.guard.component_call_anew,
        function=function,
        lower=lower,
        lift=export.lift,
        release=vals.val_delete,
        most_bytes=MOST_ARGUMENT_BYTES if export.takes_lists else MOST_COPIED_BYTES,
    )
    return _converting_call(name, export, way, use, general)


def compile_lifted_call(
    name: str, export: WitExport, found: LiftedFunction, use: DirectUse, general: Call
) -> Call | None:
    """Return the function that calls an export of a component by its scalar lift."""
    if not _may_move(use, export.fixed_bytes):
        return None
    guard, lifted = use.raw.guard, found.export
    way = _Way(
        enter=guard.lifted_call_anew,
        function=found.struct,
        lower=lifted.lower,
        lift=lifted.lift,
        release=guard.free if lifted.owns_results else None,
        most_bytes=MOST_COPIED_BYTES,
    )
    return _converting_call(name, export, way, use, general)


class _Way(Struct, frozen=True, kw_only=True):
    """The way in which an export is called whose values are converted."""

    enter: Callable[..., int | None]
    """The entry of the guard."""
    function: Any
    """The C struct of the function."""
    lower: Callable[[Sequence[Any], Transfer], tuple[int, int]]
    """A function that returns the addresses of the arguments and of the result."""
    lift: Callable[[int, Transfer], Any] | None
    """A function that returns the value at the address of the result; `None` without a result."""
    release: Callable[[int], object] | None
    """A function that frees what the result at an address owns."""
    most_bytes: int
    """The bytes of arguments that may be converted on the thread of the caller."""


def _plain_call(
    name: str, export: WitExport, layout: PlainLayout, function: Any, use: DirectUse, general: Call
) -> Call:
    """Return the function that calls an export with plain numbers, which always are at the same place."""
    has_result, count = export.lift is not None, len(export.lower)
    area = (c_char * (abi.VAL_BYTES * (count + 1)))()
    write, read, classes, kinds = layout.write, layout.read, layout.classes, layout.kinds
    moved_bytes = export.fixed_bytes
    raw, claims, is_watched, note, fail = use.raw, use.claims, use.is_watched, use.note, use.fail
    at, function_at, area_at, run = raw.address, addressof(function), addressof(area), raw.run
    result_offset = abi.VAL_BYTES * count
    result_at = area_at + result_offset
    enter, flat = raw.guard.component_call_anew, chain.from_iterable

    def call(*args: Any) -> Any:
        if is_watched() or tuple(map(type, args)) != classes:
            return general(*args)
        failed, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                try:
                    write(area, 0, *flat(zip(kinds, args)))
                except struct.error:  # out of the range of its type
                    pass
                else:
                    error = enter(at, function_at, area_at, count, result_at, has_result)
                    figures = READ_FIGURES(run)
                    if not error and not figures[0]:
                        note((figures, moved_bytes, 0))
                        return read(area, result_offset)[0] if has_result else None
                    if not is_refused(run, error):
                        failed = fail(name, args, failure_of(error), moved_bytes, 0)
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if failed is None else failed()

    return call


def _converting_call(name: str, export: WitExport, way: _Way, use: DirectUse, general: Call) -> Call:
    """Return the function that calls an export whose values are converted by the converters of their types."""
    raw, claims, is_watched, note, fail = use.raw, use.claims, use.is_watched, use.note, use.fail
    at, function_at, run, limit_bytes = raw.address, addressof(way.function), raw.run, use.transfer_bytes
    enter, lower, lift, release, most_bytes = way.enter, way.lower, way.lift, way.release, way.most_bytes
    count, has_result, fixed_bytes = len(export.lower), export.lift is not None, export.fixed_bytes
    kept_alive = (way, export)  # whose addresses are used

    def is_late() -> bool:
        return bool(run.stop) or monotonic_ns() >= run.due_ns

    def call(*args: Any, _: object = kept_alive) -> Any:
        if is_watched() or len(args) != count:
            return general(*args)
        failed, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                transfer = Transfer(limit_bytes)
                try:
                    transfer.charge(fixed_bytes)
                    area, place = lower(args, transfer)
                    is_lowered = transfer.moved_bytes <= most_bytes
                except Exception:  # noqa: BLE001 the general way raises it, with the place of the argument
                    is_lowered = False
                if is_lowered:
                    error = enter(at, function_at, area, count, place, has_result)
                    figures = READ_FIGURES(run)
                    if not error and not figures[0]:
                        if lift is None:
                            note((figures, transfer.moved_bytes, 0))
                            return None
                        transfer.stop_at(is_late)
                        began_ns = monotonic_ns()
                        try:
                            value = lift(place, transfer)
                        except Exception as raised:  # noqa: BLE001 judged with all other errors
                            failed = fail(name, args, raised, transfer.moved_bytes, monotonic_ns() - began_ns)
                        else:
                            after_ns = monotonic_ns() - began_ns
                            if figures[4] + after_ns < run.due_ns:
                                note((figures, transfer.moved_bytes, after_ns))
                                return value
                            failed = fail(name, args, None, transfer.moved_bytes, after_ns)
                        finally:
                            if release is not None:
                                release(place)
                    elif not is_refused(run, error):
                        if not error and lift is not None and release is not None:
                            release(place)
                        failed = fail(name, args, failure_of(error), transfer.moved_bytes, 0)
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if failed is None else failed()

    return call


MOST_ARGUMENT_BYTES = 2**20
"""The bytes of arguments that a guest on the thread of its caller may be given."""
MOST_COPIED_BYTES = 8 * 2**20
"""The bytes of arguments that such a guest may be given if they are copied: text by wasmtime, and text and lists by
scalar lifts.
"""


def _may_move(use: DirectUse, moved_bytes: int) -> bool:
    return use.transfer_bytes is None or moved_bytes <= use.transfer_bytes


def is_refused(run: Any, error: int | None) -> bool:
    """Return whether a call was not made, because this thread has too little stack."""
    if error and run.refused == NO_STACK:
        abi.error_delete(error)
        return True
    return False


def failure_of(error: int | None) -> BaseException | None:
    """Return the error of a guest that has failed; `None` if it has returned too late."""
    return GuestFailed(failures.take(error)) if error else None
