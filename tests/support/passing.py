"""A test file for guests, and a project whose tests all pass."""

from __future__ import annotations

HEAD = """
import pytest
from pytest_airssys_wasm import *

# A time no busy machine takes: these tests are not about it.
pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
"""


def passes(project, *arguments: str, **files: str) -> None:
    project.write(**files)
    ran = project.run(*arguments)
    assert ran.code == 0, ran.text
