"""The page: well-formed whatever the names are, runs only its own script, and says what it leaves out."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from pytest_airssys_wasm.reporting.html import MOST_EXECUTIONS, MOST_ROWS, MOST_TESTS, render
from pytest_airssys_wasm.reporting.model import RequirementRecord
from support.records import HOSTILE, SESSION, execution, outcome, report, reports

VOID = {"meta", "input", "br", "wbr", "link"}


class Page(HTMLParser):
    """Elements, texts by element, and whether each is closed where it was opened."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, tag=None):
        return "".join(data for inside, data in self.texts if tag is None or inside == tag)

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


def everywhere(name):
    """A report with the name in every place."""
    return report(
        session=type(SESSION)(**dict.fromkeys(SESSION.__struct_fields__, name) | {"duration_s": 1.0}),
        tests=[outcome(test=name, outcome="failed", reason=name, requirement=name)],
        requirements=[RequirementRecord(id=name, chapter=name, sentence=name)],
        executions=[execution(test=name, component=name, export=name, verdict="trap", call=name, message=name)],
    )


PLAIN = Page(render(everywhere("plain")))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_adds_no_element_and_no_attribute(name):
    page = Page(render(everywhere(name)))
    shape = [(tag, sorted(attributes)) for tag, attributes in page.elements]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in PLAIN.elements]


@pytest.mark.slow
@given(reports)
@settings(max_examples=40)
def test_whatever_the_names_are_the_page_is_whole_and_printable(written):
    text = render(written)
    text.encode("utf-8")
    page = Page(text)
    foreign = text.replace(page.text("script"), "").replace(page.text("style"), "")
    assert all(line.isprintable() for line in foreign.split("\n"))
    assert page.count("script") == 2
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_data_for_the_plots_stays_data(name):
    text = render(everywhere(name))
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data.isascii()
    assert not re.search(r"[<>&]", data)
    assert len(json.loads(data)["lanes"]) == 1


def test_the_browser_may_run_this_script_and_reach_nothing():
    text = render(everywhere("plain"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    for rule, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (content,) = re.findall(pattern, text, re.DOTALL)
        assert rules[rule] == f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert not [name for _, attributes in Page(text).elements for name in attributes if name in ("src", "style")]
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_failed_tests_come_first_with_the_executions_that_failed():
    tests = [outcome(test="fine"), outcome(test="skips", outcome="skipped"), outcome(test="breaks", outcome="failed")]
    tests.append(outcome(test="is-known", outcome="known"))
    executions = [execution(test="breaks") for _ in range(20)]
    executions.append(execution(test="breaks", verdict="trap", call="run(7)", message="unreachable\nat main"))
    text = render(report(tests=tests, executions=executions))
    page = Page(text)
    listed = [attributes["data-outcome"] for _, attributes in page.elements if "data-outcome" in attributes]
    assert listed == ["failed", "known", "skipped", "passed"]
    assert "known failure" in page.text()
    assert text.index("breaks") < text.index("skips") < text.index("fine")
    assert page.text("pre") == "run(7)unreachable\nat main\n"
    assert "13 more executions in the JSON report" in page.text()


def test_checks_whose_time_was_up_are_linked():
    tests = [outcome(kind="check", test=f"Component.toml::fuzz[{n}]", is_cut_off=n > 0) for n in range(6)]
    text = render(report(tests=tests))
    page = Page(text)
    assert "the time of 5 of 6 fuzz checks was up before all examples were tried: , ,  and 2 more" in page.text("dd")
    (target,) = re.findall(r'<a href="#([^"]+)"><code>Component.toml::fuzz\[1\]</code></a>', text)
    assert f'<details id="{target}"' in text
    assert "fuzzing" not in Page(render(report(tests=tests[:1]))).text("dt")


def test_an_empty_session_makes_a_page_that_says_so():
    page = Page(render(report()))
    assert "No test was run." in page.text()
    assert page.text().count("No guest was executed.") == 3
    assert "untested" in page.text("span")
    assert page.count("table") == 0


def test_requirements_show_their_outcome():
    requirements = [RequirementRecord(id="FUEL-1", chapter="fuel", sentence="Loops end.")]
    case = outcome(kind="case", test="conformance/fuel/a", requirement="FUEL-1", outcome="failed")
    page = Page(render(report(tests=[case], requirements=requirements)))
    assert "Loops end." in page.text("span")
    assert page.text().count("failed") > Page(render(report(tests=[outcome(outcome="failed")]))).text().count("failed")


def test_a_chapter_without_failures_is_one_row():
    requirements = [RequirementRecord(id="FUEL-1", chapter="fuel", sentence="Loops end.")]
    cases = [outcome(kind="case", test=f"conformance/fuel/{name}", requirement="FUEL-1") for name in "abc"]
    broken = outcome(kind="case", test="conformance/traps/d", outcome="failed")
    page = Page(render(report(tests=[*cases, broken, outcome()], requirements=requirements)))
    assert page.count("details") == 3
    shown = page.text("code")
    assert "conformance/traps/d" in shown
    assert "conformance/fuel" in shown
    assert "conformance/fuel/a" not in shown
    assert "3 conformance cases" in page.text()
    assert "Loops end." not in page.text("span")


@pytest.mark.slow
def test_a_huge_session_makes_a_page_that_a_browser_can_show():
    tests = [outcome(test=f"t{n}", outcome="failed" if n % 50 == 0 else "passed") for n in range(MOST_TESTS + 500)]
    executions = [execution(test=f"t{n % 2_500}", export=f"e{n % (MOST_ROWS + 3)}") for n in range(20_000)]
    page = Page(render(report(tests=tests, executions=executions)))
    assert sum("data-outcome" in attributes for _, attributes in page.elements) == MOST_TESTS
    assert page.count("li") <= MOST_EXECUTIONS
    assert "500 more tests in the JSON report, which has all of them" in page.text()
    assert "3 more exports in the JSON report, which has all of them" in page.text()
    assert page.count("tr") == 1 + MOST_ROWS
    assert len(page.elements) < 60_000


def test_bars_are_by_component_and_export_and_lead_to_the_test():
    text = render(report(tests=[outcome()], executions=[execution(fuel_consumed=990), execution(export=None)]))
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in page.elements if tag == "a"]
    assert "990 of 1,000 (99 %)" in page.text("a")
    assert text.index("990 of 1,000 (99 %)") < text.index('id="tests"')  # without a script
    assert len([one for one in ids if one.startswith("export-")]) == 2
    assert set(links) <= set(ids)


@pytest.mark.slow
@given(reports)
@settings(max_examples=20)
def test_ids_are_unique_and_every_link_has_its_target(written):
    page = Page(render(written))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"} <= set(ids)


def test_a_link_to_a_test_is_the_same_in_the_next_report():
    def link(written):
        return re.search(r'<details id="(test-\w+)"', render(written))[1]

    assert link(report(tests=[outcome(test="t")])) == link(
        report(tests=[outcome(test="t", outcome="failed"), outcome(test="u")], executions=[execution(test="t")])
    )
