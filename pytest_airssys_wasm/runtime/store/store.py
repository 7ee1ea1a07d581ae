"""LimitedStore: what a guest lives in. One budget, one memory account, one deadline, released whatever happens."""

from __future__ import annotations

import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from pytest_airssys_wasm.runtime.base.usage import Execution, Tally, Usage
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.execution.clock import cancel, keep_time, wait_done
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.guest.executions import Call, Finished
from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
from pytest_airssys_wasm.runtime.guest.operations import Execute, Instantiate
from pytest_airssys_wasm.runtime.store.arguments import check_component, check_parts
from pytest_airssys_wasm.runtime.store.exclusive_use import Claim

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.guest.backend import Home
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


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
        check_parts(limits, host, wasi)
        self.engine = engine
        self.limits = limits
        self.host = host
        self.wasi = wasi
        self.usage: Usage | None = None
        """What the last execution used."""
        self._fuel_left = limits.fuel if fuel_per == "store" else None
        self._shares_fuel = fuel_per == "store"
        self._tally = Tally(limits.fuel if self._shares_fuel else None)
        self._executions = 0
        self._home: Home
        if engine.homes is None:
            self._home = ThreadHome(self)
        else:
            self._home = engine.homes.home(self)
        self._claim = Claim(self._home.account)
        self._on_loop: OnLoop | None = None
        self._release = weakref.finalize(self, self._home.release)

    @property
    def fuel_per(self) -> Literal["execution", "store"]:
        """Whose the fuel budget is."""
        return "store" if self._shares_fuel else "execution"

    def instantiate(self, component: Component) -> Instance:
        """Link and instantiate: one execution. Raises `LinkError` before anything runs, else what it ends with."""
        instance: Instance = self.run(Instantiate(component))
        return instance

    async def instantiate_async(self, component: Component) -> Instance:
        """As `instantiate`, without blocking the running event loop."""
        instance: Instance = await self.run_async(Instantiate(component))
        return instance

    def execute(self, component: Component, function: str, *args: Any) -> Execution:
        """Instantiate and call `function` as one execution, with one budget and one deadline."""
        return self._execution(self.run(Execute(component, function, args)))

    async def execute_async(self, component: Component, function: str, *args: Any) -> Execution:
        """As `execute`, without blocking the running event loop."""
        return self._execution(await self.run_async(Execute(component, function, args)))

    def _execution(self, value: Any) -> Execution:
        assert self.usage is not None
        return Execution(value=value, usage=self.usage, stdout=self.stdout, stderr=self.stderr)

    def run(self, operation: Operation) -> Any:
        """One execution: what can be refused is, on this thread; then it runs elsewhere, under the limits.

        Returns the value, or raises what the execution ended with. What is refused is raised as it is: nothing has
        run then.
        """
        call, run = self._open(operation)
        home = self._home
        wait = wait_done
        try:
            if home.get_ready is not None:
                home.get_ready(operation)
            if home.output is not None:
                run.wake, wait = home.output.wake, home.output.wait
            self._begin(run, home.prepare(operation, run))
            keep_time(run, self.limits.timeout_ms, home.stop, wait)
        except BaseException:
            self._interrupted(run)
            raise
        finally:
            self._end(run)
        self._conclude(call, run)
        return run.value

    async def run_async(self, operation: Operation) -> Any:
        """As `run`, on the running asyncio event loop, which goes on meanwhile. Cancelling it ends the guest."""
        on_loop = self._on_this_loop()
        call, run = self._open(operation)
        self._on_loop = on_loop
        home = self._home
        try:
            if home.get_ready is not None:
                await on_loop.off_the_loop(home.get_ready, operation)
            clock = on_loop.clock(run, home.stop, home.output)
            self._begin(run, home.prepare(operation, run))
            await clock.keep_time(self.limits.timeout_ms)
        except BaseException:
            self._interrupted(run)
            raise
        finally:
            self._end(run)
        self._conclude(call, run)
        return run.value

    @property
    def total(self) -> Usage | None:
        """What all executions so far used: sums, and the highest peak; `max_fuel` only where they share a budget."""
        return self._tally.usage()

    @property
    def stdout(self) -> bytes:
        """What the guest wrote to stdout so far, up to the output limit."""
        return self._home.text("stdout")

    @property
    def stderr(self) -> bytes:
        """What the guest wrote to stderr so far, up to the output limit."""
        return self._home.text("stderr")

    @property
    def is_usable(self) -> bool:
        """Whether the store can run something: not closed, and not given up on."""
        return not self._claim.is_over

    def close(self) -> None:
        """Release the store and all that is in it. Calling it again does nothing."""
        if self.is_usable:
            self._claim.take()
            self._claim.end("it was closed")
            if self._on_loop is not None:
                self._on_loop.close()
            self._on_loop = None
            self._claim.give_back()
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, operation: Operation) -> tuple[Call, Run]:
        check_component(operation.component, self.engine)
        self._claim.take()
        call = Call(
            component=operation.component,
            function=operation.function,
            args=operation.args,
            limits=self.limits,
            host=self.host,
            wasi=self.wasi,
            nth=self._executions,
        )
        return call, Run(self.limits, self._budget(), self._home.account)

    def _on_this_loop(self) -> OnLoop:
        """Where the last execution was awaited, if that was on the loop which is running now."""
        if self._on_loop is not None and self._on_loop.is_running():
            return self._on_loop
        from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import (
            OnLoop,  # loads asyncio, for those who have a loop
        )

        return OnLoop(self.engine.bells)

    def _budget(self) -> int | None:
        return self._fuel_left if self._shares_fuel else self.limits.fuel

    def _begin(self, run: Run, job: Job) -> None:
        run.started_at = monotonic()
        if self.limits.timeout_ms == 0:
            run.stop = Stop.TIMEOUT
        self._home.running.append(run)
        workers = self.engine.workers
        if run.loop is None:
            workers.run(job)
        else:
            workers.run_ahead(job)

    def _end(self, run: Run) -> None:
        running = self._home.running
        if running and not run.finished and not run.abandoned:
            cancel(run, self._home.stop)  # a signal came before the wait, or while that ended the guest
        running.clear()
        over = self._home.end(run)
        if over is not None:
            self._release.detach()
            self._claim.end(over)
        elif self._shares_fuel and run.fuel_budget is not None:
            self._fuel_left = run.fuel_left
        self._claim.give_back()

    def _conclude(self, call: Call, run: Run) -> None:
        """Judge the run, tell whoever watches, and raise what it ended with."""
        error = self._home.judge(run)
        usage = error.usage if isinstance(error, WasmError) else None
        self._record(Finished(call=call, usage=usage or self._home.measure(run), error=error))
        if error is not None:
            if isinstance(error, WasmError):
                error.call, error.stdout, error.stderr = call, self.stdout, self.stderr
            raise error

    def _interrupted(self, run: Run) -> None:
        """Measure a run that its caller does not wait for any more: a signal, a cancelled task."""
        if self._home.running:  # else it was refused, and nothing has run
            self.usage = self._home.measure(run)
            self._tally.add(self.usage)

    def _record(self, finished: Finished) -> None:
        self._executions += 1
        self.usage = finished.usage
        self._tally.add(finished.usage)
        if self.engine.on_execution is not None:
            self.engine.on_execution(finished)
