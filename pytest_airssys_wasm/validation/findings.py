"""How a check ends when it does not pass. Both are raised: a check returns a note of one line when it passes."""

from __future__ import annotations


class Unfit(Exception):
    """The component, or what is declared of it, is not as it must be."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """One line that names the fault."""
        self.remedy = remedy
        """What to do about it."""


class Blocked(Exception):
    """Nothing can be said, because an earlier check fails."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"not checked, because {check} fails: {reason}")
        self.check = check
