"""Reports side by side: counts for each requirement and runtime, and every case that tells them apart."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pytest_airssys_wasm import compare as command
from pytest_airssys_wasm.reporting import side_by_side
from pytest_airssys_wasm.reporting.comparison import CaseOutcome, compare
from pytest_airssys_wasm.reporting.model import RequirementRecord
from pytest_airssys_wasm.reporting.write import write
from support.checkout import ROOT
from support.records import SESSION, execution, names, outcome, report, reports

FUEL, MEMORY = (
    RequirementRecord(id=id, chapter=chapter, sentence=f"{id} holds.")
    for id, chapter in (("FUEL-1", "fuel"), ("MEM-1", "memory"))
)
OTHER = structs.replace(SESSION, runtime="other", runtime_version="7.1")


def case(name, ending="passed", reason=None, requirement="FUEL-1"):
    return outcome(test=f"conformance/{name}", kind="case", requirement=requirement, outcome=ending, reason=reason)


def two(ours, others):
    """Two reports with these cases."""
    given = {"requirements": [MEMORY, FUEL]}
    return {"ours": report(tests=ours, **given), "other": report(tests=others, session=OTHER, **given)}


def test_every_requirement_is_counted_for_each_report():
    text = side_by_side.render(
        compare(
            two(
                [case("a"), case("b"), case("c", requirement="MEM-1")],
                [case("a"), case("b", "failed"), case("c", "known", requirement="MEM-1"), case("d", "skipped")],
            )
        )
    )
    lines = text.splitlines()
    assert "| <code>FUEL-1</code> | FUEL-1 holds. | 2 |  |  |  | 1 | 1 |  | 1 |" in lines
    assert "| <code>MEM-1</code> | MEM-1 holds. | 1 |  |  |  |  |  | 1 |  |" in lines
    assert "| **<code>ours</code>** | <code>wasmtime-py</code> | <code>50.0.1</code> | 3 | 0 | 0 | 0 |" in text
    assert "| **<code>other</code>** | <code>other</code> | <code>7.1</code> | 1 | 1 | 1 | 1 |" in text
    assert lines.index("### fuel") < lines.index("### memory") < lines.index("### Cases that differ: 3")


def test_a_requirement_without_a_case_is_left_out():
    assert [line.record for line in compare(two([case("a")], [])).lines] == [FUEL]


def test_cases_that_differ_in_the_same_way_stand_together_with_their_reasons():
    why = "expected to fail: it never ends"
    differences = compare(
        two(
            [case("a"), case("b"), case("c"), case("d", "failed", "got 1")],
            [case("a", "known", why), case("b"), case("c", "known", why), case("e", "skipped", "no fuel")],
        )
    ).differences
    assert [([one.test for one in each.cases], each.outcomes) for each in differences] == [
        (
            ["conformance/a", "conformance/c"],
            (CaseOutcome(category="passed", reason=None), CaseOutcome(category="known", reason="it never ends")),
        ),
        (
            ["conformance/d"],
            (CaseOutcome(category="failed", reason="got 1"), CaseOutcome(category="not run", reason=None)),
        ),
        (
            ["conformance/e"],
            (CaseOutcome(category="not run", reason=None), CaseOutcome(category="skipped", reason="no fuel")),
        ),
    ]


def test_failures_of_different_reasons_are_no_difference():
    assert compare(two([case("a", "failed", "got 1")], [case("a", "failed", "got 2")])).differences == ()


def test_only_conformance_cases_are_compared():
    tests = [outcome(test="tests/test_a.py::test_a"), outcome(test="conformance/laws/one", kind="law")]
    compared = compare(two([*tests, case("a")], [case("a")]))
    assert compared.differences == ()
    assert [column.counts.total for column in compared.columns] == [1, 1]


def test_more_cases_than_anyone_reads_are_counted(monkeypatch):
    monkeypatch.setattr(side_by_side, "MOST_CASES", 3)
    text = side_by_side.render(compare(two([case(f"{n}") for n in range(5)], [])))
    assert text.count("\n- ") == 3
    assert text.endswith("… and 2 more cases.\n")


@pytest.mark.slow
@given(st.dictionaries(names, reports, min_size=2, max_size=3))
def test_no_name_breaks_a_line_a_cell_or_a_tag(given_reports):
    text = side_by_side.render(compare(given_reports))
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (11, 3 + 4 * len(given_reports), 4 + len(given_reports))
        plain = re.sub(r"</?code>|<!-- -->", "", line)
        assert not re.search(r"<[a-z/!]", plain, re.IGNORECASE)
        assert "@" not in plain


@pytest.fixture
def written(tmp_path):
    """Two files of reports, of the same name in two folders."""
    paths = [tmp_path / folder / "report.json" for folder in ("old", "new")]
    for path, one in zip(paths, two([case("a")], [case("a", "failed", "…")]).values()):
        write(one, path)
    return paths


def test_the_command_prints_utf_8_wherever_it_runs(written):
    root = str(ROOT)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_airssys_wasm.compare", *written],
        env={**inherited, "PYTHONPATH": root, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    text = done.stdout.decode("utf-8")
    # Equal names are told apart by their folders.
    assert re.search(
        r"<code>\S*old/report.json</code> \*\*passed\*\* · <code>\S*new/report.json</code> \*\*failed\*\*", text
    )
    assert "<code>…</code>" in text


def test_what_is_no_report_is_an_error_that_names_the_file(written, tmp_path, capsys):
    for arguments, told in (
        ([written[0]], "two reports or more"),
        ([written[0], written[0]], "report.json would be compared with itself; give two different"),
        ([written[0], tmp_path / "none.json"], "none.json"),
    ):
        with pytest.raises(SystemExit) as ended:
            command.main([str(path) for path in arguments])
        assert ended.value.code == 2
        assert told in capsys.readouterr().err


def shown(*executions, tests=()):
    """The comparison of reports with these executions each, as text."""
    titled = zip("abc", executions, strict=False)
    return side_by_side.render(
        compare({title: report(executions=each, tests=[*tests, outcome()]) for title, each in titled})
    )


def test_costs_that_differ_are_shown_with_their_change():
    text = shown([execution(fuel_consumed=200)], [execution(fuel_consumed=250, peak_memory_bytes=131_072)])
    assert "### Costs that differ: 1" in text
    assert "| 200 fuel, peak 64 KiB | 250 fuel (+50, +25.0 %), peak 128 KiB |" in text


def test_a_small_change_is_not_told_as_none():
    text = shown([execution(fuel_consumed=20_000)], [execution(fuel_consumed=19_999)])
    assert "19,999 fuel (-1, <0.1 %)" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"denied_growths": 3}, "0 growths refused | 100 fuel, 3 growths refused"),
        ({"verdict": "trap", "call": "run()", "message": "no"}, "ok 1 | 100 fuel, trap 1"),
        ({"fuel_is_exact": False}, "| 100 fuel | ≥100 fuel |"),
        ({"export": "other"}, "| 100 fuel | not called |"),
    ],
)
def test_every_cost_counts(change, said):
    text = shown([execution()], [execution(**change)])
    assert "### Costs that differ: 0" not in text
    assert said in text


def test_costs_that_no_run_repeats_do_not_count():
    guessed = {"fuel_is_exact": False, "verdict": "timeout"}
    text = shown(
        [execution(wall_ms=1.0, cpu_ms=1.0), execution(fuel_consumed=5, export="loop", **guessed)],
        [execution(wall_ms=9.0, cpu_ms=None), execution(fuel_consumed=7, export="loop", **guessed)],
    )
    assert "### Costs that differ: 0" in text


def test_a_test_that_was_not_run_is_no_difference():
    other = execution(test="tests/test_b.py::test_b")
    assert "### Costs that differ: 0" in shown([execution(), other], [execution()])
    assert "Costs" not in shown([], [execution()])


def test_outcomes_of_tests_and_checks_differ_where_reports_share_them():
    ours = report(tests=[outcome(test="t"), outcome(test="only here", outcome="failed")])
    others = report(tests=[outcome(test="t", outcome="failed", reason="no")])
    text = side_by_side.render(compare({"a": ours, "b": others}))
    assert "### Cases that differ: 0" in text
    assert "### Tests and checks that differ: 1" in text
    assert "<code>a</code> **passed** · <code>b</code> **failed**: <code>no</code>" in text
    assert "only here" not in text
