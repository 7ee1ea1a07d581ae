"""The errors of failing checks, and the remedies, in the terms of `Component.toml`.

A check that passes returns a note of one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.validation.stub_errors import NoAnswer, StubFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_airssys_wasm.runtime.errors import WasmError

_LIMITS = {
    Verdict.OUT_OF_FUEL: ("fuel", "reduce the work, or {raise_it}; an endless loop uses up any budget"),
    Verdict.TIMEOUT: (
        "timeout_ms",
        "reduce the work or the waiting, or {raise_it}; --wasm-timeout-scale is for slow or busy machines",
    ),
    Verdict.OUT_OF_MEMORY: ("memory", "use less memory, or {raise_it}"),
}
_REMEDIES = {
    Verdict.RESOURCE_LIMIT: "use less of this resource: its limit is set by the platform, not by the manifest",
    Verdict.TRAP: "look at the first guest frame of your own code; build with debugging information to see its line",
    Verdict.EXIT: "return instead of exiting; the guest's stderr may contain the reason",
    Verdict.HOST_ERROR: "look at the traceback of the host function that the guest called",
    Verdict.RUNTIME_DIED: "give a guest that fills its process a lower memory limit; a crash is a fault of the "
    "runtime, worth a report",
    Verdict.INVALID_COMPONENT: "build it for WebAssembly, and inspect it with `wasm-tools validate`",
    Verdict.INVALID_CONFIG: "correct the setting that the error names",
    Verdict.LINK_ERROR: "provide the import, or build against the interface version that the platform provides",
}


MANIFEST_PAGE = "python -m pytest_airssys_wasm.docs manifest"
"""The command that prints the page about `Component.toml`."""
_SAID = "read what the guest wrote to stderr before it trapped"
"""The remedy for a trap after output to stderr, where languages write why a program ends."""
_NO_ANSWER = (
    "write the answer into the [[imports]] of this name: returns for every call, or when for calls with these arguments"
)


class Unfit(Exception):
    """The error for a fault in the component, or in the declarations of its manifest."""

    def __init__(self, reason: str, remedy: str, details: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        """A description of the fault, in one line."""
        self.details = tuple(details)
        """Further lines, if one is not enough for all that is to be named."""
        self.remedy = remedy
        """The remedy for the fault, in one line."""


class Blocked(Exception):
    """The error for a check that cannot run because an earlier check failed."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"not checked, because {check} fails: {reason}")
        self.check = check
        """The name of the earlier check that failed."""
        self.reason = reason
        """The reason of its failure."""


class NotChecked(Exception):
    """The error for a check that cannot be made with a guest, which is not a fault of the guest."""


def remedy(error: WasmError, origins: Mapping[str, str]) -> str:
    """Return one line that says what to do about an execution that ended with this error.

    `origins` has the place of each limit, by its name.
    """
    if error.verdict in _LIMITS:
        limit, text = _LIMITS[error.verdict]
        return text.format(raise_it=raise_limit(limit, origins))
    if error.verdict is Verdict.TRAP and error.stderr:
        return _SAID
    if isinstance(error.__cause__, NoAnswer):
        return _NO_ANSWER
    if isinstance(error.__cause__, StubFailed):
        return "handle the failure of the import, or expect it: verdict = 'host-error'"
    return _REMEDIES[error.verdict]


_KEYS = {
    "fuel": "max_fuel under [resources.cpu]",
    "timeout_ms": "timeout_ms under [resources.cpu]",
    "memory": "max_bytes under [resources.memory]",
}


def raise_limit(limit: str, origins: Mapping[str, str]) -> str:
    """Return the words that say where to raise a limit: `fuel`, `timeout_ms` or `memory`."""
    origin, key = origins.get(limit, ""), _KEYS[limit]
    if not origin or origin.startswith(("max_", "timeout_")):
        return f"raise {key}"
    if "default" in origin:
        return f"write {key} (the limit is {origin})"
    return f"raise the limit, which comes from {origin}"
