"""Random modules with every kind of control flow, which return, trap or run out of fuel."""

from __future__ import annotations

import random

_FUNCTIONS = 6
_DEEPEST = 4


class _Author:
    """The writer of one module, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._labels: list[str] = []
        self._function = 0
        self._names = 0

    def module(self) -> str:
        functions = [self._a_function(number) for number in range(_FUNCTIONS)]
        elements = " ".join(f"$f{number}" for number in range(_FUNCTIONS))
        return f"""(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 3)) (tag $e (param i32))
          (type $t (func (param i32 i32) (result i32))) (table 8 8 funcref) (elem (i32.const 0) {elements})
          {" ".join(functions)})"""

    def _a_function(self, number: int) -> str:
        self._function, self._labels = number, []
        body = " ".join(self._statement(0) for _ in range(self._random.randint(1, 4)))
        last = self._expression(0)
        return (
            f'(func $f{number} (export "f{number}") (param $a i32) (param $b i32) (result i32) '
            f"(local $c i32) (local $n i32) {body} {last})"
        )

    def _new_label(self) -> str:
        self._names += 1
        return f"$l{self._names}"

    def _several(self, depth: int) -> str:
        return " ".join(self._statement(depth + 1) for _ in range(self._random.randint(0, 3)))

    def _within(self, label: str, depth: int) -> str:
        self._labels.append(label)
        text = self._several(depth)
        self._labels.pop()
        return text

    def _statement(self, depth: int) -> str:
        random, label = self._random, self._new_label()
        kinds = ["set", "set", "store", "drop", "nop", "if", "block", "loop", "else", "branch", "table", "try", "leave"]
        kind = random.choice(kinds[:5] if depth > _DEEPEST else kinds)
        value = self._expression(depth + 1)
        outer = random.choice(self._labels) if self._labels else None
        match kind:
            case "set":
                return f"({random.choice(['local.set $a', 'local.set $c', 'global.set $g'])} {value})"
            case "store":
                return f"(i32.store8 offset={random.randint(0, 9)} {self._address(depth)} {value})"
            case "drop":
                return f"(drop {value})"
            case "if":
                return f"(if {label} {value} (then {self._within(label, depth)}))"
            case "else":
                return f"(if {label} {value} (then {self._within(label, depth)}) (else {self._within(label, depth)}))"
            case "block":
                return f"(block {label} {self._within(label, depth)})"
            case "loop":
                turn = f"(br_if {label} (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9)))"
                return f"(loop {label} {self._within(label, depth)} {turn})"
            case "branch" if outer is not None:
                return random.choice([f"(br_if {outer} {value})", f"(br_if {outer} {value})", f"(br {outer})"])
            case "table" if outer is not None:
                targets = " ".join(random.choice(self._labels) for _ in range(random.randint(1, 4)))
                return f"(br_table {targets} {value})"
            case "try":
                inner = self._within(label, depth)
                thrown = random.choice([f"(if {value} (then (throw $e (i32.const 1))))", ""])
                return (
                    f"(block {label} (drop (block $x{label[1:]} (result i32) (try_table (catch $e $x{label[1:]}) "
                    f"{inner} {thrown}) (br {label}))))"
                )
            case "leave":
                return random.choice(
                    [f"(return {value})", "(unreachable)", f"(if {value} (then (unreachable)))", self._tail_call(depth)]
                )
        return "(nop)"

    def _tail_call(self, depth: int) -> str:
        target = self._random.randrange(_FUNCTIONS)
        return f"(if {self._expression(depth + 1)} (then (return_call $f{target} {self._two(depth)})))"

    def _two(self, depth: int) -> str:
        return f"{self._expression(depth + 1)} {self._expression(depth + 1)}"

    def _address(self, depth: int) -> str:
        if self._random.random() < 0.05:
            return self._expression(depth + 1)
        return f"(i32.and {self._expression(depth + 1)} (i32.const 65535))"

    def _expression(self, depth: int) -> str:
        random = self._random
        kinds = [
            "get",
            "const",
            "get",
            "const",
            "binary",
            "binary",
            "load",
            "if",
            "call",
            "indirect",
            "select",
            "block",
        ]
        match random.choice(kinds[:4] if depth > _DEEPEST else kinds):
            case "get":
                return random.choice(["(local.get $a)", "(local.get $b)", "(local.get $c)", "(global.get $g)"])
            case "binary":
                operation = random.choice(["add", "sub", "mul", "and", "xor", "shr_u", "lt_s", "eq", "div_s", "rem_u"])
                return f"(i32.{operation} {self._two(depth)})"
            case "load":
                return f"(i32.load8_u {self._address(depth)})"
            case "if":
                return (
                    f"(if (result i32) {self._expression(depth + 1)} (then {self._expression(depth + 1)}) (else "
                    f"{self._several(depth)} {self._expression(depth + 1)}))"
                )
            case "call" if random.random() < 0.5 or self._function == 0:
                target = random.randrange(max(1, self._function))
                return f"(call $f{target} {self._two(depth)})"
            case "indirect" if random.random() < 0.3:
                index = f"(i32.and {self._expression(depth + 1)} (i32.const 7))"
                return f"(call_indirect (type $t) {self._two(depth)} {index})"
            case "select":
                return f"(select {self._two(depth)} {self._expression(depth + 1)})"
            case "block":
                label = self._new_label()
                return f"(block {label} (result i32) {self._several(depth)} (br_if {label} {self._two(depth)}))"
        return f"(i32.const {random.choice([0, 1, 2, 5, -1, 255, 65536, random.randint(-(2**31), 2**31 - 1)])})"


def random_module(seed: int) -> str:
    """A valid module with functions `f0` to `f5` of two numbers, the same for the same seed."""
    return _Author(seed).module()
