"""Trials of cost laws: at fresh points, and after edits of one instruction."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from evidence.claim import Claim
from pytest_airssys_wasm import analysis
from support.checkout import ROOT
from support.kernels import MORE, ONE_SIZE, TWO_SIZES, M, N, function, module, times, unrolled, when
from support.law_guests import GUESTS, LIMITS, mismatches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction
    from pathlib import Path

    from pytest_airssys_wasm import WasmEngine

_STATEMENT = "(local.set $s (i32.add (local.get $s) (i32.const 3)))"
_EDITED = tuple(
    f"(local.set $s ({instruction} (i32.add (local.get $s) (i32.const 3))))"
    for instruction in ("i32.clz", "i32.ctz", "i32.popcnt", "i32.eqz", "i32.extend8_s", "i32.extend16_s")
)
"""The statement with one instruction more, which costs one unit of fuel."""


def of_kernels(engine: WasmEngine, points: int) -> Claim:
    """Find the laws of small functions with loops of every shape, and try each at fresh points."""
    kernels = {name: (module(function(body)), "f") for name, body in ONE_SIZE.items()}
    kernels.update({name: (module(function(body, params="nm")), "f") for name, body in TWO_SIZES.items()})
    wrong = _contradicted(engine, ((name, *kernel, None) for name, kernel in kernels.items()), points)
    return _claim(f"laws of {len(kernels)} kernels, {len(TWO_SIZES)} of them of two sizes", len(kernels), points, wrong)


def of_guests(engine: WasmEngine, points: int, more: Sequence[tuple[Path, str]] = ()) -> Claim:
    """Find the laws of exports of real guests, and try each at fresh points."""
    guests: list[tuple[str, Path, str, Any]] = [
        (name, ROOT / path, export, make) for name, (path, export, make) in GUESTS.items()
    ]
    guests += [(f"{path.name} {export}", path, export, None) for path, export in more]
    binaries = len({path for _, path, _, _ in guests})
    wrong = _contradicted(engine, guests, points)
    return _claim(f"laws of {len(guests)} exports of {binaries} real guests", len(guests), points, wrong)


def _claim(text: str, laws: int, points: int, wrong: Sequence[str]) -> Claim:
    return Claim(
        text=f"{text} hold at {points:,} fresh points each, to the unit", trials=laws * points, wrong=tuple(wrong)
    )


def _contradicted(engine: WasmEngine, guests: Iterable[tuple[str, Any, str, Any]], points: int) -> list[str]:
    wrong = []
    for name, source, export, arguments in guests:
        guest = engine.load(source)
        try:
            law = analysis.cost_law(guest, export, limits=LIMITS, strict=True, arguments=arguments)
        except analysis.NoLaw as reason:
            wrong.append(f"{name} has no law: {reason}")
            continue
        found = mismatches(engine, guest, export, law, points)
        wrong += [f"{name} at {sizes}: {law.text}" for sizes in found]
    return wrong


def coefficients(engine: WasmEngine, edits: int) -> Claim:
    """Plant one instruction in a loop, and compare the coefficients of the laws before and after."""
    chance = random.Random(0)
    wrong = []
    for _ in range(edits):
        name, (of, params, power) = chance.choice([*_LOOPS.items()])
        edited = chance.choice(_EDITED)
        try:
            old, new = (
                _coefficients(engine, module(function(of(statement), params=params)))
                for statement in (_STATEMENT, edited)
            )
        except analysis.NoLaw as reason:
            wrong.append(f"{edited} in {name}: no law: {reason}")
            continue
        moved = {one: new.get(one, 0) - old.get(one, 0) for one in {*old, *new} if new.get(one, 0) != old.get(one, 0)}
        if moved != {power: 1}:
            wrong.append(f"{edited} in {name}: {moved}, expected 1 more of {power}")
    return Claim(
        text="one instruction more in a loop adds its cost to the coefficient of this loop, and to no other",
        trials=edits,
        wrong=tuple(wrong),
        note=f"{len(_LOOPS)} places, {len(_EDITED)} instructions",
    )


def _coefficients(engine: WasmEngine, source: str) -> dict[str, Fraction]:
    law = analysis.cost_law(engine.load(source), "f", limits=LIMITS, strict=True)
    return law.pieces[-1].fuel.coefficients(law.sizes)


_LOOPS: dict[str, tuple[Any, str, str]] = {
    "the fixed part": (lambda edit: edit + times(N, MORE), "n", "1"),
    "a loop": (lambda edit: times(N, MORE + edit), "n", "n"),
    "the second of two loops": (lambda edit: times(N, MORE) + times(N, edit + MORE, "j"), "n", "n"),
    "an outer loop": (lambda edit: times(N, edit + times(N, MORE, "j")), "n", "n"),
    "an inner loop": (lambda edit: times(N, times(N, MORE + edit, "j")), "n", "n²"),
    "a loop in two others": (lambda edit: times(N, times(N, times(N, edit, "k"), "j")), "n", "n³"),
    "the middle of three": (lambda edit: times(N, times(N, edit + times(N, MORE, "k"), "j")), "n", "n²"),
    "a loop after a break": (
        lambda edit: when("(i32.lt_s (local.get $n) (i32.const 37))", MORE, times(N, edit + MORE)),
        "n",
        "n",
    ),
    "the rest of an unrolled loop": (lambda edit: unrolled(N, 1, MORE) + times(f"(i32.and {N} (i32.const 3))", edit), "n", "(n mod 4)"),
    "the loop of the first size": (lambda edit: times(N, edit) + times(M, MORE, "j"), "nm", "n"),
    "the loop of the second size": (lambda edit: times(N, MORE) + times(M, edit, "j"), "nm", "m"),
    "a loop in a loop of another size": (lambda edit: times(N, MORE + times(M, edit, "j")), "nm", "n·m"),
}  # fmt: skip
"""Functions with a place for an edit, the sizes that they take, and the coefficient that an edit there belongs to."""
