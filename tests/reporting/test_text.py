"""Foreign text: nothing in it acts on a terminal, and it keeps to its room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.reporting.formatting import cut, width
from pytest_airssys_wasm.runtime.base.printable import counted, is_printable, printable, printable_lines
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
        ("a\u3164b\uffa0", "a\\u3164b\\uffa0"),
        ("\u115f\u1160", "\\u115f\\u1160"),
        ("\u2800", "\\u2800"),
        ("a\u034f\ufe0f\U000e0101", "a\\u034f\\ufe0f\\U000e0101"),
        ("\U0001d159\u17b4\u180b", "\\U0001d159\\u17b4\\u180b"),
    ],
)
def test_only_what_would_not_show_as_itself_is_written_out(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error file=a.py::no", "\\x3a:error file=a.py::no"),
        ("   ::stop-commands::x", "   \\x3a:stop-commands::x"),
        ("##vso[task.complete]", "\\x23#vso[task.complete]"),
        ("before ##VSO[task.complete]", "before \\x23#VSO[task.complete]"),
        ("##[error]no", "\\x23#[error]no"),
        ("###[error]no", "#\\x23#[error]no"),
        ("##teamcity[testFailed name='a']", "\\x23#teamcity[testFailed name='a']"),
        ("section_start:0:a\r\x1b[0K", "section_start\\x3a0:a\\r\\x1b[0K"),
        ("section_end:1560896352:a", "section_end\\x3a1560896352:a"),
        ("travis_fold:start:a", "travis_fold\\x3astart:a"),
    ],
)
def test_nothing_is_a_command_of_a_ci_system(text, shown):
    assert printable(text) == shown
    assert not is_printable(text)
    assert is_printable(shown)
    assert printable_lines(f"a\n{text}").endswith(f"\n{shown}")


@pytest.mark.parametrize(
    "text", ["a::b", "core::fmt::Display::fmt", "# a", "## a [b]", "a:b@1.0.0#f", "section_start: 1"]
)
def test_text_that_only_looks_similar_stays(text):
    assert printable(text) == text


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
