"""A call tells nothing of the way it was made: by the scalar lift of a function, or through the values of wasmtime.

`SEEDS=40 pytest -m slow tests/runtime/lift` compares 2,000 random guests.
"""

from __future__ import annotations

from random import Random

import pytest

from support.lifted_comparison import Comparison, describe
from support.lifted_guests import random_guest
from support.seeds import SEEDS

_GUESTS_OF_A_SEED = 50


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison()


@pytest.mark.parametrize("seed", range(6))
def test_no_call_of_a_random_guest_depends_on_the_way_it_is_made(comparison: Comparison, seed: int) -> None:
    assert comparison.compare(seed) is None, describe(random_guest(Random(seed)))


@pytest.mark.slow
def test_no_call_of_many_random_guests_depends_on_the_way_it_is_made(comparison: Comparison) -> None:
    guests = range(1_000, 1_000 + _GUESTS_OF_A_SEED * len(SEEDS))
    before = comparison.by_lift
    for seed in guests:
        assert comparison.compare(seed) is None, (seed, describe(random_guest(Random(seed))))
    assert comparison.by_lift - before > len(guests) // 2, "most functions have to have a scalar lift"
