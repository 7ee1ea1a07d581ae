"""Engines whose guests run in processes of their own."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ProcessIsolation, WasmEngine


@pytest.fixture(scope="session")
def processes():
    """Guests in processes of their own."""
    engine = WasmEngine(isolation=ProcessIsolation())
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def threads():
    """The same guests in this process."""
    engine = WasmEngine()
    yield engine
    engine.close()
