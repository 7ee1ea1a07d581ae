"""A project whose costs are recorded in a fuel snapshot, and what runs tell of it."""

from __future__ import annotations

import re
from typing import Any

NAME = ".fuel-snapshot.json"
TESTS = {
    "test_a": """
        import pytest
        pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]
        def test_add(component): assert component.add(1, 2) == 3
        @pytest.mark.parametrize("n", [1, 20])
        def test_count(component, n): component.count(n)
    """,
    "test_b": """
        import pytest
        @pytest.mark.component("kernels.wat")
        @pytest.mark.memory("1 MiB")
        def test_grow(component): assert component.grow(1) == 1
        def test_without_a_guest(): pass
    """,
}
_LINE = re.compile(r"^(regressed|incomparable|new|removed|tolerated|improved|not-run) +(\S+) (.+?): ", re.MULTILINE)


def told(ran: Any) -> dict[tuple[str, str], str]:
    """Return the states that a run has told, by test and export."""
    return {(test, export): state for state, test, export in _LINE.findall(ran.text)}


def content(project: Any) -> bytes:
    """Return the snapshot of a project."""
    return project.path(NAME).read_bytes()


def edit(project: Any, name: str, old: str, new: str) -> None:
    """Replace a text that is in a file of a project."""
    text = project.path(name).read_text()
    assert old in text
    project.path(name).write_text(text.replace(old, new))
