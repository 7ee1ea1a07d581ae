"""The difference of two laws: each planted change is told with its exact amount, and where it matters the most."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from pytest_airssys_wasm import ResourceLimits
from pytest_airssys_wasm.analysis.laws.cost_law import cost_law
from pytest_airssys_wasm.analysis.laws.difference import law_difference
from pytest_airssys_wasm.analysis.laws.law import Law, Piece
from pytest_airssys_wasm.analysis.laws.terms import Factor, Formula
from pytest_airssys_wasm.plugin.snapshot.law_text import difference_text

N, N2, M = Factor("power"), Factor("power", 0, 1, 2), Factor("power", 1)
BLOCKS, REST = Factor("blocks", 0, 4), Factor("rest", 0, 4)
TEXT = {"n": "bytes of text"}


def formula(terms):
    return Formula.of((Fraction(figure), monomial) for monomial, figure in terms.items())


def law(*pieces, meanings=TEXT, held=None, memory=65_536):
    """A law of one size with these pieces: the first and the last size, and the terms of the formula."""
    return Law(
        sizes=tuple(meanings),
        meanings=meanings,
        held=held or {},
        pieces=tuple(
            Piece(low=(low,), high=(high,), fuel=formula(terms), memory=memory and Formula.constant(memory))
            for low, high, terms in pieces
        ),
    )


def constant(figure, memory=65_536):
    piece = Piece(low=(), high=(), fuel=Formula.constant(figure), memory=Formula.constant(memory))
    return Law(sizes=(), meanings={}, held={}, pieces=(piece,))


LINEAR = {(): 351, (N,): 53}


@pytest.mark.parametrize("seed", range(60))
def test_a_planted_change_of_a_coefficient_is_told_with_its_exact_amount(seed):
    chance = random.Random(seed)
    terms = {(): 40, (N,): 53, (N2,): 2, (BLOCKS,): 7, (REST,): 9}
    changed, amount = chance.choice([*terms]), chance.choice([-3, -1, 1, 2])
    after = law((0, 70, {**terms, changed: terms[changed] + amount}))
    difference = law_difference(law((0, 70, terms)), after)
    (one,) = difference.fuel.ranges
    old, new = one.before.coefficients(("n",)), one.after.coefficients(("n",))
    assert {name: new.get(name, 0) - old[name] for name in old if new.get(name, 0) != old[name]} == {
        "1" if changed == () else "·".join(factor.text(("n",)) for factor in changed): amount
    }
    assert (difference.grows(), difference.shrinks) == (amount > 0, amount < 0)
    assert difference.memory.ranges == ()


def test_equal_figures_are_no_difference_however_the_formulas_are_written():
    one = law((0, 100, {(BLOCKS,): 4, (REST,): 1, (): 3}))
    other = law((0, 49, {(N,): 1, (): 3}), (50, 100, {(): 3, (N,): 1}))
    difference = law_difference(one, other)
    assert (difference.fuel.ranges, difference.grows(), difference.shrinks) == ((), False, False)


def test_the_text_names_the_terms_by_what_they_count():
    after = law((0, 4096, {(): 351, (N,): 59, (N2,): Fraction(27, 2)}))
    assert difference_text(law_difference(law((0, 4096, LINEAR)), after)) == (
        "fuel per byte 53 → 59, fixed part unchanged, n² appeared (27/2); "
        "at n = 4,096 fuel 217,439 → 226,734,431 (+226,516,992)"
    )
    assert difference_text(law_difference(law((0, 10, LINEAR)), law((0, 10, {(): 360, (N,): 53})))) == (
        "fuel fixed part 351 → 360, per byte unchanged; at n = 0 fuel 351 → 360 (+9, +2.6 %)"
    )


@pytest.mark.slow
def test_a_law_without_sizes_is_compared_with_one_that_has_some():
    difference = law_difference(constant(351), law((0, 4096, LINEAR)))
    assert difference.grows()
    assert difference.has_less
    assert "per byte appeared (53)" in difference_text(difference)
    assert law_difference(law((0, 4096, LINEAR)), constant(351)).shrinks
    assert law_difference(constant(351), constant(350)).shrinks


def test_a_second_size_that_begins_to_matter_is_compared_where_it_was_held():
    before = law((0, 40, {(): 5, (N,): 2}), held={"bytes of name": 3})
    piece = Piece(low=(0, 0), high=(40, 40), fuel=formula({(): 5, (N,): 2, (M,): 1}), memory=None)
    after = Law(sizes=("n", "m"), meanings={**TEXT, "m": "bytes of name"}, held={}, pieces=(piece,))
    difference = law_difference(before, after)
    assert difference.obstacle is None
    assert (difference.fuel.most.before, difference.fuel.most.after) == (5, 8)
    assert "per byte of name appeared (1)" in difference_text(difference)
    swapped = Law(sizes=("n", "m"), meanings={"n": "bytes of name", "m": "bytes of text"}, held={}, pieces=(piece,))
    assert law_difference(before, swapped).fuel.most.after == 5 + 2 * 3


def test_other_sizes_cannot_be_compared():
    other = law((0, 40, LINEAR), meanings={"n": "elements of items"})
    difference = law_difference(law((0, 40, LINEAR)), other)
    assert difference.obstacle == "it is about elements of items, and was about bytes of text"
    assert law_difference(law((0, 9, LINEAR)), law((10, 40, LINEAR))).obstacle.startswith("it holds for 10 ≤ n ≤ 40")


def test_fewer_and_more_sizes_are_told_and_are_neither_dearer_nor_cheaper():
    wide, narrow = law((0, 4096, LINEAR)), law((0, 1000, LINEAR))
    less, more = law_difference(wide, narrow), law_difference(narrow, wide)
    assert (less.has_less, less.has_more, less.grows(), less.shrinks) == (True, False, False, False)
    assert (more.has_less, more.has_more) == (False, True)
    assert difference_text(less) == "it holds for 0 ≤ n ≤ 1,000, and held for 0 ≤ n ≤ 4,096"
    without = law_difference(wide, law((0, 4096, LINEAR), memory=None))
    assert without.has_less
    assert difference_text(without) == "it says nothing about memory any more"


@pytest.mark.slow
def test_a_change_of_one_size_is_told_by_its_figures_and_of_many_ranges_the_widest():
    before = law(*((n, n, {(): 10 * n}) for n in range(5)), (5, 4096, LINEAR))
    after = law(*((n, n, {(): 11 * n}) for n in range(5)), (5, 4096, {**LINEAR, (N,): 54}))
    assert difference_text(law_difference(before, after)).startswith(
        "fuel for n = 1: 10 → 11 (+1, +10 %); fuel for n = 2: "
    )
    assert "fuel for 5 ≤ n ≤ 4,096: per byte 53 → 54" in difference_text(law_difference(before, after))
    assert "and in 2 other ranges" in difference_text(law_difference(before, after))


def test_a_peak_of_one_page_more_is_told():
    text = difference_text(law_difference(law((0, 9, LINEAR)), law((0, 9, LINEAR), memory=131_072)))
    assert text == "memory fixed part 65,536 → 131,072; at n = 0 memory 64 KiB → 128 KiB"


def test_a_tolerance_is_compared_with_the_largest_share():
    difference = law_difference(law((0, 100, LINEAR)), law((0, 100, {**LINEAR, (N,): 54})))
    assert difference.fuel.most.point == (100,)
    assert difference.grows(Fraction(1, 100))
    assert not difference.grows(Fraction(2, 100))


def test_ranges_of_any_length_are_compared_in_a_bounded_time():
    difference = law_difference(law((0, 2**63, LINEAR)), law((0, 2**63, {**LINEAR, (N,): 54})))
    assert difference.fuel.most.point == (2**63,)


_LOOP = """(block $done (loop $next (br_if $done (i32.ge_s (local.get {i}) (local.get {end}))) {body}
  (local.set {i} (i32.add (local.get {i}) (i32.const 1))) (br $next)))"""
_KERNEL = """(module (memory 1) (func (export "f") (param $n i32) (local $i i32) (local $j i32) {outside} {loops}))"""
_SLOTS = ("outside", "outer", "inner")
_COSTS = {
    "$n": ({"1": 1}, {"n": 1}, {"n²": 1}),
    "$i": ({"1": 1}, {"n": 1}, {"n": Fraction(-1, 2), "n²": Fraction(1, 2)}),
}
"""What an instruction outside, in the outer and in the inner loop costs, by the number of turns of the inner one."""


@pytest.mark.slow
@pytest.mark.parametrize("turns", _COSTS)
def test_an_instruction_in_a_loop_moves_the_coefficient_of_the_loop_by_its_exact_cost(turns, engine):
    limits = ResourceLimits(memory="1 MiB", fuel=10_000_000, timeout_ms=20_000)

    def law_with(slot=None, count=0):
        added = dict.fromkeys(_SLOTS, "") | {slot: "(drop (i32.const 7))" * count}
        inner = _LOOP.format(i="$j", end=turns, body=added["inner"])
        outer = _LOOP.format(i="$i", end="$n", body=f"(local.set $j (i32.const 0)) {added['outer']} {inner}")
        guest = engine.load(_KERNEL.format(outside=added["outside"], loops=outer))
        return cost_law(guest, "f", limits=limits, max_size=120, strict=True)

    before = law_with()
    for slot, costs in zip(_SLOTS, _COSTS[turns]):
        for count in (1, 4):
            difference = law_difference(before, law_with(slot, count))
            widest = max(difference.fuel.ranges, key=lambda one: one.high[0] - one.low[0])
            old, new = widest.before.coefficients(("n",)), widest.after.coefficients(("n",))
            changes = {term: new[term] - old[term] for term in old if new[term] != old[term]}
            assert changes == {term: cost * count for term, cost in costs.items()}
