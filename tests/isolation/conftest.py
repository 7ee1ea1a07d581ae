"""Engines whose guests run in processes of their own."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ProcessIsolation, WasmEngine


@pytest.fixture(scope="session")
def engine():
    """The name that the tests of the runtime know it by: those that are run here too find this one."""
    engine = WasmEngine(isolation=ProcessIsolation())
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def threads():
    """The same guests in this process, to compare with."""
    engine = WasmEngine()
    yield engine
    engine.close()
