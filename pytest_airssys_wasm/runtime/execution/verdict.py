"""The conversion of the facts of an execution to its verdict, and of wasmtime's errors to those of this package.

If several verdicts apply to one execution, the priority is: out-of-fuel, then timeout, then out-of-memory and
resource-limit, then trap. Messages are interpreted only if wasmtime does not provide a code. The front of a message
tells whether linking failed, in which case names of the guest follow. Of all other messages only the innermost cause is
read, which cannot contain names of the guest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.figures import measured_ms
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.limit_text import limit_text
from pytest_airssys_wasm.runtime.budget.machine import no_memory, no_thread
from pytest_airssys_wasm.runtime.capi.guard import NO_THREAD
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    ExecutionTimeout,
    GuestExit,
    HostFunctionError,
    LinkError,
    OutOfFuel,
    OutOfMemory,
    ResourceLimitExceeded,
    UnfitHost,
    WasmError,
)
from pytest_airssys_wasm.runtime.execution.open_files import LEAST_FREE_DESCRIPTORS, MOST_OPEN_FILES
from pytest_airssys_wasm.runtime.execution.run import GuestFailed, Run, Stop

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.capi.failures import Failure
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun

# Causes that carry no trap code: (pattern of the beginning of the innermost cause, resource that ran out). Patterns are
# compiled when they are first needed, which most sessions never do.
_RESOURCES = (
    (r"resource limit exceeded: memory count", "memories"),
    (r"resource limit exceeded: table count", "tables"),
    (r"resource limit exceeded: instance count", "instances"),
    (r"table minimum size of \d+ elements exceeds table limits", "table-elements"),
    (r"too much data is being copied between the host and the guest", "host-transfer"),
    (
        r"cannot allocate another handle|resource table has no free keys|table has no free keys|too many handles",
        "handles",
    ),
)
# What the guard says when it refuses a memory its initial size.
_INITIAL_SIZE = r"memory of (?P<bytes>\d+) bytes exceeds the memory limit of the store"
# A size beyond all addresses is refused before the account is asked.
_TOO_LARGE = r"memory minimum size of \d+ pages exceeds memory limits"
# The same for traps, with the name of the trap code that the same fault has elsewhere.
_TRAPS = (
    (r"thrown Wasm exception", "uncaught-exception"),
    (r"GC heap out of memory", "allocation-too-large"),
    (r"string pointer/length out of bounds", "string-out-of-bounds"),
    (r"realloc return: beyond end of memory", "memory-out-of-bounds"),
    (r"realloc return: result not aligned", "unaligned-pointer"),
    (r"borrow handles still remain", "borrow-not-returned"),
    (r"cannot remove owned resource while borrowed", "resource-lent"),
    (r"list pointer/length out of bounds", "list-out-of-bounds"),
    (
        r"pointer (out of bounds|size overflow)|Pointer out of bounds: |Pointer overflow",
        "memory-out-of-bounds",
    ),
    (r".*pointer (is )?not aligned|unaligned pointer|Pointer not aligned to ", "unaligned-pointer"),
    (
        r"discriminant \d+ out of range|invalid variant discriminant|invalid \w+ discriminant",
        "invalid-discriminant",
    ),
    (r"converted integer out of range for `char`|invalid `?char", "invalid-char"),
    (r"invalid utf-?(8|16)|incomplete utf-8|unpaired surrogate", "invalid-string-encoding"),
    (r"cannot enter component instance", "cannot-enter-component"),
    (r"cannot leave component instance", "cannot-leave-component"),
    (
        (
            r"unknown handle index|handle index \d+|index (\d+ )?is not an? |resource|cannot lift own resource"
            r"|host(-owned)? resource|mismatched resource types"
        ),
        "unknown-handle",
    ),
    # What WASI does not accept: of preview 1, then of preview 2.
    (
        (
            r"missing required memory export|number too (small|large) to fit|out of range integral type conversion"
            r"|Invalid (enum|flag) value |requested len \d+ exceeds limit|sock_\w+ unsupported|empty poll list"
            r"|Buffer too large for |cannot write more zeroes than |write (not permitted|exceeded|beyond)"
            r"|not permitted to write|unpermitted: |concurrent (reads|skips|writes) |max blocking attempts exceeded"
            r"|UDP streams not dropped yet|`connect` needs exclusive access"
        ),
        "invalid-wasi-call",
    ),
)
_LEAST_LOST_MS = 5.0
"""The minimum time without a processor that a message mentions, in milliseconds. Every thread waits for some time."""
_EXACT_FUEL_KINDS = {"unreachable", "uncaught-exception", "out-of-fuel", None}
"""The trap kinds before which wasmtime charges the current frame; `None` stands for errors without a trap code, which
are raised outside of guest code, with one exception below."""


def judge(run: Run) -> BaseException | None:
    """Return the error with which a finished or abandoned run ends, or `None` if its verdict is `ok`."""
    error = _verdict(run)
    if isinstance(error, WasmError):
        error.usage = measure(run)
        if isinstance(run.error, GuestFailed):
            error.frames = run.error.failure.frames
    return error


def measure(run: Run) -> Usage:
    """Return the usage of a finished or abandoned run."""
    return Usage(
        fuel=_fuel(run),
        wall_ms=_wall_ms(run),
        cpu_ms=run.cpu_ms(),
        host_ms=run.host_ms(),
        peak_memory_bytes=run.account.peak_bytes,
        memory_limit_bytes=run.account.limit_bytes,
        denied_growths=run.account.denied_growths,
        host_calls=run.host_calls,
        transfer_bytes=run.transfer.moved_bytes,
        denied_capabilities=tuple(run.denied),
    )


def _wall_ms(run: Run) -> float:
    return ((run.finished_at or monotonic()) - run.started_at) * 1_000


def _where_time_went(run: Run) -> str:
    """Return the end of the message about a timeout, if the guest hardly ran and no host function took the time."""
    cpu_ms, wall_ms = run.cpu_ms(), _wall_ms(run)
    if cpu_ms is None or run.in_host or not run.limits.timeout_ms:
        return ""
    lost_ms = wall_ms - cpu_ms - 1_000 * run.host_s
    if lost_ms < max(wall_ms / 2, _LEAST_LOST_MS):
        return ""
    why = "it waited in WASI, or the machine was busy" if run.may_block else "the machine was busy"
    return f": the guest had {measured_ms(cpu_ms)} ms of processor time in {measured_ms(wall_ms)} ms: {why}"


def _fuel(run: Run) -> FuelMetrics:
    failure = _failure(run)
    # An abandoned run knows what was left at its last host call, if it made one.
    consumed = 0 if run.fuel_left is None else run.fuel_at_start - run.fuel_left
    is_exact = run.fuel_budget == 0 or (run.finished and (failure is None or _bills_the_last_frame(failure)))
    return FuelMetrics(max_fuel=run.fuel_budget, consumed=consumed, is_exact=is_exact)


def _bills_the_last_frame(failure: Failure) -> bool:
    # A full GC heap ends the guest like a hardware trap does, in the middle of a frame, and carries no code.
    return failure.kind in _EXACT_FUEL_KINDS and not failure.cause.startswith("GC heap out of memory")


def _is_late(run: Run) -> bool:
    if run.stop is not None or run.limits.timeout_ms is None or run.finished_at is None:
        return run.stop is Stop.TIMEOUT
    # On a busy machine a guest that is late may be back before its caller has seen that it is.
    return run.finished_at - run.started_at >= run.limits.timeout_ms / 1_000


def _has_no_fuel(run: Run) -> bool:
    # A guest that was given up before it began has told nothing; but none goes far without any.
    return run.fuel_budget == 0 or (run.fuel_budget is not None and run.fuel_left == 0)


def _failure(run: Run) -> Failure | None:
    return run.error.failure if isinstance(run.error, GuestFailed) else None


def _verdict(run: Run) -> BaseException | None:
    if run.account.refused == NO_THREAD:
        return no_thread()
    failure = _failure(run)
    kind = failure.kind if failure else None
    is_late = _is_late(run)
    # Without its code, a guest that was stopped with no fuel left has hit both limits.
    if kind == "out-of-fuel" or (is_late and _has_no_fuel(run)):
        return OutOfFuel(f"the fuel budget of {run.fuel_budget:,} was spent")
    if is_late:
        return ExecutionTimeout(
            f"the timeout of {limit_text('timeout_ms', run.limits.timeout_ms)} ran out{_where_time_went(run)}"
        )
    if run.stop is Stop.OUTPUT:
        return ResourceLimitExceeded(
            f"the guest wrote more than {counted(run.limits.output, 'byte')} of output", "output"
        )
    if run.stop is Stop.FILES:
        return ResourceLimitExceeded(
            f"the guest held more than {MOST_OPEN_FILES} files open, or more than this process can spare, which needs "
            f"{LEAST_FREE_DESCRIPTORS} file descriptors; files of other guests in the same folders count, too",
            "open-files",
        )
    if run.stop is Stop.CANCELLED:
        # The process is ending under this thread: threading lets SystemExit end it without a word.
        return SystemExit()
    if run.error is None:
        return None
    status = exit_status(run)
    if status is not None:
        if status or not run.must_return:
            return GuestExit(f"the guest exited with status {status}", status) if status else None
        return GuestExit("the guest exited with status 0, and its call returned nothing", status)
    if run.host_error is not None:
        return host_failure(run.host_name, run.host_error)
    if failure is None:
        return run.error
    if kind is None and failure.unlinked is not None:
        return LinkError(failure.message, [failure.unlinked])
    if run.account.was_refused_by_host:
        return no_memory()
    if run.account.denied_growths:
        return _caused_by(OutOfMemory(_refused_memory(run.account, kind, failure.cause)), _trap(failure))
    if kind is None and re.match(_TOO_LARGE, failure.cause):
        return _caused_by(OutOfMemory(failure.cause), _trap(failure))
    for pattern, resource in _RESOURCES:
        if kind is None and re.match(pattern, failure.cause):
            return ResourceLimitExceeded(failure.cause, resource)
    return _trap(failure)


def exit_status(run: Run) -> int | None:
    """Return the status that the guest exited with through WASI; `None` if it ended otherwise."""
    failure = _failure(run)
    if failure is None or failure.exit_status is None:
        return None if failure is None else run.exit_status
    return failure.exit_status


def _refused_memory(account: GuardRun, kind: str | None, cause: str) -> str:
    refused = f"the memory limit of {counted(account.limit_bytes, 'byte')} refused"
    initial = re.match(_INITIAL_SIZE, cause) if kind is None else None
    if initial is None:
        return f"{refused} {counted(account.denied_growths, 'growth')}, and the guest failed: {cause}"
    before = account.denied_growths - 1
    growths = f"{counted(before, 'growth')}, and then " if before else ""
    return f"{refused} {growths}an initial size of {counted(int(initial['bytes']), 'byte')}"


def host_failure(name: str, raised: BaseException) -> BaseException:
    """Return the error of an execution whose host function `name` raised `raised`."""
    if isinstance(raised, (WasmError, UnfitHost)) or not isinstance(raised, Exception):
        # A limit hit while converting values; what the machine lacks; or pytest.fail, SystemExit: theirs to handle.
        return raised
    return _caused_by(HostFunctionError(f"the host function {name} raised {type(raised).__name__}: {raised}"), raised)


def _trap(failure: Failure) -> ComponentTrapped:
    kind = failure.kind or next((name for pattern, name in _TRAPS if re.match(pattern, failure.cause)), "unknown")
    return ComponentTrapped(failure.cause, kind)


def _caused_by(error: WasmError, cause: BaseException) -> WasmError:
    error.__cause__ = cause
    return error
