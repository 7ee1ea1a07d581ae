"""The failure of what was run on the thread of the caller without a run, which is made afterwards, for its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.capi.guard import GuardRun


class Failed(Struct, frozen=True, kw_only=True):
    """An instantiation or execution without a run whose guest has failed, or was late."""

    error: BaseException | None
    """The error of the guest; `None` if it returned too late."""
    account: GuardRun
    """The figures of the execution."""
    transfer_bytes: int
    """The bytes that were transferred."""
    after_ns: int = 0
    """The nanoseconds that converting the result took."""
