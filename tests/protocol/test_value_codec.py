"""A value that is sent to another process is checked, charged and normalised in the same way as an argument of a guest.

The reference is the conversion into a guest and out of it again. Values are of generated types, and many are wrong somewhere.
"""

from __future__ import annotations

import enum
import math
import re
from array import array
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_airssys_wasm import Err, Ok, Record, ResourceLimitExceeded, Some, Variant
from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.isolation.codec import Handle, ValueCodec, encode_core_values, handle_to_json
from pytest_airssys_wasm.protocol import values
from pytest_airssys_wasm.runtime.base.values import Mismatch, WrongType, field_name
from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import NUMBERS, Transfer
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
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

LIMIT = 300
"""Bytes of transfer: few enough that some values are over it."""
NAMES = ["a-b", "class", "z9", "as-dict", "HTTP-x"]
THING = ResourceType("thing")


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 1_000


class Colour(str, enum.Enum):
    RED = "a-b"


class Real(float):
    pass


PRIMITIVES = st.sampled_from([*NUMBERS, "bool", "char", "string"]).map(Primitive)
HANDLES = st.sampled_from([OwnType(THING), BorrowType(THING)])
NAMED = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)


def compound(inner):
    maybe = st.none() | inner
    fields = st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3)
    cases = st.dictionaries(st.sampled_from(NAMES), maybe, min_size=1, max_size=3)
    return st.one_of(
        inner.map(ListType),
        PRIMITIVES.map(ListType),
        inner.map(OptionType),
        st.builds(ResultType, maybe, maybe),
        st.lists(inner, min_size=1, max_size=3).map(lambda types: TupleType(tuple(types))),
        fields.map(lambda types: RecordType(tuple(types.items()))),
        cases.map(lambda types: VariantType(tuple(types.items()))),
    )


TYPES = st.recursive(PRIMITIVES | HANDLES | NAMED.map(EnumType) | NAMED.map(FlagsType), compound, max_leaves=6)
NUMBER = st.sampled_from(
    [s * (2**n + d) for n in (0, 7, 8, 15, 16, 24, 31, 32, 53, 63, 64) for d in (-1, 0, 1) for s in (1, -1)]
)
FLOAT = st.floats() | st.floats(width=32) | st.sampled_from([-0.0, math.nan, -math.nan, math.inf, 1e39, 3.5e38])
TEXT = st.text(ANY_CHARACTER, max_size=3) | st.sampled_from(
    ["é", "\U0001f600", "\ud800", "a\udfffb", "ab", *NAMES, Colour.RED]
)
OTHER = st.one_of(
    st.sampled_from([None, True, Level.HIGH, Real(0.1), object, b"\x00\xff", bytearray(b"ab"), memoryview(b"ab")]),
    st.sampled_from([Ok(), Err(1), Some(1), Variant("a-b"), Variant("a-b", 1), Variant(3), Record(a_b=1), {"more": 1}]),
    st.sampled_from([array("h", [1, -1]), range(3), {1, 2}, frozenset({"a-b"}), {"a_b": 1}]),
    st.just(array("H", [1])).map(memoryview),
    st.lists(NUMBER, max_size=3),
    NUMBER,
    FLOAT,
    TEXT,
)


@st.composite
def value_of(draw, type_):
    """A Python value that fits, as far as not one part of it was taken for another."""
    if draw(st.integers(0, 11)) == 0:
        return draw(OTHER)

    def one(inner):
        return None if inner is None else draw(value_of(inner))

    match type_:
        case Primitive("bool"):
            return draw(st.booleans())
        case Primitive("char" | "string"):
            return draw(TEXT)
        case Primitive("f32" | "f64"):
            return draw(FLOAT | NUMBER | st.just(Real(0.1)))
        case Primitive(name):
            size = 8 * array(NUMBERS[name]).itemsize
            bounds = (-(2 ** (size - 1)), 2 ** (size - 1) - 1) if name[0] == "s" else (0, 2**size - 1)
            return draw(st.integers(*bounds) | st.just(Level.LOW) | NUMBER)
        case ListType(Primitive("u8")):
            return draw(st.binary(max_size=5) | st.lists(st.integers(0, 255), max_size=4).flatmap(shapes))
        case ListType(element):
            return draw(st.lists(value_of(element), max_size=4).flatmap(shapes))
        case TupleType(elements):
            items = [one(element) for element in elements]
            return draw(st.sampled_from([list, tuple, lambda items: items[1:]]))(items)
        case RecordType(fields):
            found = {name: one(field) for name, field in fields}
            named = {field_name(name): value for name, value in found.items()}
            kinds = [
                dict,
                Record,
                lambda _: named,
                lambda _: SimpleNamespace(**named),
                lambda _: dict([*found.items()][1:]),
            ]
            return draw(st.sampled_from(kinds))(found)
        case VariantType(cases):
            name, payload = draw(st.sampled_from(cases))
            return Variant(name, one(payload))
        case EnumType(names):
            return draw(st.sampled_from([*names, "other"]))
        case FlagsType(names):
            return draw(st.lists(st.sampled_from([*names, *names, "other"]), max_size=3).flatmap(kinds_of_set))
        case OptionType(OptionType() as payload):
            return draw(st.none() | value_of(payload).map(Some))
        case OptionType(payload):
            return draw(st.none() | value_of(payload))
        case ResultType(ok, err):
            return Ok(one(ok)) if draw(st.booleans()) else Err(one(err))
        case OwnType() | BorrowType():
            return draw(st.sampled_from([Handle(True, 3), Handle(False, 5)]))


def shapes(items):
    return st.sampled_from([list, tuple]).map(lambda kind: kind(items))


def kinds_of_set(items):
    return st.sampled_from([list, set, frozenset, tuple]).map(lambda kind: kind(items))


PAIRS = TYPES.flatmap(lambda type_: st.tuples(st.just(type_), value_of(type_)))


def hand_out(value, type_):
    if not isinstance(value, Handle):
        raise WrongType(str(type_), value)
    return value


def take_in(handle, _type):
    return handle


def converted(type_, value, down):
    """The reference: the value in C memory, as a guest would be given it, and what is found there."""

    def lower_resource(value, type_):
        handle = hand_out(value, type_)
        return handle.number << 1 | handle.is_host

    up = Transfer(None)
    up.lift_resource = lambda pointer, type_: take_in(Handle(bool(pointer & 1), pointer >> 1), type_)
    down.lower_resource = lower_resource
    address = down.allocate(VAL_BYTES)
    compile_lower(type_)(value, address, down)
    return compile_lift(type_)(address, up)


def outcome(convert):
    """Return the result as text, in which floats of different sign differ and NaNs are equal."""
    transfer = Transfer(LIMIT)
    try:
        return repr(convert(transfer)), transfer.moved_bytes
    except (Mismatch, ResourceLimitExceeded) as error:
        return type(error), str(error), transfer.moved_bytes


def may_be_bytes_of_numbers(type_, value):
    """Whether bytes may be given for a list of other numbers than u8 somewhere: the last test but two is about those."""
    text = repr(value)
    return re.search(r"list<(?!u8>)", str(type_)) and any(
        one in text for one in ("bytearray(", "b'", 'b"', "<memory at")
    )


@pytest.mark.slow
@given(PAIRS)
@example((Primitive("f64"), -0.0))
@example((ListType(Primitive("f32")), [0.1, -0.0, math.nan, -math.inf]))
@example((ListType(Primitive("f32")), [0.1, 1e39]))
@example((ListType(Primitive("f64")), [0.5, 2**53 + 1]))
@example((ListType(Primitive("u8")), [1, Level.HIGH]))
@example((ListType(Primitive("char")), ["a", "\ud800"]))
@example((Primitive("string"), "\ud800"))
def test_what_is_sent_is_what_a_guest_would_be_given(pair):
    type_, value = pair
    if may_be_bytes_of_numbers(type_, value):
        return
    codec = ValueCodec(LIMIT, hand_out, take_in)
    expected = outcome(lambda transfer: values.encode(converted(type_, value, transfer), handle_to_json))
    got = outcome(lambda transfer: codec.encode(value, type_, transfer))
    assert got == expected
    msgspec.json.encode(codec.encode(value, type_)) if got[0] is str else None


@pytest.mark.slow
@given(PAIRS)
def test_what_arrives_is_what_was_sent(pair):
    type_, value = pair
    codec = ValueCodec(10**6, hand_out, take_in)
    try:
        plain = converted(type_, value, Transfer(10**6))
    except (Mismatch, ResourceLimitExceeded, ValueError):
        return
    sent = msgspec.json.encode(values.encode(plain, handle_to_json))
    assert repr(codec.decode(msgspec.json.decode(sent), type_)) == repr(plain)


JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | st.floats(allow_nan=False, allow_infinity=False) | TEXT.map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "case", "value", "ok", "err", "some", "resource"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def json_of(draw, type_):
    """The JSON of a value of this type, with one part of it replaced by something else."""
    plain = draw(value_of(type_))
    try:
        whole = values.encode(converted(type_, plain, Transfer(10**6)), handle_to_json)
    except (Mismatch, ResourceLimitExceeded, ValueError):
        return draw(JSON)
    return replaced(draw, whole)


def replaced(draw, whole):
    if not isinstance(whole, (dict, list)) or not whole or draw(st.booleans()):
        return draw(JSON)
    place = draw(st.sampled_from([*(whole if isinstance(whole, dict) else range(len(whole)))]))
    whole[place] = replaced(draw, whole[place])
    return whole


@pytest.mark.slow
@given(TYPES.flatmap(lambda type_: st.tuples(st.just(type_), json_of(type_))))
def test_what_arrives_is_refused_with_the_words_of_a_call(pair):
    type_, json = pair
    codec = ValueCodec(LIMIT, hand_out, take_in)

    def reference(transfer):
        return converted(type_, values.decode(json, type_, lambda value, _: codec_handle(value)), transfer)

    expected = came_of(lambda: reference(Transfer(LIMIT)))
    got = came_of(lambda: codec.decode(json, type_))
    if "Handle(" in expected or "unhashable" in expected or "built-in method" in expected:
        assert got.startswith(("Wrong", "Resource")) == expected.startswith(("Wrong", "Resource", "TypeError"))
    else:
        assert got == expected


def codec_handle(value):
    from pytest_airssys_wasm.isolation.codec import handle_from_json

    return handle_from_json(value)


def came_of(convert):
    try:
        return f"value {convert()!r}"
    except (TypeError, ValueError, ResourceLimitExceeded) as error:
        return f"{type(error).__name__} {error}"


@pytest.mark.parametrize("name", ["s8", "u16", "u32", "s64", "f32", "bool", "char"])
def test_bytes_for_a_list_of_other_numbers_are_numbers(name):
    codec = ValueCodec(LIMIT, hand_out, take_in)
    if name in ("bool", "char"):
        with pytest.raises(WrongType, match=rf"^\[0\]: expected {name}, got 1$"):
            codec.encode(b"\x01\x02", ListType(Primitive(name)))
    else:
        assert codec.encode(b"\x01\x02", ListType(Primitive(name))) == [1, 2]


@pytest.mark.parametrize("type_", [FutureType(None), StreamType(None), Primitive("error-context")])
def test_a_type_without_a_python_value_is_refused_as_at_a_call(type_):
    codec = ValueCodec(LIMIT, hand_out, take_in)
    with pytest.raises(TypeError) as expected:
        compile_lower(type_)
    for convert in (codec.encode, codec.decode):
        with pytest.raises(TypeError) as got:
            convert(None, type_)
        assert str(got.value) == str(expected.value)


@given(st.sampled_from(["i32", "i64", "f32", "f64", "v128"]), OTHER)
@example("f32", 2**200)
@example("f64", 10**400)
def test_core_values_are_sent_as_a_module_would_be_given_them(name, value):
    def reference():
        buffer = bytearray(VAL_BYTES)
        core_values.lower((name,), (value,), buffer, where="args")
        return [*map(handle_to_json, core_values.lift((name,), buffer))]

    assert came_of(lambda: encode_core_values((value,), (name,), "args")) == came_of(reference)
