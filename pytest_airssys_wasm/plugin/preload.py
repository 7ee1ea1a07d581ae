"""The imports for running guests and showing their failures, which are made before any test runs.

A test may leave no file descriptor, or put another file system under `os` (pyfakefs). A module that is imported then is
not found, or keeps the other file system for the rest of the session.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_PACKAGE = "pytest_airssys_wasm"
_GUESTS = (
    "plugin.component_factory",
    "plugin.components.worlds",
    "plugin.engine",
    "plugin.item_settings",
    "plugin.late_markers",
    "plugin.lazy_instance",
    "plugin.report.progress",
    "plugin.sources",
    "runtime.compile.cache",
    "runtime.engine",
    "runtime.host.functions",
    "runtime.manifest.loading",
    "runtime.store.store",
)
"""The modules that run guests."""
_FAILURES = (
    "plugin.report.differences",
    "plugin.report.making",
    "plugin.report.mishaps",
    "plugin.report.section",
    "plugin.report.tracebacks",
    "analysis.blaming",
)
"""The modules that show the failure of a test with a guest."""
_PROCESSES = ("isolation.backend", "isolation.compile", "isolation.process_isolation")
_AWAITED = ("runtime.execution.awaiting.event_loop",)


def preload(config: pytest.Config) -> None:
    """Import the modules that tests with guests may need in this session."""
    # Imports make many objects and no garbage. Collections in between would go through all collected tests.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        for name in _names(config):
            import_module(f"{_PACKAGE}.{name}")
    finally:
        if was_collecting:
            gc.enable()


def _names(config: pytest.Config) -> Iterator[str]:
    yield from _GUESTS
    yield from _FAILURES
    if config.stash[SETTINGS].wasm_isolation == "process":
        yield from _PROCESSES
    if "asyncio" in sys.modules:  # else nobody awaits anything
        yield from _AWAITED
