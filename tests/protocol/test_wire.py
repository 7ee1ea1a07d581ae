"""Values on the wire: what is written in a case, what a runtime may write, and what is the same."""

from __future__ import annotations

import math

import pytest

from pytest_airssys_wasm.conformance.model import CaseLimits
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.limits import limits_from_wire, limits_on_wire
from pytest_airssys_wasm.protocol.values import decode, encode
from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
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

U8, U32, U64, F64, TEXT = map(Primitive, ("u8", "u32", "u64", "f64", "string"))

SAME = [
    (1, 1),
    (1, "1"),
    (2**64 - 1, "18446744073709551615"),
    ("-9223372036854775808", -(2**63)),
    (1, 1.0),
    (0.5, 0.5),
    ("nan", "nan"),
    (None, None),
    ([1, ["2"]], [1, [2]]),
    ({"ok": {"a": 1}}, {"ok": {"a": "1"}}),
]
DIFFERENT = [
    (1, 2),
    (1, True),
    (False, 0),
    (0.0, -0.0),
    ("1", "one"),
    ("a", "A"),
    (None, 0),
    (None, ""),
    ([1], [1, 2]),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, [1]),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"ok": 1}, {"err": 1}),
    ("1" * 21, int("1" * 21)),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_these_are_the_same(left, right):
    assert wire.same(left, right)
    assert wire.same(right, left)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_these_are_not_the_same(left, right):
    assert not wire.same(left, right)
    assert not wire.same(right, left)


def test_an_empty_table_of_a_case_is_null_wherever_it_stands():
    assert wire.from_toml({"a": {}, "b": [{}, {"c": math.inf}]}) == {"a": None, "b": [None, {"c": "inf"}]}


# Type, value in Python, value on the wire.
BOTH_WAYS = [
    (Primitive("bool"), True, True),
    (U64, 2**64 - 1, 2**64 - 1),
    (F64, 0.5, 0.5),
    (F64, -math.inf, "-inf"),
    (Primitive("char"), "7", "7"),
    (TEXT, "18", "18"),
    (TEXT, "nan", "nan"),
    (ListType(U8), b"\x00\xff", {"bytes": "AP8="}),
    (ListType(TEXT), ["a", "1"], ["a", "1"]),
    (TupleType((U32, TEXT)), (1, "1"), [1, "1"]),
    (OptionType(U32), None, None),
    (OptionType(U32), 4, 4),
    (OptionType(OptionType(U32)), Some(None), {"some": None}),
    (OptionType(OptionType(U32)), None, None),
    (ResultType(U32, TEXT), Ok(1), {"ok": 1}),
    (ResultType(U32, TEXT), Err("no"), {"err": "no"}),
    (ResultType(None, None), Ok(None), {"ok": None}),
    (
        VariantType((("none", None), ("some-number", U64))),
        Variant("some-number", 5),
        {"case": "some-number", "value": 5},
    ),
    (VariantType((("none", None),)), Variant("none"), {"case": "none", "value": None}),
    (EnumType(("red", "green")), "red", "red"),
    (FlagsType(("read", "write")), frozenset({"write", "read"}), ["read", "write"]),
]


@pytest.mark.parametrize(("type_", "value", "carried"), BOTH_WAYS)
def test_a_value_goes_over_the_wire_and_comes_back(type_, value, carried):
    assert encode(value) == carried
    decoded = decode(carried, type_)
    assert (type(decoded), decoded) == (type(value), value)


def test_a_record_has_the_names_that_wit_gave_its_fields():
    assert encode(Record({"first-name": "Ada", "class": 1})) == {"first-name": "Ada", "class": 1}
    kind = RecordType((("first-name", TEXT), ("size", U64)))
    assert decode({"first-name": "Ada", "size": "3"}, kind) == {"first-name": "Ada", "size": 3}


def test_a_value_that_json_cannot_carry_is_its_description():
    assert encode(Opaque()) == "<resource counter>"


class Opaque:
    def __str__(self):
        return "<resource counter>"


def test_the_name_of_a_core_type_is_a_type_too():
    assert decode("-9223372036854775808", "i64") == -(2**63)
    assert math.isnan(decode("nan", "f32"))


@pytest.mark.parametrize(
    ("carried", "type_"),
    [("three", U32), ({"bytes": "?"}, ListType(U8)), ({"maybe": 1}, ResultType(U32, None)), (5, ListType(U8))],
)
def test_what_does_not_fit_is_left_for_the_conversion_to_refuse(carried, type_):
    assert decode(carried, type_) == carried


def test_limits_have_the_protocols_names_and_plain_numbers():
    limits = CaseLimits(memory="1 MiB", fuel="10_000", timeout_ms="2 s", tables=3, transfer="1 KiB", output=5)
    assert limits_on_wire(limits) == {
        "memory_bytes": 2**20,
        "fuel": 10_000,
        "timeout_ms": 2_000,
        "tables": 3,
        "transfer_bytes": 1_024,
        "output_bytes": 5,
    }


@pytest.mark.parametrize("fuel", [-1, 1.5, "lots", "18446744073709551616", True])
def test_a_limit_that_makes_no_sense_is_handed_on_for_the_runtime_to_refuse(fuel):
    assert limits_on_wire(CaseLimits(memory=1, fuel=fuel))["fuel"] is fuel


def test_limits_come_back_from_the_wire():
    limits = limits_from_wire(
        {"memory_bytes": 65_536, "fuel": "unlimited", "timeout_ms": "unlimited", "transfer_bytes": 9}
    )
    assert (limits.memory, limits.fuel, limits.timeout_ms, limits.transfer) == (65_536, None, None, 9)


def test_what_the_wire_does_not_limit_has_the_defaults():
    limits = limits_from_wire({"memory_bytes": 65_536})
    assert (limits.fuel, limits.timeout_ms) == (1_000_000, 100)


@pytest.mark.parametrize(
    ("limits", "saying"),
    [
        ({}, "memory_bytes"),
        ({"memory_bytes": 1, "fule": 1}, "limits: expected one of .*, got 'fule'"),
        ({"memory_bytes": "unlimited"}, "memory"),
        ({"memory_bytes": 1, "fuel": -1}, "fuel"),
        ({"memory_bytes": 1, "timeout_ms": "nan"}, "timeout_ms"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(limits, saying):
    with pytest.raises(InvalidConfiguration, match=saying):
        limits_from_wire(limits)


def test_a_record_is_encoded_the_same_whether_it_was_returned_or_written():
    place = RecordType((("line-number", U32), ("reason", TEXT)))
    returned = Err(Record(line_number=2, reason="x"))
    written = decode({"err": {"line-number": 2, "reason": "x"}}, ResultType(None, place))
    assert encode(written) == encode(returned) == {"err": {"line-number": 2, "reason": "x"}}


@pytest.mark.parametrize("name", ["DEFAULT_FUEL", "memory", "fuels", "__init__"])
def test_a_limit_that_is_none_is_refused_by_name(name):
    with pytest.raises(InvalidConfiguration, match=rf"^limits: expected one of memory_bytes, fuel, .*, got '{name}'$"):
        limits_from_wire({"memory_bytes": 0, name: 3})
