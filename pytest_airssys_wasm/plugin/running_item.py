"""The item that is running, for plugins that record its executions, and the names of items and files in records."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.sources import in_utf_8

if TYPE_CHECKING:
    from pathlib import Path

_COLLECTED_ID = pytest.StashKey[str]()


class CollectedIds:
    """A base class of plugins that name items by `collected_id`."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember the node id with which an item was collected, because xdist may append the name of a group."""
        item.stash[_COLLECTED_ID] = item.nodeid


class RunningItem(CollectedIds):
    """A base class of plugins that need to know which item is running."""

    _item: pytest.Item | None = None
    """The item from the beginning of its set-up to the end of its teardown; `None` between items."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin to record an item."""
        self._item = item

    def pytest_runtest_logfinish(self) -> None:
        """End the recording of an item."""
        self._item = None


def collected_id(item: pytest.Item) -> str:
    """Return the node id with which an item was collected, as valid UTF-8."""
    return in_utf_8(item.stash.get(_COLLECTED_ID, item.nodeid))


def path_from(root: Path, path: Path) -> str:
    """Return a path relative to the root directory, or as it is if it is not below that, as valid UTF-8."""
    relative = PurePath(os.path.relpath(path, root))
    return in_utf_8((path if relative.parts[:1] == ("..",) else relative).as_posix())
