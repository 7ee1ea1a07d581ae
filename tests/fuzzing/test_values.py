"""Values of each type fit it, have its edges, are bounded in all, shrink to plain ones, and can be pasted."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import pytest_airssys_wasm
from pytest_airssys_wasm import Err, Ok, Some, UnknownExport, Variant
from pytest_airssys_wasm.fuzzing import arguments, calls, values
from pytest_airssys_wasm.fuzzing.minimising import minimise, neighbours
from pytest_airssys_wasm.fuzzing.pasteable import as_json, as_python, as_toml
from pytest_airssys_wasm.fuzzing.varying import Variations
from pytest_airssys_wasm.fuzzing.wit_values import all_values, size_of
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.base.floats import f64_bits
from pytest_airssys_wasm.runtime.binary.constants import Constants
from pytest_airssys_wasm.runtime.wave import write_value
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResourceType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
)
from support.planted_guests import RARE_STRING, SOUND
from support.wave_reader import Reader, plain
from support.wave_values import TYPES, fits

U8, U32, U64, S64, F32, F64, CHAR, STRING, BOOL = map(
    Primitive, ("u8", "u32", "u64", "s64", "f32", "f64", "char", "string", "bool")
)
DEEP = ListType(
    RecordType((("tags", ListType(STRING)), ("image", ListType(U8)), ("more", OptionType(OptionType(ListType(U32))))))
)


def find(strategy, condition, most=5_000):
    """The smallest example of a strategy with this condition."""
    from hypothesis import find

    return find(strategy, condition, settings=settings(max_examples=most, database=None))


def same(one, other):
    return repr(as_json(one)) == repr(as_json(other))  # zeros of different sign are equal


EDGES = [
    (U8, 255),
    (U64, 2**64 - 1),
    (S64, -(2**63)),
    (S64, 2**63 - 1),
    (CHAR, "\ud7ff"),
    (CHAR, "\ue000"),
    (CHAR, "\U0010ffff"),
    (STRING, ""),
    (STRING, "\ufeff"),
    (ListType(U8), b""),
    (ListType(U8), b"\0" * 64),
    (ListType(U32), []),
    (FlagsType(("a", "b", "c")), frozenset()),
    (FlagsType(("a", "b", "c")), frozenset("abc")),
    (EnumType(("a", "b")), "b"),
    (VariantType((("a", None), ("b", U8))), Variant("a")),
    (VariantType((("a", None), ("b", U8))), Variant("b", 255)),
    (OptionType(OptionType(U8)), None),
    (OptionType(OptionType(U8)), Some(None)),
    (ResultType(None, STRING), Ok()),
    (ResultType(None, STRING), Err("")),
    ("i32", -(2**31)),
    ("i64", 2**63 - 1),
]


@pytest.mark.parametrize(("type_", "edge"), EDGES, ids=[f"{type_}-{nth}" for nth, (type_, _) in enumerate(EDGES)])
def test_the_edges_of_a_type_are_among_its_values(type_, edge):
    assert find(values(type_), lambda value: same(value, edge)) == edge


@pytest.mark.parametrize("type_", [F32, F64, "f32", "f64"], ids=str)
def test_floats_have_negative_zero_infinities_and_payloads_of_nan(type_):
    floats = values(type_)
    assert find(floats, lambda value: value == 0 and math.copysign(1, value) < 0) == 0
    assert find(floats, math.isinf)
    assert math.isnan(find(floats, lambda value: math.isnan(value) and f64_bits(value) & 0xFF_FFFF_FFFF))
    assert math.isnan(find(floats, lambda value: math.isnan(value) and not f64_bits(value) & 1 << 51))


@pytest.mark.slow
def test_lists_reach_the_whole_size():
    assert len(find(values(ListType(U32)), lambda value: len(value) == 64)) == 64


@pytest.mark.slow
@given(TYPES.flatmap(lambda type_: st.tuples(st.just(type_), values(type_))))
@settings(max_examples=50)
def test_each_value_fits_its_type_and_can_be_pasted(pair):
    type_, value = pair
    assert fits(value, type_)
    read = Reader(write_value(value, type_, most_characters=10**6)).value(type_)
    assert same(plain(read, type_), plain(value, type_)) or has_nan(value)
    written = toml.loads(f"x = {as_toml(value)}")["x"]
    assert same(decode(wire.from_toml(written), type_), value)
    names = {name: getattr(pytest_airssys_wasm, name) for name in ("Err", "Ok", "Some", "Variant")}
    assert same(plain(eval(as_python(value), {**names, "struct": struct}), type_), plain(value, type_))


def has_nan(value):
    return "nan" in str(as_json(value))


@given(values(DEEP, max_size=20))
@settings(max_examples=30)
def test_the_parts_of_a_value_share_one_size(value):
    assert size_of(value) <= 20


@pytest.mark.slow
@given(all_values([STRING, ListType(U8), ListType(STRING)], max_size=7))
def test_the_arguments_of_a_call_share_one_size(args):
    assert size_of(args) <= 7


@settings(max_examples=20)
@given(values(RecordType((("quantity", Primitive("u16")), ("price", Primitive("u32")), ("code", Primitive("string"))))))
def test_records_have_their_fields_in_the_order_of_their_type(value):
    assert [*value] == ["quantity", "price", "code"]


@pytest.mark.slow
def test_a_size_of_zero_leaves_only_what_is_empty():
    assert find(values(DEEP, max_size=0), lambda value: True) == []
    with pytest.raises(NoSuchExample):
        find(values(STRING, max_size=0), bool, most=200)


PLAIN = [
    (U32, lambda value: value > 1_000, 1_001),
    (S64, lambda value: value < -5, -6),
    (STRING, lambda value: len(value) >= 3, "000"),
    (ListType(U32), lambda value: sum(value) > 10, [11]),
    (RecordType((("a", U32), ("b", OptionType(U8)))), lambda value: value["b"], {"a": 0, "b": 1}),
    (VariantType((("a", None), ("b", U8))), lambda value: value.case == "b", Variant("b", 0)),
    (TupleType((BOOL, F64)), lambda value: value[1] >= 2, (False, 2.0)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("type_", "condition", "smallest"), PLAIN, ids=[str(type_)[:30] for type_, _, _ in PLAIN])
def test_values_shrink_towards_small_plain_ones(type_, condition, smallest):
    assert find(values(type_), condition) == smallest


@pytest.mark.slow
def test_constants_are_mixed_in_with_their_neighbours():
    known = Constants(integers=(-1_234_567,), floats=(0.15625,), texts=(b"MAGC", b"\xff\xfe"))
    for type_, value in (
        (S64, -1_234_568),
        (U32, 1_234_567),
        (U32, 2**32 - 1_234_567),
        (F64, -0.15625),
        (STRING, "MAGC"),
    ):
        assert find(values(type_, constants=known), lambda one, value=value: one == value) == value
    assert find(values(ListType(U8), constants=known), lambda one: one.startswith(b"\xff\xfe")) == b"\xff\xfe"


def test_a_resource_needs_a_strategy_and_a_stream_has_none():
    resource = ResourceType("bucket")
    assert find(values(OwnType(resource), resources={resource: st.just("handle")}), bool) == "handle"
    with pytest.raises(ValueError, match="the resource bucket needs a strategy"):
        values(OwnType(resource))
    with pytest.raises(TypeError, match="stream<u8>"):
        values(StreamType(U8))


@pytest.mark.slow
def test_arguments_and_calls_are_made_for_guests_from_everywhere(engine, tmp_path):
    (tmp_path / "guest.wat").write_text(RARE_STRING)
    for source in (RARE_STRING, tmp_path / "guest.wat", str(tmp_path / "guest.wat"), engine.load(RARE_STRING)):
        assert find(arguments(source, "parse"), lambda args: args[0].startswith("MAGC")) == ("MAGC",)
    assert find(calls(SOUND), lambda call: call[0] == "quotient") == ("quotient", 0, 0)
    with pytest.raises(UnknownExport):
        find(arguments(SOUND, "quotien"), bool)
    with pytest.raises(FileNotFoundError):
        find(calls(Path(tmp_path / "nothing.wasm")), bool)


def test_minimising_reaches_what_shrinking_by_choices_does_not():
    types = [STRING, U64, ListType(S64), VariantType((("a", None), ("b", F64)))]

    def fails(args):
        text, number, numbers, variant = args
        return "x" in text and number >= 70_000 and any(one < -300 for one in numbers) and variant.case == "b"

    found = ("ß\0Mx\U0010ffff", 2**64 - 1, [5, -(2**63), 7], Variant("b", math.nan))
    assert minimise(found, types, fails, lambda: False) == ("x", 70_000, [-301], Variant("b", 0.0))


@pytest.mark.parametrize("start", ["\U0010ffff", "\U0001f600", "\ud7ff"])
def test_minimising_a_character_reaches_the_ends_of_ranges(start):
    fails = {"\ud7ff", "\U0001f600", "\U0010ffff"}.__contains__
    assert minimise((start,), ["char"], lambda args: fails(args[0]), lambda: False) == ("\ud7ff",)


@pytest.mark.slow
@given(TYPES.flatmap(lambda type_: st.tuples(st.just(type_), values(type_, max_size=8))))
@settings(max_examples=30)
def test_simpler_values_fit_their_type_too(pair):
    type_, value = pair
    for simpler in neighbours(value, type_):
        assert fits(simpler, type_)
        assert not same(simpler, value)


@pytest.mark.slow
@given(TYPES.flatmap(lambda type_: st.tuples(st.just(type_), values(type_, max_size=8))), st.randoms())
@settings(max_examples=50)
def test_variations_fit_their_type_and_keep_to_the_size(pair, random):
    type_, value = pair
    known = Constants(integers=(-7, 2**40), floats=(0.5,), texts=(b"MAGC", b"\xff"))
    variations = Variations([type_], constants=known, max_size=16, random=random)
    args = (value,)
    for _ in range(10):
        args = variations.of(args)
        assert fits(args[0], type_)
        assert size_of(args) <= 16 or args == (value,)


def test_variations_reach_what_is_several_steps_away():
    variations = Variations(
        [ListType(U8), STRING], constants=Constants(texts=(b"MAGC",)), max_size=64, random=Random(0)
    )
    seen, args = [], (b"", "")
    for number in range(20_000):
        args = variations.of(args) if number % 40 else (b"", "")
        seen.append(args)
    assert any(b"MAGC" in data and "MAGC" in text for data, text in seen)
    assert any(len(data) > 3 and len({*data}) == 1 for data, _ in seen)


def test_strategies_are_short_when_they_are_shown():
    """Hypothesis shows the strategies of rules that cannot be used, and warns where that takes long."""
    nested: object = Primitive("u64")
    for depth in range(3):
        nested = RecordType(tuple((f"field-{depth}-{index}", nested) for index in range(8)))
    assert len(repr(values(nested))) < 200
    assert len(repr(all_values([nested, nested]))) < 200
