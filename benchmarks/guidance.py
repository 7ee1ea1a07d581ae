"""A comparison of `fuzz[<export>]` with and without guidance by coverage, in the same processor time.

    python benchmarks/guidance.py

A cell has how many of ten seeds find the fault within two seconds, and the mean of the seconds, in which those that do
not find it count with all of them. The first guests have a fault behind several conditions; the fault of the others lies
behind one condition, and the last one does not have a fault.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pytest_airssys_wasm import ResourceLimits, WasmEngine
from pytest_airssys_wasm.fuzzing.guidance import guided
from pytest_airssys_wasm.fuzzing.search import Plan, Search
from pytest_airssys_wasm.fuzzing.trials import Guest, judge, probe
from pytest_airssys_wasm.fuzzing.varying import Variations
from pytest_airssys_wasm.fuzzing.wit_values import all_values
from pytest_airssys_wasm.runtime.guest.constants import constants_of
from support.deep_guests import DEEP
from support.planted_guests import OFF_BY_ONE, RARE_STRING, SOUND, VARIANT_CASE

SEEDS = 10
MOST_S = 2.0
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=60_000)
SHALLOW = {"rare text": (RARE_STRING, "parse"), "variant case": (VARIANT_CASE, "weigh"), "length": (OFF_BY_ONE, "sum")}


class Course(NamedTuple):
    """The course of one search."""

    is_found: bool
    time_s: float
    examples: int


def searched(engine: WasmEngine, source: str, export: str, seed: int, *, is_guided: bool) -> Course:
    """Search for a fault, for two seconds of processor time, in which the copy of the guest is made, too."""
    guest = Guest(engine=engine, component=engine.load(source), limits=LIMITS)
    types, constants = guest.component.parameter_types(export), constants_of(guest.component)
    started = time.process_time()
    trials = guided(guest) if is_guided else None
    search = Search(
        plan=Plan(profile="ci", examples=None, time_s=1_000, shrink_s=0, seed=seed),
        judge=lambda args: judge(guest, export, args, (), set()),
        probe=lambda args: (trials.probe if trials else lambda *call: probe(guest, *call))(export, args, (), set()),
        vary=Variations(types, constants=constants, max_size=64, random=Random(seed)).of,
        pick=trials.pick if trials else None,
    )
    strategy = all_values(types, constants=constants)
    while search.found is None and time.process_time() - started < MOST_S:
        seed += 1_000
        search.plan = Plan(profile="ci", examples=search.draws + 20, time_s=1_000, shrink_s=0, seed=seed)
        search.generate(strategy)
    elapsed_s = time.process_time() - started
    if trials is not None:
        trials.close()
    return Course(search.found is not None, elapsed_s, search.examples)


def main() -> None:
    """Print a line for each guest."""
    chosen = sys.argv[1:]
    print(f"{'guest':<20}{'without':>18}{'with guidance':>18}")
    with WasmEngine() as engine:
        for name, (source, export) in ({name: (one.source, "f") for name, one in DEEP.items()} | SHALLOW).items():
            if chosen and name not in chosen:
                continue
            cells = []
            for is_guided in (False, True):
                courses = [searched(engine, source, export, seed, is_guided=is_guided) for seed in range(SEEDS)]
                mean_s = sum(min(one.time_s, MOST_S) for one in courses) / SEEDS
                cells.append(f"{sum(one.is_found for one in courses)} of {SEEDS}, {mean_s:.2f} s")
            print(f"{name:<20}{cells[0]:>18}{cells[1]:>18}", flush=True)
        rates = []
        for is_guided in (False, True):
            courses = [searched(engine, SOUND, "size", seed, is_guided=is_guided) for seed in range(SEEDS)]
            rates.append(f"{sum(one.examples for one in courses) / sum(one.time_s for one in courses):,.0f}/s")
        print(f"{'examples of a text':<20}{rates[0]:>18}{rates[1]:>18}")


if __name__ == "__main__":
    main()
