"""What the reports of tests with guests have beside those of other tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.report import mishaps, section, tracebacks

if TYPE_CHECKING:
    from collections.abc import Generator

    import pytest


def tell_failure(
    item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shorten the traceback of a failure before its report is made, and add a section to the report."""
    told: list[str] = []
    message_is_enough = False
    with mishaps.telling(told.append):
        message_is_enough = tracebacks.hide_package(item.config, excinfo)
    made = yield
    with mishaps.telling(told.append):
        if message_is_enough and made.failed and not isinstance(made.longrepr, str):
            made.longrepr = excinfo.getrepr(style="value")
    with mishaps.telling(told.append):
        section.add_section(item, made, excinfo.value)
    if told:
        made.sections.append((mishaps.SECTION, "\n".join(told)))
    return made


def add_remarks(item: pytest.Item, made: pytest.TestReport) -> None:
    """Add the remarks about a test that passed."""
    told: list[str] = []
    with mishaps.telling(told.append):
        section.add_remarks(item, made)
    if told:
        made.sections.append((mishaps.SECTION, "\n".join(told)))
