"""The difference of two cost laws as text: `per byte 53 → 59, fixed part unchanged`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.analysis.laws.law import sizes_text
from pytest_airssys_wasm.runtime.base import figures
from pytest_airssys_wasm.runtime.base.printable import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from fractions import Fraction

    from pytest_airssys_wasm.analysis.laws.difference import (
        ChangedFigure,
        ChangedRange,
        FigureDifference,
        LawDifference,
    )

_MOST_RANGES = 3
"""The number of ranges of which a text tells the change."""
_MOST_TERMS = 5
"""The number of terms of which a text tells the change one by one; if there are more, it has both formulas."""
_FIXED = "1"
_WHOLE = 99.5
"""The share in percent from which on it is written without decimals and exponents."""


def difference_text(difference: LawDifference) -> str:
    """Return one line that says how a law differs from the one before."""
    before, after = difference.before, difference.after
    if difference.obstacle is not None:
        return printable(f"it cannot be compared: {difference.obstacle}")
    units = _units(difference)
    parts = [
        *_changes("fuel", difference.fuel, difference, units),
        *_changes("memory", difference.memory, difference, units),
    ]
    if difference.has_less or difference.has_more:
        if before.ranges_text != after.ranges_text:
            parts.append(f"it holds for {after.ranges_text}, and held for {before.ranges_text}")
        if (before.memory_text is None) is not (after.memory_text is None):
            is_lost = after.memory_text is None
            parts.append("it says nothing about memory any more" if is_lost else "it now has the memory, too")
    return printable("; ".join(parts) or "unchanged")


def difference_of(old: int, new: int) -> str:
    """Write the difference of two figures: `+3, +50 %`; the share is left out where it is 10,000 % or more."""
    share = 100 * (new - old) / old if old and abs(new - old) < 100 * old else None
    if share is None:
        return f"{new - old:+,}"
    return f"{new - old:+,}, {share:+.2g} %" if abs(share) < _WHOLE else f"{new - old:+,}, {share:+,.0f} %"


def _changes(what: str, difference: FigureDifference, whole: LawDifference, units: Mapping[str, str]) -> Iterator[str]:
    """Yield the changed terms of each range, and the size at which the change is the largest."""
    if not difference.ranges:
        return
    ranges = sorted(difference.ranges, key=_width, reverse=True)[:_MOST_RANGES]
    for one in sorted(ranges, key=lambda one: one.low):
        yield f"{what}{_place(one, whole)} {_terms(one, whole.names, units)}"
    left_out = len(difference.ranges) - len(ranges)
    if left_out:
        yield f"and in {counted(left_out, 'other range')}"
    extreme = difference.most or difference.least
    is_told = extreme is not None and any(one.low == one.high == extreme.point for one in ranges)
    if extreme is not None and not is_told:
        yield _figure(what, extreme, whole.names)


def _width(one: ChangedRange) -> int:
    return sum(high - low for low, high in zip(one.low, one.high))


def _place(one: ChangedRange, whole: LawDifference) -> str:
    """Return the range of a change; nothing for one that covers all of the law."""
    if len(one.low) == len(whole.after.sizes) and whole.after.ranges == dict(zip(whole.names, zip(one.low, one.high))):
        return ""
    sizes = " and ".join(sizes_text(name, low, high) for name, low, high in zip(whole.names, one.low, one.high))
    return f" for {sizes}:"


def _figure(what: str, figure: ChangedFigure, names: tuple[str, ...]) -> str:
    old, new = figure.before, figure.after
    at = ", ".join(f"{name} = {x:,}" for name, x in zip(names, figure.point))
    if what == "memory":
        return f"at {at} memory {figures.size(old)} → {figures.size(new)}"
    return f"at {at} fuel {old:,} → {new:,} ({difference_of(old, new)})"


def _terms(one: ChangedRange, names: tuple[str, ...], units: Mapping[str, str]) -> str:
    """Write the change of the formula term by term: terms that stay, the fixed part, and those that come and go."""
    if one.low == one.high:
        before, after = int(one.before.at(one.low)), int(one.after.at(one.low))
        return f"{before:,} → {after:,} ({difference_of(before, after)})"
    old, new = one.before.coefficients(names), one.after.coefficients(names)
    staying = [name for name in old if name in new and name != _FIXED]
    others = [name for name in (*new, *old) if (name in old) is not (name in new) and name != _FIXED]
    changed = [name for name in staying if old[name] != new[name]]
    if len(changed) + len(others) > _MOST_TERMS:
        return f"{one.before.text(names)} → {one.after.text(names)}"
    parts = [_change(units.get(name, name), old[name], new[name]) for name in changed]
    parts.append(_change("fixed part", old.get(_FIXED), new.get(_FIXED)))
    parts += [f"{units.get(name, name)} unchanged" for name in staying if old[name] == new[name]]
    for name in others:
        is_new = name in new
        figure = _number(new[name] if is_new else old[name])
        parts.append(f"{units.get(name, name)} {'appeared' if is_new else 'disappeared'} ({figure})")
    return ", ".join(parts)


def _change(name: str, old: Fraction | None, new: Fraction | None) -> str:
    return f"{name} unchanged" if old == new else f"{name} {_number(old)} → {_number(new)}"


def _number(figure: Fraction | None) -> str:
    if figure is None:
        return "0"
    return f"{int(figure):,}" if figure.denominator == 1 else str(figure)


def _units(difference: LawDifference) -> dict[str, str]:
    """Return the words for one unit of each size: `per byte`, or with two sizes `per byte of text`."""
    meanings = {**difference.before.meanings, **difference.after.meanings}
    units = {}
    for name in difference.names:
        thing, _, owner = meanings.get(name, "").partition(" of ")
        unit = {"bytes": "byte", "elements": "element"}.get(thing)
        if unit is None:
            units[name] = f"per unit of {name}"
        else:
            units[name] = f"per {unit}" if len(difference.names) == 1 else f"per {unit} of {owner}"
    return units
