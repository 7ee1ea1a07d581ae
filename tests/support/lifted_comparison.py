"""Two engines that differ in one thing: whether functions may be called by their scalar lifts."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pytest_airssys_wasm import LimitedStore, ResourceLimits, WasmEngine, WasmError
from pytest_airssys_wasm.runtime.compile import compiler
from support.lifted_guests import RandomGuest, random_guest
from support.lifted_values import exact, random_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm import Component, Execution, Instance, Usage
    from pytest_airssys_wasm.runtime.base.outcome import Finished


class PlainEngine(WasmEngine):
    """An engine that appends nothing to components."""

    def load(self, *args: Any, **named: Any) -> Any:
        with patch.object(compiler, "with_scalar_lifts", lambda binary, _digest: binary):
            return super().load(*args, **named)


def ending(store: LimitedStore, call: Callable[[], Any]) -> Any:
    """Return all that a call tells: its value or its error, and what it has cost."""
    before = store.usage
    try:
        end: Any = ("ok", exact(call()))
    except Exception as error:  # noqa: BLE001 compared
        end = _told_by(error)
    usage = store.usage
    return end, None if usage is before else _figures(usage)


def ending_of_execution(execute: Callable[[], Execution]) -> Any:
    """Return all that an execution in a store of its own tells."""
    try:
        done = execute()
    except Exception as error:  # noqa: BLE001 compared
        return _told_by(error), _figures(getattr(error, "usage", None))
    return ("ok", exact(done.value)), _figures(done.usage)


def _told_by(error: Exception) -> Any:
    return (
        type(error).__name__,
        str(error).partition("<component")[0],
        getattr(error, "kind", None),
        getattr(error, "resource", None),
        getattr(error, "frames", None),
        repr(error.__cause__),
    )


def _figures(usage: Usage | None) -> Any:
    if usage is None:
        return None
    return (
        usage.fuel,
        usage.peak_memory_bytes,
        usage.denied_growths,
        usage.transfer_bytes,
        usage.memory_limit_bytes,
    )


LIMITS = [
    {},
    {"fuel": 2_000},
    {"fuel": 40},
    {"memory": 3 * 65_536},
    {"transfer": 200},
    {"transfer": 14_000},
    # Guests with `memory.fill` may not run on their caller's thread under these.
    {"memory": 64 * 2**20, "fuel": 9 * 2**20},
]


class Comparison:
    """The two engines, and what has been compared."""

    def __init__(self) -> None:
        self.watched: list[Finished] = []
        self.lifted, self.plain = WasmEngine(), PlainEngine()
        self.by_lift = 0
        """The number of guests whose function was called by its scalar lift."""
        self.endings: dict[str, int] = {}
        """How often the calls ended in each way."""

    def _compare_executions(self, random: Random, guest: RandomGuest, limits: ResourceLimits, pair: Any) -> str | None:
        """Compare the executions of the function in a store of its own."""
        args = [random_value(random, param, is_wrong=random.random() < 0.05) for param in guest.params]
        for way in (_execute, _execute_awaited) if random.random() < 0.3 else (_execute,):
            ends = [ending_of_execution(partial(way, one, args, limits)) for one in pair]
            if ends[0] != ends[1]:
                return f"{way.__name__} f{args!r}, in {limits}, {guest.choice}:\nlifted {ends[0]}\nplain  {ends[1]}\n"
            key = f"execute {ends[0][0][0]}"
            self.endings[key] = self.endings.get(key, 0) + 1
        return None

    def compare(self, seed: int) -> str | None:
        """Compare the calls of a random guest; return what differs, or `None`."""
        random = Random(seed)
        guest = random_guest(random)
        pair = self.lifted.load(guest.text), self.plain.load(guest.text)
        if str(pair[0].exports) != str(pair[1].exports) or pair[0].function_names() != pair[1].function_names():
            return f"exports: {pair[0].exports} {pair[1].exports}"
        wanted = {"memory": 2**20, "fuel": 100_000, "transfer": 2**20, "timeout_ms": 60_000, **random.choice(LIMITS)}
        limits = ResourceLimits(**wanted)
        scope: Any = random.choice(["call", "call", "call", "store"])
        stores = [LimitedStore(engine, limits, fuel_per=scope) for engine in (self.lifted, self.plain)]
        way = random.choice(["plainly", "plainly", "watched", "awaited"])
        for engine in (self.lifted, self.plain):
            engine.on_execution = self.watched.append if way == "watched" else None
        different = self._compare_executions(random, guest, limits, pair)
        if different is not None:
            return different
        found = [ending(store, partial(_instantiate, store, one)) for store, one in zip(stores, pair)]
        if found[0] != found[1]:
            return f"instantiation: {found}"
        if found[0][0][0] != "ok":
            return None
        try:
            instances = [store.instantiate(one) for store, one in zip(stores, pair)]
        except WasmError:  # the limits allow one
            return None
        call = _call_awaited if way == "awaited" else _call
        for number in range(random.randint(2, 5)):
            args = [random_value(random, param, is_wrong=random.random() < 0.05) for param in guest.params]
            for name, given in (("f", args), ("calls", []), ("log", [])):
                ends = [ending(store, partial(call, one, name, given)) for store, one in zip(stores, instances)]
                if ends[0] != ends[1]:
                    where = f"call {number} of {name}{given!r}, {way}, {scope}, in {limits}, {guest.choice}"
                    return f"{where}:\nlifted {ends[0]}\nplain  {ends[1]}\n"
                end = ends[0][0]
                key = f"{name} {end[0]} {end[2] if end[0] != 'ok' else ''}"
                self.endings[key] = self.endings.get(key, 0) + 1
        totals = [store.total for store in stores]
        if totals[0] is None or totals[1] is None or totals[0].fuel != totals[1].fuel:
            return f"totals: {totals}"
        self.by_lift += instances[0]._handle.lifted.get("f") is not None
        for store in stores:
            store.close()
        return None


def _instantiate(store: LimitedStore, component: Component) -> None:
    store.instantiate(component)


def _execute(component: Component, args: list[Any], limits: ResourceLimits) -> Execution:
    engine: Any = component.loaded_by
    done: Execution = engine.execute(component, "f", *args, limits=limits)
    return done


def _execute_awaited(component: Component, args: list[Any], limits: ResourceLimits) -> Execution:
    engine: Any = component.loaded_by
    return asyncio.run(engine.execute_async(component, "f", *args, limits=limits))


def _call(instance: Instance, name: str, args: list[Any]) -> Any:
    return instance.call(name, *args)


def _call_awaited(instance: Instance, name: str, args: list[Any]) -> Any:
    return asyncio.run(instance.call_async(name, *args))


def describe(guest: RandomGuest) -> str:
    """Return the types of a guest."""
    return f"f({', '.join(map(str, guest.params))}) -> {guest.result}"
