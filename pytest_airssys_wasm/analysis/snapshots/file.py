"""The file of a snapshot: a JSON array with one object a line, which is read with bounds and written atomically.

Each line after the first begins with its comma, so that a line can be added or removed anywhere without a change in
another one. Lines are sorted. Two branches that change different tests can thus be merged as text.
"""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from os import O_CLOEXEC, O_CREAT, O_EXCL, O_WRONLY
from stat import S_IMODE, S_IWGRP, S_IWOTH, S_IWUSR
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from pytest_airssys_wasm.analysis.snapshots.law_lines import LawLine, law_line
from pytest_airssys_wasm.analysis.snapshots.model import Cost, EngineCosts, EntryKey, RecordedLaw, Snapshot
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.base.regular_files import TEXT_BYTES, read_regular
from pytest_airssys_wasm.runtime.errors import Described, InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_airssys_wasm.analysis.snapshots.model import Entry

FORMAT = 1
"""The version of the format. It increases with every change after which an older version would misread the file."""

_Count = Annotated[int, Meta(ge=0)]
_RESTORE = "restore it, or remove it and record all costs anew with --wasm-fuel-snapshot=update"


class _Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="header"):
    format: int
    wasmtime: str
    settings: tuple[str, ...]


class _Kernel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="kernel"):
    name: str
    fuel: _Count


class _Guest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="guest"):
    path: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="line", tag="cost"):
    test: str
    export: str | None = None
    section: str | None = None
    fuel: _Count
    peak_memory_bytes: _Count
    executions: _Count
    guests: tuple[str, ...] = ()

    @property
    def key(self) -> EntryKey:
        if self.section is not None:
            return EntryKey(self.test, "section", self.section)
        if self.export is not None:
            return EntryKey(self.test, "export", self.export)
        return EntryKey(self.test, "instantiation", "")


class _AnyHeader(Struct, frozen=True):
    format: int


_Line = _Header | _Kernel | _Guest | _Entry | LawLine


def read_snapshot(path: Path) -> Snapshot | None:
    """Return the snapshot in a file; `None` if there is no file.

    Raises `InvalidConfiguration`, which names the file, for anything else than a regular file with a snapshot of this
    format, and for a file of more than 16 MiB.
    """
    try:
        content = read_regular(path, TEXT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidConfiguration(
            str(path), error.strerror or str(error), "a fuel snapshot that can be read"
        ) from None
    return decode(content, str(path))


def decode(content: bytes, where: str) -> Snapshot:
    """Return the snapshot that is written in `content`.

    Raises `InvalidConfiguration`, which names `where` and the line, for anything else.
    """
    try:
        raw = msgspec.json.decode(content, type=list[msgspec.Raw])
        version = msgspec.json.decode(raw[0], type=_AnyHeader).format if raw else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        has_markers = b"\n<<<<<<< " in b"\n" + content
        found = "a file with conflict markers of git" if has_markers else f"a damaged file ({error})"
        raise InvalidConfiguration(where, Described(found), f"a fuel snapshot; {_RESTORE}") from None
    if version is not None and version > FORMAT:
        wanted = f"a fuel snapshot of format {FORMAT} or earlier; a later version of pytest-airssys-wasm wrote it"
        raise InvalidConfiguration(where, f"format {version}", wanted)
    return _Decoding(where).snapshot(raw)


class _Decoding:
    """The decoding of the lines of one file."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._header: _Header | None = None
        self._kernels: dict[str, int] = {}
        self._guests: dict[str, str] = {}
        self._entries: dict[EntryKey, Entry] = {}

    def snapshot(self, raw: list[msgspec.Raw]) -> Snapshot:
        for number, one in enumerate(raw, start=2):  # the first line of the file has only a bracket
            try:
                line = msgspec.json.decode(one, type=_Line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                raise self._wrong(number, f"a damaged line ({error})") from None
            self._add(line, number)
        header = self._header
        if header is None or header.format < 1:
            raise self._wrong(2, "a file without a header")
        engine = EngineCosts(
            wasmtime=header.wasmtime, settings=tuple(sorted(header.settings)), calibration=self._kernels
        )
        return Snapshot(engine=engine, guests=self._guests, entries=self._entries)

    def _add(self, line: _Line, number: int) -> None:
        match line:
            case _Header():
                if self._header is not None:
                    raise self._wrong(number, "a second header")
                self._header = line
            case _Kernel():
                self._put(self._kernels, line.name, line.fuel, number)
            case _Guest():
                self._put(self._guests, line.path, line.sha256, number)
            case _Entry():
                cost = Cost(
                    fuel=line.fuel,
                    peak_memory_bytes=line.peak_memory_bytes,
                    executions=line.executions,
                    guests=line.guests,
                )
                self._put(self._entries, line.key, cost, number)
            case LawLine():
                try:
                    recorded = line.recorded()
                except ValueError as error:
                    raise self._wrong(number, f"a damaged line ({error})") from None
                self._put(self._entries, EntryKey(line.test, "law", line.export), recorded, number)

    def _put(self, known: dict[Any, Any], key: Any, value: Any, number: int) -> None:
        if key in known:
            name = " ".join(part for part in key if part) if isinstance(key, EntryKey) else key
            raise self._wrong(number, f"a second line for {name}, as after a merge")
        known[key] = value

    def _wrong(self, number: int, found: str) -> InvalidConfiguration:
        return InvalidConfiguration(f"{self._where}, line {number}", Described(found), f"a fuel snapshot; {_RESTORE}")


def encode(snapshot: Snapshot) -> bytes:
    """Return the content of the file for a snapshot: the same bytes for equal snapshots, in ASCII."""
    text = "\n,".join(json.dumps(one, separators=(", ", ": ")) for one in _lines(snapshot))
    return f"[\n{text}\n]\n".encode("ascii")


def _lines(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    engine = snapshot.engine
    yield {"line": "header", "format": FORMAT, "wasmtime": engine.wasmtime, "settings": sorted(engine.settings)}
    for name, fuel in sorted(engine.calibration.items()):
        yield {"line": "kernel", "name": name, "fuel": fuel}
    for path, digest in sorted(snapshot.guests.items()):
        yield {"line": "guest", "path": path, "sha256": digest}
    for key, entry in sorted(snapshot.entries.items(), key=lambda one: one[0]):
        match entry:
            case Cost():
                yield _cost_line(key, entry)
            case RecordedLaw():
                yield law_line(key.test, key.name, entry)
            case _:
                assert_never(entry)


def _cost_line(key: EntryKey, cost: Cost) -> dict[str, Any]:
    return {
        "line": "cost",
        "test": key.test,
        **({} if key.kind == "instantiation" else {key.kind: key.name}),
        "fuel": cost.fuel,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "executions": cost.executions,
        **({"guests": sorted(cost.guests)} if cost.guests else {}),
    }


def write_snapshot(path: Path, snapshot: Snapshot) -> bool:
    """Write a snapshot to a file, which has its old or its new content at any time. Return whether it has changed.

    If `path` is a symbolic link, the file to which it leads is written. A file that exists keeps its permissions.

    Raises `OSError` if the file cannot be written, or may not be written by anybody.
    """
    path = path.parent / system.os.path.realpath(path)  # a link would be replaced by a file otherwise
    content = encode(snapshot)
    with suppress(OSError):
        if read_regular(path, TEXT_BYTES) == content:
            return False
    part = path.with_name(f"{path.name}.{system.os.getpid()}.part")
    if len(content) > TEXT_BYTES:
        raise OSError(errno.EFBIG, f"it would have {len(content):,} bytes, and at most {TEXT_BYTES:,} are read")
    mode = _mode(path)
    if mode is not None and not mode & _WRITABLE:
        raise PermissionError(errno.EACCES, "it is read-only", str(path))
    with suppress(FileNotFoundError):
        system.os.unlink(part)  # of a process with this number that was killed
    try:
        # Not the mode of `write_new`: others who check out a project read its files, as the umask says.
        descriptor = system.os.open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        with system.io.open(descriptor, "wb") as file:
            if mode is not None:
                with suppress(OSError):  # not every file system has permissions
                    system.os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            system.os.fsync(file.fileno())
        system.os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            system.os.unlink(part)
        raise
    return True


_WRITABLE = S_IWUSR | S_IWGRP | S_IWOTH


def _mode(path: Path) -> int | None:
    """Return the permissions of a file; `None` if there is none."""
    try:
        return S_IMODE(system.os.stat(path).st_mode)
    except FileNotFoundError:
        return None
