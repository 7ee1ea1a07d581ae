"""The analysis of guests by running them again and again: what calls cost, why, and which limits they need.

Fuel is exact, and the same on every machine; so re-runs of a guest in fresh stores tell more than any measurement of
time. All functions return data, and run only guests that cannot affect the host. This package does not depend on
pytest. Each name is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_airssys_wasm.analysis.backtraces import SourceLine, SourceLines, source_lines
    from pytest_airssys_wasm.analysis.blaming import Blame, blame
    from pytest_airssys_wasm.analysis.errors import CannotRepeat, NoLaw
    from pytest_airssys_wasm.analysis.fuel_profile import Profile, profile
    from pytest_airssys_wasm.analysis.growths import MemoryGrowth, MemoryGrowths, memory_growths
    from pytest_airssys_wasm.analysis.guest_coverage.calls import coverage
    from pytest_airssys_wasm.analysis.laws.cost_law import cost_law
    from pytest_airssys_wasm.analysis.laws.law import CostLaw
    from pytest_airssys_wasm.analysis.tightest import TightestLimits, tightest_limits
    from pytest_airssys_wasm.analysis.worst.search import WorstCase, worst_case
    from pytest_airssys_wasm.runtime.binary.coverage import Coverage, CoveredFunction, Unmeasured

_MODULE_OF = {
    f"{name}": f"{__name__}.{module}"
    for module, names in {
        "backtraces": ("SourceLine", "SourceLines", "source_lines"),
        "blaming": ("Blame", "blame"),
        "guest_coverage.calls": ("coverage",),
        "errors": ("CannotRepeat", "NoLaw"),
        "growths": ("MemoryGrowth", "MemoryGrowths", "memory_growths"),
        "laws.cost_law": ("cost_law",),
        "laws.law": ("CostLaw",),
        "worst.search": ("WorstCase", "worst_case"),
        "tightest": ("TightestLimits", "tightest_limits"),
        "fuel_profile": ("Profile", "profile"),
    }.items()
    for name in names
} | dict.fromkeys(["Coverage", "CoveredFunction", "Unmeasured"], "pytest_airssys_wasm.runtime.binary.coverage")

__all__ = [
    "Blame",
    "CannotRepeat",
    "CostLaw",
    "Coverage",
    "CoveredFunction",
    "MemoryGrowth",
    "MemoryGrowths",
    "NoLaw",
    "Profile",
    "SourceLine",
    "SourceLines",
    "TightestLimits",
    "Unmeasured",
    "WorstCase",
    "blame",
    "cost_law",
    "coverage",
    "memory_growths",
    "profile",
    "source_lines",
    "tightest_limits",
    "worst_case",
]

# Hidden from type checkers, which would take it as a licence for any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
