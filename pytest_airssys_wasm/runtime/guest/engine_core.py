"""The part of an engine that its components, stores and backends share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.capi.callbacks import Callbacks
from pytest_airssys_wasm.runtime.capi.stores import Memories, address
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config
from pytest_airssys_wasm.runtime.execution.abandoned_guests import AbandonedGuests
from pytest_airssys_wasm.runtime.execution.guest_threads import GuestThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.base.probes import ProbeFile
    from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopWakers
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import BackendFactory


class EngineCore:
    """The engine of wasmtime with its callbacks, the guest threads, and their current runs."""

    probes: ProbeFile | None = None
    """The file in which the probes of the only guest are found, if that is instrumented."""

    def __init__(self, backends: BackendFactory | None, on_execution: Callable[[Finished], None] | None) -> None:
        self.backends = backends
        """The factory of backends in other processes; `None` runs guests in this process."""
        self.on_execution = on_execution
        self.runs: dict[int, Run] = {}
        """The current run of each guest thread, by thread identifier."""
        self.guest_threads = GuestThreads()
        self.abandoned_guests = AbandonedGuests()
        self.callbacks = Callbacks()
        config = new_config()
        self._memories = Memories(address(config), self.probes)
        self.raw = wasmtime.Engine(config)
        """The engine as an object of wasmtime."""
        self.address = address(self.raw)
        """The C address of wasmtime's engine."""
        self.bare_linker = wasmtime.Linker(self.raw)
        """The linker of modules without imports."""
        self.bare_component_linker = wasmtime.component.Linker(self.raw)
        """The linker of components without imports."""
        self.wasi_linker: wasmtime.Linker | None = None
        """The linker of modules that import nothing but WASI; `None` as long as there are none."""
        self.wasi_component_linker: wasmtime.component.Linker | None = None
        """The linker of components that import nothing but WASI; `None` as long as there are none."""

    @cached_property
    def wakers(self) -> LoopWakers:
        """The wakers of the event loops on which the stores of this engine are awaited."""
        # Loads asyncio, for those who have a loop.
        from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import loop_wakers

        return loop_wakers()

    @property
    def live_memories(self) -> int:
        """The number of linear memories in all stores of this engine."""
        return self._memories.live
