"""The class `LimitedStore`, in which guests share one memory account, and each execution has a budget and a
deadline.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Finished
from pytest_airssys_wasm.runtime.base.usage import Execution, Usage
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded, UnfitHost, WasmError, outcome_of
from pytest_airssys_wasm.runtime.execution.clock import cancel, keep_time, wait_done
from pytest_airssys_wasm.runtime.execution.run import Run, Stop
from pytest_airssys_wasm.runtime.guest.backend import StoreSettings
from pytest_airssys_wasm.runtime.guest.component import check_name
from pytest_airssys_wasm.runtime.guest.in_process import InProcessBackend
from pytest_airssys_wasm.runtime.guest.instance import Instance
from pytest_airssys_wasm.runtime.guest.operations import Instantiate, name_of
from pytest_airssys_wasm.runtime.store.arguments import check_component, check_fuel_scope, check_parts
from pytest_airssys_wasm.runtime.store.direct_ends import DirectEnds
from pytest_airssys_wasm.runtime.store.exclusive_use import ExclusiveUse, end_and_release
from pytest_airssys_wasm.runtime.store.last_failure import LastFailure
from pytest_airssys_wasm.runtime.store.ledger import Ledger
from pytest_airssys_wasm.runtime.store.repetition import call_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.base.outcome import Call
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.guest.backend import Backend
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Instantiated, Operation
    from pytest_airssys_wasm.runtime.guest.plain_exports import PlainExport
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class LimitedStore:
    """A wasmtime store under `limits`.

    As a context manager (`with` or `async with`) the store is closed at the end of the block, which releases everything
    in it. `host` serves the imports of the guests, and `wasi` grants them access to the machine. By default there are
    no host functions, and WASI is not linked. With `fuel_per="store"` all executions share one fuel budget; with
    `"call"` each instantiation and each call of an export has its own.

    Only one thread at a time may use a store, and a host function may not call into the store that is calling it;
    otherwise `StoreUnusable` is raised.

    Raises `ResourceLimitExceeded` with the resource `abandoned-guests`, as every execution does, while abandoned guests
    hold too much.
    """

    def __init__(
        self,
        engine: EngineCore,
        limits: ResourceLimits,
        *,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
        fuel_per: Literal["call", "store"] = "call",
    ) -> None:
        check_parts(limits, host, wasi)
        check_fuel_scope(fuel_per)
        engine.abandoned_guests.check()
        self.engine = engine
        """The `WasmEngine` whose components the store runs."""
        self.limits = limits
        """The limits of the store and of each execution in it."""
        self.host = host
        """The host functions that serve the imports of guests."""
        self.wasi = wasi
        """The WASI grants of guests; `None` if WASI is not linked."""
        self.fuel_per = fuel_per
        """The scope of the fuel budget: `call` for each instantiation and each call of an export, or `store` for all
        executions together.
        """
        self._fuel_left = limits.fuel if fuel_per == "store" else None
        self._ledger = Ledger(limits, is_shared=fuel_per == "store")
        self._is_rerun = False
        self._last_failure = LastFailure()
        settings = StoreSettings(limits=limits, host=host, wasi=wasi, fuel_per=fuel_per, probes=engine.probes)
        self._backend: Backend
        if engine.backends is None:
            self._backend = InProcessBackend(engine, settings, self)
        else:
            self._backend = engine.backends.new_backend(settings, self)
        self._use = ExclusiveUse(self._backend.account)
        self._on_loop: OnLoop | None = None
        self._release = weakref.finalize(self, end_and_release, self._use, self._backend.release, self._backend.running)

    def instantiate(self, component: Component) -> Instance:
        """Link and instantiate a component as one execution.

        Raises `LinkError` before anything runs, or the `WasmError` with which the execution ended.
        """
        made = self._instantiate_directly(component) or self.run(Instantiate(component)).handle
        return Instance(self, made)

    async def instantiate_async(self, component: Component) -> Instance:
        """Link and instantiate a component without blocking the running event loop; otherwise the same as
        `instantiate`.
        """
        return Instance(self, (await self.run_async(Instantiate(component))).handle)

    def execute(self, component: Component, function: str, *args: Any) -> Execution:
        """Instantiate a component and call an export as one execution, with one budget and one deadline."""
        check_name(function)
        return self._execution(self.run(Instantiate(component, function, args)))

    async def execute_async(self, component: Component, function: str, *args: Any) -> Execution:
        """Instantiate and call without blocking the running event loop; otherwise the same as `execute`."""
        check_name(function)
        return self._execution(await self.run_async(Instantiate(component, function, args)))

    def _execution(self, made: Instantiated | None) -> Execution:
        usage = self.usage
        assert usage is not None
        # A guest that exits with status 0 where no result is due has done well.
        value = None if made is None else made.value
        return Execution(value=value, usage=usage, stdout=self.stdout, stderr=self.stderr)

    def run(self, operation: Operation) -> Any:
        """Run an operation as one execution under the limits, and return its result.

        Errors that can be detected before anything has run are raised on the calling thread. Otherwise raises the error
        with which the execution ended.
        """
        claims = self._use.claims
        try:
            run = self._open(operation)
            try:
                self._run(operation, run)
            except BaseException as error:
                self._interrupted(operation, run, error)
                raise
            finally:
                self._end(operation, run)
        finally:
            if operation in claims:
                claims.remove(operation)
        self._conclude(operation, run)
        return run.value

    def _run(self, operation: Operation, run: Run) -> None:
        """Run an operation to its end. Raises what has nothing to do with the guest."""
        backend = self._backend
        wait: Callable[[Run, float | None], bool] = wait_done
        if backend.get_ready is not None:
            backend.get_ready(operation)
        if backend.output is not None:
            run.wake, wait = backend.output.wake, backend.output.wait
        if backend.open_files is not None:
            wait = backend.open_files.watched(wait)
        job = backend.prepare(operation, run)
        if run.is_direct:
            backend.running.append(run)
            job()
        else:
            self._begin(run, job)
            keep_time(run, self.limits.timeout_ms, backend.stop, wait)

    async def run_async(self, operation: Operation) -> Any:
        """Run an operation without blocking the running asyncio event loop; otherwise the same as `run`.

        Cancelling the awaiting task ends the guest.
        """
        on_loop = self._on_this_loop()
        claims = self._use.claims
        try:
            run = self._open(operation)
            self._on_loop = on_loop
            backend = self._backend
            try:
                if backend.get_ready is not None:
                    await on_loop.off_the_loop(backend.get_ready, operation)
                clock = on_loop.clock(run, backend.stop, backend.output, backend.open_files)
                self._begin(run, backend.prepare(operation, run))
                await clock.keep_time(self.limits.timeout_ms)
            except BaseException as error:
                self._interrupted(operation, run, error)
                raise
            finally:
                self._end(operation, run)
        finally:
            if operation in claims:
                claims.remove(operation)
        self._conclude(operation, run)
        return run.value

    @property
    def usage(self) -> Usage | None:
        """The usage of the last execution; `None` before the first."""
        return self._ledger.last

    @property
    def total(self) -> Usage | None:
        """The total usage of all executions so far: sums, and the highest peak memory.

        `max_fuel` is set only if the executions share a budget.
        """
        return self._ledger.total

    @property
    def stdout(self) -> bytes:
        """The bytes that guests have written to stdout so far, up to the output limit."""
        return self._backend.text("stdout")

    @property
    def stderr(self) -> bytes:
        """The bytes that guests have written to stderr so far, up to the output limit."""
        return self._backend.text("stderr")

    @property
    def is_usable(self) -> bool:
        """Whether the store can be used for further executions. It cannot after it was closed or abandoned."""
        return not self._use.is_over

    def as_rerun(self) -> Self:
        """Leave the executions of this store out of what the engine's `on_execution` is told, and return the store."""
        self._is_rerun = True
        return self

    def close(self) -> None:
        """Release the store and everything in it. Further calls do nothing."""
        if self.is_usable:
            claim, claims = object(), self._use.claims
            try:
                self._use.take(claim)
                self._use.end("it was closed")
                self._on_loop = None
            finally:
                if claim in claims:
                    claims.remove(claim)
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self.is_usable else "not usable any more"
        return f"<store under {self.limits!r}, {state}>"

    def direct_call(self, handle: InstanceHandle, name: str, general: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return a function that calls an export with as little as possible around it, `general` if only that can;
        `None` if that cannot be told now.

        The function calls `general` where it cannot do the same.
        """
        if self.fuel_per == "store":
            return general
        if self.engine.on_execution is not None or name not in handle.component.function_names():
            return None
        use = self.direct_ends().use_of(handle)
        return self._use.if_free(lambda: self._backend.direct_call(handle, name, use, general) or general)

    def awaited_call(
        self, handle: InstanceHandle, name: str, general: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]] | None:
        """Return a coroutine function that calls an export with as little as possible around it; `None` if there is
        none.

        The export must have been called before. The function calls `general` where it cannot do the same.
        """
        if self.fuel_per == "store" or not self.is_usable:
            return None
        use = self.direct_ends().use_of(handle)
        return self._backend.awaited_call(handle, name, use, self._on_this_loop, general)

    def plain_export(self, handle: InstanceHandle, name: str) -> PlainExport | None:
        """Return an export that takes and returns only numbers and bools, as the guard calls it by itself; `None` if
        that is not possible.

        Such a call does not claim the store: the caller ensures that nothing else uses it meanwhile. Calls that return
        are not part of `usage` and `total`.
        """
        if self.fuel_per == "store":
            return None
        use = self.direct_ends().use_of(handle)
        return self._use.if_free(lambda: self._backend.plain_export(handle, name, use))

    def _instantiate_directly(self, component: Component) -> InstanceHandle | None:
        """Instantiate a guest that needs nothing but itself, with as little as possible around it; `None` if that is
        not possible.

        Raises what the instantiation raises.
        """
        check_component(component, self.engine)
        if self.fuel_per == "store" or (self.engine.on_execution is not None and not self._is_rerun):
            return None
        self.engine.abandoned_guests.check()
        made = self._use.if_free(partial(self.direct_ends().instantiated, component))
        return None if made is None else made()

    def direct_ends(self) -> DirectEnds:
        """Return the part of the store that ends direct executions."""
        return DirectEnds(self.engine, self.limits, self._backend, self._use, self._ledger, self._end, self._conclude)

    def _open(self, operation: Operation) -> Run:
        check_component(operation.component, self.engine)
        self.engine.abandoned_guests.check()
        self._use.take(operation)
        return Run(self.limits, self._budget(), self._backend.account)

    def _on_this_loop(self) -> OnLoop:
        """Return the part of the store that belongs to the running event loop."""
        if self._on_loop is not None and self._on_loop.is_running():
            return self._on_loop
        # Loads asyncio, for those who have a loop.
        with naming_lacks():
            from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop

        return OnLoop(self.engine.wakers)

    def _budget(self) -> int | None:
        return self._fuel_left if self.fuel_per == "store" else self.limits.fuel

    def _begin(self, run: Run, job: Job) -> None:
        run.started_at = monotonic()
        if self.limits.timeout_ms == 0:
            run.stop = Stop.TIMEOUT
        run.is_waiting = True
        self._backend.running.append(run)
        threads, abandoned_guests = self.engine.guest_threads, self.engine.abandoned_guests

        def job_to_its_end() -> Callable[[], None] | None:
            if not run.begin():
                return None
            farewell = job()
            if run.abandoned:
                abandoned_guests.remove(run)
            return farewell

        try:
            if run.loop is None:
                threads.run(job_to_its_end)
            else:
                threads.run_ahead(job_to_its_end)
        except UnfitHost:
            self._backend.running.clear()  # no thread could be started, so nothing runs
            raise

    def _end(self, operation: Operation, run: Run) -> None:
        running = self._backend.running
        if run.is_direct and not run.finished:
            run.finish()  # a signal came as it was about to: the guest has returned
        if running and not run.finished and not run.abandoned:
            cancel(run, self._backend.stop)  # a signal came before the wait, or while that ended the guest
        running.clear()
        over = self._backend.end(run)
        if run.abandoned:
            has_folders = self.wasi is not None and bool(self.wasi.preopen)
            self.engine.abandoned_guests.add(run, name_of(operation), has_folders=has_folders)
        if over is not None:
            self._release.detach()
            self._use.end(over)
        elif self.fuel_per == "store" and run.fuel_budget is not None and run.fuel_left is not None:
            self._fuel_left = run.fuel_left  # of a run that was refused there is none
        if not run.abandoned:
            run.settle()

    def _conclude(self, operation: Operation, run: Run) -> None:
        """Determine the verdict of the run, notify the `on_execution` of the engine, and raise the error with which the
        run ended.
        """
        error = self._backend.judge(run)
        known = error.usage if isinstance(error, WasmError) else None
        usage, nth = known or self._backend.measure(run), self._ledger.executions
        self._ledger.add(usage)
        watch = None if self._is_rerun else self.engine.on_execution
        if error is not None or watch is not None:
            call = self._call(operation, nth)
            if isinstance(error, WasmError):
                error.call, error.stdout, error.stderr = call, self.stdout, self.stderr
        if error is not None:
            self._last_failure.note(error, call)
        if watch is not None:
            watch(Finished(call=call, outcome=outcome_of(error, usage)))
        if error is not None:
            raise error

    def _call(self, operation: Operation, nth: int) -> Call:
        return call_of(operation, self.engine, self.limits, self.host, self.wasi, nth, self._ledger)

    def _interrupted(self, operation: Operation, run: Run, error: BaseException) -> None:
        """Measure a run whose caller no longer waits, or add the call to the error that refuses its arguments."""
        if self._backend.running:  # after a signal, or in a cancelled task
            self._ledger.add(self._backend.measure(run))
        elif isinstance(error, ResourceLimitExceeded) and error.resource == "host-transfer":
            error.call = self._call(operation, self._ledger.executions)
