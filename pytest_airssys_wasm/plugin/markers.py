"""The markers, which are registered with pytest and read into data once for each item, when the item is collected.

A limit over its ceiling is a usage error. The process that collects finds it. Under xdist this is a worker, whose
`UsageError` would not be shown. So it is reported like any other collection error, and changes the exit code.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_airssys_wasm.plugin.settings import Given, OverCeiling, check_ceilings
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits, parse_duration_ms, parse_fuel, parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pytest_airssys_wasm.plugin.settings import Settings

FIXTURES = frozenset({"wasm_engine", "wasm_limits", "wasm_host", "limited_store", "component"})
"""The fixtures that the markers act on."""
_LIMITS = ("fuel", "memory", "timeout_ms")
_COUNTS = ("tables", "table_elements", "instances", "memories", "transfer", "output")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentMark:
    """The guest of a test, with the paths as they were written."""

    source: str | os.PathLike[str] | bytes
    manifest: str | os.PathLike[str] | None
    world: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelMark:
    """A fuel budget (`None` for unlimited), for each call or for the whole test."""

    fuel: int | None
    per: Literal["call", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WasiMark:
    """The WASI grants of a test, with the host directories as they were written."""

    grants: Mapping[str, Any]
    preopen: Mapping[str, tuple[str | os.PathLike[str], Literal["ro", "rw"]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
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
        raise InvalidConfiguration("source", source, "a path, WebAssembly text or bytes")
    for name, value in (("manifest", manifest), ("world", world)):
        if value is not None and (not isinstance(value, (str, os.PathLike)) or not value):
            raise InvalidConfiguration(name, value, "the path of a " + _FILES[name])
    return ComponentMark(source=source, manifest=manifest, world=world)


_FILES = {"manifest": "Component.toml", "world": "WIT file"}


def _fuel(n: Any, *, per: Any = "call") -> FuelMark:
    if per not in ("call", "test"):
        raise InvalidConfiguration("per", per, "'call' or 'test'")
    return FuelMark(fuel=None if n is None else parse_fuel(n, "n"), per=per)


def _memory(size: Any) -> int:
    return parse_size(size, "size")


def _timeout_ms(n: Any) -> float | None:
    return None if n is None else parse_duration_ms(n, "n")


def _wasm_limits(**counts: Any) -> Mapping[str, int]:
    for name, value in counts.items():
        if name not in _COUNTS:
            has_own = name in ("fuel", "memory", "timeout_ms")
            hint = f"; use the marker {name}" if has_own else ""
            raise InvalidConfiguration("wasm_limits", {name: value}, f"one of {', '.join(_COUNTS)}{hint}")
    checked = ResourceLimits(memory=0, **counts)
    return {name: getattr(checked, name) for name in counts}


def _wasi(
    *, args: Any = (), env: Any = _EMPTY, stdin: Any = "", preopen: Any = _EMPTY, inherit: Any = False
) -> WasiMark:
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    grants = {"args": args, "env": env, "stdin": stdin, "inherit": inherit}
    Wasi(**grants)
    if not isinstance(preopen, Mapping):
        raise InvalidConfiguration("preopen", preopen, "{guest directory: (host directory, 'ro' or 'rw')}")
    for guest, grant in preopen.items():
        is_pair = isinstance(grant, Sequence) and not isinstance(grant, (str, bytes)) and len(grant) == 2
        if not is_pair or not isinstance(grant[0], (str, os.PathLike)) or grant[1] not in ("ro", "rw"):
            raise InvalidConfiguration(f"preopen[{guest!r}]", grant, "(host directory, 'ro' or 'rw')")
    return WasiMark(grants=grants, preopen=preopen)


_READERS: dict[str, Callable[..., Any]] = {
    "component": _component,
    "fuel": _fuel,
    "memory": _memory,
    "timeout_ms": _timeout_ms,
    "wasm_limits": _wasm_limits,
    "wasi": _wasi,
}
_SIGNATURES = {
    "component": "component(source, *, manifest=None, world=None)",
    "fuel": "fuel(n, *, per='call')",
    "memory": "memory(size)",
    "timeout_ms": "timeout_ms(n)",
    "wasm_limits": f"wasm_limits({', '.join(f'{name}=…' for name in _COUNTS)})",
    "wasi": "wasi(*, args=(), env={}, stdin='', preopen={guest: (host, 'ro' or 'rw')}, inherit=False)",
    "conformance": "conformance",
}
_MEANINGS = {
    "component": "the guest of this test: a path relative to the test file or rootdir, or WebAssembly text",
    "fuel": "the fuel limit of each call; with per='test', one limit for all calls of the test together",
    "memory": "the memory limit of the test's store, such as 1048576 or '1 MiB'",
    "timeout_ms": "the wall-clock limit of each call in ms, such as 100 or '2 s'",
    "wasm_limits": "the limits on the other resources of the test's store",
    "wasi": "what the guest may access through WASI: nothing unless it is granted here or in Component.toml",
    "conformance": "a case of the bundled conformance suite for WebAssembly resource limits",
}


def declare(config: pytest.Config) -> None:
    """Register every marker, so that `--strict-markers` accepts it."""
    for name, signature in _SIGNATURES.items():
        config.addinivalue_line("markers", f"{signature}: {_MEANINGS[name]}")


def read(mark: pytest.Mark) -> Any:
    """Return the data of one marker.

    Raises `InvalidConfiguration`, which quotes the argument and states the valid values, for a wrong marker.
    """
    reader = _READERS[mark.name]
    try:
        if mark.name in _LIMITS and not mark.kwargs and [*map(type, mark.args)] == [str]:
            return _read_text(mark.name, mark.args[0])
        return reader(*mark.args, **mark.kwargs)
    except InvalidConfiguration as error:
        where = f"marker {mark.name}" + ("" if error.where == mark.name else f": {error.where}")
        raise InvalidConfiguration(where, error.given, error.wanted) from None
    except TypeError:
        try:  # only now, because a signature takes longer than all the rest
            inspect.signature(reader).bind(*mark.args, **mark.kwargs)
        except TypeError as error:
            where = f"marker {mark.name}: {error}"
            raise InvalidConfiguration(where, Written(mark), _SIGNATURES[mark.name]) from None
        raise


@lru_cache(maxsize=256)
def _read_text(name: str, text: str) -> Any:
    """Return the data of a marker with one limit, such as `1 MiB`.

    Results are cached, because most tests of a project use the same text.
    """
    return _READERS[name](text)


def of_item(item: pytest.Item, *, bare_ones: bool = True) -> Marks:
    """Return the data of the markers of an item. Each marker is read once; all are read again if markers were added or
    removed.

    Markers without any arguments are left out unless `bare_ones` is set. Raises `InvalidConfiguration` for a wrong
    marker, even if a closer marker overrides it.
    """
    ours = tuple(
        mark for mark in item.iter_markers() if mark.name in _READERS and (bare_ones or mark.args or mark.kwargs)
    )
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
        read_from=tuple(marks),
    )


_MARKS = pytest.StashKey[Marks]()
_MOST_TOLD = 20
_IS_USAGE_ERROR = "airssys_wasm_usage_error"


class MarkerChecks:
    """A plugin that reports wrong markers when tests are collected, before any of them runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found_usage_error = False

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Turn a wrong marker into a collection error that names the test."""
        collected = yield
        found: dict[str, list[str]] = {}
        is_usage_error = False
        for item in collected.result or ():
            if isinstance(item, pytest.Item):
                try:
                    self._check(item)
                except InvalidConfiguration as error:
                    found.setdefault(str(error), []).append(item.nodeid)
                    is_usage_error = is_usage_error or isinstance(error, OverCeiling)
        if not found:
            return collected
        failed = pytest.CollectReport(collector.nodeid, "failed", "\n".join(_told(found)), [])
        setattr(failed, _IS_USAGE_ERROR, is_usage_error)
        return failed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record that a limit is over its ceiling, whichever process found it."""
        self._found_usage_error = self._found_usage_error or getattr(report, _IS_USAGE_ERROR, False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the run with the exit code of a usage error if a limit is over its ceiling."""
        if self._found_usage_error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _check(self, item: pytest.Item) -> None:
        # A bare `@pytest.mark.component` on a test that uses none of the fixtures is somebody else's marker.
        is_ours = not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        limits = of_item(item, bare_ones=is_ours).limits
        check_ceilings(
            self._settings, {name: Given(value=value, where=f"marker {name}") for name, value in limits.items()}
        )


def _told(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield each error once, with the first test that has it and the number of the others."""
    for error, (first, *others) in islice(found.items(), _MOST_TOLD):
        also = f" (and {counted(len(others), 'more test')})" if others else ""
        yield f"{first}{also}: {error}"
    if len(found) > _MOST_TOLD:
        yield f"… and {counted(len(found) - _MOST_TOLD, 'more error')}"
