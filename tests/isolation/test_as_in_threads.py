"""The runtime's own tests of verdicts, values, guests and host functions hold for guests in another process too.

They are imported, and find the engine of this file.
"""

from __future__ import annotations

import pytest

from runtime.convert.test_value_edges import *  # noqa: F403
from runtime.execution.test_host_call_context import *  # noqa: F403
from runtime.execution.test_verdicts import *  # noqa: F403
from runtime.guest.test_call import *  # noqa: F403
from runtime.guest.test_inventory import *  # noqa: F403

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def engine(processes):
    return processes
