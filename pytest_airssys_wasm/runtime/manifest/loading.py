"""The reader of `Component.toml`, which decodes a manifest once, and checks it before use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.base.figures import exact_size, widened_range
from pytest_airssys_wasm.runtime.base.printable import is_printable
from pytest_airssys_wasm.runtime.base.regular_files import MANIFEST_BYTES, decoded, read_regular
from pytest_airssys_wasm.runtime.budget.units import parse_count, parse_duration_ms, parse_size
from pytest_airssys_wasm.runtime.errors import NOTHING, Described, InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.decoding import decode_document
from pytest_airssys_wasm.runtime.manifest.entries import check_stubs, checked_tests
from pytest_airssys_wasm.runtime.manifest.fuzz import check_fuzz
from pytest_airssys_wasm.runtime.manifest.messages import Place, Problems
from pytest_airssys_wasm.runtime.manifest.model import CpuTable, FuzzTable, Manifest, ResourcesTable
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_airssys_wasm.runtime.manifest.model import ComponentTable, MemoryTable, WasiTable

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
    any path. Raises `InvalidConfiguration` with every mistake: each with the file, the line, the table, the key, the
    value and the expected value.
    """
    if places is not None and not _is_within(path, path, places):
        raise InvalidConfiguration(str(path), str(path.resolve()), f"a link to a file {_WITHIN}")
    try:
        text = decoded(read_regular(path, MANIFEST_BYTES))
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
        number, reason = toml.located(text, error)
        lines = text.splitlines()
        given = lines[number - 1] if number <= len(lines) else Described("the end of the file")
        raise InvalidConfiguration(f"{path}:{number}", given, f"valid TOML: {reason}") from None
    except RecursionError:
        raise InvalidConfiguration(str(path), "deeply nested values", "valid TOML") from None
    except ValueError as error:  # Python itself refuses an integer of several thousand digits
        raise InvalidConfiguration(str(path), str(error), "numbers that can be read") from None
    problems = Problems(Place(path, text, raw))
    document = decode_document(raw, problems)
    resources = document.resources or ResourcesTable(memory=None)  # type: ignore[arg-type] # told already
    component = _component(document.component, path, places, problems)
    memory = _memory(resources.memory, memory_range, problems)
    cpu = _cpu(resources.cpu or CpuTable(), problems, are_required=require_cpu_limits)
    wasi = None if document.wasi is None else _grants(document.wasi, problems)
    imports = check_stubs(document.imports or [], ("imports",), problems)
    tests = checked_tests(document.tests or [], problems)
    fuzz = document.fuzz or FuzzTable()
    check_fuzz(fuzz, problems)
    problems.raise_all()
    assert component is not None
    assert memory is not None
    return Manifest(
        path=path,
        name=document.component.name,
        version=document.component.version,
        wasm=component,
        memory_bytes=memory,
        max_fuel=cpu.max_fuel,
        timeout_ms=_timeout(cpu, problems.place),
        wasi=wasi,
        imports=imports,
        tests=tests,
        fuzz=fuzz,
    )


def _component(
    table: ComponentTable | None, path: Path, places: Sequence[Path] | None, problems: Problems
) -> Path | None:
    """Check the table, and return the path of the binary."""
    if table is None:
        return None
    for key in ("name", "version", "wasm"):
        text = getattr(table, key)
        if text is not None and (not text.strip() or not is_printable(text)):
            problems.add(("component", key), text, "a printable string that is not empty")
    name: str | None = table.name  # `None` where it is wrong
    if name is None:
        return None
    if "/" in name:
        problems.add(("component", "name"), table.name, "a name without slashes; a path is for the key wasm")
    wasm = path.parent / (table.wasm if table.wasm is not None else f"{table.name}.wasm")
    if places is not None and not _is_within(wasm, path, places):
        problems.add(("component", "wasm"), table.wasm or wasm.name, f"a file {_WITHIN}")
    return wasm


def _memory(table: MemoryTable | None, memory_range: tuple[int, int], problems: Problems) -> int | None:
    """Check the table, and return the limit in bytes."""
    if table is None:
        return None
    keys = ("resources", "memory", "max_bytes")
    with problems.collected(*keys):
        max_bytes = parse_size(table.max_bytes, problems.place.name(*keys))
        low, high = memory_range
        if low <= max_bytes <= high:
            return max_bytes
        hint = ""
        if max_bytes > high:
            hint = (
                f"; to allow it, write `{widened_range(low, max_bytes)}` into the section [pytest] of pytest.ini "
                "(in Python: WasmEngine(memory_range=…)); C toolchains reserve large stacks: link with "
                "-Wl,-z,stack-size=65536"
            )
        problems.add(keys, table.max_bytes, f"from {exact_size(low)} to {exact_size(high)}{hint}")
    return None


def _cpu(table: CpuTable, problems: Problems, *, are_required: bool) -> CpuTable:
    """Check the table, and return it."""
    place = problems.place
    if are_required and (table.max_fuel is None or (table.timeout_ms is None and table.timeout_seconds is None)):
        wanted = "max_fuel and timeout_ms (wasm_require_cpu_limits is set)"
        problems.add(("resources", "cpu", "max_fuel"), NOTHING, wanted)
    if table.max_fuel is not None:
        with problems.collected("resources", "cpu", "max_fuel"):
            parse_count(table.max_fuel, place.name("resources", "cpu", "max_fuel"))
    with problems.collected("resources", "cpu", "timeout_ms"):
        _timeout(table, place)
    return table


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
    in_ms, in_seconds = (("resources", "cpu", key) for key in ("timeout_ms", "timeout_seconds"))
    if cpu.timeout_ms is not None and cpu.timeout_seconds is not None:
        wanted = "either timeout_ms or timeout_seconds, not both"
        raise place.error(in_seconds, cpu.timeout_seconds, wanted)
    if cpu.timeout_ms is not None:
        return parse_duration_ms(cpu.timeout_ms, place.name(*in_ms))
    if cpu.timeout_seconds is not None:
        where = place.name(*in_seconds)
        return parse_duration_ms(1_000 * parse_duration_ms(cpu.timeout_seconds, where), where)
    return None


def _grants(table: WasiTable, problems: Problems) -> Wasi | None:
    # A manifest may come with a guest from anywhere: it grants no more of the host than the folder that it is in.
    home = problems.place.path.parent.resolve()
    preopen: dict[str, tuple[Path, Literal["ro"]]] = {}
    for guest, folder in table.preopen.items():
        host = (home / folder).resolve()
        if not host.is_relative_to(home):
            problems.add(("wasi", "preopen", guest), folder, "a folder below that of the manifest")
        else:
            preopen[guest] = (host, "ro")
    try:
        return Wasi(args=tuple(table.args), env=table.env, stdin=table.stdin.encode(), preopen=preopen)
    except InvalidConfiguration as error:
        _, _, key = error.where.partition(".")
        problems.add(("wasi", key), error.given, error.wanted)
    return None
