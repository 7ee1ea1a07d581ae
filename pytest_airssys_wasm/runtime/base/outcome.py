"""The outcome of an execution and the execution as it was asked for, as plain data: from the trap to the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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
    """The function's name as the binary has it; `None` if the binary names no function."""

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


class Call:
    """An execution: one instantiation, one call of an export, or both together.

    It holds no engine, store or component, so it can be pickled and copied. The text is written when it is first read.
    """

    __slots__ = ("_text", "_write", "component", "export", "limits", "nth", "path", "repetition")

    def __init__(
        self,
        *,
        component: str,
        path: Path | None,
        export: str | None,
        limits: Mapping[str, Any],
        nth: int,
        write: Callable[[], str],
        repetition: object = None,
    ) -> None:
        self.component = component
        """The component's name."""
        self.path = path
        """The file that the component was loaded from; `None` for bytes and text."""
        self.export = export
        """The full name of the export; `None` for an instantiation."""
        self.limits = limits
        """The limits by the name of their field in `ResourceLimits`; `None` means unlimited."""
        self.nth = nth
        """The number of executions in the same store before this one."""
        self.repetition = repetition
        """The means to run the call again, a `Repetition`; `None` for a call that was copied or pickled."""
        self._write = write
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The call in WAVE notation, cut if it is long."""
        if self._text is None:
            self._text = self._write()
        return self._text

    def __repr__(self) -> str:
        return f"<call {self.text}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _call_of, (self.component, self.path, self.export, dict(self.limits), self.nth, self.text)


def _call_of(
    component: str, path: Path | None, export: str | None, limits: Mapping[str, Any], nth: int, text: str
) -> Call:
    return Call(component=component, path=path, export=export, limits=limits, nth=nth, write=lambda: text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An execution and its end, as an engine's `on_execution` is told of it."""

    call: Call
    outcome: Outcome
