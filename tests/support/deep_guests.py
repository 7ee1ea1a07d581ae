"""Guests whose fault lies behind several conditions, one after the other, each with blocks of its own."""

from __future__ import annotations

from dataclasses import dataclass

from support.planted_guests import component


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepGuest:
    """A guest with one export, `f`, that traps behind some conditions."""

    depth: int
    """The number of conditions."""
    source: str
    """The WebAssembly text."""


_NUMBERS = (7919, 104729, 1299709, 15485863)


def _numbers(depth: int) -> DeepGuest:
    """Return a guest that traps if each of four numbers, or of the first ones, has one value."""
    inner = "unreachable"
    for at in reversed(range(depth)):
        inner = f"(if (i32.eq (local.get {at}) (i32.const {_NUMBERS[at]})) (then {inner}))"
    parameters = " ".join(f'(param "{name}" u32)' for name in "abcd")
    code = f'(func (export "f") (param i32 i32 i32 i32) {inner})'
    return DeepGuest(depth=depth, source=component(code, f"f: {parameters}"))


def _program(expected: tuple[int, ...], stride: int, signature: str, types: str = "") -> DeepGuest:
    """Return a guest that traps if the elements of a list begin with these ones, of `stride` bytes each.

    Each element is looked at in a block of its own, as a parser with a state does.
    """
    load = "i32.load8_u" if stride == 1 else "i32.load"
    inner = "unreachable"
    for at in reversed(range(len(expected))):
        here = f"({load} offset={at * stride} (local.get $at))"
        inner = (
            f"(if (i32.gt_u (local.get $size) (i32.const {at})) (then "
            f"(if (i32.eq {here} (i32.const {expected[at]})) (then {inner}))))"
        )
    code = f'(func (export "f") (param $at i32) (param $size i32) {inner} (call $free))'
    return DeepGuest(depth=len(expected), source=component(code, f"f: {signature}", types=types))


def _commands(depth: int) -> DeepGuest:
    """Return a guest that traps on a list of commands that open, unlock with a number, write and close, in this order."""
    case, payload = "(i32.load8_u (local.get $at))", "(i32.load offset=4 (local.get $at))"
    wanted = [(0, None), (1, 4242), (2, None), (3, 77)][:depth]
    states = []
    for state, (number, value) in enumerate(wanted):
        test = f"(i32.eq {case} (i32.const {number}))"
        after = f"(local.set $state (i32.const {state + 1}))"
        if value is not None:
            after = f"(if (i32.eq {payload} (i32.const {value})) (then {after}))"
        states.append(
            f"(if (i32.eq (local.get $state) (i32.const {state})) (then (if {test} (then {after})) (br $done)))"
        )
    code = f"""(func (export "f") (param $at i32) (param $size i32) (local $state i32)
      (loop $next (if (local.get $size) (then
        (block $done {" ".join(states)})
        (if (i32.eq (local.get $state) (i32.const {depth})) (then unreachable))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $size (i32.sub (local.get $size) (i32.const 1)))
        (br $next))))
      (call $free))"""
    types = (
        '(type $v (variant (case "open") (case "unlock" u32) (case "write" u32) (case "close" u32)))'
        '(export $command "command" (type $v))'
    )
    return DeepGuest(depth=depth, source=component(code, 'f: (param "commands" (list $command))', types=types))


DEEP = {
    "two numbers": _numbers(2),
    "four numbers": _numbers(4),
    "three characters": _program(tuple(b"k7?"), 1, '(param "text" string)'),
    "three elements": _program((310, 4, 1590), 4, '(param "numbers" (list u32))'),
    "two commands": _commands(2),
    "four commands": _commands(4),
}
"""The guests by what is looked at."""
