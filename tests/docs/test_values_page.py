"""Each row of the table in docs/values.md: what comes out of a guest, what it accepts, and what it does not."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm import Err, LimitedStore, Ok, Record, Resource, ResourceLimits, Some, Variant
from support.checkout import ROOT

LIMITS = ResourceLimits(memory="4 MiB", timeout_ms=20_000)
MODULE = """(module
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0)
  (func (export "v128") (param v128))
  (func (export "reference") (param externref)))"""
SIZE = Record(width=1, height=2, weight=None)

# By row of the page: function, what goes in, what comes out.
ACCEPTED = {
    "`bool`": [("bool", True, True)],
    "`s8` … `u64`": [("s8", -128, -128), ("u8", 255, 255), ("u64", 2**64 - 1, 2**64 - 1)],
    "`f32`, `f64`": [("f64", math.inf, math.inf), ("f64", 3, 3.0), ("f32", 0.5, 0.5)],
    "`char`": [("char", "é", "é")],
    "`string`": [("string", "naïve 😀", "naïve 😀")],
    "`list<u8>`": [("bytes", each, b"ab") for each in (b"ab", bytearray(b"ab"), memoryview(b"ab"), [97, 98], (97, 98))],
    "`list<T>`": [("u32s", each, [1, 2]) for each in ([1, 2], (1, 2), range(1, 3))],
    "`tuple<…>`": [("pair", each, (1, 2)) for each in ((1, 2), [1, 2])],
    "`record`": [
        ("size", each, SIZE)
        for each in (
            SIZE,
            {"width": 1, "height": 2, "weight": None},
            SimpleNamespace(width=1, height=2, weight=None),
        )
    ],
    "`variant`": [
        ("condition", each, each)
        for each in (Variant("fresh"), Variant("damaged", "torn"), Variant("returned", (1, True)))
    ],
    "`enum`": [("unit", "litre", "litre")],
    "`flags`": [("handling", each, frozenset({"cold"})) for each in ({"cold"}, ["cold"], ("cold", "cold"))],
    "`option<T>`": [
        ("option", None, None),
        ("option", 1, 1),
        *(("nested-option", each, each) for each in (None, Some(None), Some(1))),
    ],
    "`result<T, E>`": [("result", each, each) for each in (Ok(1), Err("no"))] + [("empty-result", Ok(), Ok())],
    "core `i32`, `i64`": [("i32", -1, -1), ("i32", 2**32 - 1, -1), ("i64", 2**64 - 1, -1)],
    "core `f32`, `f64`": [("f32", 0.5, 0.5), ("f64", 2, 2.0)],
}
REFUSED = {
    "`bool`": [("bool", 1)],
    "`s8` … `u64`": [("u8", 256), ("u8", True), ("u32", -1), ("u32", 1.0)],
    "`f32`, `f64`": [("f32", 1e300), ("f64", 2**53 + 1), ("f64", True)],
    "`char`": [("char", "ab"), ("char", ""), ("char", "\ud800")],
    "`string`": [("string", b"ab"), ("string", "\ud800")],
    "`list<u8>`": [("bytes", "ab"), ("bytes", [256])],
    "`list<T>`": [("strings", "ab"), ("u32s", {1, 2})],
    "`tuple<…>`": [("pair", (1,)), ("pair", (1, 2, 3))],
    "`record`": [("size", {"width": 1, "height": 2}), ("size", (1, 2, None))],
    "`variant`": [("condition", "fresh"), ("condition", Variant("rotten"))],
    "`enum`": [("unit", "mile"), ("unit", 1)],
    "`flags`": [("handling", "cold"), ("handling", {"cold": True}), ("handling", ["hot"])],
    "`option<T>`": [("option", "1"), ("nested-option", 1)],
    "`result<T, E>`": [("result", 1), ("result", Ok("1"))],
    "core `i32`, `i64`": [("i32", 2**32), ("i32", True), ("i32", 1.0)],
    "core `f32`, `f64`": [("f64", "1"), ("f64", True)],
}
ELSEWHERE = {"resources", "`future`, `stream`, `error-context`, `v128`, references"}


@pytest.fixture(scope="module")
def call(engine):
    inventory = engine.load(ROOT / "fixtures" / "guests" / "inventory" / "inventory.wasm")
    with LimitedStore(engine, LIMITS) as store, LimitedStore(engine, LIMITS) as other:
        echo = store.instantiate(inventory)["demo:inventory/echo@1.0.0"]
        core = other.instantiate(engine.load(MODULE))

        def call(row, function, value):
            return core.call(function, value) if row.startswith("core") else echo.call(f"echo-{function}", value)

        yield call


def rows():
    text = (ROOT / "docs" / "values.md").read_text("utf-8")
    return re.findall(r"^\| (.+?) \|", text, re.MULTILINE)[1:]


def test_every_row_of_the_page_is_tried():
    assert {*rows()} == {*ACCEPTED, *ELSEWHERE}
    assert ACCEPTED.keys() == REFUSED.keys()


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_is_accepted_comes_out_as_the_page_says(call, row):
    for function, given, wanted in ACCEPTED[row]:
        got = call(row, function, given)
        assert (got, type(got)) == (wanted, type(wanted)), (function, given)


@pytest.mark.parametrize("row", REFUSED)
def test_what_does_not_fit_is_refused_with_the_path_to_it(call, row):
    for function, given in REFUSED[row]:
        with pytest.raises((TypeError, ValueError), match=r"^args\[0\]"):
            call(row, function, given)


def test_floats_keep_what_numbers_have_beside_their_value(call):
    assert math.isnan(call("", "f64", math.nan))
    assert math.copysign(1, call("", "f64", -0.0)) == -1


def test_the_error_of_the_page_names_the_path(call):
    items = [{"sku": "a"}]
    with pytest.raises(ValueError, match=r"^args\[0\]\[1\]: expected u32, got -1"):
        call("", "u32s", [1, -1])
    with pytest.raises((TypeError, ValueError), match=r"^args\[0\]\[0\]"):
        call("", "items", items)


def test_a_resource_is_a_context_manager_whose_methods_are_attributes(engine):
    inventory = engine.load(ROOT / "fixtures" / "guests" / "inventory" / "inventory.wasm")
    with LimitedStore(engine, LIMITS) as store:
        stock = store.instantiate(inventory)["demo:inventory/stock@1.0.0"]
        with stock.call("[constructor]shelf", "tools") as shelf:
            assert isinstance(shelf, Resource)
            assert shelf.label() == "tools"


@pytest.mark.parametrize(("function", "type_"), [("v128", "v128"), ("reference", "externref")])
def test_types_without_a_python_value_are_refused_by_name(engine, function, type_):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(MODULE))
        with pytest.raises(TypeError, match=type_):
            instance.call(function, None)
