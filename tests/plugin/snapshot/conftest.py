"""A project whose costs were recorded: once for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.snapshot_runs import NAME, TESTS, content

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, guest_at: Callable[[Path], Any]) -> bytes:
    """The snapshot of the costs of `TESTS`."""
    project = guest_at(tmp_path_factory.mktemp("recording") / "project")
    project.write(**TESTS)
    ran = project.run("--wasm-fuel-snapshot=update")
    assert ran.code == 0, ran.text
    assert f"{NAME}: 8 entries written." in ran.text
    return content(project)


@pytest.fixture
def recorded(guest: Any, recording: bytes) -> Any:
    """A project whose costs were recorded."""
    guest.write(**TESTS)
    guest.path(NAME).write_bytes(recording)
    return guest
