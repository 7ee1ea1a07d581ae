"""The contract of backends: a store delegates to one, which runs its guests in this process or in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from pytest_airssys_wasm.runtime.compile.compiler import IsolatedCompiler

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.operations import Operation, Runner
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The limits of a store, and the things that its guests are given."""

    limits: ResourceLimits
    host: HostFunctions | None
    wasi: Wasi | None
    fuel_per: Literal["call", "store"]


class Backend(Protocol):
    """Runs the executions of one store. Used by one thread at a time, except for `stop` and `release`."""

    account: MemoryAccount
    """The memory account of the store. It also identifies the store where stores have to be told apart."""
    output: CapturedOutput | None
    """The output that has to be read while the guest runs."""
    running: list[Run]
    """The run that is under way, if there is one."""
    release: Callable[[], None]
    """Releases everything. It holds neither the backend nor its store, so that these can be collected."""

    @property
    def get_ready(self) -> Callable[[Operation], None] | None:
        """The blocking preparation before a run, whose time is not the run's; `None` if there is none."""

    def prepare(self, operation: Operation, run: Run) -> Job:
        """Return the job of the guest's thread, which ends with `run.finish` and raises nothing.

        Raises whatever can be refused before anything has run.
        """

    def stop(self) -> None:
        """Make the guests ask whether they have to end, as one whose `run.stop` is set should. Called repeatedly."""

    def end(self, run: Run) -> str | None:
        """Note that the run is finished or abandoned. Return the reason why nothing can run here any more, if so."""

    def judge(self, run: Run) -> BaseException | None:
        """Return the error that the run ends with, or `None` when it is `ok`."""

    def measure(self, run: Run) -> Usage:
        """Return what the run used."""

    def text(self, name: str) -> bytes:
        """Return what the guest wrote so far to `stdout` or `stderr`."""


class BackendFactory(Protocol):
    """Makes the backends of one engine's stores in other processes. Used from several threads at once."""

    def new_backend(self, settings: StoreSettings, runner: Runner) -> Backend:
        """Make the backend of a new store.

        Raises `InvalidConfiguration` if the store has something that another process cannot have.
        """

    def close(self) -> None:
        """Release everything that no store uses. Stores that are open go on to work."""


@runtime_checkable
class Isolation(IsolatedCompiler, Protocol):
    """Keeps guests out of this process: compiles them, and runs them, in others. Used from several threads at once."""

    def new_backends(self) -> BackendFactory | None:
        """Make the factory of one engine's backends; `None` runs guests in this process."""
