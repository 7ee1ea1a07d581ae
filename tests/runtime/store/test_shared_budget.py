"""The budget that all executions of a store share."""

from __future__ import annotations

import asyncio

import pytest

from pytest_airssys_wasm import LimitedStore, OutOfFuel, ResourceLimits, WasmEngine

LIMITS = ResourceLimits(memory="1 MiB", fuel=1_000, timeout_ms=60_000)
GUEST = """(module (func (export "f") (param i32) (loop (br_if 0 (local.get 0)))))"""


@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_refused_call_leaves_the_shared_budget_as_it_was(is_awaited: bool) -> None:
    engine = WasmEngine()
    with LimitedStore(engine, LIMITS, fuel_per="store") as store:
        instance = store.instantiate(engine.load(GUEST))

        with pytest.raises(TypeError, match="expected i32"):
            if is_awaited:
                asyncio.run(instance.call_async("f", "x"))
            else:
                instance.call("f", "x")
        with pytest.raises(OutOfFuel):
            instance.call("f", 1)
        assert store.total is not None
        assert store.total.fuel.max_fuel == 1_000
