"""The home of a store whose guests run in this process, each execution on a guest thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
from pytest_airssys_wasm.runtime.capi.stores import RawStore
from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
from pytest_airssys_wasm.runtime.execution.verdict import judge, measure
from pytest_airssys_wasm.runtime.guest.guest_job import guest_job, release_store
from pytest_airssys_wasm.runtime.guest.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.execution.guest_threads import Job
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class ThreadHome:
    """A wasmtime store with its memory account, its resources and the output of its guests."""

    get_ready = None

    def __init__(self, store: LimitedStore) -> None:
        limits, wasi, engine = store.limits, store.wasi, store.engine
        self.store = store
        self.engine = engine
        self.host = store.host
        self.wasi = wasi
        self.account = MemoryAccount(limits.memory)
        self.resources = Resources(self)
        self.output = CapturedOutput(limits.output) if wasi is not None and not wasi.inherit else None
        self.raw = RawStore(
            engine.address,
            engine.epoch_callback,
            table_elements=limits.table_elements,
            instances=limits.instances,
            tables=limits.tables,
            memories=limits.memories,
        )
        self.running: list[Run] = []
        self.stop = engine.interrupt
        # Holds the engine, which must outlive its stores.
        self.release: Callable[[], None] = partial(release_store, self.raw, self.output, engine, self.running)
        if wasi is not None:
            self.raw.set_wasi(wasi.configure(self.output))

    def prepare(self, operation: Operation, run: Run) -> Job:
        enter = operation.prepare(run, self)
        self.account.begin()
        run.fuel_meter = self.raw.fuel_left
        return guest_job(run, self.raw, self.engine.current, enter)

    def end(self, run: Run) -> str | None:
        if not run.abandoned:
            return None
        # The guest's thread deletes the store when it comes back; without readers it cannot block on output.
        if self.output is not None:
            self.output.close()
        return "its guest was blocked in a call at the deadline and had to be given up"

    def judge(self, run: Run) -> BaseException | None:
        return judge(run)

    def measure(self, run: Run) -> Usage:
        return measure(run)

    def text(self, name: str) -> bytes:
        return b"" if self.output is None else self.output.text(name)
