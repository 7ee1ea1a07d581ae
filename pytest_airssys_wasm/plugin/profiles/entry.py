"""The result of profiling the call of a test, as the process that ran the test sends it."""

from __future__ import annotations

from msgspec import Struct


class Profiled(Struct, frozen=True, kw_only=True):
    """The profile of a test's dearest call, or the reason why there is none. All texts are printable."""

    test: str
    """The node id of the test."""
    call: str
    """The call in WAVE notation."""
    total: int = 0
    """The fuel of the call with the instantiation of the guest; without a profile, the fuel of the call in the test."""
    call_fuel: int = 0
    """The fuel of the call alone, in a fresh instance; without a profile 0."""
    reason: str | None = None
    """The reason why there is no profile; `None` if there is one."""
    file: str = ""
    """The path of the HTML page."""
    function: str = ""
    """The function with the most fuel of its own."""
    place: str = ""
    """The source line at which most of this fuel was seen; empty if it is not known."""
    own: int = 0
    """The fuel of this function, without the functions that it called."""
    instantiation: int = 0
    """The part of the fuel that the instantiation took outside of all functions."""
    memory: str = ""
    """The growths of memory in one sentence; empty if the memory did not grow."""
    remarks: tuple[str, ...] = ()
    """Sentences about the profile, such as that the time was too short for all samples."""
    difference: tuple[int, int, str, int] | None = None
    """The sum of all increases in fuel, the sum of all decreases (as a negative number), the function whose own fuel
    differs the most, and that difference; `None` without a comparison.
    """
    earlier_call: str | None = None
    """The call of the earlier profile; `None` if it is the same call, or if there is no earlier profile."""
