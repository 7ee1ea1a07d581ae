"""The rows of the table of ratios that are about calls and stores in one process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import wasmtime
from alternation import repeated
from by_hand import ADD, ADD_MODULE, ASK, ECHO, PAUSE, ROW, ByHand, guest_of_data, record
from session import LIMITS
from wasmtime import component as wc

from pytest_airssys_wasm import Ok
from pytest_airssys_wasm.isolation.process_isolation import ProcessIsolation
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from alternation import Repeat
    from session import Session


def one_shot(session: Session) -> dict[str, Repeat]:
    """Execute a component in a fresh store."""
    engine, hand = WasmEngine(), ByHand()
    ours, other = engine.load(ADD), wc.Component(hand.engine, ADD)
    sides = {
        "ours": repeated(lambda: engine.execute(ours, "add", 1, 2, limits=LIMITS)),
        "other": repeated(hand.one_shot(other)),
    }
    if session.floor is not None:
        store = hand.store()
        func = hand.linker.instantiate(store, other).get_func(store, "add")
        sides["floor"] = session.floor.one_shots(hand.engine, hand.linker, other, store, func, "add")
    return sides


def one_shot_module(session: Session) -> dict[str, Repeat]:
    """Execute a core module in a fresh store."""
    del session
    engine, hand = WasmEngine(), ByHand()
    ours, other = engine.load(ADD_MODULE), wasmtime.Module(hand.engine, ADD_MODULE)

    def execute_by_hand() -> None:
        store = hand.store()
        wasmtime.Instance(store, other, []).exports(store)["add"](store, 1, 2)
        store.close()

    return {
        "ours": repeated(lambda: engine.execute(ours, "add", 1, 2, limits=LIMITS)),
        "other": repeated(execute_by_hand),
    }


def new_instance(session: Session) -> dict[str, Repeat]:
    """Make a store, instantiate a component in it, and call an export once."""
    del session
    engine, hand = WasmEngine(), ByHand()
    ours, other = engine.load(ADD), wc.Component(hand.engine, ADD)

    def call_once() -> None:
        with LimitedStore(engine, LIMITS) as store:
            store.instantiate(ours).call("add", 1, 2)

    return {"ours": repeated(call_once), "other": repeated(hand.one_shot(other))}


def repeated_call(session: Session) -> dict[str, Repeat]:
    """Call an export with two integers."""
    return _echo(session, ADD, "add", (1, 2), (1, 2))


def module_call(session: Session) -> dict[str, Repeat]:
    """Call an export of a core module."""
    engine, hand = WasmEngine(), ByHand()
    instance = LimitedStore(engine, LIMITS).instantiate(engine.load(ADD_MODULE))
    store = hand.store()
    module = wasmtime.Module(hand.engine, ADD_MODULE)
    func = wasmtime.Instance(store, module, []).exports(store)["add"]
    sides = {"ours": repeated(lambda: instance.call("add", 1, 2)), "other": repeated(hand.call(store, func, 1, 2))}
    if session.floor is not None:
        sides["floor"] = session.floor.module_calls(store, func)
    return sides


def record_of_8(session: Session) -> dict[str, Repeat]:
    """Pass a record, and get it back."""
    return _echo(session, ECHO, "record", (ROW,), (record(),))


def string_of_121(session: Session) -> dict[str, Repeat]:
    """Pass a short text, and get it back."""
    return _echo(session, ECHO, "text", ("x" * 121,), ("x" * 121,))


def string_of_1_mib(session: Session) -> dict[str, Repeat]:
    """Pass a long text, and get it back."""
    text = "x" * 2**20
    return _echo(session, ECHO, "text", (text,), (text,))


def bytes_of_1_mib(session: Session) -> dict[str, Repeat]:
    """Pass bytes, and get them back."""
    content = bytes(2**12 if session.is_quick else 2**20)
    return _echo(session, ECHO, "bytes", (content,), (content,))


def list_of_100k(session: Session) -> dict[str, Repeat]:
    """Pass a list of integers, and get it back."""
    numbers = list(range(1_000 if session.is_quick else 100_000))
    return _echo(session, ECHO, "numbers", (numbers,), (numbers,))


def outcome(session: Session) -> dict[str, Repeat]:
    """Pass a result with a short text, and get it back."""
    return _echo(session, ECHO, "outcome", (Ok("x" * 121),), (wc.Variant("ok", "x" * 121),))


def texts(session: Session) -> dict[str, Repeat]:
    """Pass a list of short texts, and get it back."""
    given = ["hello world"] * (10 if session.is_quick else 1_000)
    return _echo(session, ECHO, "texts", (given,), (given,))


def one_shot_text(session: Session) -> dict[str, Repeat]:
    """Execute a component in a fresh store, with a short text."""
    engine, hand, text = WasmEngine(), ByHand(), "x" * 121
    ours, other = engine.load(ECHO), wc.Component(hand.engine, ECHO)

    def execute_by_hand() -> None:
        store = hand.store()
        func = hand.linker.instantiate(store, other).get_func(store, "text")
        hand.call(store, func, text)()
        store.close()

    return {
        "ours": repeated(lambda: engine.execute(ours, "text", text, limits=LIMITS)),
        "other": repeated(execute_by_hand),
    }


def host_call(session: Session) -> dict[str, Repeat]:
    """Call an export that calls the host once."""
    del session
    engine, hand, host = WasmEngine(), ByHand(), HostFunctions()
    host.register("ask", lambda n: n)
    instance = LimitedStore(engine, LIMITS, host=host).instantiate(engine.load(ASK))
    store, linker = hand.store(), wc.Linker(hand.engine)
    with linker.root() as root:
        root.add_func("ask", lambda _, n: n)
    func = linker.instantiate(store, wc.Component(hand.engine, ASK)).get_func(store, "ask-host")
    return {"ours": repeated(lambda: instance.call("ask-host", 1)), "other": repeated(hand.call(store, func, 1))}


def awaited_call(session: Session) -> dict[str, Repeat]:
    """Await a call on a running event loop, beside a plain call by hand."""
    sides = repeated_call(session)
    engine, loop = WasmEngine(), asyncio.new_event_loop()
    instance = LimitedStore(engine, LIMITS).instantiate(engine.load(ADD))

    async def calls(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            await instance.call_async("add", 1, 2)
        return time.perf_counter() - start

    return {"ours": lambda times: loop.run_until_complete(calls(times)), "other": sides["other"]}


def instantiation_of_12_mib(session: Session) -> dict[str, Repeat]:
    """Instantiate a guest with much data, beside wasmtime's copy-on-write images."""
    guest = guest_of_data(1 if session.is_quick else 12)
    engine, hand = WasmEngine(), ByHand(copy_on_write=True)
    ours, other = engine.load(guest), wasmtime.Module(hand.engine, guest)

    def instantiate() -> None:
        with LimitedStore(engine, LIMITS) as store:
            store.instantiate(ours)

    def instantiate_by_hand() -> None:
        store = hand.store()
        wasmtime.Instance(store, other, [])
        store.close()

    return {"ours": repeated(instantiate), "other": repeated(instantiate_by_hand)}


def sleeps(session: Session) -> dict[str, Repeat]:
    """Run many guests that each await ten pauses of 5 ms, beside as many coroutines."""
    guests, pauses = (3, 2) if session.is_quick else (1_000, 10)
    engine, host, loop = WasmEngine(), HostFunctions(), asyncio.new_event_loop()

    async def pause() -> None:
        await asyncio.sleep(0.005)

    host.register("pause", pause)
    guest = engine.load(PAUSE)

    async def execute() -> None:
        await engine.execute_async(guest, "pauses", pauses, limits=LIMITS, host=host)

    async def coroutine() -> None:
        for _ in range(pauses):
            await pause()

    def together(work: Callable[[], Any]) -> Callable[[], object]:
        async def run() -> None:
            await asyncio.gather(*(work() for _ in range(guests)))

        return lambda: loop.run_until_complete(run())

    return {"ours": repeated(together(execute)), "other": repeated(together(coroutine))}


def process_call(session: Session) -> dict[str, Repeat]:
    """Call an export in a worker process, beside a plain call by hand in this one."""
    engine = WasmEngine(isolation=ProcessIsolation())
    instance = LimitedStore(engine, LIMITS).instantiate(engine.load(ADD))
    return {"ours": repeated(lambda: instance.call("add", 1, 2)), "other": repeated_call(session)["other"]}


def _echo(session: Session, wat: str, name: str, ours: tuple[Any, ...], other: tuple[Any, ...]) -> dict[str, Repeat]:
    """Return both sides of a call, and its floor."""
    engine, hand = WasmEngine(), ByHand()
    instance = LimitedStore(engine, LIMITS).instantiate(engine.load(wat))
    store = hand.store()
    func = hand.linker.instantiate(store, wc.Component(hand.engine, wat)).get_func(store, name)
    call = instance.call
    sides = {"ours": repeated(lambda: call(name, *ours)), "other": repeated(hand.call(store, func, *other))}
    if session.floor is not None:
        sides["floor"] = session.floor.component_calls(store, func, other)
    return sides


CALLS = (
    ("one-shot execute", 0.5, "by hand", one_shot),
    ("one-shot module", 0.5, "by hand", one_shot_module),
    ("new instance, one call", 1.5, "by hand", new_instance),
    ("repeated call", 0.25, "by hand", repeated_call),
    ("module call", 0.1, "by hand", module_call),
    ("record of 8 fields", 0.2, "by hand", record_of_8),
    ("string of 121 bytes", 0.5, "by hand", string_of_121),
    ("result<string, string>", 0.25, "by hand", outcome),
    ("1,000 list<string>", 0.15, "by hand", texts),
    ("one-shot text", 0.5, "by hand", one_shot_text),
    ("host call", 0.8, "by hand", host_call),
    ("1 MiB bytes", 0.01, "by hand", bytes_of_1_mib),
    ("1 MiB string", 0.6, "by hand", string_of_1_mib),
    ("100k list<u32>", 0.05, "by hand", list_of_100k),
    ("awaited call", 1.5, "a plain call by hand", awaited_call),
    ("12 MiB instantiation", 2, "wasmtime's copy-on-write", instantiation_of_12_mib),
    ("1,000 x 10 host sleeps of 5 ms", 8, "coroutines", sleeps),
    ("process call", 1, "a plain call by hand", process_call),
)
"""The rows: name, ratio to be reached, what it is compared with, and the function that prepares both sides."""
