"""What goes wrong while a failure is shown: it is told in the report, and never ends the session."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTION = "WebAssembly, not shown"
_MOST_CHARACTERS = 300


@contextmanager
def telling(tell: Callable[[str], object]) -> Iterator[None]:
    """Call `tell` with one line about an exception in the block, and go on behind the block.

    `pytest.fail` and `pytest.skip` count as exceptions, since a plugin that ends tests at a time limit raises them
    wherever it finds the test. Ctrl-C, `pytest.exit` and the like are raised.
    """
    try:
        yield
    except pytest.exit.Exception:
        raise
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:  # noqa: BLE001 it is told
        tell(_line(error))


def in_words(item: pytest.Item, describe: Callable[[], Any]) -> Any:
    """Return what `describe` returns for a failure of `item`; `None` after a mishap, which goes into the report."""
    with telling(lambda mishap: item.add_report_section("call", SECTION, mishap)):
        return describe()
    return None


def _line(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = printable(str(error).partition("\n")[0])[:_MOST_CHARACTERS]
    except Exception:  # noqa: BLE001 an error that cannot be shown either
        return name
    return f"{name}: {text}" if text else name
