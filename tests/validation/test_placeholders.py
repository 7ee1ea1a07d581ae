"""A placeholder fits its type, whatever that is."""

from __future__ import annotations

import pytest
from hypothesis import given

from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.values import decode
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.wit.types import (
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResourceType,
    ResultType,
    TupleType,
    VariantType,
)
from pytest_airssys_wasm.validation.placeholders import NoPlaceholder, placeholder
from support.wave_values import TYPES, fits


@pytest.mark.slow
@given(TYPES)
def test_a_placeholder_is_toml_and_fits_its_type(type_):
    try:
        written = placeholder(type_)
    except NoPlaceholder:
        assert len(str(type_)) > 200  # too long a value
        return
    value = decode(wire.from_toml(toml.loads(f"value = {written}")["value"]), type_)
    assert fits(value, type_), written


@pytest.mark.parametrize("name", ["i32", "i64", "f32", "f64"])
def test_a_core_type_has_a_zero(name):
    assert toml.loads(f"value = {placeholder(name)}") == {"value": 0}


@pytest.mark.parametrize(
    "type_", [OwnType(ResourceType("a")), "v128", "externref", RecordType((("a", OwnType(ResourceType("a"))),))]
)
def test_a_type_that_toml_cannot_hold_has_no_placeholder(type_):
    with pytest.raises(NoPlaceholder, match="cannot be written in TOML"):
        placeholder(type_)


def test_a_resource_that_need_not_be_there_does_not_matter():
    handle = OwnType(ResourceType("a"))
    assert placeholder(OptionType(handle)) == "{}"
    assert placeholder(VariantType((("held", handle), ("free", None)))) == '{ case = "free" }'
    assert placeholder(ResultType(None, handle)) == "{ ok = {} }"


def test_a_type_that_doubles_forty_times_takes_no_time():
    type_ = Primitive("u8")
    for _ in range(40):
        type_ = TupleType((type_, type_))
    with pytest.raises(NoPlaceholder, match="too long"):
        placeholder(type_)
