"""The sections of a test that the fixture `fuel_snapshot` names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator


class FuelSections:
    """The section to which calls count at the moment. Called with a name, it gives the block of a section."""

    def __init__(self) -> None:
        self.current: str | None = None
        """The name of the innermost section; `None` outside of all."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the calls of the block for the section `name`. In a section inside of another one, they count once.

        Raises `InvalidConfiguration` for a name that is not a text, or is empty.
        """
        if not isinstance(name, str) or not name.strip():
            raise InvalidConfiguration("fuel_snapshot: name", name, "the name of a section, such as 'parse'")
        outer, self.current = self.current, name
        try:
            yield
        finally:
            self.current = outer


_SECTIONS = pytest.StashKey[FuelSections]()


def sections_of(config: pytest.Config) -> FuelSections:
    """Return the sections of this process, which runs one test at a time."""
    return config.stash.setdefault(_SECTIONS, FuelSections())
