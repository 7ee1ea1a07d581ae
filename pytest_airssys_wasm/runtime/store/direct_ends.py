"""The ends of direct instantiations, calls and executions, of which those need a run that have failed, or that another
process has told.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard import READ_FIGURES, has_raised, restore_exception
from pytest_airssys_wasm.runtime.execution.run import Run, Stop, failed_run
from pytest_airssys_wasm.runtime.guest.direct_calls import DirectUse
from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
from pytest_airssys_wasm.runtime.guest.operations import CallExport, Instantiate, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun
    from pytest_airssys_wasm.runtime.guest.backend import Backend
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Operation
    from pytest_airssys_wasm.runtime.store.exclusive_use import ExclusiveUse
    from pytest_airssys_wasm.runtime.store.ledger import Ledger


class DirectEnds(Struct, frozen=True):
    """The part of a store that ends direct calls. A store makes it when it is needed, so that it can be freed."""

    _engine: EngineCore
    _limits: ResourceLimits
    _backend: Backend
    _use: ExclusiveUse
    _ledger: Ledger
    _end: Callable[[Operation, Run], None]
    _conclude: Callable[[Operation, Run], None]

    def use_of(self, handle: InstanceHandle) -> DirectUse:
        """Return the store as direct calls of an instance see it."""
        engine = self._engine
        return DirectUse(
            raw=self._backend.raw,
            claims=self._use.claims,
            is_watched=lambda: engine.on_execution is not None,
            note=self._ledger.note,
            fail=partial(self.call_failed, handle),
            finish=partial(self.call_finished, handle),
            ended=partial(self.call_ended, handle),
            interrupted=partial(self.call_interrupted, handle),
            transfer_bytes=self._limits.transfer,
        )

    def instantiated(self, component: Component) -> Callable[[], Any] | None:
        """Instantiate a guest directly, and return the function that returns its handle or raises the verdict; `None`
        if that is not possible, and nothing has run.
        """
        made = self._backend.instantiate_directly(component)
        if isinstance(made, Failed):
            return self.failed(Instantiate(component), made.account, made.error, 0, 0)
        if made is None:
            return None
        self._ledger.note((READ_FIGURES(self._backend.account), 0, 0))
        return lambda: made

    def conclude_execution(
        self, component: Component, function: str, args: tuple[Any, ...], failed: Failed
    ) -> NoReturn:
        """Raise the verdict of a direct execution, or what a signal handler has raised."""
        operation = Instantiate(component, function, args)
        self.failed(operation, failed.account, failed.error, failed.transfer_bytes, failed.after_ns)()
        raise AssertionError(f"{name_of(operation)} has not failed")

    def call_failed(
        self, handle: InstanceHandle, name: str, args: tuple[Any, ...], *failure: Any
    ) -> Callable[[], object]:
        """Make the run of a call that has failed, and return the function that raises its verdict."""
        return self.failed(CallExport(handle, name, args), self._backend.account, *failure)

    def failed(
        self, operation: Operation, account: GuardRun, error: BaseException | None, moved_bytes: int, after_ns: int
    ) -> Callable[[], object]:
        """Make the run of an operation that has failed, and return the function that raises its verdict.

        Raises what a signal handler has raised.
        """
        run = failed_run(self._limits, account, error, moved_bytes=moved_bytes, after_ns=after_ns)
        run.must_return = operation.function is not None and bool(operation.component.result_types(operation.function))
        if has_raised(account):
            self._ledger.add(self._backend.measure(run))
            restore_exception(account)
        return partial(self._conclude, operation, run)

    def call_finished(
        self,
        handle: InstanceHandle,
        name: str,
        args: tuple[Any, ...],
        began_at: float,
        settle: Callable[[Operation, Run], object],
    ) -> Callable[[], Any]:
        """Make the run of a call that another process has made, and return the function that concludes it.

        Raises the exceptions of `settle`, which have nothing to do with the guest.
        """
        operation, run = CallExport(handle, name, args), Run(self._limits, self._limits.fuel, self._backend.account)
        run.started_at = began_at
        try:
            settle(operation, run)
        except BaseException:
            run.stop = Stop.CANCELLED
            self._ledger.add(self._backend.measure(run))
            raise
        finally:
            run.finish()
            self._end(operation, run)
        return partial(self._concluded, operation, run)

    def call_ended(self, handle: InstanceHandle, name: str, args: tuple[Any, ...], run: Run) -> Callable[[], Any]:
        """Return the function that concludes a call that has failed, or whose guest is abandoned."""
        operation = CallExport(handle, name, args)
        self._end(operation, run)
        return partial(self._concluded, operation, run)

    def call_interrupted(self, handle: InstanceHandle, name: str, args: tuple[Any, ...], run: Run) -> None:
        """Measure a call whose caller no longer waits, because a signal handler has raised."""
        self._ledger.add(self._backend.measure(run))
        self._end(CallExport(handle, name, args), run)

    def _concluded(self, operation: Operation, run: Run) -> Any:
        self._conclude(operation, run)
        return run.value
