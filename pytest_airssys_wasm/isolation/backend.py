"""The backend of a store whose guests run in another process.

Each execution has a guest thread here too. That thread sends the request, serves the guest's imports, and waits for the
end, so that the caller handles deadlines, abandoned guests and cancellation as for guests of this process. The other
process enforces the limits; it is killed if it has not answered some time after the deadline.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.artefacts import Guests
from pytest_airssys_wasm.isolation.codec import ValueCodec
from pytest_airssys_wasm.isolation.host_side import HostCallServer, HostObjects, protocol_broken
from pytest_airssys_wasm.isolation.plain_calls import compile_plain_call
from pytest_airssys_wasm.isolation.plain_frames import plain_frames
from pytest_airssys_wasm.isolation.pool import Lease, WorkerProcessPool
from pytest_airssys_wasm.isolation.requests import Requests
from pytest_airssys_wasm.protocol.envelope import worker_line_bytes
from pytest_airssys_wasm.protocol.outcomes import outcome_of_end
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.errors import RuntimeDied, UnfitHost, WasmError, error_of
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.execution.verdict import host_failure, judge
from pytest_airssys_wasm.runtime.guest.operations import (
    CallExport,
    DropResource,
    InstanceHandle,
    Instantiate,
    Instantiated,
)
from pytest_airssys_wasm.runtime.guest.placement import may_run_here
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.pool import WorkerProcess
    from pytest_airssys_wasm.protocol.session_messages import EndAnswer, SessionAnswer
    from pytest_airssys_wasm.runtime.base.outcome import Outcome
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.open_files import OpenFiles
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import Backend, StoreSettings
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.direct_calls import Call, DirectUse
    from pytest_airssys_wasm.runtime.guest.operations import Operation, Runner

_STREAMS = ("stdout", "stderr")
_LAST_WORDS_S = 0.03
"""The time in seconds to wait for the answer to a run that was abandoned here. In the other process the run ends within
6 ms of its deadline.
"""
_LAST_RESORT_S = 15.0
"""The time in seconds, in addition to the grace, to wait for the end of a process. It is too short only if the system
does not respond.
"""


class WorkerBackends:
    """The factory of backends in worker processes, for one engine."""

    def __init__(self, *, memory_bytes: int, grace_ms: float) -> None:
        self._memory_bytes = memory_bytes
        self._grace_ms = grace_ms
        self._begin()

    def _begin(self) -> None:
        self._pool = WorkerProcessPool(self._memory_bytes)
        self._guests = Guests()
        # At the latest when the interpreter ends.
        weakref.finalize(self, self._pool.kill)

    def new_backend(self, settings: StoreSettings, runner: Runner) -> Backend:
        """Make the backend of a new store.

        Raises `InvalidConfiguration` if the store has something that another process cannot have.
        """
        if self._pool.is_anothers:
            self._begin()  # the processes and the files are those of the process from which this one was forked
        return WorkerBackend(settings, runner, self._pool, self._guests, self._grace_ms)

    def close(self) -> None:
        """Release everything that is not used by a store. Open stores remain usable."""
        if not self._pool.is_anothers:
            self._pool.close()
            self._guests.close()


class WorkerBackend:
    """The backend of a store whose guests run in another process."""

    raw = None
    output: CapturedOutput | None = None
    open_files: OpenFiles | None = None

    def __init__(
        self, settings: StoreSettings, runner: Runner, pool: WorkerProcessPool, guests: Guests, grace_ms: float
    ) -> None:
        self._settings = settings
        self._guests = guests
        self._grace_s = grace_ms / 1_000
        self._pool = pool
        self._lease = Lease(pool)
        self._objects = HostObjects(runner, settings.host)
        self._codec = ValueCodec(settings.limits.transfer, self._objects.hand_out, self._objects.take_in)
        self._requests = Requests(settings, guests, self._codec, self._objects)
        self._written = {name: bytearray() for name in _STREAMS}
        self._outcome: Outcome | None = None
        """The outcome that the process reported for the run; `None` if it has not reported one."""
        self._is_over = False
        self.account = GuardRun(limit_bytes=min(settings.limits.memory, 2**63 - 1))
        self.running = self._lease.running
        self.release = self._lease.release

    def get_ready(self, operation: Operation) -> None:
        self._lease.ready(self._guests.files_of(operation.component))

    def prepare(self, operation: Operation, run: Run) -> Job:
        self._outcome = None
        self._objects.component = operation.component if isinstance(operation.component, WitComponent) else None
        self._objects.instance = operation.handle if isinstance(operation, CallExport) else None
        request = self._requests.request(operation, run, self._lease.session)
        imports = self._requests.imports_of(operation.component)
        serve = HostCallServer(imports, self._settings.host, self._codec, self._objects, run).serve
        run.grace_s = self._grace_s + _LAST_RESORT_S
        timeout_ms = self._settings.limits.timeout_ms

        def left_s() -> float | None:
            if timeout_ms is None:
                return None
            return max(0.0, run.started_at + timeout_ms / 1_000 + self._grace_s - monotonic())

        def job() -> Callable[[], None] | None:
            try:
                worker = self._lease.worker
                if worker is None:
                    raise RuntimeDied("the guest's process was ended", "signal")
                worker.allow(self._settings.limits)
                self._objects.give()
                self._take(worker.ask(request, left_s, serve), operation, run)
            except BaseException as error:  # noqa: BLE001 the caller judges whatever was raised, and raises it
                run.error = error
            run.finish()
            return run.wake_loop

        return job

    def instantiate_directly(self, _component: Component) -> None:
        """Return `None`: the process of the guest makes its instances."""

    def direct_call(self, handle: InstanceHandle, name: str, use: DirectUse, general: Call) -> Call | None:
        worker, limits, component = self._lease.worker, self._settings.limits, handle.component
        if worker is None or self._pool.is_anothers or self._settings.wasi is not None:
            return None
        if isinstance(component, WitComponent) and component.uses_resources:
            return None
        if not may_run_here(component, name, limits, limits.fuel):
            return None
        frames = plain_frames(component, name)
        if frames is None or frames.moved_bytes > limits.transfer:
            return None
        settle = partial(self._settle, worker)
        place = handle.raw, [*component.function_names()].index(name)
        return compile_plain_call(name, frames, place, worker, limits, self._grace_s, use, general, settle)

    def plain_export(self, *_: object) -> None:
        """Return `None`: the process of the guest calls its exports."""

    def awaited_call(self, *_: object) -> None:
        """Return `None`: the thread of a guest waits for the process."""

    def _settle(
        self, worker: WorkerProcess, number: int, end: bytes | BaseException, operation: Operation, run: Run
    ) -> None:
        """Store the end of a plain call in a run: of one that was answered by a line, or has raised an exception.

        Raises the exceptions that have nothing to do with the guest. As there is no outcome then, the process is ended.
        """
        self._outcome = None
        try:
            if isinstance(end, BaseException):
                raise end
            limits = self._settings.limits
            answer = worker.read_answer(end, 1_000 * self._grace_s, worker_line_bytes(limits))
            if answer.id != number:
                raise protocol_broken(f"it answered call {answer.id}, and was asked call {number}")
            self._take(answer, operation, run)
        except (RuntimeDied, UnfitHost) as error:
            run.error = error

    def stop(self) -> None:
        worker = self._lease.worker
        if worker is not None and any(run.stop is Stop.CANCELLED for run in self.running):
            worker.kill()

    def end(self, run: Run) -> str | None:
        if run.abandoned and self._lease.worker is not None:
            # A host function does not come back. The other side has noticed too, and may tell what it cost.
            answer = self._lease.worker.last_words(_LAST_WORDS_S)
            with suppress(RuntimeDied):
                self._believe(answer, run)
        if run.abandoned or (self._outcome is not None and self._is_over):
            self._lease.end()
            return "its guest was blocked in a call at its deadline and was abandoned"
        if run.finished and (self._outcome is None or run.stop is Stop.CANCELLED):
            # A run is cancelled by killing the process, whose answer may have been on its way.
            self._lease.end()
            return "its process has ended"
        return None

    def judge(self, run: Run) -> BaseException | None:
        error = self._error(run)
        if isinstance(error, WasmError):
            error.usage = self.measure(run)
        return error

    def measure(self, run: Run) -> Usage:
        if self._outcome is not None and self._outcome.usage is not None:
            return self._outcome.usage
        consumed = 0 if run.fuel_left is None else run.fuel_at_start - run.fuel_left
        return Usage(
            fuel=FuelMetrics(max_fuel=run.fuel_budget, consumed=consumed, is_exact=False),
            wall_ms=((run.finished_at or monotonic()) - run.started_at) * 1_000,
            host_ms=run.host_ms(),
            peak_memory_bytes=0,
            memory_limit_bytes=self._settings.limits.memory,
            denied_growths=0,
            host_calls=run.host_calls,
            transfer_bytes=0,
            denied_capabilities=tuple(run.denied),
        )

    def text(self, name: str) -> bytes:
        return bytes(self._written[name])

    def _error(self, run: Run) -> BaseException | None:
        outcome = self._outcome
        if run.abandoned or run.stop is Stop.CANCELLED:
            return judge(run)
        if outcome is None:
            # Without an error, its thread has not begun to ask for anything before its time was up.
            return run.error or judge(run)
        if outcome.verdict is not Verdict.HOST_ERROR:
            return error_of(outcome)
        if run.stop is Stop.TIMEOUT:
            return judge(run)  # the host function was cancelled, because time was up
        if run.host_error is None:
            return error_of(outcome)
        error = host_failure(run.host_name, run.host_error)
        if isinstance(error, WasmError):
            error.frames = outcome.frames
        return error

    def _take(self, answer: SessionAnswer, operation: Operation, run: Run) -> None:
        """Store the outcome of a run and its value.

        Raises `RuntimeDied` for an answer that a correct process cannot give.
        """
        end = self._believe(answer, run)
        try:
            if isinstance(operation, Instantiate):
                self._open(operation.component, answer.session)
            if end.verdict is Verdict.OK:
                run.value = self._value(operation, end.value)
        except Exception as error:  # a lie may make anything of it; were it our fault, its cause shows that
            self._outcome = None
            raise protocol_broken(error) from error

    def _believe(self, answer: SessionAnswer | None, run: Run) -> EndAnswer:
        """Check an answer, store its outcome and output, and return the end of the run in it.

        Raises `RuntimeDied` for an answer that a correct process cannot give.
        """
        limits = self._settings.limits
        try:
            end = None if answer is None else answer.end
            if end is None:
                raise ValueError("end: expected an object, got null")
            outcome = outcome_of_end(
                end,
                fuel_budget=run.fuel_budget,
                memory_limit_bytes=limits.memory,
                denied_capabilities=run.denied,
            )
            error_of(outcome)
            room_bytes = limits.output - sum(map(len, self._written.values()))
            if len(end.stdout) + len(end.stderr) > room_bytes:
                raise ValueError(f"output: more than the {room_bytes} bytes that may still be written")
        except ValueError as error:
            raise protocol_broken(error) from None
        self._written["stdout"] += end.stdout
        self._written["stderr"] += end.stderr
        assert outcome.usage is not None
        run.fuel_left = run.fuel_at_start - outcome.usage.fuel.consumed
        self._outcome, self._is_over = outcome, end.is_over
        return end

    def _open(self, component: Component, session: int | None) -> None:
        if session is None:
            raise ValueError("session: expected a number, got null")
        self._lease.session = self._lease.session or session
        self._objects.instance = InstanceHandle(component, session)

    def _value(self, operation: Operation, value: Any) -> Any:
        match operation:
            case DropResource():
                return None
            case CallExport():
                return self._result(operation.component, operation.function, value)
            case Instantiate(component, function):
                assert self._objects.instance is not None
                result = None if function is None else self._result(component, function, value)
                return Instantiated(self._objects.instance, result)

    def _result(self, component: Component, function: str, value: Any) -> Any:
        types = component.result_types(function)
        if len(types) > 1:
            if not isinstance(value, list) or len(value) != len(types):
                raise ValueError(f"value: expected {len(types)} results")
            return tuple(map(self._codec.decode, value, types))
        if types:
            return self._codec.decode(value, types[0])
        if value is not None:
            raise ValueError("value: expected null, since the function has no result")
        return None
