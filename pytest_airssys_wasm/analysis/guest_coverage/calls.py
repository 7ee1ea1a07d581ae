"""The coverage of a guest by some calls."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.guest_coverage.probed_guest import ProbedGuest, Repeated
from pytest_airssys_wasm.analysis.histories import History, Step
from pytest_airssys_wasm.analysis.repeatable import Deadline, RepeatableGuest
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.binary.coverage import Coverage, Unmeasured, covered, gathered
from pytest_airssys_wasm.runtime.binary.probes import CannotInstrument
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.store.repetition import Repetition
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


def coverage(
    component: Component,
    calls: Sequence[Sequence[Any]],
    *,
    limits: ResourceLimits | None = None,
    time_s: float | None = None,
    host: HostFunctions | None = None,
    wasi: Wasi | None = None,
) -> Coverage:
    """Return which functions and basic blocks of a guest some calls reach.

    `calls` are tuples of an export and its arguments: `[("sort", b"321"), ("fill", 10)]`. Each is one
    `engine.execute` in a fresh store. It is run once as it is, and again in the guest with a probe in each block, where
    it must end the same. Calls that fail reach what they reach until then. Calls for which there is no time within
    `time_s` seconds are among those that were not measured, and `is_complete` is `False`.

    Raises `CannotRepeat`, also for a guest that cannot be instrumented or has changed since it was loaded,
    `InvalidConfiguration` for a list without calls, and the errors of `execute` for wrong names and arguments.
    """
    deadline = Deadline(time_s)
    guest = RepeatableGuest(component, limits=limits, host=host, wasi=wasi)
    if not calls or any(isinstance(call, str) or not call for call in calls):
        raise InvalidConfiguration("calls", calls, "a list of (export, *arguments), with at least one call")
    engine = component.loaded_by
    assert isinstance(engine, WasmEngine)
    repeated: list[Repeated] = []
    try:
        with ProbedGuest(binary_of(component, engine), engine) as probed:
            for export, *args in calls:
                if deadline.is_over:
                    repeated.append(Repeated(steps=0, reason="the time was over"))
                else:
                    repeated.append(probed.repeat(_history(guest, engine, str(export), tuple(args), host)))
            functions = covered(probed.functions, probed.found)
    except CannotInstrument as error:
        raise CannotRepeat(f"{component!r} cannot be instrumented: {error}") from None
    return Coverage(
        guest=printable(component.name),
        functions=functions,
        executions=sum(one.steps for one in repeated),
        unmeasured=gathered(Unmeasured(reason=one.reason, executions=1) for one in repeated if one.reason is not None),
        cut=sum(one.is_cut for one in repeated),
    )


def binary_of(component: Component, engine: WasmEngine) -> bytes:
    """Return the binary of a guest, read from its file if it is not kept.

    Raises `CannotInstrument` if the file cannot be read any more, or has another content.
    """
    if component.binary is not None:
        return component.binary
    assert component.path is not None
    try:
        _, binary = engine.to_binary(read_regular(component.path, GUEST_BYTES), component.name)
    except OSError as error:
        raise CannotInstrument(f"its file cannot be read: {printable(error.strerror or str(error))}") from None
    if hashlib.sha256(binary).hexdigest() != component.digest:
        raise CannotInstrument("its file has changed since it was loaded")
    return binary


def _history(
    guest: RepeatableGuest,
    engine: WasmEngine,
    export: str,
    args: tuple[Any, ...],
    host: HostFunctions | None,
) -> History:
    """Return the history of a store in which a call was made, as one execution with the instantiation."""
    done = guest.run(export, *args)
    component = guest.component
    repetition = Repetition(engine, component, export, args, guest.limits, host, guest.wasi, None)
    history = History.begun_by(repetition, tightens=frozenset())
    step = Step(
        test="",
        function=export,
        args=args,
        text=write_call(export, args, component.parameter_types(export)),
        verdict=done.verdict,
        fuel=done.fuel,
        peak_memory_bytes=done.peak_memory_bytes,
    )
    return structs.replace(history, steps=[step])
