"""Guests that compilers of four languages built: text, output, host imports and resources, panics."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_airssys_wasm.runtime.errors import HostFunctionError, LinkError
from pytest_airssys_wasm.runtime.host import HostFunctions
from pytest_airssys_wasm.runtime.limits import ResourceLimits
from pytest_airssys_wasm.runtime.store import LimitedStore
from pytest_airssys_wasm.runtime.values import Err, Ok, Variant

GUESTS = Path(__file__).parents[2] / "fixtures" / "guests"
LIMITS = ResourceLimits(memory="4 MiB", fuel=100_000_000, timeout_ms=30_000)
HOST = "demo:hosted/host@1.0.0"


@pytest.mark.parametrize("name", ["text-transform", "as-transform"])
def test_a_transform_in_c_and_in_assemblyscript(engine, name):
    guest = engine.load(GUESTS / name / f"{name}.wasm")
    assert engine.execute(guest, "transform", "hello world", limits=LIMITS).value == Ok("Hello World")
    assert isinstance(engine.execute(guest, "transform", "", limits=LIMITS).value, Err)
    costs = {engine.execute(guest, "transform", "a b c", limits=LIMITS).usage.fuel.consumed for _ in range(3)}
    assert len(costs) == 1


class Counter:
    """Serves the guest's `counter`."""

    alive = 0

    def __init__(self, start):
        self.count = start
        Counter.alive += 1

    def add(self, n):
        self.count += n
        return self.count

    def value(self):
        return self.count

    def fork(self):
        return Counter(self.count)

    @staticmethod
    def total(counters):
        return sum(counter.count for counter in counters)

    def drop(self):
        Counter.alive -= 1


def hosted():
    host, logged = HostFunctions(), []
    host.register_resource(f"{HOST}#counter", Counter)
    host.register(f"{HOST}#log", lambda level, message: logged.append((level, message)))
    host.register(f"{HOST}#now", lambda: 42)
    host.register(f"{HOST}#lookup", lambda key: Ok(f"<{key}>") if key == "greeting" else Err(f"no {key}"))
    host.register(f"{HOST}#settings", lambda keys: [(key, Variant("text", key)) for key in keys])
    host.register(f"{HOST}#publish", lambda events: Ok(len(events)))
    return host, logged


@pytest.fixture(scope="module")
def guest(engine):
    return engine.load(GUESTS / "hosted" / "hosted.wasm")


def test_host_functions_and_a_host_resource_serve_a_guest(engine, guest):
    Counter.alive = 0
    host, logged = hosted()
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(guest)
        assert isinstance(instance.run(3), Ok)
        assert logged
        assert store.usage.host_calls > 3
        assert instance.relay("greeting") == Ok("<greeting>")
        assert instance.relay("x") == Err("no x")
        assert isinstance(instance.announce(5), Ok)
        assert (instance.accumulate(3), instance.accumulate(4)) == (3, 7)
        assert instance.describe(["a"]) == ["a=a"]
    assert Counter.alive == 1  # `accumulate` keeps one for the life of the store


def test_missing_imports_are_named_with_their_wit_types(engine, guest):
    host, _ = hosted()
    incomplete = HostFunctions()
    incomplete.register(f"{HOST}#nowe", lambda: 1)
    with pytest.raises(LinkError) as caught:
        engine.execute(guest, "run", 1, limits=LIMITS, host=incomplete)
    assert f"{HOST}#lookup: func(key: string) -> result<string, string>" in str(caught.value)
    assert f"similar {HOST}#nowe" in str(caught.value)
    assert f"{HOST}#counter" in caught.value.imports
    assert engine.execute(guest, "run", 1, limits=LIMITS, host=host)


def test_a_host_function_that_returns_the_wrong_type_says_where(engine, guest):
    host, _ = hosted()
    host.register(f"{HOST}#lookup", lambda key: Ok(1))
    with pytest.raises(HostFunctionError, match=r"lookup raised WrongType: result.ok: expected string, got 1"):
        engine.execute(guest, "relay", "x", limits=LIMITS, host=host)
