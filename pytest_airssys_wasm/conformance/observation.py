"""What was seen when a case ran: answers as the runtime gave them, and what was measured from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.messages import StepAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One pass of one actor through its steps."""

    actor: str
    copy: int
    """Which of the concurrent copies, from 0."""
    repetition: int
    """From 0."""
    answers: tuple[StepAnswer | None, ...]
    """One for each step of the actor; `None` where the runtime gave none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything seen of one case."""

    seen: tuple[Seen, ...]
    elapsed_ms: float
    """Of the whole case, as the caller saw it."""
    host_rss_growth_mib: float | None = None
    """`None` when it was not, or could not be, measured."""
    open_files_growth: int | None = None
