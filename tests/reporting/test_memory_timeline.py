"""The timeline of memory on the page of a profile."""

from __future__ import annotations

import re

import pytest

from pytest_airssys_wasm.reporting import flamegraph
from pytest_airssys_wasm.reporting.memory_timeline import MemoryStep, MemoryTimeline
from support.records import HOSTILE

KIB = 1_024


def timeline(*steps, is_complete=True):
    made = [
        MemoryStep(fuel=fuel, memory_bytes=memory, refused=refused, functions=tuple(functions.split()))
        for fuel, memory, refused, functions in steps
    ]
    return MemoryTimeline(initial_bytes=64 * KIB, steps=tuple(made), is_complete=is_complete)


GROWN = timeline((25, 128 * KIB, 0, "small run"), (50, None, 2, "large run"), (75, 256 * KIB, 1, "large a b c run"))


def test_a_sentence_tells_how_the_memory_grew():
    told = "grew from 64 KiB to 256 KiB in 2 steps, the largest in large; the limit refused 3 growths"
    assert GROWN.summary == told
    assert timeline().summary == "stayed at 64 KiB"
    assert timeline(is_complete=False).summary == "began with 64 KiB"
    assert timeline((1, None, 1, "f")).summary == "stayed at 64 KiB; the limit refused 1 growth"
    assert (
        timeline((1, 128 * KIB, 0, ""), is_complete=False).summary == "grew from 64 KiB to 128 KiB in 1 step and more"
    )


def test_levels_cover_the_whole_call_and_are_as_high_as_their_share_of_the_peak():
    levels = [*GROWN.levels(100)]
    assert [(one.start, one.width, one.height) for one in levels] == [(0, 25, 25), (25, 50, 50), (75, 25, 100)]
    assert levels[2].text == "256 KiB with 75 fuel, in large < a < b"
    assert [(one.start, one.text) for one in GROWN.refusals(100)] == [
        (50, "2 refused with 50 fuel, in large < run"),
        (75, "256 KiB, refused with 75 fuel, in large < a < b"),
    ]


def test_memory_that_the_instantiation_makes_late_is_there_at_first_and_has_not_grown():
    late = [(10, 64 * KIB, 0, "instantiate"), (50, 128 * KIB, 0, "f")]
    steps = tuple(MemoryStep(fuel=fuel, memory_bytes=to, refused=0, functions=(name,)) for fuel, to, _, name in late)
    memory = MemoryTimeline.of(initial_bytes=0, steps=steps, is_complete=True)
    assert memory.summary == "grew from 64 KiB to 128 KiB in 1 step, in f"
    assert [(one.start, one.width) for one in memory.levels(100)] == [(10, 40), (50, 50)]
    assert MemoryTimeline.of(initial_bytes=0, steps=steps[:1], is_complete=True).summary == "stayed at 64 KiB"
    assert MemoryTimeline.of(initial_bytes=0, steps=(), is_complete=True).summary == "stayed at 0 B"


def test_the_page_has_a_picture_and_a_row_for_each_step():
    text = flamegraph.page({("run",): 100}, title="f", total=100, samples=4, memory=GROWN)
    assert f"The memory {GROWN.summary}. The right end is the end of the call, at 100 fuel." in text
    assert (text.count('class="level"'), text.count('<line class="refused"')) == (3, 2)
    rows = re.findall(r"<td>([^<]*)</td><td>([^<]*)</td></tr>", text.partition("<h2>Memory")[2])
    assert rows == [("0", "64 KiB"), ("25", "128 KiB"), ("50", "2 refused"), ("75", "256 KiB, refused")]


def test_a_page_of_a_call_that_does_not_grow_has_one_sentence_and_a_difference_nothing():
    text = flamegraph.page({("run",): 100}, title="f", total=100, samples=4, memory=timeline())
    assert "The memory stayed at 64 KiB.</p>" in text
    assert '<svg id="memory"' not in text
    assert "<h2>Memory" not in flamegraph.page({("run",): 100}, title="f", total=100, samples=4, is_difference=True)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_adds_no_element(name):
    def tags(function):
        step = MemoryStep(fuel=1, memory_bytes=128 * KIB, refused=1, functions=(function,))
        memory = MemoryTimeline(initial_bytes=0, steps=(step,), is_complete=True)
        text = flamegraph.page({("run",): 9}, title="f", total=9, samples=4, memory=memory)
        return re.findall(r"<[a-z]+", text)

    assert tags(name) == tags("name")


def test_a_call_that_took_no_fuel_has_a_page():
    flamegraph.page({}, title="f", total=0, samples=1, memory=timeline((0, 128 * KIB, 1, "")))
