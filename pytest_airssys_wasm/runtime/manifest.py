"""`Component.toml`: what a component's author declares, decoded once and checked at the edge."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import tomli

from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration
from pytest_airssys_wasm.runtime.limits import ResourceLimits, parse_count, parse_duration_ms, parse_size

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM_RANGE = (512 * 1024, 4 * 1024 * 1024)
"""Bytes of memory that the airssys platform accepts, both ends included."""


class ManifestTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[tests]]` entry: a check that an author writes without Python."""

    name: str
    call: str
    args: list[Any] = []
    returns: Any = msgspec.UNSET
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    trap: str | msgspec.UnsetType = msgspec.UNSET
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET


class _Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    version: str
    wasm: str | None = None
    description: str | None = None


class _Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_bytes: int


class _Cpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_fuel: int | None = None
    timeout_ms: float | None = None
    timeout_seconds: float | None = None


class _Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    memory: _Memory
    cpu: _Cpu | None = None


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    component: _Component
    resources: _Resources
    tests: list[ManifestTest] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A checked `Component.toml`. CPU limits that it does not state are `None`: weaker settings apply."""

    path: Path
    name: str
    version: str
    wasm: Path
    memory_bytes: int
    max_fuel: int | None
    timeout_ms: float | None
    tests: tuple[ManifestTest, ...]

    def limits(self) -> ResourceLimits:
        """The limits that it means, with the built-in defaults for what it leaves open."""
        return ResourceLimits(
            memory=self.memory_bytes,
            fuel=ResourceLimits.DEFAULT_FUEL if self.max_fuel is None else self.max_fuel,
            timeout_ms=ResourceLimits.DEFAULT_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms,
        )


def load_manifest(
    path: Path, *, memory_range: tuple[int, int] = PLATFORM_RANGE, require_cpu_limits: bool = False
) -> Manifest:
    """Read and check a manifest.

    Raises `InvalidConfiguration` naming file, table, key, the offending value and what would be right.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(str(path), f"byte 0x{error.object[error.start]:02x}", "UTF-8 text") from None
    return parse_manifest(text, path, memory_range=memory_range, require_cpu_limits=require_cpu_limits)


def parse_manifest(
    text: str, path: Path, *, memory_range: tuple[int, int] = PLATFORM_RANGE, require_cpu_limits: bool = False
) -> Manifest:
    """As `load_manifest`, for text that is (or would be) at `path`."""
    try:
        raw = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise InvalidConfiguration(str(path), _line(text, error), f"valid TOML: {error}") from None
    except RecursionError:
        raise InvalidConfiguration(str(path), "deeply nested values", "valid TOML") from None
    place = _Place(path, text)
    try:
        document = msgspec.convert(raw, _Document)
    except msgspec.ValidationError as error:
        raise _translate(place, raw, str(error)) from None
    component, memory = document.component, document.resources.memory
    for key in ("name", "version"):
        if not getattr(component, key).strip():
            raise place.error("component", key, getattr(component, key), "a text that is not empty")
    low, high = memory_range
    if not low <= memory.max_bytes <= high:
        hint = ""
        if memory.max_bytes > high:
            hint = (
                "; C toolchains reserve large stacks: link with -Wl,-z,stack-size=65536, "
                "or widen the ini value wasm_memory_range"
            )
        raise place.error("resources.memory", "max_bytes", memory.max_bytes, f"from {low} to {high} bytes{hint}")
    cpu = document.resources.cpu or _Cpu()
    if require_cpu_limits and (cpu.max_fuel is None or (cpu.timeout_ms is None and cpu.timeout_seconds is None)):
        raise InvalidConfiguration(
            f"{path}: [resources.cpu]", NOTHING, "max_fuel and timeout_ms (wasm_require_cpu_limits is set)"
        )
    wasm = path.parent / (component.wasm if component.wasm is not None else f"{component.name}.wasm")
    return Manifest(
        path=path,
        name=component.name,
        version=component.version,
        wasm=wasm,
        memory_bytes=memory.max_bytes,
        max_fuel=None if cpu.max_fuel is None else parse_count(cpu.max_fuel, place.name("resources.cpu", "max_fuel")),
        timeout_ms=_timeout(cpu, place),
        tests=tuple(_checked(test, place) for test in document.tests),
    )


def parse_memory_range(value: str | tuple[object, object]) -> tuple[int, int]:
    """`"512 KiB..4 MiB"` (or with `-` between) as bytes. Raises `InvalidConfiguration`."""
    where = "wasm_memory_range"
    parts: list[object] = re.split(r"\.\.|-", value) if isinstance(value, str) else list(value)
    if len(parts) != 2:
        raise InvalidConfiguration(where, value, "two sizes such as '512 KiB..4 MiB'")
    low, high = (parse_size(part, where) for part in parts)
    if low > high:
        raise InvalidConfiguration(where, value, "the smaller size first")
    return low, high


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file: for messages."""

    path: Path
    text: str

    def name(self, table: str, key: str) -> str:
        line = next(
            (n for n, line in enumerate(self.text.splitlines(), 1) if re.match(rf"\s*{re.escape(key)}\s*=", line)), None
        )
        return f"{self.path}{f':{line}' if line else ''}: [{table}] {key}"

    def error(self, table: str, key: str, given: object, wanted: str) -> InvalidConfiguration:
        return InvalidConfiguration(self.name(table, key), given, wanted)


def _timeout(cpu: _Cpu, place: _Place) -> float | None:
    if cpu.timeout_ms is not None and cpu.timeout_seconds is not None:
        raise place.error("resources.cpu", "timeout_seconds", cpu.timeout_seconds, "timeout_ms or this, not both")
    if cpu.timeout_ms is not None:
        return parse_duration_ms(cpu.timeout_ms, place.name("resources.cpu", "timeout_ms"))
    if cpu.timeout_seconds is not None:
        return 1_000 * parse_duration_ms(cpu.timeout_seconds, place.name("resources.cpu", "timeout_seconds"))
    return None


def _checked(test: ManifestTest, place: _Place) -> ManifestTest:
    if (test.returns is msgspec.UNSET) == (test.verdict is msgspec.UNSET):
        given = NOTHING if test.returns is msgspec.UNSET else "both"
        raise place.error("tests", f"{test.name!r}", given, "either returns or verdict")
    return test


def _line(text: str, error: tomli.TOMLDecodeError) -> str:
    number = getattr(error, "lineno", None)
    lines = text.splitlines()
    return lines[number - 1] if number and number <= len(lines) else "this text"


_KNOWN: dict[str, tuple[str, ...]] = {
    "": _Document.__struct_fields__,
    "component": _Component.__struct_fields__,
    "resources": _Resources.__struct_fields__,
    "resources.memory": _Memory.__struct_fields__,
    "resources.cpu": _Cpu.__struct_fields__,
    "tests": ManifestTest.__struct_fields__,
}
_WORDS = {
    "int": "a whole number",
    "str": "a text",
    "float": "a number",
    "object": "a table",
    "array": "an array",
    "bool": "true or false",
}


def _translate(place: _Place, raw: dict[str, Any], message: str) -> InvalidConfiguration:
    """Msgspec's sentence, in the words of the manifest: table, key, value, what would be right."""
    what, _, at = message.partition(" - at `$")
    steps = [step for step in re.split(r"[.\[\]`]+", at) if step]
    table = ".".join(step for step in steps if not step.isdigit() and step != "...")
    quoted = re.findall(r"`([^`]+)`", what)
    if what.startswith("Object contains unknown field") and quoted:
        near = difflib.get_close_matches(quoted[0], _KNOWN.get(table, ()), n=1)
        wanted = f"one of {', '.join(_KNOWN.get(table, ()))}" + (f"; did you mean {near[0]}?" if near else "")
        return place.error(table, quoted[0], value_at(raw, [*steps, quoted[0]]), f"no such key, but {wanted}")
    if what.startswith("Object missing required field") and quoted:
        if quoted[0] in ("resources", "memory"):
            table, quoted = "resources.memory", ["max_bytes"]
        return InvalidConfiguration(
            f"{place.path}: [{table or quoted[0]}] {quoted[0]}",
            NOTHING,
            "a value: it is required" + (", memory has no default" if quoted[0] == "max_bytes" else ""),
        )
    table, _, key = table.rpartition(".")
    value = value_at(raw, steps)
    wanted = " or ".join(
        _WORDS.get(word, word) for word in (quoted[0].split(" | ") if quoted else [what]) if word != "null"
    )
    return place.error(table, key, value, wanted)


def value_at(raw: Any, steps: list[str]) -> Any:
    """What stands at this path of keys and indices in decoded TOML; `None` where nothing does."""
    for step in steps:
        if isinstance(raw, dict):
            raw = raw.get(step)
        elif isinstance(raw, list) and step.isdigit() and int(step) < len(raw):
            raw = raw[int(step)]
    return raw
