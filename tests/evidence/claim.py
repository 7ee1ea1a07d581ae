"""A claim about costs, with what trials have shown of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim, and the trials that were made of it."""

    text: str
    trials: int
    wrong: tuple[str, ...]
    """A line for each trial that contradicts the claim."""
    note: str = ""
    """What else the trials have shown."""
    allowed: int = 0
    """The number of trials that may contradict the claim."""
