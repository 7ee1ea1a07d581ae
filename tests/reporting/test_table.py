"""The terminal's table: aligned, within its width, and nothing in it acts on the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.reporting.formatting import width
from pytest_airssys_wasm.reporting.summaries import by_export
from pytest_airssys_wasm.reporting.table import render
from support.records import execution, executions


def table(*records, columns=200):
    return tuple(line.text for line in render(by_export(records), columns))


def test_without_rows_there_is_no_table():
    assert table() == ()


def test_a_wide_table_shows_every_figure():
    lines = table(
        execution(export=None, fuel_consumed=7),
        execution(fuel_consumed=1_234_567, fuel_limit=2_000_000, wall_ms=12.34),
        execution(fuel_consumed=1_000, verdict="trap", fuel_is_exact=False, fuel_limit=None, wall_ms=0.5),
    )
    assert lines == (
        "  export         calls  fuel min  median    fuel max              fuel limit  fuel used  memory used  peak memory"
        "  memory limit  median ms  max ms  verdicts",
        "guest",
        "  (instantiate)      1         7       7           7                   1,000      0.7 %        6.2 %       64 KiB"
        "         1 MiB       1.00    1.00  ok 1",
        "  run                2    ≥1,000  ≥1,000  ≥1,234,567  2,000,000 to unlimited       61 %        6.2 %       64 KiB"
        "         1 MiB       6.42    12.3  ok 1, trap 1",
        "≥: only a lower bound is known for some calls",
    )


def test_a_narrow_table_keeps_what_matters_and_says_what_it_left_out():
    lines = table(execution(export="corpus:text/transform@1.0.0#title-case", fuel_consumed=10**6), columns=80)
    assert lines[0].split() == ["export", "calls", "fuel", "max", "fuel", "used", "memory", "used", "verdicts"]
    assert lines[2].startswith("  corpus:")
    assert "#title-case" in lines[2]
    notes = " ".join(lines[3:])
    assert notes.startswith("left out for lack of room: fuel min, ")


def test_the_largest_figures_fit_an_ordinary_terminal():
    most = 2**64 - 1
    record = execution(
        fuel_consumed=most, fuel_is_exact=False, fuel_limit=1, peak_memory_bytes=most, verdict="invalid-component"
    )
    lines = table(record, columns=80)
    assert max(map(width, lines)) <= 80
    assert "≥18,446,744,073,709,551,615     >999 %  invalid-component 1" in lines[2]


@pytest.mark.parametrize("columns", [80, 160])
def test_growths_that_calls_survive_are_shown_however_narrow_the_table_is(columns):
    refused = execution(denied_growths=3, peak_memory_bytes=1_048_576)
    lines = table(*[refused] * 160, *[execution()] * 40, columns=columns)
    assert " ".join(" ".join(lines[2:4]).split()).find("ok 200, refused 160") > 0
    assert "100 %" in lines[2]
    assert "refused: calls of which the memory limit refused a growth" in " ".join(lines)
    assert "refused" not in " ".join(table(execution(), columns=columns))


def test_many_verdicts_take_more_lines():
    verdicts = ["ok", "out-of-fuel", "out-of-memory", "resource-limit", "host-error"]
    lines = table(*(execution(verdict=verdict) for verdict in verdicts), columns=80)
    column = lines[0].index("verdicts")
    shown = [line[column:] for line in lines[2:] if not line.startswith(("left", "  memory"))]
    assert " ".join(shown).startswith("ok 1, host-error 1, out-of-fuel 1, out-of-memory 1, resource-limit 1")


@pytest.mark.slow
@given(st.lists(executions, max_size=6), st.integers(72, 240))
def test_whatever_the_names_are_each_line_is_printable_and_fits(records, columns):
    for line in table(*records, columns=columns):
        assert line.isprintable()
        assert width(line) <= columns


@pytest.mark.slow
@given(st.lists(executions, min_size=1, max_size=6))
def test_each_row_has_its_line(records):
    rows = by_export(records)
    lines = [line.text for line in render(rows, 400) if not line.text.startswith(("≥", "left out", "refused"))]
    assert len(lines) == 1 + len({row.component for row in rows}) + len(rows)


def tones(*records, columns=80):
    return {piece.text.strip(): piece.tone for line in render(by_export(records), columns) for piece in line.pieces}


def test_a_figure_near_a_limit_and_one_that_reached_it_are_told_from_others():
    near = execution(export="near", fuel_consumed=800, peak_memory_bytes=0)
    reached = execution(export="reached", fuel_consumed=1_000, verdict="out-of-fuel", peak_memory_bytes=0)
    found = tones(execution(export="far", fuel_consumed=799), near, reached)
    assert {text: found[text] for text in ("79 %", "80 %", "100 %", "guest")} == {
        "79 %": "plain",
        "80 %": "near",
        "100 %": "bad",
        "guest": "heading",
    }
    assert (found["ok 1"], found["out-of-fuel 1"]) == ("good", "bad")
    assert tones(execution(denied_growths=1))["ok 1, refused 1"] == "near"
