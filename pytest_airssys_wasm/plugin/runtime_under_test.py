"""The runtime that the suite is run against, and its runner: made on first use, released when pytest ends."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.engine import the_engine

if TYPE_CHECKING:
    from pytest_airssys_wasm.conformance.runner import CaseRunner

_RUNNER = pytest.StashKey["CaseRunner"]()
_SCRATCH = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def the_runner(config: pytest.Config) -> CaseRunner:
    """The runner of this process, over the engine that the fixtures use too."""
    if _RUNNER not in config.stash:
        from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
        from pytest_airssys_wasm.conformance.runner import CaseRunner

        config.stash[_SCRATCH] = scratch = tempfile.TemporaryDirectory(prefix="airssys-wasm-")
        config.stash[_RUNNER] = CaseRunner(InProcessRuntime(the_engine(config)), Path(scratch.name))
    return config.stash[_RUNNER]


def close_runner(config: pytest.Config) -> None:
    """Remove what the runner wrote, if there was one."""
    if _SCRATCH in config.stash:
        del config.stash[_RUNNER]
        config.stash[_SCRATCH].cleanup()
        del config.stash[_SCRATCH]
