"""Failures that are shown as text: without a traceback, and with one line in pytest's short summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def failure_text(
    excinfo: pytest.ExceptionInfo[BaseException], path: Path, *lines: str, reason: str | None = None
) -> Any:
    """Return a failure that is shown as text, for `repr_failure` of an item to return. `path` is the file that caused
    the failure.

    The short summary, JUnit's message and reports show only `reason`, by default the first line.
    """
    excinfo.value.args = ("\n".join(map(printable, lines)),)
    text = excinfo.getrepr(style="value", chain=False)
    if text.reprcrash is not None:
        text.reprcrash.message = printable(lines[0] if reason is None else reason)
        text.reprcrash.path = str(path)
        text.reprcrash.lineno = 1
    return text
