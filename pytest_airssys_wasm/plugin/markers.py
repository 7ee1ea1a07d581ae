"""The meaning of the markers. All are read when an item is collected, to check them, and once more into its data when
a fixture needs that.

Every run with a marker loads this module. So it imports what few markers, or only wrong ones, need when they need it.

A limit over its ceiling is a usage error. The process that collects finds it. Under xdist this is a worker, whose
`UsageError` would not be shown. So it is reported like any other collection error, and changes the exit code.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from pytest_airssys_wasm.plugin.marker_names import COUNTS, NAMES, SIGNATURES, marks_of, uses_guests
from pytest_airssys_wasm.runtime.budget.units import parse_duration_ms, parse_fuel, parse_size
from pytest_airssys_wasm.runtime.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction

    from pytest_airssys_wasm.plugin.settings import Settings

_LIMITS = ("fuel", "memory", "timeout_ms")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


class ComponentMark(NamedTuple):
    """The guest of a test, with the paths as they were written."""

    source: str | os.PathLike[str] | bytes
    manifest: str | os.PathLike[str] | None
    world: str | os.PathLike[str] | None


class FuelMark(NamedTuple):
    """A fuel budget (`None` for unlimited), for each call or for the whole test."""

    fuel: int | None
    per: Literal["call", "test"]


class WasiMark(NamedTuple):
    """The WASI grants of a test, with the host directories as they were written."""

    grants: Mapping[str, Any]
    preopen: Mapping[str, tuple[str | os.PathLike[str], Literal["ro", "rw"]]]


class Marks(NamedTuple):
    """The data of the markers of an item.

    Of several markers of the same name the closest applies; `wasm_limits` markers are merged, limit by limit.
    """

    component: ComponentMark | None
    limits: Mapping[str, float | None]
    """The limits `fuel`, `memory` and `timeout_ms` that markers set; `None` means unlimited."""
    fuel_per: Literal["call", "test"]
    counts: Mapping[str, int]
    """The limits that `wasm_limits` markers set."""
    wasi: WasiMark | None
    fuel_tolerance: Fraction | None
    """The share by which the test may cost more than its fuel snapshot says."""
    read_from: tuple[pytest.Mark, ...]
    """The markers themselves, the closest first."""


class Written:
    """A marker as it is written in the source, for messages."""

    def __init__(self, mark: pytest.Mark) -> None:
        arguments = [*map(repr, mark.args), *(f"{key}={value!r}" for key, value in mark.kwargs.items())]
        self._text = f"{mark.name}({', '.join(arguments)})"

    def __repr__(self) -> str:
        return self._text


def _component(source: Any, *, manifest: Any = None, world: Any = None) -> ComponentMark:
    if not isinstance(source, (str, bytes, os.PathLike)) or not source:
        refuse("source", source, "a path, WebAssembly text or bytes")
    for name, value in (("manifest", manifest), ("world", world)):
        if value is not None and (not isinstance(value, (str, os.PathLike)) or not value):
            refuse(name, value, "the path of a " + _FILES[name])
    return ComponentMark(source=source, manifest=manifest, world=world)


_FILES = {"manifest": "Component.toml", "world": "WIT file"}


def _fuel(n: Any, *, per: Any = "call") -> FuelMark:
    if per not in ("call", "test"):
        refuse("per", per, "'call' or 'test'")
    return FuelMark(fuel=None if n is None else parse_fuel(n, "n"), per=per)


def _memory(size: Any) -> int:
    return parse_size(size, "size")


def _timeout_ms(n: Any) -> float | None:
    return None if n is None else parse_duration_ms(n, "n")


def _wasm_limits(**counts: Any) -> Mapping[str, int]:
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

    for name, value in counts.items():
        if name not in COUNTS:
            has_own = name in ("fuel", "memory", "timeout_ms")
            hint = f"; use the marker {name}" if has_own else ""
            refuse("wasm_limits", {name: value}, f"one of {', '.join(COUNTS)}{hint}")
    checked = ResourceLimits(memory=0, **counts)
    return {name: getattr(checked, name) for name in counts}


def _wasi(
    *, args: Any = (), env: Any = _EMPTY, stdin: Any = "", preopen: Any = _EMPTY, inherit: Any = False
) -> WasiMark:
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    grants = {"args": args, "env": env, "stdin": stdin, "inherit": inherit}
    Wasi(**grants)
    if not isinstance(preopen, Mapping):
        refuse("preopen", preopen, "{guest directory: (host directory, 'ro' or 'rw')}")
    for guest, grant in preopen.items():
        is_pair = isinstance(grant, Sequence) and not isinstance(grant, (str, bytes)) and len(grant) == 2
        if not is_pair or not isinstance(grant[0], (str, os.PathLike)) or grant[1] not in ("ro", "rw"):
            refuse(f"preopen[{guest!r}]", grant, "(host directory, 'ro' or 'rw')")
    return WasiMark(grants=grants, preopen=preopen)


def _fuel_snapshot(*, tolerance: Any) -> Fraction:
    from pytest_airssys_wasm.analysis.snapshots.tolerance import parse_tolerance

    return parse_tolerance(tolerance, "tolerance")


_READERS: dict[str, Callable[..., Any]] = {
    "component": _component,
    "fuel": _fuel,
    "memory": _memory,
    "timeout_ms": _timeout_ms,
    "wasm_limits": _wasm_limits,
    "wasi": _wasi,
    "fuel_snapshot": _fuel_snapshot,
}


def read(mark: pytest.Mark) -> Any:
    """Return the data of one marker.

    Raises `InvalidConfiguration`, which quotes the argument and states the valid values, for a wrong marker.
    """
    try:
        return _READERS[mark.name](*mark.args, **mark.kwargs)
    except ValueError as error:
        from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

        if not isinstance(error, InvalidConfiguration):
            raise
        where = f"marker {mark.name}" + ("" if error.where == mark.name else f": {error.where}")
        refuse(where, error.given, error.wanted)
    except TypeError:
        try:  # only now, because a signature takes longer than all the rest
            inspect.signature(_READERS[mark.name]).bind(*mark.args, **mark.kwargs)
        except TypeError as error:
            refuse(f"marker {mark.name}: {error}", Written(mark), SIGNATURES[mark.name])
        raise


def of_item(item: pytest.Item, *, bare_ones: bool = True) -> Marks:
    """Return the data of the markers of an item, which are read on first use, and again if some were added or removed.

    Markers without any arguments are left out unless `bare_ones` is set. Raises `InvalidConfiguration` for a wrong
    marker, even if a closer marker overrides it.
    """
    ours = [mark for mark in marks_of(item) if mark.name in NAMES and (bare_ones or mark.args or mark.kwargs)]
    known = item.stash.get(_MARKS, None)
    if known is None or list(map(id, known.read_from)) != list(map(id, ours)):
        known = item.stash[_MARKS] = read_all(ours)
    return known


def read_all(marks: Sequence[pytest.Mark]) -> Marks:
    """Return the merged data of several markers, given in order from the closest to the test outwards."""
    closest: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for mark in marks:
        data = read(mark)
        if mark.name == "wasm_limits":
            counts = {**data, **counts}
        else:
            closest.setdefault(mark.name, data)
    fuel: FuelMark | None = closest.get("fuel")
    limits = {name: closest[name] for name in _LIMITS if name in closest}
    return Marks(
        component=closest.get("component"),
        limits=limits if fuel is None else {**limits, "fuel": fuel.fuel},
        fuel_per="call" if fuel is None else fuel.per,
        counts=counts,
        wasi=closest.get("wasi"),
        fuel_tolerance=closest.get("fuel_snapshot"),
        read_from=tuple(marks),
    )


_MARKS = pytest.StashKey[Marks]()
_MOST_TOLD = 20


class WrongMarkers(NamedTuple):
    """The wrong markers that were found in the tests of one file or class."""

    text: str
    """The message, with a line for each error and the first test that has it."""
    is_usage_error: bool
    """Whether a limit is over its ceiling."""


def wrong_markers(
    marked: Iterable[tuple[pytest.Item, Iterable[pytest.Mark]]], settings: Settings
) -> WrongMarkers | None:
    """Return what is wrong with the markers of these items, given with each item from the closest to the test outwards;
    `None` if nothing is.
    """
    found: dict[str, list[str]] = {}
    is_usage_error = False
    right: set[int] = set()
    for item, marks in marked:
        try:
            _check(item, marks, settings, right)
        except ValueError as error:
            from pytest_airssys_wasm.plugin.ceilings import OverCeiling
            from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

            if not isinstance(error, InvalidConfiguration):
                raise
            found.setdefault(str(error), []).append(item.nodeid)
            is_usage_error = is_usage_error or isinstance(error, OverCeiling)
    return WrongMarkers(text="\n".join(_told(found)), is_usage_error=is_usage_error) if found else None


def _check(item: pytest.Item, marks: Iterable[pytest.Mark], settings: Settings, right: set[int]) -> None:
    """Raise `InvalidConfiguration` for a wrong marker of an item.

    `right` has the identities of markers that are known to be right: the tests of a class share its markers, and so do
    all tests of a parametrised function.
    """
    for mark in marks:
        # A bare `@pytest.mark.component` on a test that uses none of the fixtures is somebody else's marker.
        if id(mark) not in right and (mark.args or mark.kwargs or uses_guests(item)):
            read(mark)
            right.add(id(mark))
    if settings.has_ceilings:
        from pytest_airssys_wasm.plugin.ceilings import check_ceilings
        from pytest_airssys_wasm.plugin.given import Given

        limits = of_item(item, bare_ones=uses_guests(item)).limits
        check_ceilings(settings, {name: Given(value=value, where=f"marker {name}") for name, value in limits.items()})


def _told(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield each error once, with the first test that has it and the number of the others."""
    from pytest_airssys_wasm.runtime.base.printable import counted

    for error, (first, *others) in islice(found.items(), _MOST_TOLD):
        also = f" (and {counted(len(others), 'more test')})" if others else ""
        yield f"{first}{also}: {error}"
    if len(found) > _MOST_TOLD:
        yield f"… and {counted(len(found) - _MOST_TOLD, 'more error')}"
