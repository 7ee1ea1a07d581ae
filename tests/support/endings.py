"""The ending of an execution, as text."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=5_000)


def ending(engine, component, function, *args, limits=LIMITS, **grants):
    with pytest.raises(Exception) as caught:
        engine.execute(component, function, *args, limits=limits, **grants)
    return caught.value
