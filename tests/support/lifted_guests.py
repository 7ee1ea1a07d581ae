"""Random components whose exports return what they are given, or random memory, in honest and in hostile ways.

The text of a component is drawn from a seed. Its exports are `f`, whose types are random, `calls`, which counts the
calls of `post-return`, and `log`, which returns what `realloc` was asked for and the beginning of the heap.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import Record, Some
from pytest_airssys_wasm.runtime.lift.layout import NUMBER_BYTES, is_pair, layout_of
from pytest_airssys_wasm.runtime.wit.types import ListType, OptionType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from pytest_airssys_wasm.runtime.wit.types import WitType

AREA, STATE, LOG, HEAP = 256, 1_024, 2_048, 8_192
_LOGGED = 64
_INTEGERS = {f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)} | {
    f"s{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}
_WIDE = {"s64": "i64", "u64": "i64", "f32": "f32", "f64": "f64"}

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


def core_type(name: str) -> str:
    """Return the core type of a number, bool or char."""
    return _WIDE.get(name, "i32")


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
        if depth > 1 or kind < 0.6:
            return self.leaf()
        return self.together([self.flat(depth + 1) for _ in range(self.random.randint(1, 4))])

    def together(self, parts: Sequence[WitType]) -> WitType:
        """Return a tuple or a record of parts."""
        if self.random.random() < 0.5:
            return TupleType(tuple(parts))
        return RecordType(tuple((f"f{number}", part) for number, part in enumerate(parts)))

    def any_type(self, depth: int = 0) -> WitType:
        """Draw a type: most of those are copied, and some are not."""
        kind = self.random.random()
        if kind < 0.25:
            return Primitive("string")
        if kind < 0.4:
            return ListType(self.leaf())
        if kind < 0.6:
            return ListType(self.flat())
        if kind < 0.63:
            return self.random.choice(
                [OptionType(self.leaf()), ListType(Primitive("string")), ListType(ListType(self.leaf()))]
            )
        if depth < 2 and kind < 0.8:
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
            case RecordType(fields):
                if type_ not in self._names:
                    inner = " ".join(f'(field "{name}" {self.spell(part)})' for name, part in fields)
                    number = len(self._names)
                    self._names[type_] = f"$r{number}"
                    self._declared.append(
                        f'(type $t{number} (record {inner})) (export $r{number} "r{number}" (type $t{number}))'
                    )
                return self._names[type_]
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
    found: list[str] = []
    for param in params:
        for _, leaf in layout_of(param).leaves:
            found += ["i32", "i32"] if is_pair(leaf) else [core_type(leaf.name)]  # type: ignore[union-attr]
    return found


def stored(result: WitType, first: int = 0) -> str:
    """Return the code that stores the flat parameters as the result."""
    code, at = [], first
    for offset, leaf in layout_of(result).leaves:
        place = AREA + offset
        if is_pair(leaf):
            code.append(f"(i32.store (i32.const {place}) (local.get {at}))")
            code.append(f"(i32.store (i32.const {place + 4}) (local.get {at + 1}))")
            at += 2
            continue
        name = leaf.name  # type: ignore[union-attr]
        width = {1: "8", 2: "16"}.get(NUMBER_BYTES[name], "")
        code.append(f"({core_type(name)}.store{width} (i32.const {place}) (local.get {at}))")
        at += 1
    return "\n      ".join(code)


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
    if random.random() < 0.3:
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


def _data(guest: RandomGuest) -> bytes:
    """Return random memory at the place of the result, in which most pointers are good."""
    random = guest.random
    layout = layout_of(guest.result)  # type: ignore[arg-type]
    area = bytearray(random.choice([0, 255, random.getrandbits(8)]) for _ in range(layout.size))
    for offset, leaf in layout.leaves:
        if is_pair(leaf):
            pointer = random.choice(
                [0, LOG, HEAP, AREA, HEAP + random.randint(0, 64), 65_536, 131_072, 131_071, 2**32 - 8]
            )
            length = random.choice(
                [0, 1, 2, 3, random.randint(0, 40), random.randint(0, 40), 4_000, 65_536, 2**31, 2**32 - 1]
            )
            if random.random() < 0.2:  # to the end of the memory, or just beyond it
                width = layout_of(leaf.element).size if isinstance(leaf, ListType) else 1
                length = random.randint(0, 30)
                pointer = 65_536 - length * width + random.choice([0, 0, 1, width])
            struct.pack_into("<II", area, offset, pointer, length)
        elif leaf == Primitive("char") and random.random() < 0.8:
            struct.pack_into("<I", area, offset, random.choice([65, 0x10FFFF, 0xD7FF, 0xE000]))
    return bytes(area)


def _heap(random: Random) -> bytes:
    """Return the beginning of the heap: text, chars, or random bytes."""
    text = "".join(random.choice("aé€𝄞\0") for _ in range(60)).encode()
    kind = random.random()
    if kind < 0.3:
        return text
    if kind < 0.6:
        spoilt = bytearray(text)
        spoilt[random.randrange(len(spoilt))] = random.getrandbits(8)
        return bytes(spoilt)
    if kind < 0.8:
        return b"".join(struct.pack("<I", random.choice([65, 0xD800, 0x10FFFF, 0x110000, 8364])) for _ in range(40))
    return random.randbytes(200)


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def _text(guest: RandomGuest) -> str:
    random, choice, result = guest.random, guest.choice, guest.result
    params = flat_types(guest.params)
    leaves = [] if result is None else layout_of(result).leaves
    is_direct = len(leaves) == 1 and not is_pair(leaves[0][1])
    returned = ""
    ret_type = ""
    if result is not None:
        kind = core_type(leaves[0][1].name) if is_direct else "i32"  # type: ignore[union-attr]
        ret_type = f"(result {kind})"
        if not is_direct:
            returned = RETURNS.get(choice.returns) or f"(i32.const {AREA})"
            layout = layout_of(result)
            if choice.returns == "to the end":
                returned = f"(i32.sub {_END} (i32.const {layout.size}))"
            elif choice.returns == "just beyond":
                returned = f"(i32.sub {_END} (i32.const {layout.size - layout.alignment}))"
        elif choice.garbage:
            returned = f"({kind}.const {random.choice([0, 1, 2, 255, 65_535, 0x10FFFF, 0xD800])})"
        else:
            returned = "(local.get 0)"
    store = "" if result is None or choice.garbage or is_direct else stored(result)
    data = ""
    if choice.garbage and result is not None:
        data = f'(data (i32.const {AREA}) "{_escaped(_data(guest))}") (data (i32.const {HEAP}) "{_escaped(_heap(random))}")'
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
      {BODIES.get(choice.body, "")}
      {store}
      {returned})
    {post_function}
    (func (export "calls") (result i64)
      (i64.xor (i64.load (i32.const {STATE + 8})) (i64.load (i32.const {STATE + 16}))))
    (func (export "log") (result i32)
      (i32.store (i32.const {STATE + 32}) (i32.const {LOG}))
      (i32.store (i32.const {STATE + 36}) (i32.const 7000))
      (i32.const {STATE + 32})))
  (core instance $i (instantiate $m))
  {" ".join(guest._declared)}
  (func (export "f") {" ".join(spelled)} {spelled_result} (canon lift (core func $i "f")
    (memory (core memory $i "mem")) (realloc (core func $i "realloc")) {post_option}))
  (func (export "calls") (result u64) (canon lift (core func $i "calls")))
  (func (export "log") (result (list u8)) (canon lift (core func $i "log") (memory (core memory $i "mem")))))"""


def random_value(random: Random, type_: WitType, *, is_wrong: bool = False) -> Any:
    """Draw a value of a type, or one that is like it."""
    match type_:
        case Primitive("string"):
            if is_wrong:
                return random.choice([b"x", "\ud800", 1, None])
            size = random.choice([0, 1, 5, 30, 17_000 if random.random() < 0.1 else 3])
            return "".join(random.choice(random.choice(["ab", "é\0", "€𝄞"])) for _ in range(size))
        case Primitive("bool"):
            return 1 if is_wrong else random.random() < 0.5
        case Primitive("char"):
            return random.choice(["ab", "\udc00", 65]) if is_wrong else random.choice("a\0é€𝄞\U0010ffff")
        case Primitive("f32" | "f64" as name):
            if is_wrong:
                return random.choice(["1", True, 1e300 if name == "f32" else 2**70 + 1])
            width = 4 if name == "f32" else 8
            drawn = struct.unpack("<f" if width == 4 else "<d", random.randbytes(width))[0]
            if random.random() < 0.2:
                from pytest_airssys_wasm.runtime.base.floats import f32_of, f64_of

                if width == 4:
                    return f32_of(0x7F800001 | random.getrandbits(22))
                return f64_of(0x7FF0000000000001 | random.getrandbits(50))
            return random.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), 3, drawn])
        case Primitive(name):
            low, high = _INTEGERS[name]
            if is_wrong:
                return random.choice([low - 1, high + 1, True, 1.0, "1"])
            return random.choice([low, high, 0, random.randint(low, high)])
        case ListType(element):
            size = random.choice([0, 1, 2, 7, random.randint(0, 40), 5_000 if random.random() < 0.05 else 4])
            values = [random_value(random, element) for _ in range(size)]
            if is_wrong:
                return random.choice([{1: 2}, 1, "ab", [*values, object()]])
            if element == Primitive("u8"):
                return random.choice([bytes, bytearray, list, tuple, lambda some: memoryview(bytes(some))])(values)
            return random.choice([list, tuple])(values)
        case TupleType(elements):
            return tuple(random_value(random, part, is_wrong=is_wrong) for part in elements)
        case RecordType(fields):
            made = {name: random_value(random, part, is_wrong=is_wrong) for name, part in fields}
            return random.choice([dict, Record])(**made) if not is_wrong else random.choice([made, {}, 1])
        case OptionType(payload):
            return None if random.random() < 0.5 else random_value(random, payload)
        case _:
            raise TypeError


def exact(value: Any) -> Any:
    """Return a value with the classes of its parts, and the bits of its floats, for comparison."""
    match value:
        case float():
            return ("float", struct.pack("<d", value))
        case list() | tuple():
            return (type(value).__name__, [exact(part) for part in value])
        case Record():
            return ("record", {name: exact(part) for name, part in value.as_dict().items()})
        case Some():
            return ("some", exact(value.value))
        case _:
            return (type(value).__name__, value)
