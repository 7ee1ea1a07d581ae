"""What an execution was asked to do, and how it ended: for error reports, and for whoever watches an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import Verdict, WasmError
from pytest_airssys_wasm.runtime.wave.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One execution as it was asked for."""

    component: Component
    function: str | None
    """Full name of the export; `None` where the guest was only instantiated."""
    args: Sequence[Any]
    limits: ResourceLimits
    host: HostFunctions | None
    wasi: Wasi | None
    nth: int
    """How many executions there were in the same store before this one."""

    @property
    def text(self) -> str:
        """The call in WAVE notation, cut where it is long."""
        if self.function is None:
            return f"instantiate {self.component.name}"
        try:
            types = self.component.parameter_types(self.function)
        except LookupError:  # a destructor has no export of its own
            return self.function
        return write_call(self.function, self.args, types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an execution ended."""

    call: Call
    usage: Usage
    error: BaseException | None
    """`None` where it returned; no `WasmError` where a host function raised what is no `Exception`."""

    @property
    def verdict(self) -> Verdict:
        """The error's, or `ok`."""
        if self.error is None:
            return Verdict.OK
        return self.error.verdict if isinstance(self.error, WasmError) else Verdict.HOST_ERROR
