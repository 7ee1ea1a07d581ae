"""The home of a store whose guests run in another process.

Each execution has a guest thread here too. It sends the request, serves what the guest imports, and waits for the
end; so whoever waits for it keeps the time, gives up and cancels as for guests of this process. The limits are kept
over there; here only the process is, which is ended when it does not answer some time after the deadline.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.codec import ValueCodec
from pytest_airssys_wasm.isolation.host_side import HostCalls
from pytest_airssys_wasm.isolation.lease import Lease
from pytest_airssys_wasm.isolation.objects import HostObjects
from pytest_airssys_wasm.isolation.outcome_codec import error_of, usage_of
from pytest_airssys_wasm.isolation.requests import Requests
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage
from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
from pytest_airssys_wasm.runtime.errors import RuntimeDied, WasmError
from pytest_airssys_wasm.runtime.execution.run import Stop
from pytest_airssys_wasm.runtime.execution.verdict import host_failure, judge, measure
from pytest_airssys_wasm.runtime.guest.operations import (
    CallExport,
    DropResource,
    InstanceHandle,
    Instantiate,
    Instantiated,
)
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.artefacts import Guests
    from pytest_airssys_wasm.isolation.pool import WorkerProcessPool
    from pytest_airssys_wasm.protocol.session_messages import EndAnswer, SessionAnswer
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import StoreSettings
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import Operation, Runner

_STREAMS = ("stdout", "stderr")
_LAST_WORDS_S = 0.03
"""How long the end of a run is waited for that was given up here: over there it ends within 8 ms of its deadline."""
_LAST_RESORT_S = 15.0
"""How much longer than for an answer the end of a process is waited for: never, unless the system is stuck."""


class WorkerBackend:
    """A store in another process."""

    output: CapturedOutput | None = None

    def __init__(
        self, settings: StoreSettings, runner: Runner, workforce: WorkerProcessPool, guests: Guests, grace_ms: float
    ) -> None:
        self._store = store = settings
        self._guests = guests
        self._grace_s = grace_ms / 1_000
        self._lease = Lease(workforce)
        self._objects = HostObjects(runner, store.host)
        self._crossing = ValueCodec(store.limits.transfer, self._objects.hand_out, self._objects.take_in)
        self._requests = Requests(store, guests, self._crossing, self._objects)
        self._written = {name: bytearray() for name in _STREAMS}
        self._end: EndAnswer | None = None
        self.account = MemoryAccount(store.limits.memory)
        self.running = self._lease.running
        self.release = self._lease.release

    def get_ready(self, operation: Operation) -> None:
        self._lease.ready(self._guests.files_of(operation.component))

    def prepare(self, operation: Operation, run: Run) -> Job:
        self._end = None
        self._objects.component = operation.component if isinstance(operation.component, WitComponent) else None
        self._objects.instance = operation.handle if isinstance(operation, CallExport) else None
        request = self._requests.request(operation, run, self._lease.session)
        imports = self._requests.imports_of(operation.component)
        serve = HostCalls(imports, self._store.host, self._crossing, self._objects, run).serve
        run.grace_s = self._grace_s + _LAST_RESORT_S
        timeout_ms = self._store.limits.timeout_ms

        def left_s() -> float | None:
            if timeout_ms is None:
                return None
            return max(0.0, run.started_at + timeout_ms / 1_000 + self._grace_s - monotonic())

        def job() -> Callable[[], None] | None:
            try:
                mate = self._lease.mate
                if mate is None:
                    raise RuntimeDied("the guest's process was ended", "signal")
                mate.allow(self._store.limits)
                self._take(mate.ask(request, left_s, serve), operation, run)
            except BaseException as error:  # noqa: BLE001 the caller judges whatever was raised, and raises it
                run.error = error
            run.finish()
            return run.wake_loop

        return job

    def stop(self) -> None:
        mate = self._lease.mate
        if mate is not None and any(run.stop is Stop.CANCELLED for run in self.running):
            mate.kill()

    def end(self, run: Run) -> str | None:
        if run.abandoned and self._lease.mate is not None:
            # A host function does not come back. The other side has noticed too, and may tell what it cost.
            answer = self._lease.mate.last_words(_LAST_WORDS_S)
            with suppress(RuntimeDied):
                self._believe(answer, run)
        if run.abandoned or (self._end is not None and self._end.is_over):
            self._lease.end()
            return "its guest was blocked in a call at the deadline and had to be given up"
        if run.finished and (self._end is None or run.stop is Stop.CANCELLED):
            # Who cancels it kills the process, whose answer may have been on its way.
            self._lease.end()
            return "the process that it was in has ended"
        return None

    def judge(self, run: Run) -> BaseException | None:
        end = self._end
        error: BaseException | None
        if run.abandoned or run.stop is Stop.CANCELLED:
            error = judge(run)
            if isinstance(error, WasmError):
                error.usage = self.measure(run)
            return error
        if end is None:
            if isinstance(run.error, RuntimeDied):
                run.error.usage = self.measure(run)
            return run.error
        error = error_of(end)
        if end.verdict is Verdict.HOST_ERROR and run.stop is Stop.TIMEOUT:
            error = judge(run)  # the function was cancelled, because time was up
        elif end.verdict is Verdict.HOST_ERROR and run.host_error is not None:
            frames, error = getattr(error, "frames", ()), host_failure(run.host_name, run.host_error)
            if isinstance(error, WasmError):
                error.frames = frames
        if isinstance(error, WasmError):
            error.usage = self.measure(run)
        return error

    def measure(self, run: Run) -> Usage:
        end, limits = self._end, self._store.limits
        if end is not None and end.usage is not None:
            return usage_of(end, run.fuel_budget, limits.memory, run.denied)
        consumed = 0 if run.fuel_left is None else run.fuel_at_start - run.fuel_left
        known = measure(run)
        return Usage(
            fuel=FuelMetrics(max_fuel=run.fuel_budget, consumed=consumed, is_exact=False),
            wall_ms=known.wall_ms,
            peak_memory_bytes=0,
            memory_limit_bytes=limits.memory,
            denied_growths=0,
            host_calls=run.host_calls,
            transfer_bytes=0,
            denied_capabilities=tuple(run.denied),
        )

    def text(self, name: str) -> bytes:
        return bytes(self._written[name])

    def _take(self, answer: SessionAnswer, operation: Operation, run: Run) -> None:
        """How it ended, and its value. Raises `RuntimeDied` for what cannot be."""
        end = self._believe(answer, run)
        try:
            if isinstance(operation, Instantiate):
                self._open(operation.component, answer.session)
            if end.verdict is Verdict.OK:
                run.value = self._value(operation, end.value)
        except Exception as error:  # a lie may make anything of it; were it our fault, its cause shows that
            self._end = None
            raise _garbage(error) from error

    def _believe(self, answer: SessionAnswer | None, run: Run) -> EndAnswer:
        """How it ended. Raises `RuntimeDied` for what cannot be."""
        try:
            end = None if answer is None else answer.end
            if end is None:
                raise ValueError("end: expected one")
            error_of(end)
            usage = usage_of(end, run.fuel_budget, 0, ())
            room = self._store.limits.output - sum(map(len, self._written.values()))
            if len(end.stdout) + len(end.stderr) > room:
                raise ValueError(f"output: more than the {room} bytes that may be written still")
        except ValueError as error:
            raise _garbage(error) from None
        for name in _STREAMS:
            self._written[name] += getattr(end, name)
        run.fuel_left = run.fuel_at_start - usage.fuel.consumed
        self._end = end
        return end

    def _open(self, component: Component, session: int | None) -> None:
        if session is None:
            raise ValueError("session: expected a number")
        self._lease.session = self._lease.session or session
        self._objects.instance = InstanceHandle(component, session)

    def _value(self, operation: Operation, value: Any) -> Any:
        if isinstance(operation, DropResource):
            return None
        if isinstance(operation, Instantiate):
            assert self._objects.instance is not None
            result = None if operation.function is None else self._result(operation, value)
            return Instantiated(self._objects.instance, result)
        return self._result(operation, value)

    def _result(self, operation: Operation, value: Any) -> Any:
        assert operation.function is not None
        types = operation.component.result_types(operation.function)
        if len(types) > 1:
            if not isinstance(value, list) or len(value) != len(types):
                raise ValueError(f"value: expected {len(types)} results")
            return tuple(map(self._crossing.arrive, value, types))
        if types:
            return self._crossing.arrive(value, types[0])
        if value is not None:
            raise ValueError("value: expected none")
        return None


def _garbage(error: Exception) -> RuntimeDied:
    return RuntimeDied(f"the guest's process answered what cannot be: {error}", "garbage")
