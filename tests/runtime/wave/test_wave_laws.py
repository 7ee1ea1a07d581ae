"""Laws of WAVE.

What can be passed to a guest is written in full and reads back; what cannot is marked; nothing writes more than it may,
and what is written shows on any terminal as it is.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_airssys_wasm.runtime.wave import write_value
from support.wave_reader import Reader, plain
from support.wave_values import ANYTHING, F64, FITTING, TYPES, fits


@pytest.mark.slow
@given(FITTING)
@example((F64, -0.0))
def test_what_can_be_passed_is_written_in_full_and_reads_back(pair):
    type_, value = pair
    text = write_value(value, type_, most_characters=10**6)
    reader = Reader(text)
    read = reader.value(type_)
    assert reader.text == ""
    assert repr(plain(read, type_)) == repr(plain(value, type_))


@pytest.mark.slow
@given(TYPES, ANYTHING)
@example(F64, 2**53 + 1)
def test_what_cannot_be_passed_is_marked(type_, value):
    if not fits(value, type_):
        assert "<… " in write_value(value, type_, most_characters=10**6)


@pytest.mark.slow
@given(TYPES, ANYTHING, st.integers(0, 60))
def test_what_is_written_is_short_and_safe_to_show(type_, value, most):
    text = write_value(value, type_, most_characters=most)
    assert len(text) <= most
    assert text.isprintable()
    whole = write_value(value, type_, most_characters=10**6)
    assert text == whole if len(whole) <= most else text == whole[: max(0, most - 1)] + "…"[:most]
