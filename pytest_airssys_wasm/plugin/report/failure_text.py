"""A failure that is best told in words: no traceback, and one line of it in pytest's short summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def message(excinfo: pytest.ExceptionInfo[BaseException], path: Path, *lines: str, reason: str | None = None) -> Any:
    """What `repr_failure` returns for it. `path` is the file that is at fault.

    The reason, the first line unless given, stands alone in the short summary, in JUnit's message and in reports.
    """
    excinfo.value.args = ("\n".join(map(printable, lines)),)
    shown = excinfo.getrepr(style="value", chain=False)
    if shown.reprcrash is not None:
        shown.reprcrash.message = printable(lines[0] if reason is None else reason)
        shown.reprcrash.path = str(path)
        shown.reprcrash.lineno = 1
    return shown
