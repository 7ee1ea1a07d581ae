"""A compile cache for each test."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.compile.cache import CompileCache


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")
