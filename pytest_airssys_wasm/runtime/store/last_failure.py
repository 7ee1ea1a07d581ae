"""The last failure in a store, which the errors of later calls name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, WasmError

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.outcome import Call

_IN_A_NEW_STORE = "only guests in a new store can be called"


class LastFailure:
    """The last call in a store that has failed, for the errors of calls that wasmtime refuses for this reason."""

    def __init__(self) -> None:
        self._text = ""

    def note(self, error: BaseException, call: Call) -> None:
        """Remember how a call has failed, or add the failure before it to the error of a call that was refused."""
        if not (isinstance(error, ComponentTrapped) and error.kind == "cannot-enter-component"):
            verdict = error.verdict if isinstance(error, WasmError) else Verdict.HOST_ERROR
            self._text = f"{call.text} ended with {verdict}"
        elif self._text and not error.args[0].endswith(_IN_A_NEW_STORE):  # which a worker process has said
            error.args = (f"{error.args[0]}: since {self._text}, {_IN_A_NEW_STORE}",)
