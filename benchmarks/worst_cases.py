"""A comparison of `analysis.worst_case` with random arguments, Hypothesis with `target()`, and plain evolution, on programs whose
worst arguments are known: `python benchmarks/worst_cases.py`.

Each makes 2,000 executions with at most 64 elements and bytes in all. A cell is the share of the true worst that was found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings, target

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pytest_airssys_wasm import ResourceLimits, WasmEngine, analysis
from pytest_airssys_wasm.analysis.worst.mutation import Mutator
from pytest_airssys_wasm.analysis.worst.values import has_size, lowered, shortened_each, size_of
from pytest_airssys_wasm.fuzzing import arguments
from pytest_airssys_wasm.runtime.binary.constants import Constants
from pytest_airssys_wasm.runtime.wit.types import Primitive
from support.dear_kernels import DEAR, SIZE, component

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm import Component

EXECUTIONS = 2_000
POOL = 12
ENOUGH = 0.95
LIMITS = ResourceLimits(memory="4 MiB", fuel=20_000_000, timeout_ms=60_000)


class Guest:
    """A program of which the fuel of calls is measured."""

    def __init__(self, engine: WasmEngine, source: str) -> None:
        self.component: Component = engine.load(source)
        self.types = self.component.parameter_types("f")
        self._engine = engine

    def fuel(self, args: Sequence[Any]) -> int:
        """Return the fuel of one call."""
        return self._engine.execute(self.component, "f", *args, limits=LIMITS).usage.fuel.consumed

    def evolved(self, args: Sequence[Any]) -> int:
        """Return the fuel of a call with arguments as mutators have them."""
        return self.fuel([lowered(type_, one) for type_, one in zip(self.types, args)])


def at_random(types: Sequence[Any], chance: Random) -> tuple[Any, ...]:
    """Return arguments of random sizes and contents."""
    room = SIZE // max(1, sum(map(has_size, types)))

    def one(type_: Any) -> Any:
        if type_ == Primitive("string"):
            return "".join(chr(chance.randrange(32, 127)) for _ in range(chance.randint(0, room)))
        if has_size(type_):
            return [chance.randrange(256) for _ in range(chance.randint(0, room))]
        return chance.randrange(2 ** (64 if type_ == Primitive("u64") else 32))

    return tuple(map(one, types))


def by_chance(guest: Guest, number: int) -> int:
    """Return the dearest of random arguments."""
    chance = Random(number)
    return max(guest.evolved(at_random(guest.types, chance)) for _ in range(EXECUTIONS))


def by_target(guest: Guest, number: int) -> int:
    """Return the dearest arguments of Hypothesis, which is given their fuel as a target."""
    dearest = 0

    @seed(number)
    @settings(
        max_examples=EXECUTIONS,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )
    @given(arguments(guest.component, "f", max_size=SIZE))
    def call(args: tuple[Any, ...]) -> None:
        nonlocal dearest
        fuel = guest.fuel(args)
        dearest = max(dearest, fuel)
        target(float(fuel))

    call()
    return dearest


def by_evolution(guest: Guest, number: int) -> int:
    """Return the dearest arguments that evolve from random ones, without shapes and without the guest's constants."""
    chance = Random(number)
    mutator = Mutator(chance, Constants())
    pool = []
    for run in range(EXECUTIONS):
        if run < POOL:
            args = at_random(guest.types, chance)
        else:
            args = pool[min(int(chance.expovariate(0.7)), len(pool) - 1)][1]
            for _ in range(chance.choice((1, 1, 1, 2, 4))):
                args = mutator.arguments(guest.types, args, SIZE - sum(map(size_of, guest.types, args)))
            args = tuple(shortened_each(guest.types, args, SIZE))
        pool.append((guest.evolved(args), args))
        pool.sort(key=lambda one: one[0], reverse=True)
        del pool[POOL:]
    return pool[0][0]


def by_search(guest: Guest, number: int) -> int:
    """Return the dearest arguments of `analysis.worst_case`."""
    found = analysis.worst_case(guest.component, "f", limits=LIMITS, max_size=SIZE, executions=EXECUTIONS, seed=number)
    return found.fuel


WAYS: dict[str, Callable[[Guest, int], int]] = {
    "random": by_chance,
    "target()": by_target,
    "evolution": by_evolution,
    "worst_case": by_search,
}


def main() -> None:
    """Print a row for each program, and the number of programs for which each way finds at least 95 %."""
    print(f"{'program':<26}" + "".join(f"{way:>12}" for way in WAYS))
    enough = dict.fromkeys(WAYS, 0)
    with WasmEngine() as engine:
        for name, dear in DEAR.items():
            guest = Guest(engine, component(dear))
            known = guest.fuel(dear.worst)
            shares = {way: find(guest, 0) / known for way, find in WAYS.items()}
            for way, share in shares.items():
                enough[way] += share >= ENOUGH
            print(f"{name:<26}" + "".join(f"{share:>12.0%}" for share in shares.values()), flush=True)
    print(f"{'at least 95 %':<26}" + "".join(f"{f'{count} of {len(DEAR)}':>12}" for count in enough.values()))


if __name__ == "__main__":
    main()
