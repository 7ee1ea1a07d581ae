"""The lines of the section `WebAssembly profiles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting.flamegraph import SUFFIXES
from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.runtime.base.figures import percent
from pytest_airssys_wasm.runtime.base.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.plugin.profiles.entry import Profiled

_MOST_LISTED = 20
_LEAST_CALL = 20
_MOST_NAME = 60


def profile_lines(found: Sequence[Profiled], *, folder: str, columns: int, is_verbose: bool) -> Iterator[str]:
    """Yield the lines about profiles, the dearest call first, about calls without a profile, and a line that counts
    both.

    Only the first ones are listed unless `is_verbose` is set.
    """
    written = sorted((one for one in found if one.reason is None), key=lambda one: (-one.total, one.test))
    others = sorted((one for one in found if one.reason is not None), key=lambda one: one.test)
    for some in (written, others):
        listed = len(some) if is_verbose else _MOST_LISTED
        for one in some[:listed]:
            yield from _about(one, columns)
        if some[listed:]:
            yield f"… and {len(some) - listed:,} more (-v lists them)"
    if not found:
        yield "No test has called a guest."
        return
    count = f"{counted(len(written), 'profile')} in {folder}"
    formats = f", each as {', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]}" if written else ""
    missing = f"; {counted(len(others), 'call')} without a profile" if others else ""
    yield count + formats + missing


def _about(one: Profiled, columns: int) -> Iterator[str]:
    yield one.test
    if one.reason is not None:
        yield _with_call(one.call, f": not profiled: {one.reason}", columns)
        return
    yield _with_call(one.call, f": {_cost(one)}", columns)
    if one.difference is not None:
        yield f"  {_difference(one.difference)}"
    if one.earlier_call is not None:
        yield _with_call(one.earlier_call, " is the call of the earlier profile", columns)
    if one.memory:
        yield f"  {one.memory}"
    for remark in one.remarks:
        yield f"  {remark}"
    yield f"  {one.file}"


def _with_call(call: str, text: str, columns: int) -> str:
    """Return a call and a text about it. The call is cut where the line would be longer than the terminal is wide."""
    return f"  {cut(call, max(_LEAST_CALL, columns - 3 - len(text)))}{text}"


def _cost(one: Profiled) -> str:
    """Return the fuel, and the shares of the dearest function and of the instantiation."""
    parts = [f"{one.total:,} fuel" + (" with the instantiation" if one.total != one.call_fuel else "")]
    if one.total and one.function:
        place = f" at {cut(one.place, _MOST_NAME)}" if one.place else ""
        parts.append(f"{percent(100 * one.own / one.total)} of it in {cut(one.function, _MOST_NAME)}{place}")
    if one.total and 100 * one.instantiation >= one.total:
        parts.append(f"{percent(100 * one.instantiation / one.total)} in the instantiation")
    return ", ".join(parts)


def _difference(difference: tuple[int, int, str, int]) -> str:
    more, less, function, own = difference
    if not function:
        return "no difference from the earlier profile"
    return f"{more + less:+,} fuel: {more:,} more, {-less:,} less; the most in {cut(function, _MOST_NAME)} ({own:+,})"
