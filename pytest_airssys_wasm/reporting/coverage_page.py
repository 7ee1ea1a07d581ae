"""The coverage of guests as one HTML page without other files, which needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.reporting.page import PageTemplate
from pytest_airssys_wasm.runtime.base.figures import percent
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.reporting.coverage_listing import ListedBlock, ListedFunction
    from pytest_airssys_wasm.runtime.binary.coverage import Coverage

MOST_FUNCTIONS = 1_000
"""The number of functions of a guest that the page shows; those with the most missed blocks come first."""
MOST_BLOCKS = 100
"""The number of missed blocks of a function that the page shows."""
MOST_BLOCKS_OF_ALL = 5_000
"""The number of missed blocks of a guest that the page shows."""
_MOST_TEXT = 400
_MOST_TESTS = 20
_PAGE = PageTemplate("coverage", most_text=_MOST_TEXT)


class GuestOnPage(Struct, frozen=True, kw_only=True):
    """A guest with the text of its functions and its files."""

    coverage: Coverage
    functions: Sequence[ListedFunction]
    files: tuple[str, ...]
    """The names of the files with its listing and its LCOV data."""


class _Row(Struct, frozen=True, kw_only=True):
    function: ListedFunction
    shown: tuple[ListedBlock, ...]

    @property
    def left_out(self) -> int:
        """The number of missed blocks that are not shown."""
        return len(self.function.missed) - len(self.shown)

    @property
    def share(self) -> float:
        """The share of the blocks that were reached, in percent."""
        return 100 * self.function.reached / len(self.function.blocks)


def page(guests: Sequence[GuestOnPage], uninstrumented: Sequence[tuple[str, str]] = ()) -> str:
    """Return a page with all guests. `uninstrumented` has the names of the others, and the reasons."""
    content = {
        "guests": [(guest, _rows(guest.functions)) for guest in guests],
        "uninstrumented": uninstrumented,
        "counted": counted,
        "percent": percent,
        "most_tests": _MOST_TESTS,
    }
    return _PAGE.render(content)


def _rows(functions: Sequence[ListedFunction]) -> list[_Row]:
    ordered = sorted(functions, key=lambda one: (-len(one.missed), one.name))
    left = MOST_BLOCKS_OF_ALL
    rows = []
    for function in ordered[:MOST_FUNCTIONS]:
        shown = function.missed[: min(MOST_BLOCKS, left)]
        left -= len(shown)
        rows.append(_Row(function=function, shown=shown))
    return rows
