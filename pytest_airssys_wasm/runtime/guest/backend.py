"""Where a store's guests are, and run: on threads of this process, or in another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class Home(Protocol):
    """What a `LimitedStore` delegates to. Used by one thread at a time, but for `stop` and `release`."""

    account: MemoryAccount
    """Stands for the store, where somebody has to tell stores apart."""
    output: CapturedOutput | None
    """What has to be read while the guest runs."""
    running: list[Run]
    """The run that goes on, if one does."""
    release: Callable[[], None]
    """Gives everything back. Holds neither the home nor its store, so that these can be collected."""

    @property
    def get_ready(self) -> Callable[[Operation], None] | None:
        """What takes time before a run that is not the run's, and blocks; `None` where there is no such thing."""

    def prepare(self, operation: Operation, run: Run) -> Job:
        """The job of the guest's thread. It says when it is through with `run.finish`, and raises nothing.

        What is raised here is the caller's: nothing has run.
        """

    def stop(self) -> None:
        """Make guests ask whether they are to end, as one whose `run.stop` is set should. Called again and again."""

    def end(self, run: Run) -> str | None:
        """The run is finished or abandoned. Why nothing can be run here any more, if so."""

    def judge(self, run: Run) -> BaseException | None:
        """The error it ends with, or `None` when it is `ok`."""

    def measure(self, run: Run) -> Usage:
        """What it used."""

    def text(self, name: str) -> bytes:
        """What the guest wrote so far to `stdout` or `stderr`."""


class Homes(Protocol):
    """Where the stores of one engine are, if not in its process. Used from several threads at once."""

    def home(self, store: LimitedStore) -> Home:
        """A home for a new store.

        Raises `InvalidConfiguration` where the store has something that cannot be had there.
        """

    def close(self) -> None:
        """Release what no store uses. Stores that are open go on to work."""
