"""WIT values at their edges, lowered into C memory and lifted from it again, without a guest.

Laws: memory is written for exactly as many values as are announced; what does not fit is refused by a message
that can always be shown; a field can have any name.
"""

from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Sequence
from itertools import count

import pytest

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant, short_repr
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.convert import core_values
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.wit.types import FlagsType, ListType, Primitive, RecordType, TupleType, VariantType

U8, U32, F32, F64, STRING = map(Primitive, ("u8", "u32", "f32", "f64", "string"))


def there_and_back(type_, value):
    transfer = Transfer(None)
    address = transfer.allocate(32)
    compile_lower(type_)(value, address, transfer)
    return compile_lift(type_)(address, transfer)


class Announcing(Sequence):
    """A sequence that holds more, or less, than its length says."""

    def __init__(self, announced, held):
        self.announced, self.held = announced, held

    def __len__(self):
        return self.announced

    def __getitem__(self, index):
        return self.held[index]


@pytest.mark.parametrize("element", [U32, STRING])
@pytest.mark.parametrize("held", [0, 1, 3, 5_000])
def test_a_sequence_is_what_it_yields_whatever_its_length_says(element, held):
    values = [1 if element is U32 else "x"] * held
    assert there_and_back(ListType(element), Announcing(2, values)) == values


def test_a_list_that_grows_while_it_is_lowered_is_taken_as_it_was():
    rows = []

    class Row:
        @property
        def text(self):
            rows.extend([self] * 1_000)
            return "x"

    rows += [Row(), Row()]
    assert there_and_back(ListType(RecordType((("text", STRING),))), rows) == [Record(text="x")] * 2


def test_text_that_lies_about_its_encoding_is_encoded_as_utf_8():
    class Text(str):
        def encode(self, *_):
            return b"\xff\xff"

    assert there_and_back(STRING, Text("é")) == "é"


@pytest.mark.parametrize(
    ("type_", "value", "error", "message"),
    [
        (ListType(F32), [float("inf"), 1e300], ValueError, "[1]: expected f32 (this number is too large), got 1e+300"),
        (F64, 2**53 + 1, ValueError, "expected f64 (it cannot hold this int exactly), got 9007199254740993"),
        (F32, 2**24 + 1, ValueError, "expected f32 (it cannot hold this int exactly), got 16777217"),
        (ListType(F64), [0, 2**53 + 1], ValueError, "[1]: expected f64 (it cannot hold this int exactly)"),
        (F64, 10**5_000, ValueError, "expected f64 (it cannot hold this int exactly), got int that cannot be shown"),
        (U32, 10**5_000, ValueError, "expected u32, got int that cannot be shown"),
        (ListType(F64), [10**400], ValueError, "[0]: expected f64 (it cannot hold this int exactly)"),
        (ListType(U8), memoryview(array("I", [1, 2])), TypeError, "expected list<u8> (bytes), got <memory at"),
        (FlagsType(("a", "b")), [["a"]], TypeError, "expected flags, a set of a, b, got [['a']]"),
        (FlagsType(("a", "b")), {"a": False}, TypeError, "expected flags, a set of a, b, got {'a': False}"),
        (VariantType((("a", None),)), Variant(["a"]), ValueError, "expected variant of a"),
        (RecordType((("a", U8),)), Record(a=1, b=2), TypeError, "(unknown: b)"),
    ],
    ids=count(),  # pytest would spell the huge int
)
def test_what_does_not_fit_is_refused_in_words(type_, value, error, message):
    with pytest.raises(error) as caught:
        there_and_back(type_, value)
    assert message in str(caught.value)


def test_a_value_that_cannot_be_shown_does_not_hide_the_error():
    class Silent:
        def __repr__(self):
            raise RuntimeError

    with pytest.raises(TypeError) as caught:
        there_and_back(U32, Silent())
    assert "expected u32, got <Silent instance" in str(caught.value)


def test_an_error_about_a_large_value_is_short():
    with pytest.raises(TypeError) as caught:
        there_and_back(U32, [["x" * 1_000_000] * 1_000] * 1_000)
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: bytes(50 * 2**20), " and 52,428,750 more bytes"),
        (lambda: bytearray(50 * 2**20), " and 52,428,750 more bytes"),
        (lambda: Record(a=bytes(50 * 2**20), b=1), "Record(a=b'"),
        (lambda: Ok([Variant("x", bytes(50 * 2**20))]), "Ok(value=[Variant(case='x', payload=b'"),
        (lambda: Some(Some(Some(Some(Some(1))))), "Some(value=Some(value=Some(value=Some(...))))"),
        (lambda: Record({f"f{number}": number for number in range(9)}), "f3=3, ...)"),
        (lambda: dict.fromkeys(range(10**6)), "<dict of 1,000,000 elements>"),
        (lambda: frozenset(range(10**6)), "<frozenset of 1,000,000 elements>"),
        (lambda: Err(10**5_000), "that cannot be shown"),
    ],
    ids=count(),
)
def test_a_large_value_is_shown_by_its_beginning_without_making_all_of_its_text(make, text):
    value = make()
    tracemalloc.start()
    shown_text = short_repr(value)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text in shown_text
    assert len(shown_text) < 1_000
    assert peak_bytes < 2**20


@pytest.mark.parametrize(
    ("type_", "value", "error", "message"),
    [
        ("i32", bytes(10**6), TypeError, "more bytes"),
        ("i32", 2**32, ValueError, "got 4294967296"),
        ("i64", 10**5_000, ValueError, "got int that cannot be shown"),
        ("f64", "x", TypeError, "got 'x'"),
        ("f64", 10**400, ValueError, "expected f64, got 1000"),
        ("f32", 10**5_000, ValueError, "got int that cannot be shown"),
        ("f32", 1e300, ValueError, "got 1e+300"),
    ],
    ids=count(),
)
def test_what_does_not_fit_a_core_type_is_refused_in_words(type_, value, error, message):
    with pytest.raises(error, match=r"args\[0\]: expected") as caught:
        core_values.lower([type_], [value], bytearray(64))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_limit_that_cannot_be_shown_is_refused_in_words():
    with pytest.raises(InvalidConfiguration) as caught:
        ResourceLimits(memory=10**5_000)
    assert "got int that cannot be shown" in str(caught.value)


@pytest.mark.parametrize("name", ["of", "as-dict", "class", "self", "fields", "values", "items", "name"])
def test_a_field_may_have_any_name(name):
    type_ = RecordType(((name, U8),))
    attribute = {"as-dict": "as_dict_", "class": "class_"}.get(name, name)
    record = there_and_back(type_, {name: 7})
    assert getattr(record, attribute) == 7
    assert there_and_back(type_, record) == record == Record({name: 7})


def test_equal_records_have_equal_hashes():
    assert Record(a=1, b=2) == Record(b=2, a=1)
    assert len({Record(a=1, b=2), Record(b=2, a=1)}) == 1


def test_ints_that_lose_nothing_are_taken_for_floats():
    assert there_and_back(TupleType((F32, F64)), (2**24, -(2**53))) == (2.0**24, -(2.0**53))
    assert there_and_back(ListType(F32), [2**24, 0.1]) == [2.0**24, pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("element", "given", "came"),
    [
        ("u16", b"\xff\x01", [255, 1]),
        ("u32", b"abcd", [97, 98, 99, 100]),
        ("s64", b"\xff", [255]),
        ("f32", b"\x02", [2.0]),
    ],
)
def test_bytes_are_numbers_also_where_a_list_is_not_of_bytes(element, given, came):
    for sequence in (given, bytearray(given)):
        assert there_and_back(ListType(Primitive(element)), sequence) == came


def test_a_byte_that_does_not_fit_its_list_is_refused_in_words():
    with pytest.raises(ValueError, match=r"^\[0\]: expected s8, got 255$"):
        there_and_back(ListType(Primitive("s8")), b"\xff")
