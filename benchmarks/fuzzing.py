"""A comparison of the executions per second of processor time of `fuzz[<export>]`, guided as with the profile `ci`, with
the same loop by hand: wasmtime-py and Hypothesis, a fresh store and instance for each example, with limits on fuel and
memory.

    python benchmarks/fuzzing.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random

import wasmtime
import wasmtime.component
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pytest_airssys_wasm import ResourceLimits, WasmEngine
from pytest_airssys_wasm.fuzzing.exports import constants_of
from pytest_airssys_wasm.fuzzing.guidance import guided
from pytest_airssys_wasm.fuzzing.search import Plan, Search
from pytest_airssys_wasm.fuzzing.trials import Finding, Guest, judge
from pytest_airssys_wasm.fuzzing.varying import Variations
from pytest_airssys_wasm.fuzzing.wit_values import all_values
from support.planted_guests import SOUND

EXAMPLES = 500
ROUNDS = 5
NUMBERS = st.integers(0, 2**32 - 1)
BY_HAND = {"size": st.tuples(st.text(max_size=64)), "quotient": st.tuples(NUMBERS, NUMBERS)}


def fuzzed(guest: Guest, export: str) -> float:
    """Return the executions per second of the check."""
    made = 0
    types, constants = guest.component.parameter_types(export), constants_of(guest.component)
    trials = guided(guest)
    assert trials is not None

    def judged(args: tuple[object, ...]) -> Finding | None:
        nonlocal made
        made += 2
        return judge(guest, export, args, (), set())

    def probed(args: tuple[object, ...]) -> Finding | None:
        nonlocal made
        made += 1
        return trials.probe(export, args, (), set())

    search = Search(
        plan=Plan(profile="ci", examples=EXAMPLES, time_s=1_000, shrink_s=1, seed=0),
        judge=judged,
        probe=probed,
        vary=Variations(types, constants=constants, max_size=64, random=Random(0)).of,
        pick=trials.pick,
    )
    started = time.process_time()
    search.generate(all_values(types, constants=constants))
    elapsed_s = time.process_time() - started
    trials.close()
    return made / elapsed_s


def by_hand(export: str) -> float:
    """Return the executions per second of the loop by hand."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    component = wasmtime.component.Component(engine, wasmtime.wat2wasm(SOUND))
    linker = wasmtime.component.Linker(engine)
    made = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(BY_HAND[export])
    def run(args: tuple[object, ...]) -> None:
        made.append(1)
        store = wasmtime.Store(engine)
        store.set_fuel(1_000_000)
        store.set_limits(memory_size=2**20)
        instance = linker.instantiate(store, component)
        instance.get_func(store, export)(store, *args)

    started = time.process_time()
    run()
    return len(made) / (time.process_time() - started)


def main() -> None:
    with WasmEngine() as engine:
        guest = Guest(
            engine=engine, component=engine.load(SOUND), limits=ResourceLimits(memory="1 MiB", timeout_ms=20_000)
        )
        for export in BY_HAND:
            ours = max(fuzzed(guest, export) for _ in range(ROUNDS))
            theirs = max(by_hand(export) for _ in range(ROUNDS))
            print(f"{export:10} {ours:8,.0f}/s, by hand {theirs:8,.0f}/s, x{ours / theirs:.2f}")


if __name__ == "__main__":
    main()
