"""Hypothesis strategies for limits, manifests, WIT values and calls; the laws of limits; and the checks of
`--wasm-fuzz`.

The strategies are public: import them from here. This package needs the extra `fuzz`.
"""

from __future__ import annotations

from pytest_airssys_wasm.fuzzing.exports import arguments, calls
from pytest_airssys_wasm.fuzzing.strategies import (
    fuels,
    manifests,
    memory_sizes,
    resource_limits,
    timeouts_ms,
)
from pytest_airssys_wasm.fuzzing.wit_values import values

__all__ = [
    "arguments",
    "calls",
    "fuels",
    "manifests",
    "memory_sizes",
    "resource_limits",
    "timeouts_ms",
    "values",
]
