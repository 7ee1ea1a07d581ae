"""The outcome of an execution and the call that was requested, as plain data for errors and reports."""

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
    """The way in which an execution ended: one of a closed set, written in kebab case in reports and protocols."""

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
    """The name of the function in the source code: for Rust and C++, demangled and without hashes; `None` if
    unknown.
    """
    module: str | None
    """The name of the module; `None` if the binary does not contain it."""
    offset: int
    """The byte offset of the instruction in the binary."""
    symbol: str | None = None
    """The name of the function in the binary, which may be mangled; `None` if the binary does not contain it."""

    def __str__(self) -> str:
        name = self.function or "<unnamed>"
        line = f"{self.module}!{name}" if self.module else name
        # The guest chose these names: one frame stays one line, and no terminal is sent commands.
        return printable(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of one execution.

    `runtime.execution.verdict` creates the outcomes of guests in this process, and `protocol.outcomes` those of guests
    in another process. `runtime.errors` converts outcomes to and from exceptions; reports are written from outcomes.
    """

    verdict: Verdict
    message: str = ""
    """The message of the error. It contains names as the guest chose them, which must be made printable before they are
    shown.
    """
    trap: str | None = None
    """The name of the trap code in kebab case, for the verdict `trap` and for an `out-of-memory` that a trap ended;
    else `None`.
    """
    resource: str | None = None
    """The name of the exceeded resource limit, for the verdict `resource-limit`; else `None`."""
    exit_code: int | None = None
    """The status that the guest passed to WASI, for the verdict `exit`; else `None`."""
    reason: str | None = None
    """The way in which the process failed, for the verdict `runtime-died`; else `None`."""
    cause: str | None = None
    """The message of the trap, for an `out-of-memory` that a trap ended; else `None`."""
    imports: tuple[str, ...] = ()
    """The full name of every import that cannot be linked, for the verdict `link-error`; else empty."""
    frames: tuple[Frame, ...] = ()
    """The guest's backtrace, innermost frame first."""
    usage: Usage | None = None
    """The usage of the execution; `None` if no guest code had started."""


class Call:
    """An execution: one instantiation, one call of an export, or both together.

    A call does not reference its engine, store or component, so it can be pickled and copied.
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
        """The name of the component."""
        self.path = path
        """The path from which the component was loaded; `None` for bytes and text."""
        self.export = export
        """The full name of the export; `None` for an instantiation."""
        self.limits = limits
        """The limits by the names of their fields in `ResourceLimits`; `None` means unlimited."""
        self.nth = nth
        """The number of executions in the same store before this one."""
        self.repetition = repetition
        """The `Repetition` with which the call can be run again; `None` for a call that was copied or pickled."""
        self._write = write
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The call in WAVE notation, cut if it is long. The text is written on first access."""
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
    """A finished execution, which is passed to an engine's `on_execution`."""

    call: Call
    outcome: Outcome
