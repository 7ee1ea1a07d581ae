"""The results that the workers of pytest-xdist leave for the process that the user started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class WorkerPart:
    """A plugin that leaves the results of an xdist worker for the controller when the session of the worker ends.

    `make` returns them as plain data, and `key` is their name in the output of the worker.
    """

    def __init__(self, config: pytest.Config, key: str, make: Callable[[], Any]) -> None:
        self._config = config
        self._key = key
        self._make = make

    def pytest_sessionfinish(self) -> None:
        """Leave the results."""
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
        output[self._key] = self._make()


def part_of(node: object, key: str) -> Any:
    """Return the results that an xdist worker has left by this name; `None` if it crashed."""
    return (getattr(node, "workeroutput", None) or {}).get(key)
