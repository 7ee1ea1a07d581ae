"""The end of a search by its time."""

from __future__ import annotations

from msgspec import Struct


class SearchCutOff(Struct, frozen=True, kw_only=True):
    """The end of a search that found no fault before its time was up, and did not try all that it was to try."""

    time_s: float
    """The time of the search in seconds."""
