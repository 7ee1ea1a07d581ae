"""The reader of `Component.toml`, which decodes a manifest once, and checks it before use."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Literal

import msgspec

from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import is_printable
from pytest_airssys_wasm.runtime.base.regular_files import MANIFEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.budget.limits import parse_count, parse_duration_ms, parse_size
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.fuzz import checked_fuzz
from pytest_airssys_wasm.runtime.manifest.messages import Place, translate
from pytest_airssys_wasm.runtime.manifest.model import CpuTable, Document, FuzzTable, Manifest, ManifestTest, WasiTable
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLATFORM_RANGE = (512 * 1024, 4 * 1024 * 1024)
"""The minimum and the maximum memory limit that the airssys platform accepts, in bytes."""
_WITHIN = "below the manifest's folder or the root directory, or that the command line names"


def load_manifest(
    path: Path,
    *,
    memory_range: tuple[int, int] = PLATFORM_RANGE,
    require_cpu_limits: bool = False,
    places: Sequence[Path] | None = None,
) -> Manifest:
    """Return the manifest at `path`, checked.

    `memory_range` is the minimum and the maximum of `max_bytes`. With `places`, which are resolved paths, the manifest
    and its binary must be in or below one of them, or the manifest's folder, after links are resolved; `None` allows
    any path. Raises `InvalidConfiguration`, which names the file, the table, the key, the value and the expected value.
    """
    if places is not None and not _is_within(path, path, places):
        raise InvalidConfiguration(str(path), str(path.resolve()), f"a link to a file {_WITHIN}")
    try:
        text = read_regular(path, MANIFEST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise InvalidConfiguration(str(path), error.strerror, "a file that can be read") from None
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(str(path), f"byte 0x{error.object[error.start]:02x}", "UTF-8 text") from None
    return parse_manifest(text, path, memory_range=memory_range, require_cpu_limits=require_cpu_limits, places=places)


def parse_manifest(
    text: str,
    path: Path,
    *,
    memory_range: tuple[int, int] = PLATFORM_RANGE,
    require_cpu_limits: bool = False,
    places: Sequence[Path] | None = None,
) -> Manifest:
    """Return the manifest of a text that is, or would be, at `path`, checked as `load_manifest` does.

    Raises `InvalidConfiguration`, which names the file, the table, the key, the value and the expected value.
    """
    try:
        raw = toml.loads(text)
    except toml.TOMLDecodeError as error:
        line = toml.error_line(text, error) or "this text"
        raise InvalidConfiguration(str(path), line, f"valid TOML: {error}") from None
    except RecursionError:
        raise InvalidConfiguration(str(path), "deeply nested values", "valid TOML") from None
    except ValueError as error:  # Python itself refuses an integer of several thousand digits
        raise InvalidConfiguration(str(path), str(error), "numbers that can be read") from None
    place = Place(path, text)
    try:
        document = msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        raise translate(place, raw, str(error)) from None
    component, memory = document.component, document.resources.memory
    for key in ("name", "version", "wasm"):
        text_of = getattr(component, key)
        if text_of is not None and (not text_of.strip() or not is_printable(text_of)):
            raise place.error("component", key, text_of, "a printable string that is not empty")
    if "/" in component.name:
        raise place.error("component", "name", component.name, "a name without slashes; a path is for the key wasm")
    low, high = memory_range
    if not low <= memory.max_bytes <= high:
        hint = ""
        if memory.max_bytes > high:
            hint = (
                "; C toolchains reserve large stacks: link with -Wl,-z,stack-size=65536, "
                "or widen the ini value wasm_memory_range (in Python: WasmEngine(memory_range=…))"
            )
        raise place.error("resources.memory", "max_bytes", memory.max_bytes, f"from {low} to {high} bytes{hint}")
    cpu = document.resources.cpu or CpuTable()
    if require_cpu_limits and (cpu.max_fuel is None or (cpu.timeout_ms is None and cpu.timeout_seconds is None)):
        raise InvalidConfiguration(
            f"{path}: [resources.cpu]", NOTHING, "max_fuel and timeout_ms (wasm_require_cpu_limits is set)"
        )
    wasm = path.parent / (component.wasm if component.wasm is not None else f"{component.name}.wasm")
    if places is not None and not _is_within(wasm, path, places):
        raise place.error("component", "wasm", component.wasm or wasm.name, f"a file {_WITHIN}")
    return Manifest(
        path=path,
        name=component.name,
        version=component.version,
        wasm=wasm,
        memory_bytes=memory.max_bytes,
        max_fuel=None if cpu.max_fuel is None else parse_count(cpu.max_fuel, place.name("resources.cpu", "max_fuel")),
        timeout_ms=_timeout(cpu, place),
        wasi=None if document.wasi is None else _grants(document.wasi, place),
        tests=_checked(document.tests, place),
        fuzz=FuzzTable() if document.fuzz is None else checked_fuzz(document.fuzz, place),
    )


def check_binary(manifest: Manifest, places: Sequence[Path]) -> None:
    """Raise `InvalidConfiguration` unless the manifest's binary is still where `load_manifest` demands it."""
    if not _is_within(manifest.wasm, manifest.path, places):
        raise InvalidConfiguration(f"{manifest.path}: [component] wasm", str(manifest.wasm), f"a file {_WITHIN}")


def _is_within(file: Path, manifest: Path, places: Sequence[Path]) -> bool:
    """Return whether a file is below the manifest's folder or one of the places, or is one of them, without links."""
    # A manifest may come with a guest from anywhere: what it names elsewhere would be quoted in reports.
    try:
        found = file.resolve()
        return any(found.is_relative_to(place) for place in (manifest.parent.resolve(), *places))
    except (OSError, RuntimeError, ValueError):  # links in a circle, or a path that cannot be one
        return False


def parse_memory_range(value: str | tuple[object, object]) -> tuple[int, int]:
    """Return the minimum and the maximum, in bytes, of a range such as `"512 KiB..4 MiB"` or `"512 KiB-4 MiB"`.

    Raises `InvalidConfiguration`.
    """
    where = "wasm_memory_range"
    parts: list[object] = re.split(r"\.\.|-", value) if isinstance(value, str) else list(value)
    if len(parts) != 2:
        raise InvalidConfiguration(where, value, "two sizes such as '512 KiB..4 MiB'")
    low, high = (parse_size(part, where) for part in parts)
    if low > high:
        raise InvalidConfiguration(where, value, "the smaller size first")
    return low, high


def _timeout(cpu: CpuTable, place: Place) -> float | None:
    if cpu.timeout_ms is not None and cpu.timeout_seconds is not None:
        wanted = "either timeout_ms or timeout_seconds, not both"
        raise place.error("resources.cpu", "timeout_seconds", cpu.timeout_seconds, wanted)
    if cpu.timeout_ms is not None:
        return parse_duration_ms(cpu.timeout_ms, place.name("resources.cpu", "timeout_ms"))
    if cpu.timeout_seconds is not None:
        where = place.name("resources.cpu", "timeout_seconds")
        return parse_duration_ms(1_000 * parse_duration_ms(cpu.timeout_seconds, where), where)
    return None


def _grants(table: WasiTable, place: Place) -> Wasi:
    # A manifest may come with a guest from anywhere: it grants no more of the host than the folder that it is in.
    home = place.path.parent.resolve()
    preopen: dict[str, tuple[Path, Literal["ro"]]] = {}
    for guest, folder in table.preopen.items():
        host = (home / folder).resolve()
        if not host.is_relative_to(home):
            raise place.error("wasi.preopen", guest, folder, "a folder below that of the manifest")
        preopen[guest] = (host, "ro")
    try:
        return Wasi(args=tuple(table.args), env=table.env, stdin=table.stdin.encode(), preopen=preopen)
    except InvalidConfiguration as error:
        _, _, key = error.where.partition(".")
        raise place.error("wasi", key, error.given, error.wanted) from None


def _checked(tests: list[ManifestTest], place: Place) -> tuple[ManifestTest, ...]:
    seen: set[str] = set()
    for test in tests:
        where = f"{place.path}: [[tests]] {test.name!r}"
        if not test.name.strip() or not is_printable(test.name) or test.name in seen:
            wanted = "a name that no other test has" if test.name in seen else "a printable name on one line"
            raise InvalidConfiguration(f"{place.path}: [[tests]] name", test.name, wanted)
        seen.add(test.name)
        _check_outcome(test, where)
        if test.max_fuel is not msgspec.UNSET:
            parse_count(test.max_fuel, f"{where} max_fuel")
    return tuple(tests)


def _check_outcome(test: ManifestTest, where: str) -> None:
    """Raise `InvalidConfiguration` unless an entry expects exactly one outcome: a value, a verdict, or the kind of a
    trap.
    """
    returns, verdict, trap = (given is not msgspec.UNSET for given in (test.returns, test.verdict, test.trap))
    if returns and (verdict or trap):
        raise InvalidConfiguration(where, "both", "either returns, or verdict and trap")
    if not (returns or verdict or trap):
        raise InvalidConfiguration(where, NOTHING, "returns, verdict or trap: one of them says how the call must end")
    known = [str(one) for one in Verdict]
    if verdict and test.verdict not in known:
        near = difflib.get_close_matches(str(test.verdict), known, n=1)
        raise InvalidConfiguration(
            f"{where} verdict",
            test.verdict,
            f"one of {', '.join(known)}" + (f"; did you mean {near[0]}?" if near else ""),
        )
    if test.max_fuel is not msgspec.UNSET and test.verdict == Verdict.OUT_OF_FUEL:
        wanted = "no max_fuel beside the verdict out-of-fuel; the budget is max_fuel in [resources.cpu]"
        raise InvalidConfiguration(f"{where} max_fuel", test.max_fuel, wanted)
    if trap and verdict and test.verdict != Verdict.TRAP:
        raise InvalidConfiguration(f"{where} trap", test.trap, f"no trap beside the verdict {test.verdict}")
