"""The handling of errors while a failure is shown. They are added to the report, and never end the session."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTION = "WebAssembly, not shown"
_MOST_CHARACTERS = 300


@contextmanager
def telling(tell: Callable[[str], object]) -> Iterator[None]:
    """Call `tell` with one line about an exception in the block, and suppress the exception.

    `pytest.fail` and `pytest.skip` are suppressed too, because a plugin that ends tests at a time limit may raise them
    at any place. Ctrl-C, `pytest.exit` and similar exceptions are raised.
    """
    try:
        yield
    except pytest.exit.Exception:
        raise
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 it is told
        tell(_line(error))


def in_words(item: pytest.Item, describe: Callable[[], Any]) -> Any:
    """Return the result of `describe` for a failure of `item`; `None` if `describe` raises an error, which is added to
    the report.
    """
    with telling(lambda mishap: item.add_report_section("call", SECTION, mishap)):
        return describe()
    return None


def _line(error: BaseException) -> str:
    from pytest_airssys_wasm.runtime.base.printable import printable

    name = type(error).__name__
    try:
        text = printable(str(error).partition("\n")[0])[:_MOST_CHARACTERS]
    except Exception:  # noqa: BLE001 an error that cannot be shown either
        return name
    return f"{name}: {text}" if text else name
