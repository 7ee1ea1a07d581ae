"""Trials of cost laws of guests that do something else at exactly one size."""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING

from evidence.claim import Claim
from pytest_airssys_wasm import analysis
from support.kernels import EDIT, MORE, N, function, times, unrolled, when
from support.law_guests import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component

_DECOYS = (0, 40)
"""The number of other comparisons in the guest, in a function that the export does not call."""
_LEAST, _MOST = 50, 4_000
"""The sizes at which exceptions are planted. Smaller ones are run by every search."""
_LOOPS = (times(N, EDIT), times(N, MORE), unrolled(N, 4, EDIT), times(N, EDIT) + times(N, MORE, "j"))
_OTHER = ("i32.eq", "i32.lt_s", "i32.gt_u", "i32.ne", "i32.and", "i32.add")


def _i32(number: int) -> str:
    return f"(i32.const {number})"


def _range(least: str, low: int, most: str, high: int) -> str:
    return f"(i32.and ({least} {N} {_i32(low)}) ({most} {N} {_i32(high)}))"


CONDITIONS: dict[str, Callable[[int], str]] = {
    "equal": lambda n: f"(i32.eq {N} {_i32(n)})",
    "equal, constant first": lambda n: f"(i32.eq {_i32(n)} {N})",
    "difference": lambda n: f"(i32.eqz (i32.sub {N} {_i32(n)}))",
    "sum": lambda n: f"(i32.eqz (i32.add {N} {_i32(-n)}))",
    "exclusive or": lambda n: f"(i32.eqz (i32.xor {N} {_i32(n)}))",
    "between": lambda n: _range("i32.gt_s", n - 1, "i32.lt_s", n + 1),
    "from and to": lambda n: _range("i32.ge_u", n, "i32.le_u", n),
    "difference below 1": lambda n: f"(i32.lt_u (i32.sub {N} {_i32(n)}) {_i32(1)})",
    "64 bits": lambda n: f"(i64.eq (i64.extend_i32_u {N}) (i64.const {n}))",
    "bytes of elements": lambda n: f"(i32.eq (i32.shl {N} {_i32(2)}) {_i32(4 * n)})",
    "a product": lambda n: f"(i32.eq (i32.mul {N} {_i32(13)}) {_i32(13 * n)})",
    "with a header": lambda n: f"(i32.eq (i32.add {N} {_i32(12)}) {_i32(n + 12)})",
    "some bits": lambda n: f"(i32.eq (i32.and {N} {_i32(0xFFF)}) {_i32(n)})",
    "a global": lambda n: f"(i32.eq {N} (global.get $special))",
}
"""Conditions that hold for one size only, which is in the code or follows from a number in it."""


def guest(condition: str, special: int, decoys: int, chance: random.Random) -> str:
    """Return a module whose export costs something else at one size."""
    numbers = [
        chance.choice((chance.randrange(128), 2 ** chance.randrange(7, 16), -chance.randrange(64)))
        for _ in range(decoys)
    ]
    other = " ".join(f"(drop ({chance.choice(_OTHER)} (local.get $n) {_i32(number)}))" for number in numbers)
    body = chance.choice(_LOOPS) + when(CONDITIONS[condition](special), MORE * 5)
    return (
        f'(module (memory (export "memory") 1) (global $special i32 {_i32(special if condition == "a global" else 7)})'
        f"(func $other (param $n i32) {other}) {function(body)})"
    )


def contradicted(engine: WasmEngine, loaded: Component, special: int) -> str:
    """Find the law of such a guest. Return its text if it is wrong about the size; else an empty text."""
    law = analysis.cost_law(loaded, "f", limits=LIMITS)
    if law is None or special > law.ranges["n"][1]:
        return ""
    cost = engine.execute(loaded, "f", special, limits=LIMITS).usage.fuel.consumed
    return "" if law.fuel({"n": special}) == cost else law.text


def exceptions(engine: WasmEngine, trials: int) -> Claim:
    """Plant an exception at one size, and ask the law for the cost of this size."""
    wrong = []
    kinds = [*product(CONDITIONS, _DECOYS)]
    for index in range(trials):
        condition, decoys = kinds[index % len(kinds)]
        chance = random.Random(index)
        special = chance.randrange(_LEAST, _MOST)
        text = contradicted(engine, engine.load(guest(condition, special, decoys, chance)), special)
        if text:
            wrong.append(f"{condition}, {decoys} other comparisons, n = {special:,}: {text}")
    return Claim(
        text="an exception at one single size that is in the code, or follows from a number in it, is in the law or beyond its range",
        trials=trials,
        wrong=tuple(wrong),
        note=f"{len(CONDITIONS)} conditions",
    )
