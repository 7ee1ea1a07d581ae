"""The errors that stubs of `[[imports]]` raise towards the guest that calls them."""

from __future__ import annotations


class StubFailed(Exception):
    """The error that a stub raises because its manifest says `fails`."""


class NoAnswer(Exception):
    """The error of a stub that has no answer for a call. The message prints the call."""
