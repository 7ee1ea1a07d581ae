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

    from pytest_airssys_wasm import Component, Instance
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
        end = (
            type(error).__name__,
            str(error).partition("<component")[0],
            getattr(error, "kind", None),
            getattr(error, "resource", None),
            getattr(error, "frames", None),
            repr(error.__cause__),
        )
    usage = store.usage
    if usage is None or usage is before:
        return end, None
    figures = (
        usage.fuel,
        usage.peak_memory_bytes,
        usage.denied_growths,
        usage.transfer_bytes,
        usage.memory_limit_bytes,
    )
    return end, figures


LIMITS = [
    {},
    {"fuel": 300},
    {"fuel": 40},
    {"memory": 3 * 65_536},
    {"transfer": 200},
    {"transfer": 9_000},
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


def _call(instance: Instance, name: str, args: list[Any]) -> Any:
    return instance.call(name, *args)


def _call_awaited(instance: Instance, name: str, args: list[Any]) -> Any:
    return asyncio.run(instance.call_async(name, *args))


def describe(guest: RandomGuest) -> str:
    """Return the types of a guest."""
    return f"f({', '.join(map(str, guest.params))}) -> {guest.result}"
