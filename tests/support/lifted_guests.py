"""Random components whose exports return what they are given, or random memory, in honest and in hostile ways.

The text of a component is drawn from a seed. Its exports are `f`, whose types are random, `calls`, which counts the
calls of `post-return`, and `log`, which returns what `realloc` was asked for, the core values that `f` was given, and the
beginning of the heap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.lift.layout import NUMBER_BYTES, cases_of, layout_of, only_part
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)
from support.lifted_memory import random_memory
from support.stored_code import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from pytest_airssys_wasm.runtime.wit.types import WitType

AREA, STATE, LOG, HEAP = 256, 1_024, 2_048, 8_192
_LOGGED, _LOGGED_BYTES = 512, 12_000

_END = "(i32.mul (memory.size) (i32.const 65536))"
REALLOCS = {
    "honest": "",
    "unaligned": "(if (i32.gt_u (local.get 2) (i32.const 1)) (then (return (i32.add (local.get $p) (i32.const 1)))))",
    "beyond": "(return (i32.and (i32.const 0x7fffff00) (i32.sub (i32.const 0) (local.get 2))))",
    "at the end": "(return (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))",
    "to the end": f"(return (i32.and (i32.sub {_END} (local.get 3)) (i32.sub (i32.const 0) (local.get 2))))",
    "just beyond": f"(return (i32.and (i32.add (i32.sub {_END} (local.get 3)) (local.get 2)) "
    "(i32.sub (i32.const 0) (local.get 2))))",
    "unaligned and beyond": f"(return (i32.sub {_END} (i32.const 1)))",
    "negative": "(return (i32.sub (i32.const 0) (local.get 2)))",
    "always the same": "(return (i32.const 8192))",
    "over the state": "(return (i32.const 1024))",
    "traps": "unreachable",
    "divides": "(drop (i32.div_u (local.get 2) (i32.const 0)))",
    "loops": "(loop $again (br $again))",
    "recurses": "(drop (call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
    "grows": "(drop (memory.grow (i32.const 1)))",
    "grows, or traps": "(if (i32.lt_s (memory.grow (i32.const 2)) (i32.const 0)) (then unreachable))",
    "traps at the second": "(if (i32.gt_u (i32.load (i32.const 1024)) (i32.const 1)) (then unreachable))",
    "unaligned at the second": (
        "(if (i32.gt_u (i32.load (i32.const 1024)) (i32.const 1)) (then (return (i32.const 8193))))"
    ),
    "reads": "(drop (i64.load (i32.sub (local.get $p) (i32.const 8))))",
    "out of bounds": "(drop (i32.load (i32.const -1)))",
}
"""What a `realloc` does after it has noted its arguments."""
POSTS = {
    "none": None,
    "honest": "",
    "traps": "unreachable",
    "loops": "(loop $again (br $again))",
    "clears": "(memory.fill (i32.const 256) (i32.const 255) (i32.const 512))",
    "grows": "(drop (memory.grow (i32.const 1)))",
    "out of bounds": "(drop (i32.load (i32.const -1)))",
}
"""What a `post-return` does after it has counted its call."""
BODIES = {
    "traps": "unreachable",
    "loops": "(loop $again (br $again))",
    "grows": "(drop (memory.grow (i32.const 1)))",
    "recurses": "(call $deep)",
    "divides": "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
}
"""What a function does besides."""
RETURNS = {
    "unaligned": "(i32.const 257)",
    "beyond": "(i32.const -8)",
    "at the end": "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))",
    "unaligned and beyond": "(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 3))",
    "to the end": "",
    "just beyond": "",
    "nothing": "(i32.const 0)",
}
"""The wrong places to which a result is said to be returned."""


@dataclass
class Choice:
    """The random choices that make a guest hostile."""

    realloc: str = "honest"
    post: str = "none"
    body: str = ""
    returns: str = ""
    garbage: bool = False


@dataclass
class RandomGuest:
    """A random component."""

    random: Random
    params: list[WitType] = field(default_factory=list)
    result: WitType | None = None
    choice: Choice = field(default_factory=Choice)
    text: str = ""
    _declared: list[str] = field(default_factory=list)
    _names: dict[WitType, str] = field(default_factory=dict)

    def leaf(self) -> Primitive:
        """Draw a number, bool or char."""
        return Primitive(self.random.choice([*NUMBER_BYTES]))

    def flat(self, depth: int = 0) -> WitType:
        """Draw a type without pointers."""
        kind = self.random.random()
        if depth > 1 or kind < 0.45:
            return self.leaf()
        if kind < 0.7:
            return self.cases(self.flat, depth)
        return self.together([self.flat(depth + 1) for _ in range(self.random.randint(1, 4))])

    def together(self, parts: Sequence[WitType]) -> WitType:
        """Return a tuple or a record of parts."""
        if self.random.random() < 0.5:
            return TupleType(tuple(parts))
        return RecordType(tuple((f"f{number}", part) for number, part in enumerate(parts)))

    def cases(self, draw: Callable[[int], WitType], depth: int) -> WitType:
        """Draw a type of which a value is one of several cases, or flags."""
        random = self.random
        match random.choice(["option", "option", "result", "result", "variant", "variant", "enum", "flags"]):
            case "option":
                return OptionType(draw(depth + 1))
            case "result":
                return ResultType(*(draw(depth + 1) if random.random() < 0.7 else None for _ in range(2)))
            case "variant":
                payloads = [draw(depth + 1) if random.random() < 0.7 else None for _ in range(random.randint(1, 4))]
                return VariantType(tuple((f"c{number}", payload) for number, payload in enumerate(payloads)))
            case "enum":
                return EnumType(tuple(f"e{number}" for number in range(random.choice([1, 2, 3, 9, 256]))))
            case _:
                return FlagsType(tuple(f"b{number}" for number in range(random.choice([1, 3, 8, 9, 16, 17, 32]))))

    def any_type(self, depth: int = 0) -> WitType:
        """Draw a type: most of those are copied, and some are not."""
        kind = self.random.random()
        if kind < 0.15:
            return Primitive("string")
        if kind < 0.22:
            return ListType(self.leaf())
        if kind < 0.34:
            return ListType(self.flat())
        if kind < 0.5 and depth < 2:
            return ListType(self.any_type(depth + 1))
        if depth < 3 and kind < 0.8:
            return self.cases(self.any_type, depth)
        if depth < 2 and kind < 0.9:
            return self.together([self.any_type(depth + 1) for _ in range(self.random.randint(1, 3))])
        return self.leaf()

    def spell(self, type_: WitType) -> str:
        """Return the text of a type in a component; a record is declared and exported before."""
        match type_:
            case Primitive(name):
                return name
            case ListType(element):
                return f"(list {self.spell(element)})"
            case OptionType(payload):
                return f"(option {self.spell(payload)})"
            case TupleType(elements):
                return f"(tuple {' '.join(map(self.spell, elements))})"
            case ResultType(ok, err):
                error = "" if err is None else f"(error {self.spell(err)})"
                return f"(result {'' if ok is None else self.spell(ok)} {error})"
            case _:
                if type_ not in self._names:
                    definition = self._define(type_)
                    number = len(self._names)
                    self._names[type_] = f"$r{number}"
                    self._declared.append(
                        f'(type $t{number} {definition}) (export $r{number} "r{number}" (type $t{number}))'
                    )
                return self._names[type_]

    def _define(self, type_: WitType) -> str:
        """Return the definition of a type that has a name."""
        match type_:
            case RecordType(fields):
                members = [f'(field "{name}" {self.spell(part)})' for name, part in fields]
                return f"(record {' '.join(members)})"
            case VariantType(cases):
                members = [f'(case "{name}" {"" if part is None else self.spell(part)})' for name, part in cases]
                return f"(variant {' '.join(members)})"
            case EnumType(names) | FlagsType(names):
                members = [f'"{name}"' for name in names]
                return f"({'enum' if isinstance(type_, EnumType) else 'flags'} {' '.join(members)})"
            case _:
                raise TypeError


def has_layout(types: Sequence[WitType]) -> bool:
    """Return whether the layout of all types is known here."""
    try:
        for type_ in types:
            layout_of(type_)
    except Exception:  # noqa: BLE001
        return False
    return True


def flat_types(params: Sequence[WitType]) -> list[str]:
    """Return the core types of parameters."""
    return [core_type for param in params for core_type in layout_of(param).flat]


def _noted(params: Sequence[str]) -> str:
    """Return the code that notes all core values."""
    code = []
    for number, core_type in enumerate(params):
        bits = f"(local.get {number})"
        if core_type[0] == "f":
            bits = f"(i{core_type[1:]}.reinterpret_{core_type} {bits})"
        if core_type[1:] == "64":
            code.append(f"(call $note (i32.wrap_i64 (i64.shr_u {bits} (i64.const 32))))")
            bits = f"(i32.wrap_i64 {bits})"
        code.append(f"(call $note {bits})")
    return " ".join(code)


def random_guest(random: Random) -> RandomGuest:
    """Draw a guest."""
    guest = RandomGuest(random)
    while True:
        guest.params = [guest.any_type() for _ in range(random.randint(1, 3))]
        if not has_layout(guest.params) or len(flat_types(guest.params)) > 16:
            guest.params = [guest.any_type() for _ in range(random.choice([1, 1, 2]))]
        if has_layout(guest.params) and len(flat_types(guest.params)) <= 16:
            break
    guest.result = guest.params[0] if len(guest.params) == 1 else TupleType(tuple(guest.params))
    choice = guest.choice
    if random.random() < 0.4:
        choice.garbage = True
        guest.result = None
        while guest.result is None or not has_layout([guest.result]):
            guest.result = guest.any_type()
    if random.random() < 0.35:
        choice.realloc = random.choice([*REALLOCS])
    if random.random() < 0.4:
        choice.post = random.choice([*POSTS])
    if random.random() < 0.1:
        choice.body = random.choice([*BODIES])
    if random.random() < 0.1:
        choice.returns = random.choice([*RETURNS])
    if random.random() < 0.05:
        guest.result = None
    guest.text = _text(guest)
    return guest


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def _text(guest: RandomGuest) -> str:
    random, choice, result = guest.random, guest.choice, guest.result
    params = flat_types(guest.params)
    is_direct = result is not None and len(layout_of(result).flat) == 1
    returned = ""
    ret_type = ""
    if result is not None:
        kind = layout_of(result).flat[0] if is_direct else "i32"
        ret_type = f"(result {kind})"
        if not is_direct:
            returned = RETURNS.get(choice.returns) or f"(i32.const {AREA})"
            layout = layout_of(result)
            if choice.returns == "to the end":
                returned = f"(i32.sub {_END} (i32.const {layout.size}))"
            elif choice.returns == "just beyond":
                returned = f"(i32.sub {_END} (i32.const {layout.size - layout.alignment}))"
        elif choice.garbage:
            cases = cases_of(only_part(result))
            numbers = [0, 1, 2, 255, 256, 65_535, 0x10FFFF, 0xD800, 0xFFFFFFFF]
            if cases is not None:
                numbers = [0, len(cases.payloads) - 1, len(cases.payloads), 256, 0xFFFFFFFF]
            returned = f"({kind}.const {random.choice(numbers)})"
        else:
            returned = "(local.get 0)"
    store = "" if result is None or choice.garbage or is_direct else stored(result, AREA)
    data = ""
    if choice.garbage and result is not None:
        area, heap = random_memory(random, result, HEAP, [0, LOG, AREA])
        data = f'(data (i32.const {AREA}) "{_escaped(area)}") (data (i32.const {HEAP}) "{_escaped(heap)}")'
    post = POSTS[choice.post]
    post_param = ret_type.replace("result", "param")
    spelled = [f'(param "p{number}" {guest.spell(param)})' for number, param in enumerate(guest.params)]
    spelled_result = "" if result is None else f"(result {guest.spell(result)})"
    pages = random.choice([1, 1, 2, 3])
    post_function = (
        ""
        if post is None
        else (
            f'(func (export "post") {post_param}\n'
            f"      (i32.store (i32.const {STATE + 8}) (i32.add (i32.load (i32.const {STATE + 8})) (i32.const 1)))\n"
            f"      {'' if result is None else f'({kind}.store (i32.const {STATE + 16}) (local.get 0))'}\n      {post})"
        )
    )
    post_option = "" if post is None else '(post-return (core func $i "post"))'
    return f"""(component
  (core module $m
    (memory (export "mem") {pages})
    {data}
    (global $next (mut i32) (i32.const {HEAP}))
    {random.choice(["", "(func $fill (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))"])}
    (func $deep (call $deep) (call $deep))
    (func $note (param i32) (local $at i32)
      (local.set $at (i32.load (i32.const {STATE + 4})))
      (if (i32.lt_u (local.get $at) (i32.const {4 * _LOGGED})) (then
        (i32.store offset={LOG} (local.get $at) (local.get 0))
        (i32.store (i32.const {STATE + 4}) (i32.add (local.get $at) (i32.const 4))))))
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) (local $p i32)
      (i32.store (i32.const {STATE}) (i32.add (i32.load (i32.const {STATE})) (i32.const 1)))
      (call $note (local.get 0)) (call $note (local.get 1)) (call $note (local.get 2)) (call $note (local.get 3))
      (local.set $p (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                             (i32.sub (i32.const 0) (local.get 2))))
      (call $note (i32.load (local.get $p)))
      {REALLOCS[choice.realloc]}
      (global.set $next (i32.add (local.get $p) (local.get 3)))
      (local.get $p))
    (func (export "f") {f"(param {' '.join(params)})" if params else ""} {ret_type}
      {_noted(params)}
      {BODIES.get(choice.body, "")}
      {store}
      {returned})
    {post_function}
    (func (export "calls") (result i64)
      (i64.xor (i64.load (i32.const {STATE + 8})) (i64.load (i32.const {STATE + 16}))))
    (func (export "log") (result i32)
      (i32.store (i32.const {STATE + 32}) (i32.const {LOG}))
      (i32.store (i32.const {STATE + 36}) (i32.const {_LOGGED_BYTES}))
      (i32.const {STATE + 32})))
  (core instance $i (instantiate $m))
  {" ".join(guest._declared)}
  (func (export "f") {" ".join(spelled)} {spelled_result} (canon lift (core func $i "f")
    (memory (core memory $i "mem")) (realloc (core func $i "realloc")) {post_option}))
  (func (export "calls") (result u64) (canon lift (core func $i "calls")))
  (func (export "log") (result (list u8)) (canon lift (core func $i "log") (memory (core memory $i "mem")))))"""
