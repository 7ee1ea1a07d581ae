"""One execution as it was asked for, as plain data: for errors, and for whoever watches an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_airssys_wasm.runtime.base.outcome import Outcome


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
        """The call in WAVE notation, cut where it is long."""
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
