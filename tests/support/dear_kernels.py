"""Guests whose dearest arguments are known: small programs in WebAssembly text, with the worst input of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.kernels import times

SIZE = 64
"""The number of elements and bytes in all that the worst inputs have."""


@dataclass(frozen=True)
class Dear:
    """A program with its worst input of `SIZE` elements."""

    body: str
    """The body of a function of one or two lists of bytes (`$p`, `$n`, `$q`, `$m`), or of numbers (`$n`, `$m`)."""
    worst: tuple[Any, ...]
    growth: str | None = None
    """The growth of its worst case; `None` if it has another growth, or is not declared."""
    params: tuple[str, ...] = ("list<u8>",)


_BEGIN = {
    "list<u8>": ("(list u8)", 2),
    "string": ("string", 2),
    "u32": ("u32", 1),
    "u64": ("u64", 1),
    "list<u32>": ("(list u32)", 2),
}
_NAMES = ("$p", "$n", "$q", "$m")


def component(dear: Dear) -> str:
    """A component that exports the program as `f`."""
    core, given = [], iter(_NAMES)
    for param in dear.params:
        if param in ("u32", "u64"):
            next_name = "$n" if not core else "$m"
            core.append(f"(param {next_name} {'i64' if param == 'u64' else 'i32'})")
        else:
            core += [f"(param {next(given)} i32)", f"(param {next(given)} i32)"]
    lifted = " ".join(f'(param "{name}" {_BEGIN[param][0]})' for name, param in zip("abc", dear.params))
    return f"""(component (core module $m
      (memory (export "memory") 2)
      (global $top (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $at) (local.get 3)))
        (local.get $at))
      (func $f (export "f") {" ".join(core)}
        (local $i i32) (local $j i32) (local $k i32) (local $s i32) (local $t i32) (local $w i64) {dear.body}))
      (core instance $i (instantiate $m))
      (func (export "f") {lifted} (canon lift (core func $i "f") string-encoding=utf8
        (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""


N, M = "(local.get $n)", "(local.get $m)"
WORK = "(local.set $s (i32.add (local.get $s) (i32.const 1)))"
TABLE = 65536
"""The address of a table of the guests."""


def at(index: str, base: str = "$p") -> str:
    return f"(i32.load8_u (i32.add (local.get {base}) {index}))"


def put(index: str, what: str, base: str = "$p") -> str:
    return f"(i32.store8 (i32.add (local.get {base}) {index}) {what})"


def table(index: str) -> str:
    return f"(i32.load8_u offset={TABLE} {index})"


def set_table(index: str, what: str) -> str:
    return f"(i32.store8 offset={TABLE} {index} {what})"


def each(body: str) -> str:
    """A loop over all elements."""
    return times(N, body)


def repeat(condition: str, body: str, label: str = "w") -> str:
    return f"(block $stop{label} (loop $go{label} (br_if $stop{label} (i32.eqz {condition})) {body} (br $go{label})))"


IDX, J, K, S = "(local.get $i)", "(local.get $j)", "(local.get $k)", "(local.get $s)"
BEFORE_J = f"(i32.sub {J} (i32.const 1))"


def minus(a: str, number: int) -> str:
    return f"(i32.sub {a} (i32.const {number}))"


def plus(a: str, number: int) -> str:
    return f"(i32.add {a} (i32.const {number}))"


def both(a: str, b: str) -> str:
    """A condition of two, of which the second is only asked if the first holds."""
    return f"(if (result i32) {a} (then {b}) (else (i32.const 0)))"


def sort_with(comparison: str) -> str:
    return each(
        f"(local.set $k {at(IDX)}) (local.set $j {IDX})"
        + repeat(
            both(f"(i32.gt_s {J} (i32.const 0))", f"({comparison} {at(BEFORE_J)} {K})"),
            put(J, at(BEFORE_J)) + f"(local.set $j {BEFORE_J})",
        )
        + put(J, K)
    )


def if_(condition: str, then: str) -> str:
    return f"(if {condition} (then {then}))"


def eq(a: str, number: int) -> str:
    return f"(i32.eq {a} (i32.const {number}))"


SQUARE = times(f"(i32.mul {N} {N})", WORK, "k")
HEADER = b"\x7fELF"
BUBBLE = "(local.set $k (i32.const 1))" + repeat(
    K,
    "(local.set $k (i32.const 0))"
    + times(
        minus(N, 1),
        if_(
            f"(i32.gt_u {at(IDX)} {at(plus(IDX, 1))})",
            f"(local.set $t {at(IDX)})"
            + put(IDX, at(plus(IDX, 1)))
            + put(plus(IDX, 1), "(local.get $t)")
            + "(local.set $k (i32.const 1))",
        ),
    ),
)
HASH_SET = each(
    f"(local.set $k {at(IDX)}) (local.set $j (i32.and (i32.mul {K} (i32.const 16)) (i32.const 255)))"
    + repeat(
        both(table(J), f"(i32.ne {table(J)} {plus(K, 1)})"), f"(local.set $j (i32.and {plus(J, 1)} (i32.const 255)))"
    )
    + set_table(J, plus(K, 1))
)
BUCKETS = each(  # a chain for each residue of 16: every earlier element of the same one is visited
    f"(local.set $k {at(IDX)})"
    + times(IDX, if_(f"(i32.eq (i32.and {at(J)} (i32.const 15)) (i32.and {K} (i32.const 15)))", WORK * 4), "j")
)
DISTINCT = each(  # visits the distinct elements so far
    f"(local.set $k {at(IDX)}) (local.set $j (i32.const 0))"
    + repeat(both(f"(i32.lt_s {J} {S})", f"(i32.ne {table(J)} {K})"), f"(local.set $j {plus(J, 1)})")
    + if_(f"(i32.eq {J} {S})", set_table(J, K) + WORK)
)
SEARCH = times(  # the naive search of the second text in the first
    plus(f"(i32.sub {N} {M})", 1),
    "(local.set $j (i32.const 0))"
    + repeat(
        both(f"(i32.lt_s {J} {M})", f"(i32.eq {at(f'(i32.add {IDX} {J})')} {at(J, '$q')})"),
        f"(local.set $j {plus(J, 1)})",
    ),
)
NESTING = each(  # walks the open brackets at each closing one, and at each opening one deeper
    if_(eq(at(IDX), ord("[")), WORK)
    + if_(eq(at(IDX), ord("]")), if_(S, f"(local.set $s {minus(S, 1)})"))
    + times(S, "", "j")
)
DEEPER = each(if_(eq(at(IDX), ord("(")), WORK) + times(S, "", "j"))
RUNS = each(  # looks back over the run of equal elements
    f"(local.set $j {IDX})"
    + repeat(both(f"(i32.gt_s {J} (i32.const 0))", f"(i32.eq {at(BEFORE_J)} {at(IDX)})"), f"(local.set $j {BEFORE_J})")
)
WAVES = each(if_(f"(i32.gt_s {IDX} (i32.const 0))", if_(f"(i32.ne {at(IDX)} {at(minus(IDX, 1))})", WORK * 5)))
RISES = each(
    if_(
        f"(i32.gt_s {IDX} (i32.const 0))",
        if_(f"(i32.gt_u {at(IDX)} {at(minus(IDX, 1))})", f"(local.set $s {plus(S, 1)})") + times(S, "", "j"),
    )
)
VARINTS = each(if_(f"(i32.and {at(IDX)} (i32.const 128))", WORK * 6))
LOOK_BACK = each(  # the longest match that begins before
    times(
        IDX,
        "(local.set $k (i32.const 0))"
        + repeat(
            both(
                f"(i32.lt_s (i32.add {IDX} {K}) {N})",
                f"(i32.eq {at(f'(i32.add {J} {K})')} {at(f'(i32.add {IDX} {K})')})",
            ),
            f"(local.set $k {plus(K, 1)})",
        ),
        "j",
    )
)
PRODUCT = times(N, times(M, WORK, "j"))
BITS = "(local.set $t (local.get $n))" + repeat(
    "(local.get $t)", WORK + "(local.set $t (i32.and (local.get $t) (i32.sub (local.get $t) (i32.const 1))))"
)
LENGTH = "(local.set $t (local.get $n))" + repeat(
    "(local.get $t)", WORK + "(local.set $t (i32.shr_u (local.get $t) (i32.const 1)))"
)
DIGITS = "(local.set $w (local.get $n))" + repeat(
    "(i64.ne (local.get $w) (i64.const 0))", WORK + "(local.set $w (i64.div_u (local.get $w) (i64.const 10)))"
)
MODULO = if_("(i32.eq (local.get $n) (i32.const 123456789))", times("(i32.const 5000)", WORK))

DIVISOR = repeat(
    "(local.get $m)",
    "(local.set $t (i32.rem_u (local.get $n) (local.get $m)))"
    "(local.set $n (local.get $m)) (local.set $m (local.get $t))",
)

DEAR = {
    "insertion sort": Dear(sort_with("i32.gt_u"), (bytes(range(SIZE, 0, -1)),), "n^2"),
    "falling insertion sort": Dear(sort_with("i32.lt_u"), (bytes(range(SIZE)),), "n^2"),
    "unstable insertion sort": Dear(sort_with("i32.ge_u"), (bytes(SIZE),), "n^2"),
    "bubble sort": Dear(BUBBLE, (bytes(range(SIZE, 0, -1)),), "n^2"),
    "hash set": Dear(HASH_SET, (bytes(min(i, 15) * 16 for i in range(SIZE)),)),
    "buckets": Dear(BUCKETS, (bytes(SIZE),), "n^2"),
    "distinct": Dear(DISTINCT, (bytes(range(SIZE)),), "n^2"),
    "naive search": Dear(SEARCH, ("a" * 48, "a" * 16), params=("string", "string")),
    "brackets": Dear(NESTING, ("[" * SIZE,), "n^2", ("string",)),
    "parentheses": Dear(DEEPER, ("(" * SIZE,), "n^2", ("string",)),
    "runs": Dear(RUNS, (bytes(SIZE),), "n^2"),
    "waves": Dear(WAVES, (bytes([0, 1] * (SIZE // 2)),), "n"),
    "rises": Dear(RISES, (bytes(range(SIZE)),), "n^2"),
    "varints": Dear(VARINTS, (b"\xff" * SIZE,), "n"),
    "longest match": Dear(LOOK_BACK, (bytes(SIZE),), "n^3"),
    "product": Dear(PRODUCT, (bytes(SIZE // 2), bytes(SIZE // 2)), "n^2", ("list<u8>", "list<u8>")),
    "header": Dear(
        if_(f"(i32.ge_u {N} (i32.const 4))", if_(f"(i32.eq (i32.load (local.get $p)) (i32.const {int.from_bytes(HEADER, 'little')}))", SQUARE)),
        (HEADER + bytes(SIZE - 4),), "n^2",
    ),
    "keyword": Dear(
        each(if_(eq(at(IDX), ord("!")), WORK * 3) + if_(eq(at(IDX), ord("~")), times(IDX, WORK, "j"))), ("~" * SIZE,), "n^2", ("string",)
    ),
    "count": Dear(each(WORK), (bytes(SIZE),), "n"),
    "nothing": Dear("", (bytes(SIZE),), "1"),
    "square": Dear(times(N, times(N, WORK, "j")), (bytes(SIZE),), "n^2"),
    "cube": Dear(times(N, times(N, times(N, WORK, "k"), "j")), (bytes(SIZE),), "n^3"),
    "set bits": Dear(BITS, (0xFFFFFFFF,), params=("u32",)),
    "bit length": Dear(LENGTH, (0xFFFFFFFF,), params=("u32",)),
    "decimal digits": Dear(DIGITS, (2**64 - 1,), params=("u64",)),
    "magic number": Dear(MODULO, (123456789,), params=("u32",)),
    "common divisor": Dear(DIVISOR, (1836311903, 2971215073), params=("u32", "u32")),
    "not ascii": Dear(each(if_(f"(i32.gt_u {at(IDX)} (i32.const 127))", WORK * 5)), ("\u00e9" * (SIZE // 2),), "n", ("string",)),
    "blanks": Dear(each(if_(eq(at(IDX), 32), times(IDX, WORK, "j"))), (" " * SIZE,), "n^2", ("string",)),
}  # fmt: skip
