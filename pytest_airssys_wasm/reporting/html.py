"""The report as one HTML page that needs nothing beside itself, and that can reach nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pytest_airssys_wasm.reporting import figures
from pytest_airssys_wasm.reporting.outcomes import ENDINGS, by_chapter, failed_first, tally
from pytest_airssys_wasm.reporting.plots import plots
from pytest_airssys_wasm.reporting.rows import OK, fuel_used_percent, memory_used_percent, summarise
from pytest_airssys_wasm.reporting.text import cut
from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.reporting.model import ExecutionRecord, Report, TestRecord

MOST_TESTS = 2_000
MOST_ROWS = 1_000
MOST_EXECUTIONS = 2_000
MOST_EXECUTIONS_OF_A_TEST = 8
_MOST_NAME = 160
_MOST_TEXT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A test with those of its executions that are shown."""

    record: TestRecord
    executions: tuple[ExecutionRecord, ...]
    left_out: int


def render(report: Report) -> str:
    """The page. What is too much to show is left out, and the page says how much."""
    script, style = _resource("report.js"), _resource("report.css")
    rows = summarise(report.executions)
    return (
        _environment()
        .from_string(_resource("template.html"))
        .render(
            session=report.session,
            tally=tally(report.tests),
            outcomes=ENDINGS,
            entries=list(_entries(report)),
            tests_left_out=max(0, len(report.tests) - MOST_TESTS),
            executions=len(report.executions),
            rows=rows[:MOST_ROWS],
            rows_left_out=max(0, len(rows) - MOST_ROWS),
            has_lower_bounds=any(row.lower_bounds for row in rows),
            chapters=by_chapter(report),
            plots=asdict(plots(report)),
            # Not our own text: the browser runs these two and nothing else.
            script=Markup(script),
            style=Markup(style),
            script_source=_source(script),
            style_source=_source(style),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters |= {
        "count": figures.count,
        "size": figures.size,
        "milliseconds": figures.milliseconds,
        "percent": figures.percent,
        "name": lambda text: cut(printable(text), _MOST_NAME),
        "fuel_used_percent": fuel_used_percent,
        "memory_used_percent": memory_used_percent,
        "fuel_limits": figures.fuel_limits,
        "memory_limits": figures.memory_limits,
        "verdicts": figures.verdicts,
        "fuel": lambda amount, is_exact: figures.fuel(amount, is_exact=is_exact),
    }
    return environment


def _shown(value: Any) -> Any:
    """Every text on its way into the page, so that none is forgotten."""
    return cut(printable(value), _MOST_TEXT) if type(value) is str else value


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _source(text: str) -> Markup:
    """How a content security policy names an inline script or style."""
    return Markup(f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")


def _entries(report: Report) -> Iterator[_Entry]:
    executions: defaultdict[str, list[ExecutionRecord]] = defaultdict(list)
    for execution in report.executions:
        executions[execution.test].append(execution)
    room = MOST_EXECUTIONS
    for record in failed_first(report.tests)[:MOST_TESTS]:
        all_of_it = sorted(executions[record.test], key=lambda execution: execution.verdict == OK)
        shown = tuple(all_of_it[: min(room, MOST_EXECUTIONS_OF_A_TEST)])
        room -= len(shown)
        yield _Entry(record=record, executions=shown, left_out=len(all_of_it) - len(shown))
