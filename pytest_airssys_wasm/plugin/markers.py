"""The markers: declared, and read into data. Wrong arguments are found when tests are collected."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits, parse_duration_ms, parse_fuel, parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

FIXTURES = frozenset({"wasm_engine", "wasm_limits", "wasm_host", "limited_store", "component"})
"""The fixtures that the markers act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentMark:
    """Which guest a test is about."""

    source: str | os.PathLike[str] | bytes
    manifest: str | os.PathLike[str] | None
    world: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelMark:
    """A fuel budget, `None` for unlimited, and what it is for."""

    fuel: int | None
    per: Literal["call", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WasiMark:
    """Grants, with the host directories as they were written."""

    grants: Mapping[str, Any]
    preopen: Mapping[str, tuple[str | os.PathLike[str], Literal["ro", "rw"]]]


class Written:
    """A marker as it stands in the source, for messages."""

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


_EMPTY: Mapping[str, Any] = MappingProxyType({})
_COUNTS = ("tables", "table_elements", "instances", "memories", "transfer", "output")


def _wasm_limits(**counts: Any) -> Mapping[str, int]:
    for name, value in counts.items():
        if name not in _COUNTS:
            has_own = name in ("fuel", "memory", "timeout_ms")
            hint = f"; for {name} there is a marker of its own" if has_own else ""
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
    "fuel": "fuel of each call; per='test' shares one budget over the whole test",
    "memory": "memory of the store, such as 1048576 or '1 MiB'",
    "timeout_ms": "wall clock of each call, such as 100 or '2 s'",
    "wasm_limits": "how much of the counted resources the store may have",
    "wasi": "what the guest may see of the machine: nothing unless granted",
    "conformance": "a case of the bundled suite of WebAssembly resource limits",
}


def declare(config: pytest.Config) -> None:
    """Register every marker, so that `--strict-markers` passes."""
    for name, signature in _SIGNATURES.items():
        config.addinivalue_line("markers", f"{signature}: {_MEANINGS[name]}")


def read(mark: pytest.Mark) -> Any:
    """The data of one marker. Raises `InvalidConfiguration`: what was written, what would be right."""
    reader = _READERS[mark.name]
    try:
        bound = inspect.signature(reader).bind(*mark.args, **mark.kwargs)
    except TypeError as error:
        raise InvalidConfiguration(f"marker {mark.name}: {error}", Written(mark), _SIGNATURES[mark.name]) from None
    try:
        return reader(*bound.args, **bound.kwargs)
    except InvalidConfiguration as error:
        where = f"marker {mark.name}" + ("" if error.where == mark.name else f": {error.where}")
        raise InvalidConfiguration(where, error.given, error.wanted) from None


def closest(item: pytest.Item, name: str) -> Any:
    """The data of the closest marker of this name: function before class before module; or `None`."""
    mark = item.get_closest_marker(name)
    return None if mark is None else read(mark)


def counts(item: pytest.Item) -> dict[str, int]:
    """All `wasm_limits` markers together; of a count given twice the closest."""
    merged: dict[str, int] = {}
    for mark in item.iter_markers("wasm_limits"):
        merged = {**read(mark), **merged}
    return merged


def of_item(item: pytest.Item) -> Iterator[tuple[str, Any]]:
    """Name and data of every marker of ours that the item has, closest first.

    A bare `@pytest.mark.component` on a test that uses none of the fixtures is somebody else's marker.
    """
    is_ours = not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
    for mark in item.iter_markers():
        if mark.name in _READERS and (is_ours or mark.args or mark.kwargs):
            yield mark.name, read(mark)
