"""The ids of the parts of a page, which stay the same from report to report, so that links to them keep working."""

from __future__ import annotations

import hashlib


class Anchors:
    """The ids of one page. An id contains a digest of names, so that no character of a name gets into it."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    @staticmethod
    def of(kind: str, *names: str | None) -> str:
        """Return the id of a part of this kind with these names."""
        # Lengths tell ("a", "bc") and ("ab", "c") apart. A name may have lone surrogates.
        text = "".join("-" if name is None else f"{len(name)}:{name}" for name in names)
        return f"{kind}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"

    def give(self, kind: str, *names: str | None) -> str:
        """Return the id of a part, with a number appended if the page already has it, because ids must be unique."""
        wanted = found = self.of(kind, *names)
        number = 1
        while found in self._given:
            number += 1
            found = f"{wanted}-{number}"
        self._given.add(found)
        return found
