"""The backend of a store whose guests run in this process, each execution on a guest thread."""

from __future__ import annotations

from ctypes import c_char
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_airssys_wasm.runtime.base.originals import get_ident
from pytest_airssys_wasm.runtime.base.values import Ok
from pytest_airssys_wasm.runtime.budget.native_threads import WASI
from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import restore_exception
from pytest_airssys_wasm.runtime.capi.stores import RawStore
from pytest_airssys_wasm.runtime.errors import ResourceLimitExceeded
from pytest_airssys_wasm.runtime.execution.clock import cancel
from pytest_airssys_wasm.runtime.execution.open_files import OpenFiles
from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
from pytest_airssys_wasm.runtime.execution.run import GuestFailed
from pytest_airssys_wasm.runtime.execution.verdict import judge, measure
from pytest_airssys_wasm.runtime.guest import component_calls, direct_instances, module_calls
from pytest_airssys_wasm.runtime.guest.awaited_calls import compile_awaited_call
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.direct_calls import (
    MOST_ARGUMENT_BYTES,
    MOST_COPIED_BYTES,
    compile_component_call,
    compile_lifted_call,
    compile_module_call,
)
from pytest_airssys_wasm.runtime.guest.lookup import is_command, look_up, parked_function, struct_of
from pytest_airssys_wasm.runtime.guest.operations import (
    CallExport,
    DropResource,
    InstanceHandle,
    Instantiate,
    Instantiated,
)
from pytest_airssys_wasm.runtime.guest.parked_calls import compile_parked_call
from pytest_airssys_wasm.runtime.guest.placement import may_run_here, may_use_parked_thread
from pytest_airssys_wasm.runtime.guest.plain_exports import PlainExport, plain_export
from pytest_airssys_wasm.runtime.guest.store_context import StoreContext, wasi_config
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import StoreSettings
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.direct_calls import Call, DirectUse
    from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import Operation, PreparedCall, Runner

T = TypeVar("T")

MOST_INSTANCE_BYTES = 32 * 2**20
"""The maximum number of bytes that the instances of a store may take for globals, functions, tables and similar items,
which no other limit counts.
"""


class InProcessBackend:
    """A wasmtime store with its memory account, its resources and the output of its guests."""

    get_ready = None

    def __init__(self, engine: EngineCore, settings: StoreSettings, runner: Runner) -> None:
        limits, wasi = settings.limits, settings.wasi
        if wasi is not None:
            WASI.need()
        self.output = CapturedOutput(limits.output) if wasi is not None and not wasi.inherit else None
        self.raw = RawStore(
            engine.address,
            memory_bytes=limits.memory,
            table_elements=limits.table_elements,
            instances=limits.instances,
            tables=limits.tables,
            memories=limits.memories,
        )
        self.account = self.raw.run
        self.context = StoreContext(engine, self.raw, settings.host, wasi, runner)
        self.open_files: OpenFiles | None = None
        self.running: list[Run] = []
        self._limits = limits
        self._instance_bytes = 0
        # Holds the engine, which must outlive its stores.
        self.release: Callable[[], None] = partial(_release_store, self.raw, self.output, engine, self.running)
        if wasi is not None:
            try:
                self.raw.set_wasi(wasi_config(wasi, self.output))
            except BaseException:
                self.release()
                raise
            self.open_files = OpenFiles(host for host, _ in wasi.preopen.values()) if wasi.preopen else None

    def prepare(self, operation: Operation, run: Run) -> Job:
        if self.context.wasi is not None:
            WASI.need()  # again: the store may have been made before a fork
        run.is_in_process = True
        enter = self._entry(operation, run)
        run.may_block = self.context.wasi is not None
        run.is_direct = run.loop is None and self._may_run_here(operation, run)
        job = _direct_job if run.is_direct else _guest_job
        return job(run, self.raw, self.context.engine.runs, enter)

    def instantiate_directly(self, component: Component) -> InstanceHandle | Failed | None:
        if self.context.wasi is not None or not direct_instances.may_be_made_here(component, self._limits):
            return None
        if self._instance_bytes + component.instance_bytes > MOST_INSTANCE_BYTES:
            return None  # it will be refused
        made = direct_instances.instantiate(component, self.context.engine, self.raw, self._limits)
        if made is not None:
            self._instance_bytes += component.instance_bytes
        return made

    def direct_call(self, handle: InstanceHandle, name: str, use: DirectUse, general: Call) -> Call | None:
        if self.context.wasi is not None:
            return None
        component, limits = handle.component, self._limits
        function, lifted = look_up(handle, name, self.raw.context)
        if not may_run_here(component, name, limits, limits.fuel, None if lifted is None else lifted.export.copies):
            return self._parked_call(handle, name, use, general) if may_use_parked_thread(limits) else None
        if lifted is not None:
            return compile_lifted_call(name, component.check_call(name, lifted.export.count), lifted, use, general)
        match component:
            case CoreModule():
                found = component.check_call(name, len(component.parameter_types(name)))
                return compile_module_call(name, found, function, use, general)
            case WitComponent() if not component.uses_resources:
                export = component.check_call(name, len(component.parameter_types(name)))
                return compile_component_call(name, export, function, use, general)
        return None

    def plain_export(self, handle: InstanceHandle, name: str, use: DirectUse) -> PlainExport | None:
        component, limits = handle.component, self._limits
        if self.context.wasi is not None or not may_run_here(component, name, limits, limits.fuel):
            return None
        function, _ = look_up(handle, name, self.raw.context)
        return None if function is None else plain_export(name, component, function, use)

    def awaited_call(
        self,
        handle: InstanceHandle,
        name: str,
        use: DirectUse,
        on_this_loop: Callable[[], OnLoop],
        general: Callable[..., Awaitable[Any]],
    ) -> Callable[..., Awaitable[Any]] | None:
        if self.context.wasi is not None or not may_use_parked_thread(self._limits):
            return None
        if name not in handle.functions and handle.lifted.get(name) is None:
            return None
        found = parked_function(handle, name)
        if found is None:
            return None
        engine, function = self.context.engine, struct_of(handle, name)
        return compile_awaited_call(
            name, found, function, engine, self._limits, self.running, use, on_this_loop, general
        )

    def _parked_call(self, handle: InstanceHandle, name: str, use: DirectUse, general: Call) -> Call | None:
        found = parked_function(handle, name)
        if found is None:
            return None
        engine, function = self.context.engine, struct_of(handle, name)
        return compile_parked_call(name, found, function, engine, self._limits, self.running, use, general)

    def stop(self) -> None:
        """Do nothing: the guard interrupts a guest whose run is stopped."""

    def end(self, run: Run) -> str | None:
        if not run.abandoned:
            return None
        # The guest's thread deletes the store when it comes back; without readers it cannot block on output.
        if self.output is not None:
            self.output.close()
        return "its guest was blocked in a call at its deadline and was abandoned"

    def judge(self, run: Run) -> BaseException | None:
        return judge(run)

    def measure(self, run: Run) -> Usage:
        return measure(run)

    def text(self, name: str) -> bytes:
        return b"" if self.output is None else self.output.text(name)

    def _may_run_here(self, operation: Operation, run: Run) -> bool:
        """Return whether the guest of an operation may run on the thread of its caller."""
        return (
            self.context.wasi is None
            and may_run_here(operation.component, operation.function, self._limits, run.fuel_budget, run.copies)
            and run.transfer.moved_bytes <= (MOST_ARGUMENT_BYTES if run.copies is None else MOST_COPIED_BYTES)
            and bool(self.raw.guard.has_stack())
        )

    def _entry(self, operation: Operation, run: Run) -> Callable[[Run], Any]:
        """Return the function that enters guest code. Raises the errors that can be detected before."""
        match operation:
            case CallExport():
                call = _prepare_call(
                    operation.component, operation.function, operation.args, run, self.context, operation.handle
                )
                run.must_return = bool(operation.component.result_types(operation.function))
                return partial(call, operation.handle)
            case Instantiate():
                return self._instantiation(operation, run)
            case DropResource():
                return partial(_drop, self.raw, operation.take())

    def _instantiation(self, operation: Instantiate, run: Run) -> Callable[[Run], Instantiated]:
        component, function, context = operation.component, operation.function, self.context
        if operation.host is not None:
            context.add_host(operation.host)
        linker = _link(component, context)
        self._instance_bytes += component.instance_bytes
        if self._instance_bytes > MOST_INSTANCE_BYTES:
            return partial(_refuse_instance, self._instance_bytes)
        run.must_return = True  # an instance
        if function is None:
            return lambda run: Instantiated(_instantiate(component, linker, context, run))
        call = _prepare_call(component, function, operation.args, run, context)
        run.must_return = bool(component.result_types(function))
        is_reactor = isinstance(component, CoreModule) and component.is_reactor

        def enter(run: Run) -> Instantiated:
            if is_reactor:
                handle = _instantiate(component, linker, context, run)
                return Instantiated(handle, call(handle, run))
            # In one entry: between two, the guest would wait for the GIL.
            handle = InstanceHandle(component, (c_char * 16)())
            return Instantiated(handle, call(handle, run, linker))

        return enter


def _refuse_instance(needed_bytes: int, _run: Run) -> Instantiated:
    raise ResourceLimitExceeded(
        f"the instances of the store would take about {needed_bytes >> 20:,} MiB for globals, functions and tables, "
        f"and may take {MOST_INSTANCE_BYTES >> 20:,} MiB",
        "instances",
    )


def _link(component: Component, context: StoreContext) -> Any:
    match component:
        case WitComponent():
            return component_calls.link(component, context)
        case CoreModule():
            return module_calls.link(component, context)
    raise TypeError(f"{component!r} is neither a component nor a module")


def _instantiate(component: Component, linker: Any, context: StoreContext, run: Run) -> InstanceHandle:
    match component:
        case WitComponent():
            return component_calls.instantiate(component, linker, context, run)
        case CoreModule():
            return module_calls.instantiate(component, linker, context, run)
    raise TypeError(f"{component!r} is neither a component nor a module")


def _prepare_call(
    component: Component,
    function: str,
    args: Sequence[Any],
    run: Run,
    context: StoreContext,
    handle: InstanceHandle | None = None,
) -> PreparedCall:
    match component:
        case WitComponent():
            call = component_calls.prepare(component, function, args, run, context, handle)
            return _as_command(call) if is_command(function) else call
        case CoreModule():
            return module_calls.prepare(component, function, args, run, context)
    raise TypeError(f"{component!r} is neither a component nor a module")


def _as_command(call: PreparedCall) -> PreparedCall:
    """Return the call of a command, which may exit with status 0 instead of returning that it went well."""

    def enter(handle: InstanceHandle, run: Run, linker: Any = None) -> Any:
        try:
            return call(handle, run, linker)
        except GuestFailed as error:
            if error.failure.exit_status != 0:
                raise
        return Ok()

    return enter


def _drop(raw: RawStore, pointer: int, _run: Run) -> None:
    error = raw.guard.resource_drop(raw.address, pointer)
    abi.resource_any_delete(pointer)
    if error:
        raise GuestFailed(failures.take(error))


def _guest_job(run: Run, raw: RawStore, runs: dict[int, Run], enter: Callable[[Run], T]) -> Job:
    """Return the job of the guest's thread, which enters guest code, stores its result, and marks the run as
    finished.
    """

    def job() -> Callable[[], None] | None:
        # The caller judges whatever is raised, and raises it.
        _enter(run, raw, runs, enter, BaseException)
        if not run.finish():
            raw.delete()  # the caller has given up, and left the store to this thread
        return run.wake_loop

    return job


def _direct_job(run: Run, raw: RawStore, runs: dict[int, Run], enter: Callable[[Run], T]) -> Job:
    """Return the job of a guest that runs on the thread of its caller.

    It raises what a signal handler raises, as any code of the caller would.
    """

    def job() -> None:
        try:
            _enter(run, raw, runs, enter, Exception)
        finally:
            run.finish()
        restore_exception(raw.run)

    return job


def _enter(
    run: Run, raw: RawStore, runs: dict[int, Run], enter: Callable[[Run], T], caught: type[BaseException]
) -> None:
    """Enter guest code on this thread, and store in the run what it returns or raises, if that is to be `caught`."""
    identity = get_ident()
    interrupted = runs.get(identity)  # by a signal handler that runs another guest
    runs[identity] = run
    run.thread = identity
    try:
        run.value = enter(run)
    except GuestFailed as error:
        # Its frames hold the run, and so the component: only the collector would free them, at any time.
        run.error = error.with_traceback(None)
    except caught as error:
        run.error = error
    finally:
        # First what no signal handler can come before: Python calls it after calls, and where functions begin.
        if interrupted is None:
            del runs[identity]
        else:
            runs[identity] = interrupted
        run.fuel_left = raw.run.fuel_left
        for handle in run.handles:
            abi.resource_any_delete(handle)


def _nothing() -> None:
    pass


def _release_store(raw: RawStore, output: CapturedOutput | None, _engine: EngineCore, running: list[Run]) -> None:
    """Delete a store that is closed or garbage-collected, or at the end of the process."""
    if running:
        # Only at the end of the process can a guest still run in here, for a thread that will not go on; that
        # thread may be waiting for the output, so it stays open.
        if all(cancel(run, _nothing) for run in running):
            raw.delete()
        return
    raw.delete()
    if output is not None:
        output.close()
