"""Trials of profiles: of programs whose fuel is split as is known, and of functions that were made slower."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from evidence.claim import Claim
from pytest_airssys_wasm import analysis
from support.kernels import EDIT, MORE, N, function, module, times
from support.law_guests import LIMITS

if TYPE_CHECKING:
    from pytest_airssys_wasm import WasmEngine
    from pytest_airssys_wasm.analysis import Profile

_SPLIT = module(
    f"(func $inner (param $n i32) (local $i i32) (local $s i32) {times(N, EDIT)})",
    "(func $quick (param $n i32) (call $inner (local.get $n)))",
    "(func $slow (param $n i32) (call $inner (i32.mul (local.get $n) (i32.const 3))))",
    function("(call $quick (local.get $n)) (call $slow (local.get $n))"),
)
"""Calls the same function twice, the second time for three times as long."""
_FUNCTIONS = 12
_LEAST_SLOWDOWN = 0.02
_MOST_EDITS = 200


def splits(engine: WasmEngine, trials: int) -> Claim:
    """Profile calls of which three quarters are in one function, and compare the shares."""
    guest, chance = engine.load(_SPLIT), random.Random(0)
    wrong, worst = [], 0.0
    for _ in range(trials):
        n = chance.randint(150, 20_000)
        profile = analysis.profile(guest, "f", n, limits=LIMITS, samples=400)
        off = max(abs(_share(profile, name) - share) for name, share in (("slow", 0.75), ("quick", 0.25)))
        worst = max(worst, off)
        fuel = engine.execute(guest, "f", n, limits=LIMITS).usage.fuel.consumed
        if off > 0.02 or not profile.total == sum(profile.stacks.values()) == fuel:
            wrong.append(f"f({n}): off by {100 * off:.2g} %, {profile.total:,} of {fuel:,} fuel")
    return Claim(
        text="the profile of a known 3:1 split is right within 2 %, and sums to the fuel of the call",
        trials=trials,
        wrong=tuple(wrong),
        note=f"off by {100 * worst:.2f} % at most",
    )


def _share(profile: Profile, name: str) -> float:
    return sum(fuel for stack, fuel in profile.stacks.items() if name in stack) / profile.total


def slowdowns(engine: WasmEngine, trials: int) -> Claim:
    """Make one function of a program slower, and look which function is the first in the difference of the profiles."""
    wrong, shares = [], []
    for seed in range(trials):
        chance = random.Random(seed)
        planted, argument = chance.randrange(_FUNCTIONS), chance.randint(20, 80)
        before = analysis.profile(engine.load(_program(seed)), "f", argument, limits=LIMITS)
        for edits in range(1, _MOST_EDITS):
            guest = engine.load(_program(seed, planted, EDIT * edits))
            fuel = engine.execute(guest, "f", argument, limits=LIMITS).usage.fuel.consumed
            if fuel >= before.total * (1 + _LEAST_SLOWDOWN):
                break
        difference = analysis.profile(guest, "f", argument, limits=LIMITS).minus(before)
        shares.append(fuel / before.total - 1)
        first = next(iter(difference.by_function()), None)
        if first != f"part{planted}" or not difference.total == sum(difference.stacks.values()) == fuel - before.total:
            wrong.append(f"seed {seed}: {first} is the first, part{planted} was changed")
    return Claim(
        text=f"a function that makes a call at least {_LEAST_SLOWDOWN:.0%} dearer is the first in the difference of the profiles",
        trials=trials,
        wrong=tuple(wrong),
        note=f"dearer by {min(shares):.1%} to {max(shares):.1%}; 2 of 50 may be wrong",
        allowed=trials * 2 // 50,
    )


def _program(seed: int, planted: int | None = None, more: str = "") -> str:
    """Return a program whose functions call one another at random, from the first to the last, and work differently;
    the planted one has more to do in its loop.
    """
    chance = random.Random(-seed - 1)
    functions = []
    for number in range(_FUNCTIONS):
        work = chance.choice([EDIT, MORE]) * chance.randint(1, 6) + (more if number == planted else "")
        later = [*range(number + 1, _FUNCTIONS)]
        called = chance.sample(later, min(len(later), chance.randint(0, 2)))
        calls = "".join(f"(call $part{other} (local.get $n))" for other in called)
        functions.append(f"(func $part{number} (param $n i32) (local $i i32) (local $s i32) {times(N, work)} {calls})")
    every = "".join(f"(call $part{number} (local.get $n))" for number in range(_FUNCTIONS))
    return module(*functions, function(every))
