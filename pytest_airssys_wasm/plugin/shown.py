"""A failure that is best told in words: no traceback, and its first line in pytest's short summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def message(excinfo: pytest.ExceptionInfo[BaseException], path: Path, reason: str, *more: str) -> Any:
    """What `repr_failure` returns for it. `path` is the file that is at fault."""
    reason = printable(reason)
    excinfo.value.args = ("\n".join((reason, *map(printable, more))),)
    shown = excinfo.getrepr(style="value", chain=False)
    if shown.reprcrash is not None:
        shown.reprcrash.message = reason
        shown.reprcrash.path = str(path)
        shown.reprcrash.lineno = 1
    return shown
