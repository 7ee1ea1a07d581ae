"""Foreign text: nothing in it acts on a terminal, and it keeps to its room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.reporting.formatting import cut, width
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from support.records import names


@given(names)
def test_what_is_shown_is_printable_and_stays_as_it_is(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pkg:a/b@1.0.0#[method]c.d", "pkg:a/b@1.0.0#[method]c.d"),
        ("größe 日本", "größe 日本"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb", "a\\nb"),
        ("\u202eabc", "\\u202eabc"),
        ("a\u200bb\u00a0c", "a\\u200bb\\xa0c"),
        ("\ud800", "\\ud800"),
        ("ไม้ e\u0301", "ไม้ e\u0301"),
        ("\u0301e", "\\u0301e"),
        ("e\u0301\u0301\u0301", "e\u0301\u0301\\u0301"),
    ],
)
def test_only_what_would_not_show_as_itself_is_written_out(text, shown):
    assert printable(text) == shown


@given(names.map(printable), st.integers(0, 60))
def test_cut_text_keeps_to_its_columns(text, columns):
    shown = cut(text, columns)
    assert width(shown) <= columns
    assert (shown == text) == (width(text) <= columns)


def test_a_cut_name_keeps_more_of_its_end():
    assert cut("corpus:text/transform@1.0.0#title-case", 20) == "corpus….0#title-case"


def test_wide_characters_take_two_columns():
    assert width("日本 e\u0301") == 6


def test_a_noun_is_plural_unless_there_is_one_of_it():
    assert [counted(number, "growth") for number in (0, 1, 2, 1_234)] == [
        "0 growths",
        "1 growth",
        "2 growths",
        "1,234 growths",
    ]
    assert counted(2, "memory", "memories") == "2 memories"
