"""The tests of values, real guests, imports and the host library hold for guests in another process too.

They are imported, and find the engine of this file. The conformance suite tries the same in processes, too.
"""

from __future__ import annotations

import pytest

from runtime.convert.test_values import *  # noqa: F403
from runtime.execution.test_endings_of_imports import *  # noqa: F403
from runtime.guest.test_guests import *  # noqa: F403
from runtime.host.test_host_resources import *  # noqa: F403
from runtime.host.test_library import *  # noqa: F403
from runtime.host.test_library_http import *  # noqa: F403

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def engine(processes):
    return processes
