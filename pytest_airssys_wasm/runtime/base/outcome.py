"""How an execution ended, as plain data: the verdict and the facts behind it, from the trap to the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.base.usage import Usage


class Verdict(str, Enum):
    """How an execution ended: a closed set, kebab-case in data."""

    OK = "ok"
    OUT_OF_FUEL = "out-of-fuel"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    RESOURCE_LIMIT = "resource-limit"
    TRAP = "trap"
    EXIT = "exit"
    HOST_ERROR = "host-error"
    RUNTIME_DIED = "runtime-died"
    LINK_ERROR = "link-error"
    INVALID_COMPONENT = "invalid-component"
    INVALID_CONFIG = "invalid-config"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a guest's backtrace."""

    function: str | None
    """The function's name as its author wrote it: for Rust and C++, demangled and without hashes."""
    module: str | None
    """The module's name, where the binary has one."""
    offset: int
    """The byte offset in the binary."""
    symbol: str | None = None
    """The function's name as the binary has it; `None` where the binary names no function."""

    def __str__(self) -> str:
        name = self.function or "<unnamed>"
        line = f"{self.module}!{name}" if self.module else name
        # The guest chose these names: one frame stays one line, and no terminal is sent commands.
        return printable(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one execution.

    Made in one place: `runtime.execution.verdict` for guests of this process, the outcome codec for those of another.
    `runtime.errors` converts it from and to the exception that users see; reports are written from it.
    """

    verdict: Verdict
    message: str = ""
    """One sentence or more, as it was raised. Names in it are the guest's: make them printable where they are shown."""
    trap: str | None = None
    """Of `trap`, and of an `out-of-memory` that a trap ended: the kebab-cased name of the trap code."""
    resource: str | None = None
    """Of `resource-limit`: the resource that ran out."""
    exit_code: int | None = None
    """Of `exit`: the status that the guest passed to WASI."""
    reason: str | None = None
    """Of `runtime-died`: the way in which the process failed."""
    cause: str | None = None
    """Of an `out-of-memory` that a trap ended: the message of the trap."""
    imports: tuple[str, ...] = ()
    """Of `link-error`: the full name of every import that cannot be linked."""
    frames: tuple[Frame, ...] = ()
    """The guest's backtrace, innermost frame first."""
    usage: Usage | None = None
    """The cost of the execution; `None` when no guest code had started."""
