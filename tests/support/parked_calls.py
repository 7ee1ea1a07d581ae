"""Guests that ask their host, whose calls are made on parked threads, and the two ways to make such calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimits
from pytest_airssys_wasm.runtime.execution.parked_threads import ParkedThread
from pytest_airssys_wasm.runtime.guest import awaited_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_airssys_wasm import WasmEngine
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.instance import Instance

HOUR_NS = 3_600 * 10**9

ASKS = """(component
  (import "ask" (func $ask (param "n" u32) (result u32)))
  (import "tell" (func $tell (param "text" string)))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (core func $ask' (canon lower (func $ask)))
  (core func $tell' (canon lower (func $tell) (memory (core memory $memory "memory"))))
  (core module $m
    (import "host" "ask" (func $ask (param i32) (result i32)))
    (import "host" "tell" (func $tell (param i32 i32)))
    (import "memory" "memory" (memory 1))
    (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
    (func (export "tell") (param i32) (call $tell (i32.const 0) (local.get 0)))
    (func (export "bytes") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "loop") (param i32)
      (drop (call $ask (i32.const 1)))
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
  (core instance $i (instantiate $m
    (with "host" (instance (export "ask" (func $ask')) (export "tell" (func $tell'))))
    (with "memory" (instance (export "memory" (memory $memory "memory"))))))
  (func (export "asks") (param "n" u32) (result u32) (canon lift (core func $i "ask")))
  (func (export "tells") (param "n" u32) (canon lift (core func $i "tell")))
  (func (export "loops") (param "n" u32) (canon lift (core func $i "loop")))
  (func (export "bytes") (param "x" (list u8)) (result (list u8)) (canon lift (core func $i "bytes")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc")))))"""


def open_store(
    engine: WasmEngine,
    ask: Callable[..., Any] = lambda n: n + 1,
    tell: Callable[..., Any] = lambda text: None,
    **given: Any,
) -> tuple[LimitedStore, Instance]:
    """Return a store and an instance whose host functions are these."""
    host = HostFunctions()
    host.register("ask", ask)
    host.register("tell", tell)
    store = LimitedStore(engine, limits(**given), host=host)
    return store, store.instantiate(engine.load(ASKS))


def limits(**given: Any) -> ResourceLimits:
    """Return the limits of these tests, but for what is given."""
    return ResourceLimits(**{"memory": "256 KiB", "fuel": 1_000_000, "timeout_ms": 20_000, **given})


class Called:
    """Calls whose thread waits for them."""

    guard_function = "parked_call"
    parks_first = True
    """Whether the first call of an export is made on a parked thread, as all others are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[Run] = []
        """The runs of the calls that were made on parked threads."""
        call = ParkedThread.call

        def called(thread: ParkedThread, run: Run, *args: Any, **named: Any) -> Any:
            self.made.append(run)
            return call(thread, run, *args, **named)

        monkeypatch.setattr(ParkedThread, "call", called)

    def call(self, instance: Instance, name: str, *args: Any) -> Any:
        """Call an export."""
        return instance.call(name, *args)

    def go_the_general_way(self, store: LimitedStore) -> None:
        """Let no call of a store be made on a parked thread."""
        store.direct_call = lambda *_: None


class Awaited:
    """Calls that an event loop waits for."""

    guard_function = "parked_ask"
    parks_first = False

    def __init__(self, monkeypatch: pytest.MonkeyPatch, moment_ns: int | None = None) -> None:
        self.made: list[Run] = []
        """The runs of the calls that were made on parked threads."""
        self.has_ended: list[bool] = []
        """Whether each call has ended before it was left to its thread."""
        ask = ParkedThread.ask

        def asking(thread: ParkedThread, run: Run, *args: Any) -> bool:
            self.made.append(run)
            self.has_ended.append(ask(thread, run, *args))
            return self.has_ended[-1]

        monkeypatch.setattr(ParkedThread, "ask", asking)
        if moment_ns is not None:
            monkeypatch.setattr(awaited_calls, "_MOMENT_NS", moment_ns)

    def call(self, instance: Instance, name: str, *args: Any) -> Any:
        """Call an export, and await it on an event loop of its own."""
        return asyncio.run(instance.call_async(name, *args))

    def go_the_general_way(self, store: LimitedStore) -> None:
        """Let no call of a store be made on a parked thread."""
        store.awaited_call = lambda *_: None
