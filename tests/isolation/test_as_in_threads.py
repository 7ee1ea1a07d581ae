"""The runtime's own tests of verdicts, values, guests and host functions hold for guests in another process too.

They are imported, and find the engine of this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))
pytest.register_assert_rewrite(
    "test_call",
    "test_current_execution",
    "test_endings_of_imports",
    "test_guests",
    "test_host_resources",
    "test_inventory",
    "test_reference",
    "test_reference_http",
    "test_value_edges",
    "test_values",
    "test_verdicts",
)

from test_call import *  # noqa: E402, F403
from test_current_execution import *  # noqa: E402, F403
from test_endings_of_imports import *  # noqa: E402, F403
from test_guests import *  # noqa: E402, F403
from test_host_resources import *  # noqa: E402, F403
from test_inventory import *  # noqa: E402, F403
from test_reference import *  # noqa: E402, F403
from test_reference_http import *  # noqa: E402, F403
from test_value_edges import *  # noqa: E402, F403
from test_values import *  # noqa: E402, F403
from test_verdicts import *  # noqa: E402, F403


@pytest.fixture(scope="session")
def engine(processes):
    return processes
