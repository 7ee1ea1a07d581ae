"""Markdown: what CI summaries show, whatever guests and tests are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from pytest_airssys_wasm.reporting.markdown import MOST_FAILED, MOST_ROWS, escape, render
from pytest_airssys_wasm.reporting.model import RequirementRecord
from pytest_airssys_wasm.runtime.base.printable import printable
from support.records import HOSTILE, execution, names, outcome, report, reports

OWN_TAGS = (
    "<code>",
    "</code>",
    "<br>",
    "<!-- -->",
    "<details>",
    "</details>",
    "<summary>",
    "</summary>",
    "<pre>",
    "</pre>",
)


def unescaped(text):
    """Return the text that a Markdown reader makes of escaped text."""
    plain = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), plain)


@given(names)
def test_escaped_text_has_no_meaning_and_reads_as_itself(text):
    escaped = escape(text)
    bare = re.sub(r"&#\d+;|\\[`*_{}\[\]()#!~^]", " ", escaped)
    assert not re.search(r"[`*_{}\[\]()#!~^&<>|@$\\\"'\n]|://|www\.", bare, re.IGNORECASE)
    assert unescaped(escaped) == printable(text)


@pytest.mark.slow
@given(reports)
def test_no_name_breaks_a_line_a_cell_or_a_tag(written):
    lines = render(written).splitlines()
    table = [line for line in lines if line.startswith("|")]
    for line in table:
        assert line.count("|") in (15, 7, 6)  # the tables have 14, 6 and 5 columns
    for line in lines:
        for tag in OWN_TAGS:
            line = line.replace(tag, "")
        assert not re.search(r"<[a-z/!]", line, re.IGNORECASE)
        assert "@" not in line


def test_the_head_counts_and_failures_come_first():
    tests = [
        outcome(test="a"),
        outcome(test="b", outcome="failed", reason="AssertionError: 1 == 2"),
        outcome(test="c", outcome="skipped", reason="no fuel"),
        outcome(test="d", outcome="failed"),
    ]
    text = render(report(tests=tests, executions=[execution()]))
    assert text.startswith("## WebAssembly: 1 passed, 2 failed, 1 skipped\n")
    assert "1 execution in 41.5 s" in text
    assert "- <code>b</code><br><code>AssertionError: 1 == 2</code>\n- <code>d</code>\n" in text
    assert text.index("### Failed") < text.index("### Exports")


def test_checks_whose_time_was_up_are_named():
    tests = [outcome(kind="check", test=f"a/Component.toml::fuzz[{n}]", is_cut_off=n > 0) for n in range(25)]
    text = render(report(tests=tests))
    assert "Fuzzing: the time of 24 of 25 fuzz checks was up before all examples were tried: " in text
    assert "<code>a/Component.toml::fuzz\\[1\\]</code>, " in text
    assert text.count("::fuzz\\[") == 20
    assert "\n… and 4 more checks.\n" in text
    assert "Fuzzing" not in render(report(tests=tests[:1]))


def test_a_failure_has_its_section_folded_below_it():
    section = "verdict  trap\nguest stderr:\n  *<b>* @all `x`"
    text = render(report(tests=[outcome(test="b", outcome="failed", section=section)]))
    assert text.count("\n  <details><summary>WebAssembly</summary><pre>verdict  trap&#10;guest stderr:&#10;") == 1
    assert "  *&lt;b&gt;* &#64;all `x`</pre></details>" in text


def test_sections_that_would_be_too_much_are_counted():
    long = "x" * 90_000
    text = render(report(tests=[outcome(test=name, outcome="failed", section=long) for name in "abcdef"]))
    assert text.count("<details>") == 3
    assert "3 sections about guests left out; the JSON report has all of them." in text
    assert len(text) < 2**20


def test_refused_growths_of_calls_that_returned_are_shown():
    text = render(report(executions=[execution(denied_growths=2), execution()]))
    assert "| ok 2, refused 1 |" in text
    assert "refused: calls of which the memory limit refused a growth" in text


def test_without_failures_executions_and_requirements_there_is_only_the_head():
    assert "###" not in render(report(tests=[outcome()]))


def test_requirements_are_counted_by_chapter():
    requirements = [
        RequirementRecord(id=id, chapter=chapter, sentence=f"{id} holds.")
        for id, chapter in (("FUEL-1", "fuel"), ("MEM-1", "memory"), ("FUEL-2", "fuel"))
    ]
    tests = [
        outcome(kind="case", test="conformance/fuel/a", requirement="FUEL-1"),
        outcome(kind="case", test="conformance/fuel/b", requirement="FUEL-1", outcome="failed"),
        outcome(kind="case", test="conformance/fuel/c", requirement="FUEL-2", outcome="skipped"),
        outcome(kind="case", test="conformance/fuel/d", requirement="FUEL-2", outcome="known"),
        outcome(kind="case", test="conformance/memory/e", requirement="MEM-1"),
        outcome(kind="case", test="conformance/memory/f", requirement="MEM-1"),
        outcome(kind="law", test="conformance/laws/g"),
    ]
    text = render(report(tests=tests, requirements=requirements))
    assert "| <code>conformance/fuel</code> | 1 | 1 | 1 | 1 |" in text
    assert "| <code>conformance/memory</code> | 2 | 0 | 0 | 0 |" in text
    assert "| <code>conformance/laws</code> | 1 | 0 | 0 | 0 |" in text
    assert "### Requirements: fuel (1 passed, 1 failed, 1 known failure, 1 skipped)" in text
    assert "| <code>FUEL-1</code> | FUEL-1 holds. | 1 | 1 | 0 | 0 |" in text
    assert "| <code>FUEL-2</code> | FUEL-2 holds. | 0 | 0 | 1 | 1 |" in text
    assert "### Requirements: memory" not in text  # where nothing failed, one row is enough


def test_a_sentence_mentions_nobody():
    record = RequirementRecord(id="A", chapter="@all", sentence="as @octocat says")
    failed = outcome(kind="case", test="conformance/@all/a", requirement="A", outcome="failed")
    text = render(report(tests=[failed], requirements=[record]))
    assert "as &#64;<!-- -->octocat says" in text
    assert "&#64;<!-- -->all" in text


@pytest.mark.slow
def test_a_summary_stays_below_what_github_takes():
    long = "".join(HOSTILE) + "<" * 1_000
    tests = [outcome(test=f"{long}{n}", outcome="failed", reason=long) for n in range(MOST_FAILED + 5)]
    executions = [execution(component=long, export=f"{long}{n}") for n in range(MOST_ROWS + 7)]
    text = render(report(tests=tests, executions=executions))
    assert "… and 5 more failed tests." in text
    assert text.count("\n- ") == MOST_FAILED
    assert "… and 7 more exports." in text
    assert len(text.encode()) < 2**20
    assert text.count("ok 1 |") == MOST_ROWS
