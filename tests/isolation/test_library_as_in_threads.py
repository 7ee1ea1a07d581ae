"""The tests of values and of the host library hold for guests in another process too.

They are imported, and find the engine of this file. The conformance suite tries values and the library in processes, too.
"""

from __future__ import annotations

import pytest

from runtime.convert.test_values import *  # noqa: F403
from runtime.host.test_library import *  # noqa: F403
from runtime.host.test_library_http import *  # noqa: F403

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def engine(processes):
    return processes
