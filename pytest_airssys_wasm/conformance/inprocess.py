"""The bundled runtime in this process, behind the adapter protocol's messages."""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from pytest_airssys_wasm.conformance.host_library import SUSPENDING, host_library
from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.messages import (
    CAPABILITIES,
    OUTPUT_BYTES,
    HelloAnswer,
    RunAnswer,
    StepAnswer,
)
from pytest_airssys_wasm.protocol.outcomes import step_answer
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.base.originals import allocate_lock, monotonic, start_thread
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.errors import (
    InvalidConfiguration,
    WasmError,
    outcome_of,
)
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from pytest_airssys_wasm.protocol.messages import ConfigureRequest, RunRequest
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance


T = TypeVar("T")


class LoopThread:
    """An event loop that runs coroutines for any thread.

    It starts with the first coroutine, and ends when this object is collected.
    """

    def __init__(self) -> None:
        self._starting = allocate_lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop, and return its result or raise its error.

        An exception in the waiting thread cancels the coroutine.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                start_thread(partial(_serve, self._loop), "airssys-wasm-loop")
                weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


_NOT_HERE = frozenset({"session", "host-rss"})

SUITE_ISOLATION = ProcessIsolation(compile_timeout_ms=2_000, compile_memory_bytes="512 MiB")
"""The isolation of an engine that runs the whole suite. Its limits are generous, because the suite has large guests,
but low enough for the drivers of adapters, which give up after some 20 seconds.
"""
BOMB_ISOLATION = replace(SUITE_ISOLATION, compile_timeout_ms=250)
"""The isolation of an engine that runs only the cases about compilers. These cases test that limits are enforced,
whatever their values, and compiling their harmless guests takes a few milliseconds.
"""


class InProcessRuntime:
    """A runtime that answers requests with one `WasmEngine`. It is thread-safe.

    Guests that may be suspended share one event loop, as in an asynchronous host. If `loop` is given, all guests run on
    it.
    """

    def __init__(self, engine: WasmEngine, *, loop: LoopThread | None = None) -> None:
        self._engine = engine
        self._loaded: dict[str, Component] = {}
        self._loop = loop or LoopThread()
        self._always_on_loop = loop is not None

    def hello(self) -> HelloAnswer:
        """Return the name, version and capabilities of the bundled runtime.

        Loading is bounded only if the engine has an isolation.
        """
        lacking = _NOT_HERE if self._engine.isolation else _NOT_HERE | {"isolated-compile"}
        return HelloAnswer(
            id=0,
            runtime="pytest-airssys-wasm on wasmtime-py",
            version=abi.WASMTIME_VERSION,
            capabilities=[name for name in CAPABILITIES if name not in lacking],
        )

    def process_ids(self) -> tuple[int, ...]:
        """Return the id of this process."""
        return (os.getpid(),)

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Yield a new folder, in which this process creates its temporary files until the block ends."""
        before = tempfile.tempdir
        with tempfile.TemporaryDirectory() as folder:
            tempfile.tempdir = folder
            try:
                yield Path(folder)
            finally:
                tempfile.tempdir = before

    def run(self, request: RunRequest) -> RunAnswer:
        """Run the steps of a request in one new store, up to and including the first step that is not `ok`."""
        return RunAnswer(id=request.id, steps=[*self._steps(request)])

    def configure(self, request: ConfigureRequest) -> RunAnswer:
        """Read a manifest and return the limits that it declares."""
        try:
            manifest = parse_manifest(request.manifest, Path("Component.toml"))
        except InvalidConfiguration as error:
            return RunAnswer(id=request.id, steps=[step_answer(outcome_of(error))])
        fuel, timeout_ms = manifest.max_fuel, manifest.timeout_ms
        found = {
            "memory_bytes": manifest.memory_bytes,
            "fuel": ResourceLimits.DEFAULT_FUEL if fuel is None else fuel,
            "timeout_ms": ResourceLimits.DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms,
        }
        return RunAnswer(id=request.id, steps=[StepAnswer(verdict=Verdict.OK, limits=found)])

    def _steps(self, request: RunRequest) -> Iterator[StepAnswer]:
        try:
            limits = limits_from_wire(request.limits)
            component = self._load(request.component)
            store = self._store(request, limits)
        except WasmError as error:
            yield step_answer(outcome_of(error), phase="instantiate")
            return
        loop = self._loop if self._always_on_loop or SUSPENDING in request.imports else None
        output = None if request.wasi is None else _Output(store)
        with store:
            answer, instance = _measured(store, partial(_instantiate, store, component, loop), phase="instantiate")
            if answer.verdict is not Verdict.OK:
                yield _with_output(answer, output)
                return
            for step in request.steps:
                if step.call is not None:
                    answer, value = _measured(store, partial(_call, instance, step.call, step.args, loop))
                    if answer.verdict is Verdict.OK:
                        answer = structs.replace(answer, value=encode(value))
                yield _with_output(answer, output)
                if answer.verdict is not Verdict.OK:
                    return

    def _load(self, path: str) -> Component:
        # Cases are repeated thousands of times, and a component is immutable.
        component = self._loaded.get(path)
        if component is None:
            component = self._loaded[path] = self._engine.load(path)
        return component

    def _store(self, request: RunRequest, limits: ResourceLimits) -> LimitedStore:
        return LimitedStore(
            self._engine,
            limits,
            host=host_library(request.imports) if request.imports else None,
            wasi=None if request.wasi is None else _wasi(**request.wasi),
            fuel_per="store" if request.fuel_per == "run" else "call",
        )


def _wasi(folder: str | None = None, **grants: Any) -> Wasi:
    return Wasi(**grants, preopen={} if folder is None else {"/": (folder, "rw")})


class _Output:
    """The output of the guests of a store. Each answer contains the part that was written since the previous answer."""

    def __init__(self, store: LimitedStore) -> None:
        self._store = store
        self._told = {"stdout": 0, "stderr": 0}

    def new(self) -> dict[str, bytes]:
        """Return the texts that were written since the last call, without those that are too long for an answer."""
        found = {}
        for name, told in self._told.items():
            text: bytes = getattr(self._store, name)
            self._told[name] = len(text)
            if len(text) - told <= OUTPUT_BYTES:
                found[name] = text[told:]
        return found


def _with_output(answer: StepAnswer, output: _Output | None) -> StepAnswer:
    return answer if output is None else structs.replace(answer, **output.new())


def _instantiate(store: LimitedStore, component: Component, loop: LoopThread | None) -> Instance:
    return store.instantiate(component) if loop is None else loop.run(store.instantiate_async(component))


def _call(instance: Instance, name: str, args: Sequence[Any], loop: LoopThread | None) -> Any:
    types = instance.component.parameter_types(name)
    # The call itself reports a wrong number of arguments.
    decoded = map(decode, args, types) if len(types) == len(args) else args
    return instance.call(name, *decoded) if loop is None else loop.run(instance.call_async(name, *decoded))


def _measured(store: LimitedStore, execute: Callable[[], Any], **known: Any) -> tuple[StepAnswer, Any]:
    value, outcome = None, None
    started = monotonic()
    try:
        value = execute()
    except WasmError as error:
        outcome = outcome_of(error)
    elapsed_ms = (monotonic() - started) * 1_000
    return step_answer(outcome or outcome_of(None, store.usage), elapsed_ms=elapsed_ms, **known), value
