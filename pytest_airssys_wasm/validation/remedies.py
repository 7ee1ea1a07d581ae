"""What to do when an execution did not return: by its verdict, in the words of `Component.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.errors import WasmError

_REMEDIES = {
    Verdict.OUT_OF_FUEL: "do less, or raise max_fuel under [resources.cpu]; an endless loop spends any budget",
    Verdict.TIMEOUT: "do less or block less, or raise timeout_ms under [resources.cpu]",
    Verdict.OUT_OF_MEMORY: "use less memory, or raise max_bytes under [resources.memory]",
    Verdict.RESOURCE_LIMIT: "use less of it: this limit is the platform's, not the manifest's",
    Verdict.TRAP: "the innermost guest frame is where it happened; build with names to see functions",
    Verdict.EXIT: "a component should return instead of exiting; its stderr may say why it gave up",
    Verdict.HOST_ERROR: "the host function that the guest called failed: its traceback says where",
    Verdict.LINK_ERROR: "provide the import, or build against the interface version that the platform has",
}


def remedy(error: WasmError) -> str:
    """One line for this error."""
    return _REMEDIES.get(error.verdict, "see the error above")
