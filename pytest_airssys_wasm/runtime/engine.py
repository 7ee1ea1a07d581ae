"""WasmEngine: one compiler with one set of settings, and what all its stores share."""

from __future__ import annotations

import weakref
from _thread import get_ident
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.binary.sections import read_module
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.callbacks import Callbacks
from pytest_airssys_wasm.runtime.capi.memory_creator import MemoryCreator
from pytest_airssys_wasm.runtime.capi.stores import EpochCallback, address
from pytest_airssys_wasm.runtime.compile.compiler import Compiler
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration
from pytest_airssys_wasm.runtime.execution.awaiting.loop_waker import LoopBells
from pytest_airssys_wasm.runtime.execution.guest_threads import WorkerPool
from pytest_airssys_wasm.runtime.guest.isolation import Isolation
from pytest_airssys_wasm.runtime.guest.module import CoreModule
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE, Manifest, load_manifest
from pytest_airssys_wasm.runtime.store.arguments import check_component
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.base.usage import Execution
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.budget.memory_account import MemoryAccount
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.backend import Homes
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.executions import Finished
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class WasmEngine:
    """Loads guests and runs them under limits. Safe to share between threads; one per process is enough.

    `cache` keeps compiled guests on disk; `None` compiles anew in each process. `memory_range` are the bytes of
    memory, both ends included, that a manifest beside a component may ask for. `on_execution` is told how each
    execution ended, on the thread that waited for it. `isolation` compiles and runs guests in processes
    of their own, within bounds of time and memory; `None` does it here, and compiles however long that takes.
    """

    def __init__(
        self,
        cache: CompileCache | None = None,
        *,
        memory_range: tuple[int, int] = PLATFORM_RANGE,
        on_execution: Callable[[Finished], None] | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        if isolation is not None and (isinstance(isolation, type) or not isinstance(isolation, Isolation)):
            raise InvalidConfiguration("isolation", isolation, "a ProcessIsolation(), or None")
        self._memory_range = memory_range
        self.cache = cache
        self.on_execution = on_execution
        self.isolation = isolation
        self.current: dict[int, Run] = {}
        """The run that each guest thread is in, by thread identity."""
        self.workers = WorkerPool()
        self.bells = LoopBells()
        self.callbacks = Callbacks()
        self.epoch_callback = EpochCallback(self._is_stopped)
        self._memories = MemoryCreator(self._payer)
        config = new_config()
        self._memories.install(address(config))
        self.raw = wasmtime.Engine(config)
        self.compiler = Compiler(self.raw, cache, isolation)
        self.address = address(self.raw)
        self.bare_linker = wasmtime.Linker(self.raw)
        self.bare_component_linker = wasmtime.component.Linker(self.raw)
        self.homes = None if isolation is None else isolation.homes()
        """Where stores are, if not in this process."""
        self._close = weakref.finalize(self, _close, self.workers, self.homes)

    @property
    def live_memories(self) -> int:
        """How many linear memories exist in all stores of this engine."""
        return self._memories.live

    def load(self, source: str | os.PathLike[str] | bytes, *, manifest: Manifest | None = None) -> Component:
        """Compile a guest: a path to a binary or WAT file, its bytes, or WAT text (which begins with `(`).

        A `Component.toml` beside the file is read too, unless a `manifest` is given. Raises `InvalidComponent` for
        anything that is no valid component or module, `FileNotFoundError` for a missing file,
        `InvalidConfiguration` for a bad manifest; with an isolation, `ResourceLimitExceeded` for what takes the
        compiler too long or too much memory, and `RuntimeDied` where it breaks down.
        """
        if isinstance(source, bytes):
            return self._load(source, "<bytes>", manifest)
        if isinstance(source, str) and source.lstrip().startswith(("(", ";;")):
            return self._load(source.encode(), "<text>", manifest)
        path = Path(source)
        content, digest = self.cache.read(path) if self.cache else (path.read_bytes(), None)
        manifest = manifest or _manifest_beside(path, self._memory_range)
        return self._load(content, path.name, manifest, path, digest)

    def _load(
        self,
        content: bytes,
        name: str,
        manifest: Manifest | None,
        path: Path | None = None,
        digest: str | None = None,
    ) -> Component:
        started = perf_counter()
        kind, binary = self.compiler.to_binary(content, name)
        # Text is translated at each load, which is cheap, and then hashed as the binary it became.
        digest = digest if binary is content else None
        known: dict[str, Any] = {
            "engine": self,
            "name": name,
            "path": path,
            "manifest": manifest,
        }
        shape = read_module(binary) if kind == "module" else None
        raw, was_compiled = self.compiler.compile(kind, binary, digest, name)
        component = WitComponent(raw=raw, **known) if shape is None else CoreModule(shape, raw=raw, **known)
        component.load_ms, component.was_compiled = (perf_counter() - started) * 1_000, was_compiled
        if self.isolation is not None:
            component.binary = binary
        return component

    def revive(self, path: Path, artefact: Path) -> Component:
        """A guest from its binary, and from the file of what an engine of this version has compiled it to.

        Raises `ValueError` for an artefact that is none. It is not examined: it is code that will be run.
        """
        kind, binary = self.compiler.to_binary(path.read_bytes(), path.name)
        known: dict[str, Any] = {"engine": self, "name": path.name, "path": path, "manifest": None}
        raw = self.compiler.map(kind, artefact)
        return CoreModule(read_module(binary), raw=raw, **known) if kind == "module" else WitComponent(raw=raw, **known)

    def execute(
        self,
        component: Component,
        function: str,
        *args: Any,
        limits: ResourceLimits | None = None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
    ) -> Execution:
        """One call in a fresh store: instantiate, call, drop, as one execution with one budget.

        `limits` default to those of the component's manifest; without one they must be given.

        Returns the value and the usage. Raises the `WasmError` that the execution ended with, and what
        `Instance.call` raises for a name or an argument that does not fit.
        """
        check_component(component, self)
        with LimitedStore(self, limits or _limits_of(component), host=host, wasi=wasi) as store:
            return store.execute(component, function, *args)

    async def execute_async(
        self,
        component: Component,
        function: str,
        *args: Any,
        limits: ResourceLimits | None = None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
    ) -> Execution:
        """As `execute`, without blocking the running asyncio event loop.

        Cancelling the task that awaits it ends the guest and releases the store.
        """
        check_component(component, self)
        with LimitedStore(self, limits or _limits_of(component), host=host, wasi=wasi) as store:
            return await store.execute_async(component, function, *args)

    def interrupt(self) -> None:
        """Make every guest of this engine ask whether it is to stop."""
        abi.engine_increment_epoch(self.address)

    def close(self) -> None:
        """End the idle guest threads. Stores that are still open go on to work."""
        self._close()

    def _is_stopped(self) -> bool:
        run = self.current.get(get_ident())
        return run is None or run.is_stopped()

    def _payer(self) -> MemoryAccount | None:
        run = self.current.get(get_ident())
        return None if run is None else run.account


def _manifest_beside(path: Path, memory_range: tuple[int, int]) -> Manifest | None:
    manifest = path.parent / "Component.toml"
    return load_manifest(manifest, memory_range=memory_range) if manifest.is_file() else None


def _limits_of(component: Component) -> ResourceLimits:
    if component.manifest is None:
        raise InvalidConfiguration("limits", NOTHING, "ResourceLimits, or a Component.toml beside it")
    return component.manifest.limits()


def _close(workers: WorkerPool, homes: Homes | None) -> None:
    workers.close()
    if homes is not None:
        homes.close()
