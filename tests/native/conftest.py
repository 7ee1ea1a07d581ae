"""The folder of the objects and programs in C that the tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")
