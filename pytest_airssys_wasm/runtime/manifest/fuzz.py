"""The rules of the table `[fuzz]` of a `Component.toml`."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.manifest.messages import Problems
    from pytest_airssys_wasm.runtime.manifest.model import FuzzTable

GROWTH = "growth"
"""The allowance for memory that grows with each repetition of a call."""
MOST_SIZE = 65_536
"""The highest `max_size` of a manifest, so that one example takes no more than about a second to make."""
_VERDICTS = (
    Verdict.OUT_OF_FUEL,
    Verdict.TIMEOUT,
    Verdict.OUT_OF_MEMORY,
    Verdict.RESOURCE_LIMIT,
    Verdict.TRAP,
    Verdict.EXIT,
    Verdict.HOST_ERROR,
)
"""The verdicts that an export may be allowed to end with. The others are never right."""
ALLOWANCES = (*map(str, _VERDICTS), GROWTH)
"""The words that `[fuzz.allow]` accepts, beside `trap:<kind>`."""
_TRAP = r"trap:[a-z0-9]+(-[a-z0-9]+)*"


def check_fuzz(table: FuzzTable, problems: Problems) -> None:
    """Add to the problems each size and each allowance of the table `[fuzz]` that is not valid."""
    if not 0 <= table.max_size <= MOST_SIZE:
        problems.add(("fuzz", "max_size"), table.max_size, f"a size from 0 to {MOST_SIZE:,}")
    for export, allowances in table.allow.items():
        for allowance in allowances:
            if allowance not in ALLOWANCES and not re.fullmatch(_TRAP, allowance):
                near = difflib.get_close_matches(allowance, ALLOWANCES, n=1)
                wanted = f"trap:<kind>, or one of {', '.join(ALLOWANCES)}" + (
                    f"; did you mean {near[0]}?" if near else ""
                )
                problems.add(("fuzz", "allow", export), allowance, wanted)
