"""LimitedStore: what a guest lives in. One budget, one memory account, one deadline, released whatever happens."""

from __future__ import annotations

import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pytest_airssys_wasm.runtime.call import Call, Finished
from pytest_airssys_wasm.runtime.capi.stores import RawStore
from pytest_airssys_wasm.runtime.claim import Claim
from pytest_airssys_wasm.runtime.deadline import cancel, keep_time, wait_done
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.job import guest_job, release_store
from pytest_airssys_wasm.runtime.judgement import judge, measure
from pytest_airssys_wasm.runtime.memory import MemoryAccount
from pytest_airssys_wasm.runtime.output import CapturedOutput
from pytest_airssys_wasm.runtime.resources import Resources
from pytest_airssys_wasm.runtime.run import Run, Stop
from pytest_airssys_wasm.runtime.usage import Execution, Tally, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.component import Component
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.host import HostFunctions
    from pytest_airssys_wasm.runtime.instance import Instance
    from pytest_airssys_wasm.runtime.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.wasi import Wasi

T = TypeVar("T")


class LimitedStore:
    """A wasmtime store under `limits`. A context manager; `close` releases everything, and is called for you.

    `host` serves the guest's imports, `wasi` grants what it may see of the machine; both default to nothing.
    With `fuel_per="store"` all executions share one fuel budget; else each has its own.

    One thread at a time may use a store, and a host function may not call back into the store that calls it:
    both are `StoreUnusable`.
    """

    def __init__(
        self,
        engine: WasmEngine,
        limits: ResourceLimits,
        *,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
        fuel_per: Literal["execution", "store"] = "execution",
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.host = host
        self.wasi = wasi
        self.usage: Usage | None = None
        """What the last execution used."""
        self._fuel_left = limits.fuel if fuel_per == "store" else None
        self._shares_fuel = fuel_per == "store"
        self._tally = Tally(limits.fuel if self._shares_fuel else None)
        self._account = MemoryAccount(limits.memory)
        self.resources = Resources(self)
        self._executions = 0
        self._claim = Claim(self._account)
        self._output = CapturedOutput(limits.output) if wasi is not None and not wasi.inherit else None
        self.raw = RawStore(
            engine.address,
            engine.epoch_callback,
            table_elements=limits.table_elements,
            instances=limits.instances,
            tables=limits.tables,
            memories=limits.memories,
        )
        self._running: list[Run] = []
        # Holds the engine, which must outlive its stores, and not the store.
        self._release = weakref.finalize(self, release_store, self.raw, self._output, engine, self._running)
        if wasi is not None:
            self.raw.set_wasi(wasi.configure(self._output))

    def instantiate(self, component: Component) -> Instance:
        """Link and instantiate: one execution. Raises `LinkError` before anything runs, else what it ends with."""
        return self.run(lambda _run: component.link(self), component, None, ())

    async def instantiate_async(self, component: Component) -> Instance:
        """As `instantiate`, without blocking the running event loop."""
        return await self.run_async(lambda _run: component.link(self), component, None, ())

    def execute(self, component: Component, function: str, *args: Any) -> Execution:
        """Instantiate and call `function` as one execution, with one budget and one deadline."""
        return self._execution(self.run(self._both(component, function, args), component, function, args))

    async def execute_async(self, component: Component, function: str, *args: Any) -> Execution:
        """As `execute`, without blocking the running event loop."""
        return self._execution(await self.run_async(self._both(component, function, args), component, function, args))

    def _both(self, component: Component, function: str, args: Sequence[Any]) -> Callable[[Run], Callable[[Run], Any]]:
        def prepare(run: Run) -> Callable[[Run], Any]:
            instantiate = component.link(self)
            call = component.prepare(function, args, run, self)
            return lambda run: call(instantiate(run), run)

        return prepare

    def _execution(self, value: Any) -> Execution:
        assert self.usage is not None
        return Execution(value=value, usage=self.usage, stdout=self.stdout, stderr=self.stderr)

    def run(
        self,
        prepare: Callable[[Run], Callable[[Run], T]],
        component: Component,
        function: str | None,
        args: Sequence[Any],
    ) -> T:
        """One execution: `prepare` on this thread, what it returns on a guest thread, under the limits.

        `component`, `function` and `args` say what it is, for the error that it may end with.

        Returns the value, or raises what the execution ended with. What `prepare` raises is raised as it is:
        nothing has run then.
        """
        call, run = self._open(component, function, args)
        try:
            self._begin(run, prepare(run), None if self._output is None else self._output.wake)
            keep_time(
                run,
                self.limits.timeout_ms,
                self.engine.interrupt,
                wait_done if self._output is None else self._output.wait,
            )
        except BaseException:
            self._interrupted(run)
            raise
        finally:
            self._end(run)
        self._conclude(call, run)
        value: T = run.value
        return value

    async def run_async(
        self,
        prepare: Callable[[Run], Callable[[Run], T]],
        component: Component,
        function: str | None,
        args: Sequence[Any],
    ) -> T:
        """As `run`, on the running asyncio event loop, which goes on meanwhile. Cancelling it ends the guest."""
        from pytest_airssys_wasm.runtime.event_loop import LoopClock

        call, run = self._open(component, function, args)
        try:
            clock = LoopClock(run, self.engine.interrupt, self._output)
            self._begin(run, prepare(run), clock.wake)
            await clock.keep_time(self.limits.timeout_ms)
        except BaseException:
            self._interrupted(run)
            raise
        finally:
            self._end(run)
        self._conclude(call, run)
        value: T = run.value
        return value

    @property
    def total(self) -> Usage | None:
        """What all executions so far used: sums, and the highest peak; `max_fuel` only where they share a budget."""
        return self._tally.usage()

    @property
    def stdout(self) -> bytes:
        """What the guest wrote to stdout so far, up to the output limit."""
        return b"" if self._output is None else self._output.text("stdout")

    @property
    def stderr(self) -> bytes:
        """What the guest wrote to stderr so far, up to the output limit."""
        return b"" if self._output is None else self._output.text("stderr")

    @property
    def is_usable(self) -> bool:
        """Whether the store can run something: not closed, and not given up on."""
        return not self._claim.is_over

    def close(self) -> None:
        """Release the store and all that is in it. Calling it again does nothing."""
        if self.is_usable:
            self._claim.take()
            self._claim.end("it was closed")
            self._claim.give_back()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, component: Component, function: str | None, args: Sequence[Any]) -> tuple[Call, Run]:
        self._claim.take()
        call = Call(
            component=component,
            function=function,
            args=args,
            limits=self.limits,
            host=self.host,
            wasi=self.wasi,
            nth=self._executions,
        )
        return call, Run(self.limits, self._budget(), self._account)

    def _budget(self) -> int | None:
        return self._fuel_left if self._shares_fuel else self.limits.fuel

    def _begin(self, run: Run, enter: Callable[[Run], T], wake: Callable[[], None] | None) -> None:
        self._account.begin()
        run.fuel_meter = self.raw.fuel_left
        run.started_at = monotonic()
        run.wake = wake
        if self.limits.timeout_ms == 0:
            run.stop = Stop.TIMEOUT
        self._running.append(run)
        self.engine.workers.run(guest_job(run, self.raw, self.engine.current, enter))

    def _end(self, run: Run) -> None:
        if self._running and not run.finished and not run.abandoned:
            cancel(run, self.engine.interrupt)  # a signal came before the wait, or while that ended the guest
        self._running.clear()
        if run.abandoned:
            # The guest's thread deletes the store when it comes back; without readers it cannot block on output.
            self._release.detach()
            if self._output is not None:
                self._output.close()
            self._claim.end("its guest was blocked in a call at the deadline and had to be given up")
        elif self._shares_fuel and run.fuel_budget is not None:
            self._fuel_left = run.fuel_left
        self._claim.give_back()

    def _conclude(self, call: Call, run: Run) -> None:
        """Judge the run, tell whoever watches, and raise what it ended with."""
        error = judge(run)
        usage = error.usage if isinstance(error, WasmError) else None
        self._record(Finished(call=call, usage=usage or measure(run), error=error))
        if error is not None:
            if isinstance(error, WasmError):
                error.call, error.stdout, error.stderr = call, self.stdout, self.stderr
            raise error

    def _interrupted(self, run: Run) -> None:
        """Measure a run that its caller does not wait for any more: a signal, a cancelled task."""
        if self._running:  # else `prepare` raised, and nothing has run
            self.usage = measure(run)
            self._tally.add(self.usage)

    def _record(self, finished: Finished) -> None:
        self._executions += 1
        self.usage = finished.usage
        self._tally.add(finished.usage)
        if self.engine.on_execution is not None:
            self.engine.on_execution(finished)
