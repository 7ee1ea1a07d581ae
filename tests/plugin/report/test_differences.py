"""A failing comparison of WIT values shows the first difference, and the way to it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.plugin.report.differences import explain

ITEM = Record(sku="a", price=250, tags=["x", "y"])


def explained(left, right, verbosity=0):
    hook = SimpleNamespace(pytest_assertrepr_compare=lambda **_: [None, ["'a' == 'b'", "- b", "+ a"]])
    return explain(SimpleNamespace(get_verbosity=lambda: verbosity, hook=hook), left, right)


@pytest.mark.parametrize(
    ("left", "right", "line"),
    [
        (Ok([ITEM]), Ok([Record({**ITEM.as_dict(), "price": 251})]), "first difference at .value[0].price: 250 != 251"),
        (
            ITEM,
            Record({**ITEM.as_dict(), "tags": ["x"]}),
            "first difference at .tags: the left has 1 more element, the first of which is 'y'",
        ),
        (Record(a=1), Record(a=1, b=2), "different: only the right has the field 'b'"),
        (Variant("fresh"), Variant("expires", 3), "first difference at .case: 'fresh' != 'expires'"),
        (Variant("expires", 3), Variant("expires", 4), "first difference at .payload: 3 != 4"),
        (Err(Variant("a", (1, 2))), Err(Variant("a", (1, 3))), "first difference at .error.payload[1]: 2 != 3"),
        (Ok(1), Err("no"), "different: Ok(value=1) != Err(error='no')"),
        ([Ok(1), Ok(2)], [Ok(1), Err(2)], "first difference at [1]: Ok(value=2) != Err(error=2)"),
        ({"k": Some(None)}, {"k": None}, "first difference at ['k']: Some(value=None) != None"),
        (Record(x=math.nan, y=1), Record(x=math.nan, y=2), "first difference at .y: 1 != 2"),
        (Ok({"a": 1}), Ok({"b": 1}), "first difference at .value: only the left has the key 'a'"),
        (Ok("\x1b[31m\n::error::"), Ok(1), "first difference at .value: '\\x1b[31m\\n::error::' != 1"),
    ],
)
def test_the_first_difference_is_shown_with_its_path(left, right, line):
    assert explained(left, right)[1] == line


@pytest.mark.parametrize(
    ("left", "right"), [([1], [2]), ("a", "b"), ({"a": 1}, {"a": 2}), (1, 2.5), ([Ok(1), 2], [Ok(1), 3])]
)
def test_other_comparisons_are_left_to_pytest(left, right):
    assert explained(left, right) is None


@pytest.mark.parametrize(
    ("left", "right", "hint"),
    [
        (ITEM, ITEM.as_dict(), "a record is equal to Record(…) only, not to a mapping; as_dict() returns its fields"),
        (Ok(3), 3, "a value inside of Ok is not equal to the value itself: compare with Ok(…), or its .value"),
        (3, Some(3), "a value inside of Some is not equal to the value itself: compare with Some(…), or its .value"),
    ],
)
def test_values_that_differ_only_in_their_type_get_a_hint(left, right, hint):
    assert explained(left, right)[2] == hint


def test_texts_are_explained_by_pytest_and_more_is_shown_when_asked_for():
    assert explained(Ok("a"), Ok("b"))[1:] == ["first difference at .value: 'a' != 'b'", "- b", "+ a"]
    assert explained(Ok(1), Ok(2), verbosity=2)[-2:] == ["left:  Ok(value=1)", "right: Ok(value=2)"]


def test_a_deep_value_is_no_stumbling_block():
    left, right = 1, 2
    for _ in range(100):
        left, right = Ok([left]), Ok([right])
    assert explained(left, right)[1].endswith("[0]: 1 != 2")


@pytest.mark.slow
def test_pytest_shows_it(guest):
    guest.write(
        test_a="""
from pytest_airssys_wasm import Ok, Record

def test_a():
    assert Ok(Record(price=250, text="one\\ntwo")) == Ok(Record(price=251, text=""))

def test_b():
    assert Ok("one\\ntwo") == Ok("one\\nthree")
"""
    )
    odd = """
class Odd:
    def __eq__(self, other):
        raise ValueError
    def __ne__(self, other):
        raise ValueError
    def __repr__(self):
        return "<odd>"
class Unequal(Ok):
    def __eq__(self, other):
        return False

def test_c():
    assert Unequal([Odd()]) == Unequal([Odd()])
"""
    guest.path("test_a.py").write_text(guest.path("test_a.py").read_text() + odd)
    ran = guest.run()
    assert ran.count("failed") == 3
    assert "E       assert Unequal(value=[<odd>]) == Unequal(value=[<odd>])" in ran.text
    assert "E         first difference at .value.price: 250 != 251" in ran.text
    assert "E           one\nE         - three\nE         + two" in ran.text
