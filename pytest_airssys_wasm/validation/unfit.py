"""The errors of failing checks, and the remedies, in the terms of `Component.toml`.

A check that passes returns a note of one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.errors import WasmError

_REMEDIES = {
    Verdict.OUT_OF_FUEL: "reduce the work, or raise max_fuel under [resources.cpu]; an endless loop uses up any budget",
    Verdict.TIMEOUT: "reduce the work or the waiting, or raise timeout_ms under [resources.cpu]",
    Verdict.OUT_OF_MEMORY: "use less memory, or raise max_bytes under [resources.memory]",
    Verdict.RESOURCE_LIMIT: "use less of this resource: its limit is set by the platform, not by the manifest",
    Verdict.TRAP: "look at the innermost guest frame, which trapped; build with function names to see them",
    Verdict.EXIT: "return instead of exiting; the guest's stderr may contain the reason",
    Verdict.HOST_ERROR: "look at the traceback of the host function that the guest called",
    Verdict.LINK_ERROR: "provide the import, or build against the interface version that the platform provides",
}


class Unfit(Exception):
    """The error for a fault in the component, or in the declarations of its manifest."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """A description of the fault, in one line."""
        self.remedy = remedy
        """The remedy for the fault, in one line."""


class Blocked(Exception):
    """The error for a check that cannot run because an earlier check failed."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"not checked, because {check} fails: {reason}")
        self.check = check
        """The name of the earlier check that failed."""


def remedy(error: WasmError) -> str:
    """Return the remedy, in one line, for an execution that ended with this error."""
    return _REMEDIES.get(error.verdict, "see the error above")
