"""A cache of values that are computed from files, and kept as long as the files do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pytest_airssys_wasm.runtime.base.originals import system, time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

T = TypeVar("T")

_MOST_VALUES = 64
_SETTLED_NS = 100_000_000
"""The age in nanoseconds of the last change of a file from which on its time stamps reveal every further change."""


class FileCache(Generic[T]):
    """A cache of the values of the most recently used files. The value of a changed file is computed again.

    Errors that `make` raises are not cached: the next use calls it again.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[tuple[int, ...], T]] = {}

    def get(self, path: Path, make: Callable[[], T], *key: Hashable) -> T:
        """Return the value that `make` computes from the file, or the cached value with the same `key`.

        Raises `OSError` if the file's status cannot be read, and the errors of `make`.
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
    """Return a signature that changes with the content of a file, and whether every later change would change the
    signature.
    """
    stat = system.os.stat(path)
    state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
    return state, time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS
