"""Values and calls in WAVE: nothing raises, takes long, or writes more than it may."""

from __future__ import annotations

import time
import tracemalloc
from array import array
from dataclasses import make_dataclass

import pytest

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.wave import write_call, write_value
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    RecordType,
    ResourceType,
    ResultType,
    TupleType,
    VariantType,
)
from support.wave_values import BOOL, CHAR, F32, F64, S8, STRING, U8, U32, U64

NUMBERED = OptionType(U32)
PERMS = FlagsType(("read", "write", "exec-all"))
SHAPE = VariantType((("empty", None), ("err", STRING), ("body-of", ListType(U8))))
USER = RecordType((("user-id", U64), ("tags", ListType(STRING)), ("note", OptionType(STRING))))


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        (True, BOOL, "true"),
        (-128, S8, "-128"),
        (-1, "i32", "-1"),
        (2**32 - 1, "i32", "4294967295"),
        (2**53 + 1, "f64", "9007199254740993"),
        (1.5, F32, "1.5"),
        (3, F64, "3"),
        (6.022e23, F64, "6.022e+23"),
        (float("nan"), F64, "nan"),
        (float("-inf"), F32, "-inf"),
        ("☃", CHAR, "'☃'"),
        ("'", CHAR, r"'\''"),
        ('"', CHAR, "'\"'"),
        ('a\t"b"\\\r\nit\'s\0', STRING, r'''"a\t\"b\"\\\r\nit's\u{0}"'''),
        ("\x1b[31m\u202eevil\u2066", STRING, r'"\u{1b}[31m\u{202e}evil\u{2066}"'),
        (b"OK", ListType(U8), "[79, 75]"),
        (memoryview(b"OK"), ListType(U8), "[79, 75]"),
        (array("I", [1, 2]), ListType(U32), "[1, 2]"),
        (memoryview(array("I", [1, 2])), ListType(U32), "[1, 2]"),
        ([], ListType(CHAR), "[]"),
        ((1, "a"), TupleType((U8, STRING)), '(1, "a")'),
        (Record(user_id=1, tags=["a"], note=None), USER, '{user-id: 1, tags: ["a"]}'),
        ({"user-id": 1, "tags": [], "note": "x"}, USER, '{user-id: 1, tags: [], note: some("x")}'),
        (make_dataclass("User", ["user_id", "tags", "note"])(1, [], None), USER, "{user-id: 1, tags: []}"),
        ({"a": None}, RecordType((("a", NUMBERED),)), "{:}"),
        (Variant("empty"), SHAPE, "empty"),
        (Variant("err", "oops"), SHAPE, '%err("oops")'),
        (Variant("body-of", b"\1"), SHAPE, "body-of([1])"),
        ("not-found", EnumType(("ok", "not-found")), "not-found"),
        ("ok", EnumType(("ok", "not-found")), "%ok"),
        (frozenset(["exec-all", "read"]), PERMS, "{read, exec-all}"),
        (frozenset(), PERMS, "{}"),
        (7, NUMBERED, "some(7)"),
        (None, NUMBERED, "none"),
        (Some(None), OptionType(NUMBERED), "some(none)"),
        (Some(7), OptionType(NUMBERED), "some(some(7))"),
        (Ok("x"), ResultType(STRING, None), 'ok("x")'),
        (Ok(), ResultType(None, STRING), "ok"),
        (Err(), ResultType(STRING, None), "err"),
        (Err(3), ResultType(None, U8), "err(3)"),
        (object(), OwnType(ResourceType("counter")), "<resource counter>"),
        (object(), BorrowType(ResourceType("counter")), "<resource counter>"),
    ],
)
def test_a_value_is_written_as_wave_writes_it(value, type_, text):
    assert write_value(value, type_) == text


class Hostile:
    """Raises whatever it is asked."""

    def __getattribute__(self, name):
        raise RuntimeError

    __repr__ = __eq__ = __len__ = __iter__ = __getattribute__
    __hash__ = None


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        ("x", U8, '<… "x">'),
        (256, U8, "<… 256>"),
        (True, U8, "<… true>"),
        (10**5_000, U8, "<… int of 16610 bits>"),
        (2**53 + 1, F64, "<… 9007199254740993>"),
        (1e300, F32, "<… 1e+300>"),
        ("ab", CHAR, '<… "ab">'),
        ("\ud800", STRING, r'<… "\u{d800}">'),
        ([1, "x", 2], ListType(U8), '[1, <… "x">, 2]'),
        ("ab", ListType(CHAR), '<… "ab">'),
        (memoryview(array("I", [1])), ListType(U8), "<… memoryview>"),
        ((1,), TupleType((U8, U8)), "<… (1)>"),
        ({"user-id": 1}, USER, "<… {user-id: 1}>"),
        (Record(user_id=1, tags=[], note=None, x=Err(2)), USER, "<… {user_id: 1, tags: [], note: none, x: err(2)}>"),
        (Variant("nope", {1: Some(b"a")}), SHAPE, "<… nope({1: some([97])})>"),
        (Variant("empty", 3), SHAPE, "empty(<… 3>)"),
        ("nope", EnumType(("a",)), '<… "nope">'),
        ({"nope"}, PERMS, '<… {"nope"}>'),
        ([["read"]], PERMS, '<… [["read"]]>'),
        (7, OptionType(NUMBERED), "<… 7>"),
        (Ok(3), ResultType(None, None), "ok(<… 3>)"),
        (3, ResultType(None, None), "<… 3>"),
        (3, FutureType(None), "<… 3>"),
        (None, OwnType(ResourceType("counter")), "<… none>"),
        (1, "v128", "<… 1>"),
        (1, None, "<… 1>"),
        (Hostile(), U8, "<… Hostile>"),
        (Hostile(), USER, "<… Hostile>"),
        ([Hostile(), 1], ListType(U8), "[<… Hostile>, 1]"),
        (type("a\n\x1b[0m", (), {})(), U8, r"<… a\u{a}\u{1b}[0m>"),
    ],
    ids=range(30),
)
def test_a_value_that_does_not_fit_is_marked(value, type_, text):
    assert write_value(value, type_) == text


def test_a_call_is_written_as_wave_writes_it():
    assert write_call("transform", ["hello"], [STRING]) == 'transform("hello")'
    assert write_call("tick", [], []) == "tick()"
    types = [USER, NUMBERED, ResultType(None, STRING)]
    args = [{"user-id": 1, "tags": ["a"], "note": None}, 3, Ok()]
    assert write_call("pkg:iface/name@1.0.0#lookup", args, types) == (
        'pkg:iface/name@1.0.0#lookup({user-id: 1, tags: ["a"]}, some(3), ok)'
    )
    assert write_call("f", [1, "x"], ["i32"]) == 'f(1, <… "x">)'
    assert write_call("f", [1], ["i32", "i32"]) == "f(1)"
    assert write_call("\x1b[2J\u202ef\n", [], []) == r"\u{1b}[2J\u{202e}f\u{a}()"


def test_a_call_that_is_none_at_all_raises_nothing():
    for function, args, types in [(None, [], []), ("f", None, None), ("f", Hostile(), []), ("f", [1], Hostile())]:
        assert write_call(function, args, types).endswith("…")


def selfish():
    value = []
    value += [value, value]
    return value


def nested(depth):
    value, type_ = 1, U8
    for _ in range(depth):
        value, type_ = (value,), TupleType((type_,))
    return value, type_


class Repeating:
    """Each object fails at its last field, after its first has written much."""

    def __init__(self, depth):
        self.depth = depth

    @property
    def a(self):
        return [Repeating(self.depth - 1)] * 20

    @property
    def b(self):
        raise ValueError


def repeating(depth):
    type_ = U8
    for _ in range(depth):
        type_ = RecordType((("a", ListType(type_)), ("b", U8)))
    return Repeating(depth), type_


MANY_CASES = VariantType(tuple((f"case-{n}", None) for n in range(1_000)))
MANY_OPTIONS = RecordType(tuple((f"field-{n}", NUMBERED) for n in range(1_000)))


@pytest.mark.parametrize(
    ("make", "type_"),
    [
        (lambda: bytes(100 * 2**20), ListType(U8)),
        (lambda: bytearray(100 * 2**20), ListType(U8)),
        (lambda: memoryview(bytearray(100 * 2**20)), ListType(U8)),
        (lambda: memoryview(bytearray(100 * 2**20)).cast("I"), ListType(U32)),
        (lambda: bytes(100 * 2**20), U8),
        (lambda: "x" * 100 * 2**20, STRING),
        (lambda: "\n" * 100 * 2**20, STRING),
        (lambda: "x" * 100 * 2**20, CHAR),
        (lambda: "\n" * 100 * 2**20, U8),
        (lambda: [0] * 10**7, ListType(U8)),
        (lambda: [0] * 10**7, U8),
        (lambda: ["a"] * 10**7, PERMS),
        (lambda: selfish(), U8),
        (lambda: selfish(), ListType(ListType(ListType(U8)))),
        (lambda: dict.fromkeys(range(10**6)), USER),
        (lambda: Record(user_id=bytes(100 * 2**20)), U8),
        (lambda: nested(5_000)[0], nested(5_000)[1]),
        (lambda: repeating(6)[0], repeating(6)[1]),
        (lambda: [Variant("case-999")] * 10**6, ListType(MANY_CASES)),
        (lambda: [dict.fromkeys(name for name, _ in MANY_OPTIONS.fields)] * 10**6, ListType(MANY_OPTIONS)),
        (lambda: type("Long" * 100_000, (), {})(), U8),
    ],
    ids=range(21),
)
def test_a_huge_value_costs_little_and_is_cut(make, type_):
    value = make()
    tracemalloc.start()
    started = time.thread_time()
    text = write_value(value, type_)
    elapsed_s = time.thread_time() - started
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) <= 2_000
    assert "…" in text
    assert peak_bytes < 2**20
    assert elapsed_s < 5


def test_values_are_followed_into_each_other_only_so_far():
    loop = []
    loop.append(loop)
    assert write_value(loop, U8) == "<… " + "[" * 65 + "…" + "]" * 65 + ">"
    assert write_value(*nested(100)) == "(" * 65 + "…" + ")" * 65


def test_a_cut_text_ends_with_an_ellipsis_and_keeps_to_its_budget():
    assert write_value([1, 2, 3], ListType(U8), most_characters=9) == "[1, 2, 3]"
    assert write_value([1, 2, 3], ListType(U8), most_characters=8) == "[1, 2, …"
    assert write_call("transform", ["hello"], [STRING], most_characters=14) == 'transform("he…'
    assert [write_value(123, U8, most_characters=most) for most in (-1, 0, 1, 2, 3)] == ["", "", "…", "1…", "123"]


def test_it_writes_near_the_end_of_the_stack_too():
    def fall():
        written.append(write_value([[[1]]], ListType(ListType(ListType(U8)))))
        fall()

    written = []
    with pytest.raises(RecursionError):
        fall()
    assert written[0] == "[[[1]]]"
