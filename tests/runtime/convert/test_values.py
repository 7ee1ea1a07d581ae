"""WIT values and Python's, in both directions, through guests that a C compiler built.

Laws: what goes in comes out equal; what does not fit is refused with the path to it, before the guest runs.
"""

from __future__ import annotations

import math
import struct
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.checkout import GUESTS
from support.inventory_guest import ECHO, ITEM, LIMITS

texts = st.text(ANY_CHARACTER, max_size=20)
s64s, u64s, u32s = st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
floats32 = st.floats(width=32)
units = st.sampled_from(["piece", "kilogram", "litre"])
conditions = st.one_of(
    st.just(Variant("fresh")),
    st.builds(Variant, st.just("expires"), u64s),
    st.builds(Variant, st.just("damaged"), texts),
    st.builds(Variant, st.just("returned"), st.tuples(u32s, st.booleans())),
)
sizes = st.builds(
    Record,
    width=st.integers(0, 2**16 - 1),
    height=st.integers(0, 2**16 - 1),
    weight=st.none() | st.floats(allow_nan=False),
)
items = st.builds(
    Record,
    sku=texts,
    class_=units,
    from_=st.none() | texts,
    price=st.floats(allow_nan=False),
    load=st.floats(width=32, allow_nan=False),
    quantity=u32s,
    delta=s64s,
    serial=u64s,
    mark=ANY_CHARACTER,
    handling=st.frozensets(st.sampled_from(["fragile", "cold", "flammable"])),
    condition=conditions,
    is_open=st.booleans(),
    size=sizes,
    tags=st.lists(texts, max_size=3),
    image=st.binary(max_size=20),
    reorder=st.none() | st.builds(Some, st.none() | u32s),
)
CASES = {
    "bool": st.booleans(),
    "u8": st.integers(0, 255),
    "s8": st.integers(-128, 127),
    "u64": u64s,
    "s64": s64s,
    "f32": floats32,
    "f64": st.floats(),
    "char": ANY_CHARACTER,
    "string": texts,
    "bytes": st.binary(max_size=100),
    "bools": st.lists(st.booleans()),
    "u32s": st.lists(u32s),
    "s64s": st.lists(s64s),
    "f64s": st.lists(st.floats()),
    "chars": st.lists(ANY_CHARACTER),
    "strings": st.lists(texts),
    "matrix": st.lists(st.lists(st.integers(-(2**15), 2**15 - 1))),
    "conditions": st.lists(conditions),
    "items": st.lists(items, max_size=2),
    "pair": st.tuples(st.integers(0, 255), s64s),
    "triple": st.tuples(floats32, ANY_CHARACTER, texts),
    "unit": units,
    "aisles": st.frozensets(st.sampled_from([f"a{number}" for number in range(18)])),
    "option": st.none() | u32s,
    "option-string": st.none() | texts,
    "nested-option": st.none() | st.builds(Some, st.none() | u32s),
    "result": st.builds(Ok, u32s) | st.builds(Err, texts),
    "empty-result": st.sampled_from([Ok(), Err()]),
    "ok-result": st.builds(Ok, texts) | st.just(Err()),
    "err-result": st.just(Ok()) | st.builds(Err, units),
    "deep-result": st.builds(Ok, st.none() | texts) | st.builds(Err, conditions),
}


@pytest.fixture(scope="module")
def inventory(engine):
    return engine.load(GUESTS / "inventory" / "inventory.wasm")


@pytest.fixture(scope="module")
def echo(engine, inventory):
    with LimitedStore(engine, LIMITS) as store:
        yield store.instantiate(inventory)[ECHO]


def same(one, other):
    """Equality under which NaN is itself, and 0.0 is not -0.0."""
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and type(one) is type(other)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_goes_in_comes_out_equal(echo, name, data):
    value = data.draw(CASES[name])
    assert same(echo.call(f"echo-{name}", value), value)


@pytest.mark.parametrize(
    ("function", "value", "equal"),
    [
        ("echo-bytes", bytearray(b"ab"), b"ab"),
        ("echo-bytes", memoryview(b"abcd")[::2], b"ac"),
        ("echo-bytes", [0, 255], b"\0\xff"),
        ("echo-u32s", (1, 2), [1, 2]),
        ("echo-u32s", array("I", [1, 2]), [1, 2]),
        ("echo-f64s", [1, 2.5], [1.0, 2.5]),
        ("echo-f64", 1, 1.0),
        ("echo-handling", ["cold", "cold"], frozenset({"cold"})),
        ("echo-size", {"width": 1, "height": 2, "weight": None}, Record(width=1, height=2, weight=None)),
        ("echo-pair", [1, 2], (1, 2)),
    ],
)
def test_near_values_are_accepted(echo, function, value, equal):
    assert echo.call(function, value) == equal


def test_any_object_with_the_attributes_is_a_record(echo):
    class Size:
        width, height, weight = 1, 2, 0.5

    assert echo.echo_size(Size()).as_dict() == {"width": 1, "height": 2, "weight": 0.5}


@pytest.mark.parametrize(
    ("function", "value", "error", "message"),
    [
        ("echo-u8", 256, ValueError, "args[0]: expected u8, got 256"),
        ("echo-u8", True, TypeError, "args[0]: expected u8, got True"),
        ("echo-bool", 1, TypeError, "args[0]: expected bool, got 1"),
        ("echo-f64", "1", TypeError, "args[0]: expected f64, got '1'"),
        ("echo-f32", 1e39, ValueError, "args[0]: expected f32 (this number is too large), got 1e+39"),
        ("echo-char", "ab", ValueError, "args[0]: expected char (one Unicode scalar value), got 'ab'"),
        ("echo-char", "\ud800", ValueError, "args[0]: expected char (one Unicode scalar value), got '\\ud800'"),
        ("echo-string", "\ud800", ValueError, "args[0]: expected string (without lone surrogates), got '\\ud800'"),
        ("echo-string", b"x", TypeError, "args[0]: expected string, got b'x'"),
        ("echo-bytes", [1, 256], ValueError, "args[0][1]: expected u8, got 256"),
        ("echo-bytes", "text", TypeError, "args[0]: expected list<u8> (bytes), got 'text'"),
        ("echo-u32s", [1, 2, -1], ValueError, "args[0][2]: expected u32, got -1"),
        ("echo-u32s", [1, 2.0], TypeError, "args[0][1]: expected u32, got 2.0"),
        ("echo-bools", [True, 1], TypeError, "args[0][1]: expected bool, got 1"),
        ("echo-f64s", [True], TypeError, "args[0][0]: expected f64, got True"),
        ("echo-chars", ["\udfff"], ValueError, "args[0][0]: expected char (one Unicode scalar value), got '\\udfff'"),
        ("echo-matrix", [[1], [2, 2**15]], ValueError, "args[0][1][1]: expected s16, got 32768"),
        ("echo-pair", (1,), ValueError, "args[0]: expected tuple<u8, s64> (2 elements), got (1,)"),
        ("echo-unit", "ton", ValueError, "args[0]: expected enum, one of piece, kilogram, litre, got 'ton'"),
        ("echo-handling", "cold", TypeError, "args[0]: expected flags, a set of fragile, cold, flammable, got 'cold'"),
        (
            "echo-handling",
            {"hot"},
            ValueError,
            "args[0]: expected flags, a set of fragile, cold, flammable, got {'hot'}",
        ),
        ("echo-condition", "fresh", TypeError, "expected Variant (variant of fresh, expires, damaged, returned)"),
        ("echo-condition", Variant("lost"), ValueError, "expected variant of fresh, expires, damaged, returned"),
        ("echo-condition", Variant("fresh", 1), ValueError, "args[0].fresh: expected no payload, got 1"),
        ("echo-condition", Variant("expires", -1), ValueError, "args[0].expires: expected u64, got -1"),
        ("echo-size", {"width": 1}, TypeError, "(missing: height)"),
        ("echo-size", {"width": 1, "height": 1, "weight": None, "x": 1}, TypeError, "(unknown: x)"),
        ("echo-nested-option", 3, TypeError, "expected None or Some(…) for option<option<u32>>, got 3"),
        ("echo-result", 3, TypeError, "expected Ok(…) or Err(…) for result<u32, string>, got 3"),
        ("echo-result", Ok("x"), TypeError, "args[0].ok: expected u32, got 'x'"),
        ("echo-items", [ITEM, {**ITEM, "price": "x"}], TypeError, "args[0][1].price: expected f64, got 'x'"),
        ("echo-items", [{**ITEM, "class_": "x"}], ValueError, "args[0][0].class_: expected enum"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(echo, function, value, error, message):
    with pytest.raises(error) as caught:
        echo.call(function, value)
    assert message in str(caught.value)


def test_a_refused_value_leaves_the_store_usable(echo):
    with pytest.raises(TypeError):
        echo.echo_u8("x")
    assert echo.echo_u8(1) == 1


def test_records_compare_show_and_pickle():
    import copy
    import pickle

    record = Record({"is-open": True, "class": 1})
    assert (record.is_open, record.class_) == (True, 1)
    assert repr(record) == "Record(is_open=True, class_=1)"
    assert pickle.loads(pickle.dumps(record)) == copy.copy(record) == record
    assert record != Record(is_open=False, class_=1)
    with pytest.raises(AttributeError, match="it has is_open, class_"):
        _ = record.closed
    with pytest.raises(AttributeError, match="immutable"):
        record.is_open = False


def test_the_world_is_printed_as_wit(inventory):
    text = str(inventory.world)
    assert "export demo:inventory/stock@1.0.0;" in text
    assert "enum unit { piece, kilogram, litre }" in text
    assert "merge: static func(first: shelf, second: shelf) -> shelf;" in text
    assert "constructor(label: string);" in text


def test_half_a_character_in_utf_16_is_a_trap_of_its_kind(engine):
    guest = engine.load(
        """
        (component
          (core module $m
            (memory (export "mem") 1) (data (i32.const 8) "\\3d\\d8") (data (i32.const 16) "\\08\\00\\00\\00\\01")
            (func (export "half") (result i32) (i32.const 16)))
          (core instance $i (instantiate $m))
          (func (export "half") (result string)
            (canon lift (core func $i "half") (memory (core memory $i "mem")) string-encoding=utf16)))
        """
    )
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(guest, "half", limits=LIMITS)
    assert caught.value.kind == "invalid-string-encoding"
