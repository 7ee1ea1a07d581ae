"""The profiles of fuzzing: how many examples each check tries, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase
from msgspec import Struct

from pytest_airssys_wasm.fuzzing.search import Plan
from pytest_airssys_wasm.runtime.base.originals import system

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.database import ExampleDatabase

FOLDER = ".hypothesis/wasm-fuzz"
"""The folder of the examples with faults, below pytest's root directory."""
_OWN = (".hypothesis", "examples")
"""The end of the path of the database that Hypothesis itself chooses."""


class Profile(Struct, frozen=True, kw_only=True):
    """The effort for one component, which its checks share."""

    examples: int | None
    """The number of examples of each export; `None` goes on until the time is up."""
    sequences: int | None
    """The number of sequences of calls; `None` goes on until the time is up."""
    limits: int
    """The number of examples of each law of limits."""
    worst: int
    """The number of runs in the search for the worst case of each export."""
    time_s: float
    """The time in seconds for all checks of a component."""
    least_s: float
    """The least time in seconds for one check, however many there are."""
    shrink_s: float
    """The time in seconds for the search for a smaller example."""
    is_repeatable: bool
    """Whether each run has the same examples, unless a seed is given."""
    is_guided: bool
    """Whether searches are guided by the blocks that their examples reach."""


PROFILES = {
    "quick": Profile(
        examples=50,
        sequences=20,
        limits=5,
        worst=200,
        time_s=5,
        least_s=0.2,
        shrink_s=5,
        is_repeatable=True,
        is_guided=False,
    ),
    "ci": Profile(
        examples=1_000,
        sequences=200,
        limits=30,
        worst=2_000,
        time_s=50,
        least_s=0.5,
        shrink_s=10,
        is_repeatable=True,
        is_guided=True,
    ),
    "nightly": Profile(
        examples=None,
        sequences=None,
        limits=300,
        worst=20_000,
        time_s=600,
        least_s=10,
        shrink_s=60,
        is_repeatable=False,
        is_guided=True,
    ),
}
"""The profiles by their names."""


def new_plan(name: str, key: str, *, checks: int, examples: int | None, seed: int | None, root: Path) -> Plan:
    """Return the plan of one of the `checks` that share the time of a profile.

    `key` identifies the check in the database of examples, which is in a folder below `root`, unless the loaded profile
    of Hypothesis has another database than Hypothesis itself chooses.
    """
    profile = PROFILES[name]
    if seed is None:
        seed = 0 if profile.is_repeatable else int.from_bytes(system.os.urandom(4), "big")
    return Plan(
        profile=name,
        examples=examples,
        time_s=max(profile.least_s, profile.time_s / checks),
        shrink_s=profile.shrink_s,
        seed=seed,
        is_guided=profile.is_guided,
        database=_database(root),
        key=f"pytest-airssys-wasm 1 {key}".encode(),
    )


def _database(root: Path) -> ExampleDatabase:
    chosen = settings.default.database if settings.default is not None else None
    # That of Hypothesis itself is in the current folder, and is off in CI.
    if chosen is None or (isinstance(chosen, DirectoryBasedExampleDatabase) and chosen.path.parts[-2:] == _OWN):
        return DirectoryBasedExampleDatabase(root / FOLDER)
    return chosen
