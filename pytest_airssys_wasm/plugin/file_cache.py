"""Values that are made from files, and kept for as long as the files stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pytest_airssys_wasm.runtime.base.originals import time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

T = TypeVar("T")

_MOST_VALUES = 64
_SETTLED_NS = 100_000_000
"""How long ago a file must have been changed for its time stamps to show a further change."""


class FileCache(Generic[T]):
    """Keeps the values made from the files that were used last; the value of a changed file is made anew.

    What a failing `make` raises is not kept: the next use tries again.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[tuple[int, ...], T]] = {}

    def get(self, path: Path, make: Callable[[], T], *key: Hashable) -> T:
        """Return what `make` makes from the file, or made from it before under the same `key`.

        Raises `OSError` when the file's status cannot be read, and whatever `make` raises.
        """
        place = (path, *key)
        state, is_settled = _state(path)
        known = self._values.pop(place, None)
        value = make() if known is None or known[0] != state else known[1]
        if is_settled:
            self._values[place] = (state, value)  # the end is for the one used last
        if len(self._values) > _MOST_VALUES:
            self._values.pop(next(iter(self._values)), None)
        return value

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()


def _state(path: Path) -> tuple[tuple[int, ...], bool]:
    """Return what changes with a file's content, and whether no later change can leave it the same."""
    stat = path.stat()
    state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
    return state, time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS
