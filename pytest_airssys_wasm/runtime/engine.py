"""The class `WasmEngine`, a facade that loads guests, and runs single calls under limits."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, UnfitFile, read_regular
from pytest_airssys_wasm.runtime.binary.facts import GuestFacts, read_facts
from pytest_airssys_wasm.runtime.binary.formats import is_text
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi.abi import WASMTIME_VERSION
from pytest_airssys_wasm.runtime.compile.compiler import Compiler
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidComponent, InvalidConfiguration
from pytest_airssys_wasm.runtime.guest.backend import Isolation
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.direct_executions import compile_execution
from pytest_airssys_wasm.runtime.guest.direct_failure import Failed
from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE, load_manifest
from pytest_airssys_wasm.runtime.store.arguments import check_component
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from pytest_airssys_wasm.runtime.base.outcome import Finished
    from pytest_airssys_wasm.runtime.base.probes import ProbeFile
    from pytest_airssys_wasm.runtime.base.usage import Execution
    from pytest_airssys_wasm.runtime.binary.formats import Kind
    from pytest_airssys_wasm.runtime.compile.artefacts import CompiledGuest
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache
    from pytest_airssys_wasm.runtime.execution.guest_threads import GuestThreads
    from pytest_airssys_wasm.runtime.guest.backend import BackendFactory
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class WasmEngine(EngineCore):
    """An engine, which loads guests and runs them under limits. It can be shared between threads; one engine per
    process is enough.

    `cache` stores compiled guests on disk; with `None` each process compiles its guests. `memory_range` is the minimum
    and the maximum memory limit, in bytes, that a manifest beside a component may declare. `on_execution` is called
    with a `Finished` for each execution, on the thread that waited for the execution. `isolation` compiles and runs
    guests in separate processes, with limits on time and memory; with `None` guests are compiled and run in this
    process, and the time and memory of compilation are not limited.

    As a context manager (`with` or `async with`) the engine is closed at the end of the block.
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
        super().__init__(None if isolation is None else isolation.new_backends(), on_execution)
        self._memory_range = memory_range
        self.cache = cache
        self.isolation = isolation
        self.compiler = Compiler(self.raw, cache, isolation)
        self._close = weakref.finalize(self, _close, self.guest_threads, self.backends)

    def load(self, source: str | os.PathLike[str] | bytes, *, manifest: Manifest | None = None) -> Component:
        """Compile a guest, given as a path to a binary or WAT file, as bytes, or as WAT text (which begins with `(`).

        A `Component.toml` beside the file is read too, unless a `manifest` is given. Raises `InvalidComponent` for
        anything that is not a valid component or module, or not a regular file of at most 256 MiB, `FileNotFoundError`
        for a missing file, `InvalidConfiguration` for a wrong manifest, and `ResourceLimitExceeded` for a component
        whose nested instances multiply too much; with an isolation also `ResourceLimitExceeded` for a guest whose
        compilation takes too much time or memory, and `RuntimeDied` if the compiler fails.
        """
        if isinstance(source, bytes):
            return self._load(source, "<bytes>", manifest)[0]
        if isinstance(source, str) and is_text(source):
            return self._load(source.encode(), "<text>", manifest)[0]
        return self._load_file(Path(source), manifest)

    async def load_async(
        self, source: str | os.PathLike[str] | bytes, *, manifest: Manifest | None = None
    ) -> Component:
        """Compile a guest without blocking the running asyncio event loop; otherwise the same as `load`.

        Cancelling the awaiting task does not end the compilation, which continues until it is finished or reaches its
        limits.
        """
        from pytest_airssys_wasm.runtime.execution.awaiting.event_loop import off_the_loop

        return await off_the_loop(self.load, source, manifest=manifest)

    def _load_file(self, path: Path, manifest: Manifest | None) -> Component:
        started = monotonic()
        cache = self.cache
        if cache is not None and self.isolation is None:  # with an isolation, the worker processes need the binary
            facts = cache.facts(path, WASMTIME_VERSION)
            recalled = None if facts is None else self.compiler.recall(facts)
            if facts is not None and recalled is not None:
                manifest = manifest or _manifest_beside(path, self._memory_range)
                component = self._new(recalled, facts, path.name, path, manifest)
                component.loaded_by = self
                component.load_ms, component.was_compiled = (monotonic() - started) * 1_000, False
                return component
        signature = facts = None
        try:
            if cache is None:
                content = read_regular(path, GUEST_BYTES)
            else:
                content, signature, facts = cache.read(path, WASMTIME_VERSION)
        except UnfitFile as error:
            raise InvalidComponent(f"{path}: {error.strerror}") from None
        manifest = manifest or _manifest_beside(path, self._memory_range)
        component, facts = self._load(content, path.name, manifest, path, facts)
        if cache is not None:
            cache.remember(path, signature, facts, WASMTIME_VERSION)
        return component

    def _load(
        self,
        content: bytes,
        name: str,
        manifest: Manifest | None,
        path: Path | None = None,
        known: GuestFacts | None = None,
    ) -> tuple[Component, GuestFacts]:
        started = monotonic()
        kind, binary = self.compiler.to_binary(content, name)
        facts = known or read_facts(kind, binary, name)
        compiled, was_compiled = self.compiler.compile(binary, facts, name)
        component = self._new(compiled, facts, name, path, manifest)
        component.loaded_by = self
        component.load_ms, component.was_compiled = (monotonic() - started) * 1_000, was_compiled
        if self.isolation is not None or path is None:
            component.binary = binary
        return component, facts

    def _new(
        self, compiled: CompiledGuest, facts: GuestFacts, name: str, path: Path | None, manifest: Manifest | None
    ) -> Component:
        known: dict[str, Any] = {"engine": self.raw, "raw": compiled.raw, "name": name, "path": path}
        known["manifest"] = manifest
        component = WitComponent(**known) if facts.shape is None else CoreModule(facts.shape, **known)
        component.image = compiled.image
        component.digest = facts.digest
        component.instance_bytes = facts.instance_bytes
        component.is_soon_interrupted = facts.is_soon_interrupted
        return component

    def revive(self, path: Path, artefact: Path) -> Component:
        """Return a guest from its binary and from the artefact to which an engine of this version has compiled it.

        Raises `ValueError` for a file that is not an artefact. The content of the artefact is trusted: it is machine
        code that will be run.
        """
        kind, binary = self.compiler.to_binary(path.read_bytes(), path.name)
        facts = read_facts(kind, binary, path.name)
        return self._new(self.compiler.map(kind, artefact), facts, path.name, path, None)

    def to_binary(self, source: bytes, name: str) -> tuple[Kind, bytes]:
        """Return the kind of a guest and its binary, translated from WebAssembly text if necessary.

        Raises the errors of `load`.
        """
        return self.compiler.to_binary(source, name)

    def execute(
        self,
        component: Component,
        function: str,
        *args: Any,
        limits: ResourceLimits | None = None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
    ) -> Execution:
        """Instantiate a component in a fresh store and call an export, as one execution with one budget.

        `limits` default to those of the component's manifest; without one they must be given.

        Returns the value, the usage and the output. Raises the `WasmError` with which the execution ended, and the
        errors of `Instance.call` for a wrong name or argument.
        """
        check_component(component, self)
        limits = limits or _limits_of(component)
        if host is None and wasi is None and self.on_execution is None and self.backends is None:
            done = self._execute_directly(component, function, args, limits)
            if done is not None:
                return done
        with LimitedStore(self, limits, host=host, wasi=wasi) as store:
            return store.execute(component, function, *args)

    def _execute_directly(
        self, component: Component, function: str, args: tuple[Any, ...], limits: ResourceLimits
    ) -> Execution | None:
        """Run a guest that needs nothing but itself; `None` if it has to run in a `LimitedStore`."""
        if type(function) is not str or sys.is_finalizing():  # then the general way tells why it cannot be run
            return None
        known = component.direct_executions
        prepared = known.get((function, id(limits)))
        if prepared is None or prepared[0] is not limits:
            if not isinstance(limits, ResourceLimits) or function not in component.function_names():
                return None
            if len(known) >= _MOST_PREPARED:
                known.clear()
            prepared = known[function, id(limits)] = (limits, compile_execution(self, component, function, limits))
        execute = prepared[1]
        if execute is None:
            return None
        self.abandoned_guests.check()
        done: Execution | Failed | None = execute(args)
        if isinstance(done, Failed):
            with LimitedStore(self, limits) as store:
                store.direct_ends().conclude_execution(component, function, args, done)
        return done

    async def execute_async(
        self,
        component: Component,
        function: str,
        *args: Any,
        limits: ResourceLimits | None = None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
    ) -> Execution:
        """Instantiate and call without blocking the running asyncio event loop; otherwise the same as `execute`.

        Cancelling the awaiting task ends the guest and releases the store.
        """
        check_component(component, self)
        with LimitedStore(self, limits or _limits_of(component), host=host, wasi=wasi) as store:
            return await store.execute_async(component, function, *args)

    def close(self) -> None:
        """End the idle guest threads. Stores that are still open remain usable."""
        self._close()

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
        cache = "no cache" if self.cache is None else f"cache {self.cache!r}"
        isolation = "" if self.isolation is None else f", {self.isolation!r}"
        return f"<engine with {cache}{isolation}>"


class ProbedEngine(WasmEngine):
    """An engine for one instrumented guest, whose probes write to a file."""

    def __init__(
        self, probes: ProbeFile, cache: CompileCache | None = None, *, isolation: Isolation | None = None
    ) -> None:
        self.probes = probes
        super().__init__(cache, isolation=isolation)


_MOST_PREPARED = 64
"""The number of prepared executions that a component keeps."""


def _manifest_beside(path: Path, memory_range: tuple[int, int]) -> Manifest | None:
    manifest = path.parent / "Component.toml"
    return load_manifest(manifest, memory_range=memory_range) if os.path.lexists(manifest) else None


def _limits_of(component: Component) -> ResourceLimits:
    if component.manifest is None:
        raise InvalidConfiguration("limits", NOTHING, "ResourceLimits, or a Component.toml beside it")
    return component.manifest.limits()


def _close(threads: GuestThreads, backends: BackendFactory | None) -> None:
    threads.close()
    if backends is not None:
        backends.close()
