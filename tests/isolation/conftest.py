"""Engines that compile guests, or run them, in processes of their own; and a place for temporary files."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ProcessIsolation, WasmEngine

_PATIENT = ProcessIsolation(compile_timeout_ms="2 min")


@pytest.fixture(scope="session")
def processes(new_engine):
    """Guests in processes of their own."""
    engine = new_engine("process")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def threads(new_engine):
    """The same guests in this process."""
    engine = new_engine("thread")
    yield engine
    engine.close()


@pytest.fixture
def make_engine():
    """Engines with an isolation, closed at the end."""
    engines = []

    def make(isolation=_PATIENT, cache=None):
        engines.append(WasmEngine(cache, isolation=isolation))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Return the folder in which temporary files are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
