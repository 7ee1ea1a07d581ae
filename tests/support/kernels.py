"""Guests whose costs are known: small functions in WebAssembly text, with loops of every shape."""

from __future__ import annotations

EDIT = "(local.set $s (i32.add (local.get $s) (i32.const 1)))"
"""A statement that costs four units of fuel."""


def module(*functions: str) -> str:
    """A module with a memory of one page that can grow."""
    return f'(module (memory (export "memory") 1) {" ".join(functions)})'


def function(body: str, name: str = "f", params: str = "n") -> str:
    """A function of 32-bit sizes, with counters and a sum to do work on."""
    declared = " ".join(f"(param ${one} i32)" for one in params)
    return f'(func (export "{name}") {declared} (local $i i32) (local $j i32) (local $k i32) (local $s i32) {body})'


def times(limit: str, body: str, counter: str = "i", step: int = 1, start: str = "(i32.const 0)") -> str:
    """A loop from `start` to below `limit`."""
    return f"""(local.set ${counter} {start}) (block $out{counter} (loop $again{counter}
      (br_if $out{counter} (i32.ge_s (local.get ${counter}) {limit})) {body}
      (local.set ${counter} (i32.add (local.get ${counter}) (i32.const {step}))) (br $again{counter})))"""


def unrolled(limit: str, block: int, work: str = EDIT, counter: str = "i") -> str:
    """A loop that takes `block` elements at once, and a loop for what is left."""
    whole = f"(i32.and {limit} (i32.const {-block}))"
    return (
        times(whole, work * block, counter, block)
        + f"""(block $rest{counter} (loop $more{counter}
      (br_if $rest{counter} (i32.ge_s (local.get ${counter}) {limit})) {work}
      (local.set ${counter} (i32.add (local.get ${counter}) (i32.const 1))) (br $more{counter})))"""
    )


N, M = "(local.get $n)", "(local.get $m)"
WORK = EDIT
MORE = "(local.set $s (i32.mul (i32.xor (local.get $s) (local.get $i)) (i32.const 16777619)))"


def when(condition: str, then: str, otherwise: str = "") -> str:
    """A choice."""
    return f"(if {condition} (then {then}) (else {otherwise}))"


def below(limit: int) -> str:
    """Whether n is below a constant."""
    return f"(i32.lt_s {N} (i32.const {limit}))"


def rest(period: int) -> str:
    """The rest of n."""
    return f"(i32.rem_u {N} (i32.const {period}))"


ONE_SIZE = {
    "nothing": "",
    "count": times(N, WORK),
    "hash": times(N, MORE + MORE),
    "halves": times(f"(i32.shr_u {N} (i32.const 1))", WORK),
    "thirds": times(f"(i32.div_u {N} (i32.const 3))", WORK),
    "twice": times(N, WORK) + times(N, MORE),
    "square": times(N, times(N, WORK, "j")),
    "triangle": times(N, times("(local.get $i)", WORK, "j")),
    "cube": times(N, times(N, times(N, WORK, "k"), "j")),
    "tetrahedron": times(N, times("(local.get $i)", times("(local.get $j)", WORK, "k"), "j")),
    **{f"unrolled-{block}": unrolled(N, block) for block in (2, 4, 8, 16)},
    **{f"stride-{step}": times(N, WORK, step=step) for step in (2, 4, 8, 16)},
    "two-strides": times(N, WORK, step=4) + times(N, MORE, step=8),
    "rows-of-vectors": times(N, unrolled(N, 4, counter="j")),
    "nothing-for-nothing": when(f"(i32.eqz {N})", "", MORE + times(N, WORK)),
    "special-three": when(below(3), times(N, MORE * 3), times(N, WORK)),
    "break-37": when(below(37), times(N, MORE), MORE + times(N, WORK)),
    "break-1000": when(below(1000), times(N, WORK), times(N, MORE)),
    "two-breaks": when(below(20), times(N, MORE), when(below(300), times(N, WORK), MORE * 9)),
    "odd-and-even": when(rest(2), MORE + times(N, WORK), times(N, MORE)),
    "last-of-three": when(rest(3), WORK, MORE * 2) + times(N, WORK),
    "scalar-then-vector": when(below(16), times(N, WORK), unrolled(N, 16)),
    "fill": f"(memory.fill (i32.const 0) (i32.const 7) {N})",
    "pages": f"(drop (memory.grow (i32.shr_u {N} (i32.const 10)))) " + times(N, WORK),
    "falling": times(N, WORK) + times(f"(i32.sub (i32.const 5000) {N})", MORE),
}
"""Functions of one size, by name."""

TWO_SIZES = {
    "sum": times(N, WORK) + times(M, MORE, "j"),
    "product": times(N, times(M, WORK, "j")),
    "product-and-sum": times(N, MORE + times(M, WORK, "j")) + times(M, MORE, "k"),
    "square-and-line": times(N, times(N, WORK, "j")) + times(M, WORK, "k"),
    "line-and-vector": times(N, WORK) + unrolled(M, 4, counter="j"),
    "rows-of-blocks": times(N, unrolled(M, 4, counter="j")),
    "smaller-one": times(f"(select {N} {M} (i32.lt_s {N} {M}))", WORK),
    "only-the-second": times(M, WORK, "j"),
}
"""Functions of two sizes, by name."""
