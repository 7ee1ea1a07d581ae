"""The interface of backends.

A store delegates to a backend, which runs its guests in this process or in another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from pytest_airssys_wasm.runtime.compile.compiler import IsolatedCompiler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pytest_airssys_wasm.runtime.base.probes import ProbeFile
    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import OnLoop
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.open_files import OpenFiles
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.direct_calls import DirectUse
    from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Operation, Runner
    from pytest_airssys_wasm.runtime.guest.plain_exports import PlainExport
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class StoreSettings(Struct, frozen=True, kw_only=True):
    """The limits of a store, and the host functions and grants of its guests."""

    limits: ResourceLimits
    host: HostFunctions | None
    wasi: Wasi | None
    fuel_per: Literal["call", "store"]
    probes: ProbeFile | None = None
    """The file in which the probes of the guests are found, if these are instrumented."""


class Backend(Protocol):
    """A backend, which runs the executions of one store.

    It is used by one thread at a time, except for `stop` and `release`.
    """

    account: GuardRun
    """The memory account of the store with the figures of its run, which also identifies the store."""
    output: CapturedOutput | None
    """The captured output, which has to be read while the guest runs; `None` if there is none."""
    open_files: OpenFiles | None
    """The files that guests hold open, which have to be counted while the guest runs; `None` if they cannot open any,
    or another process counts them.
    """
    running: list[Run]
    """A list with the current run; empty if there is none."""
    release: Callable[[], None]
    """The function that releases everything. It references neither the backend nor its store, so that these can be
    garbage-collected.
    """

    @property
    def raw(self) -> RawStore | None:
        """The store of wasmtime; `None` if it is in another process."""

    @property
    def get_ready(self) -> Callable[[Operation], None] | None:
        """The function for blocking preparation before a run, which does not count as time of the run; `None` if there
        is none.
        """

    def prepare(self, operation: Operation, run: Run) -> Job:
        """Return the job of the guest's thread, which ends with `run.finish` and does not raise errors.

        If `run.is_direct` is set, it is a job of the caller's thread, which may raise what a signal handler raises.
        Raises the errors that can be detected before anything has run.
        """

    def instantiate_directly(self, component: Component) -> InstanceHandle | Failed | None:
        """Instantiate a guest at once, without a run; `None` if that is not possible, and nothing has run."""

    def direct_call(
        self, handle: InstanceHandle, name: str, use: DirectUse, general: Callable[..., Any]
    ) -> Callable[..., Any] | None:
        """Return a function that calls an export directly, or `general`; `None` if that is not possible."""

    def plain_export(self, handle: InstanceHandle, name: str, use: DirectUse) -> PlainExport | None:
        """Return an export that the guard can call by itself; `None` if that is not possible."""

    def awaited_call(
        self,
        handle: InstanceHandle,
        name: str,
        use: DirectUse,
        on_this_loop: Callable[[], OnLoop],
        general: Callable[..., Awaitable[Any]],
    ) -> Callable[..., Awaitable[Any]] | None:
        """Return a coroutine function that calls an export faster than `general`; `None` if that is not possible.

        `on_this_loop` returns the part of the store that belongs to the running event loop.
        """

    def stop(self) -> None:
        """Make the guests check `run.stop`. This method is called repeatedly until the guest ends."""

    def end(self, run: Run) -> str | None:
        """Handle the end of a finished or abandoned run.

        Return the reason for which the store cannot be used any more, or `None`.
        """

    def judge(self, run: Run) -> BaseException | None:
        """Return the error with which the run ends, or `None` if its verdict is `ok`."""

    def measure(self, run: Run) -> Usage:
        """Return the usage of the run."""

    def text(self, name: str) -> bytes:
        """Return the bytes that the guest has written so far to `stdout` or `stderr`."""


class BackendFactory(Protocol):
    """The factory of the backends of one engine's stores in other processes. It must be thread-safe."""

    def new_backend(self, settings: StoreSettings, runner: Runner) -> Backend:
        """Create the backend of a new store.

        Raises `InvalidConfiguration` if the store has something that another process cannot have.
        """

    def close(self) -> None:
        """Release everything that is not used by a store. Open stores remain usable."""


@runtime_checkable
class Isolation(IsolatedCompiler, Protocol):
    """The isolation of guests, which compiles and runs them in other processes. It must be thread-safe."""

    def new_backends(self) -> BackendFactory | None:
        """Return the factory of one engine's backends; `None` runs guests in this process."""
