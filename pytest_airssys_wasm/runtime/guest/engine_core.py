"""The part of an engine that its components, stores and backends share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.base.originals import get_ident
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.callbacks import Callbacks
from pytest_airssys_wasm.runtime.capi.memory_creator import MemoryCreator
from pytest_airssys_wasm.runtime.capi.stores import EpochCallback, address
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config
from pytest_airssys_wasm.runtime.execution.abandoned_guests import AbandonedGuests
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
from pytest_airssys_wasm.runtime.execution.guest_threads import GuestThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import BackendFactory


class EngineCore:
    """The engine of wasmtime with its callbacks, the guest threads, and their current runs."""

    def __init__(self, backends: BackendFactory | None, on_execution: Callable[[Finished], None] | None) -> None:
        self.backends = backends
        """The factory of backends in other processes; `None` runs guests in this process."""
        self.on_execution = on_execution
        self.runs: dict[int, Run] = {}
        """The current run of each guest thread, by thread identifier."""
        self.guest_threads = GuestThreads()
        self.abandoned_guests = AbandonedGuests()
        self.wakers = LoopWakers()
        self.callbacks = Callbacks()
        self.epoch_callback = EpochCallback(self._is_stopped)
        self._memories = MemoryCreator(self._payer)
        config = new_config()
        self._memories.install(address(config))
        self.raw = wasmtime.Engine(config)
        """The engine as an object of wasmtime."""
        self.address = address(self.raw)
        """The C address of wasmtime's engine."""
        self.bare_linker = wasmtime.Linker(self.raw)
        """The linker of modules without imports."""
        self.bare_component_linker = wasmtime.component.Linker(self.raw)
        """The linker of components without imports."""

    @property
    def live_memories(self) -> int:
        """The number of linear memories in all stores of this engine."""
        return self._memories.live

    def interrupt(self) -> None:
        """Make every guest of this engine check whether it has to stop."""
        abi.engine_increment_epoch(self.address)

    def _is_stopped(self) -> bool:
        run = self.runs.get(get_ident())
        return run is None or run.is_stopped()

    def _payer(self) -> MemoryAccount | None:
        run = self.runs.get(get_ident())
        return None if run is None else run.account
