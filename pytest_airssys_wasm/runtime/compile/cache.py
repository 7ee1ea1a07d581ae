"""The cache of compiled guests on disk, which is content-addressed, shared by processes, bounded, and private to the
user.

A compiled artefact is machine code that will be run. So the folder must belong to the user, and must not be writable or
replaceable by others. Because this may have been different before, each entry is checked in the same way, on the
descriptor that is mapped. wasmtime accepts an artefact with a flipped byte, so each entry has a checksum in its name:
one file is an entry, complete or absent. CRC-32 finds damaged files; no checksum would help against a process that can
write here.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import tempfile
import warnings
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, monotonic, start_thread, system, time_ns
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.compile.file_digests import new_note, noted_digest, read_file
from pytest_airssys_wasm.runtime.compile.private_files import folder_weakness, open_own, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

_TICK_S = 1.0
_MOST_ENTRY_BYTES = 2**34
"""The maximum size in bytes of an entry that is loaded. Files are mapped, and never read as a whole."""
_FAULTS_OF_THE_MACHINE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO)
"""The errors of opening and mapping an entry that do not depend on the entry."""
_SWEEPS = 64
"""The fraction of the bound after which a process removes old entries again; it first does so with the first entry that
it writes. Looking at every file after each compilation would take longer than most compilations.
"""
_LEFTOVERS = {".part": 3_600, ".lock": 30 * 86_400, ".source": 30 * 86_400}
"""The age in seconds after which a file with this suffix is removed. Either a killed process has left it behind, or it
can be created again.
"""


class CacheUnavailable(UserWarning):
    """The warning that the compile cache is not used, with the reason. Guests are compiled without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileProgress:
    """The progress of a compilation in this process or another one."""

    name: str
    """The name of the guest."""
    size_bytes: int
    """The size of the guest's binary, in bytes."""
    elapsed_s: float
    """The time in seconds for which the caller has waited so far."""


class CompileCache:
    """A cache of compiled guests in `directory` (`None`: the user's cache folder), of about `max_bytes` at most.

    `on_progress` is called about once a second during a compilation, on the thread that waits for it. A folder that
    cannot be used, or that others can write to, leads to one `CacheUnavailable` warning. It never leads to an
    error, not even if warnings are turned into errors.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        max_bytes: int = 2**30,
        on_progress: Callable[[CompileProgress], None] | None = None,
    ) -> None:
        self.directory = Path(directory or user_cache_path("pytest-airssys-wasm", appauthor=False))
        self.max_bytes = max_bytes
        self.on_progress = on_progress
        self._is_usable: bool | None = None
        self._has_warned = False
        self._entries = _Entries(self.directory, max_bytes)

    def __repr__(self) -> str:
        return f"CompileCache({str(self.directory)!r}, max_bytes={self.max_bytes})"

    def read(self, path: Path) -> tuple[bytes, str]:
        """Return the content of a file and its SHA-256 digest.

        The digest is remembered as long as the size and the time stamps of the file do not change.
        """
        content, signature, is_settled = read_file(path)
        if signature is None or not self._usable():
            return content, _hash(content)
        note = self.directory / f"{_hash(os.fsencode(path.resolve()))}.source"
        digest = noted_digest(note, signature)
        if digest is None:
            digest = _hash(content)
            if is_settled:
                with suppress(OSError):
                    self._write(note, new_note(signature, digest))
        return content, digest

    def fetch(
        self,
        key: str,
        name: str,
        size_bytes: int,
        load: Callable[[Path], T],
        compile_: Callable[[], T],
        save: Callable[[T, Path], object],
    ) -> T:
        """Return the compiled guest for `key`: from `load` if there is a valid entry, else from `compile_`.

        `save` writes the compiled guest to a file. `load` may raise `ValueError` for an entry that it cannot use. If
        several processes request the same key at the same time, only one of them compiles the guest.
        """
        if not self._usable():
            return self._compile(name, size_bytes, compile_)
        found = self._load(self._entries.seen(key), load)
        if found is not None:
            return found
        with self._alone(key, name, size_bytes):
            found = self._load(self._entries.found(key), load)
            if found is None:
                found = self._compile(name, size_bytes, compile_)
                self._store(key, partial(save, found))
        return found

    def clear(self) -> None:
        """Remove all entries. Guests that are in use remain usable."""
        if self._usable():
            for path in self.directory.iterdir():
                if path.suffix in (".cwasm", ".source", ".lock", ".part"):
                    with suppress(OSError):  # a folder of that name, or gone
                        path.unlink()

    def _usable(self) -> bool:
        if os is not system.os:
            return False  # a test has put another file system in place of this one, which has no cache
        if self._is_usable is None:
            problem = self._problem()
            self._is_usable = problem is None
            if problem is not None:
                self._warn(f"the compile cache {self.directory} is not used: {problem}")
        return self._is_usable

    def _problem(self) -> str | None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            weakness = folder_weakness(self.directory)
        except OSError as error:
            return str(error)
        if weakness is None and not os.access(self.directory, os.W_OK | os.X_OK):
            return "it cannot be written to"
        return weakness

    def _load(self, paths: Iterable[Path], load: Callable[[Path], T]) -> T | None:
        for path in paths:
            try:
                return _load_own(path, load)
            except FileNotFoundError:
                continue
            except OSError as error:
                advice = "the guest is compiled anew; empty the folder if others could write to it"
                self._warn(f"an entry of the compile cache is not used: {path}: {error.strerror}; {advice}")
                if error.errno in _FAULTS_OF_THE_MACHINE:
                    continue
            except ValueError:
                pass  # damaged, or made by another wasmtime
            with suppress(OSError):
                path.unlink()
        return None

    def _store(self, key: str, save: Callable[[Path], object]) -> None:
        try:
            with self._part() as part:
                save(part)
                self._entries.add(key, part)
        except OSError as error:
            self._warn(f"the compile cache {self.directory}: {error}")

    def _warn(self, text: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warning = CacheUnavailable(text)
        try:
            warnings.warn(warning, stacklevel=6)
        except CacheUnavailable:
            # Warnings are errors here. This one is not: nothing fails without the cache.
            warnings.showwarning(warning, CacheUnavailable, __file__, 0)

    def _write(self, path: Path, content: bytes) -> None:
        with self._part() as part:
            part.write_bytes(content)
            part.replace(path)

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """Yield the path of a new file, which is removed at the end of the block unless it was renamed."""
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=self.directory)  # mode 0600
        os.close(descriptor)
        part = Path(name)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _alone(self, key: str, name: str, size_bytes: int) -> Iterator[None]:
        path = self.directory / f"{key}.lock"
        _remove_foreign(path)
        lock = FileLock(path, mode=0o600)
        started = monotonic()
        while True:
            try:
                lock.acquire(timeout=_TICK_S)
                break
            except Timeout:  # the holder compiles; if it dies, the system frees the lock
                self._tell(name, size_bytes, started)
            except (OSError, NotImplementedError) as error:
                self._warn(f"the compile cache {self.directory}: {error}")  # then each process compiles for itself
                break
        try:
            yield
        finally:
            lock.release()

    def _compile(self, name: str, size_bytes: int, compile_: Callable[[], T]) -> T:
        if self.on_progress is None:
            return compile_()
        outcome: list[T] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(compile_())
            except BaseException as error:  # noqa: BLE001 raised again on the waiting thread
                raised.append(error)
            finally:
                running.release()

        started = monotonic()
        running = allocate_lock()
        running.acquire()
        with naming_lacks():
            start_thread(run, "airssys-wasm-compile")
        while not running.acquire(timeout=_TICK_S):
            self._tell(name, size_bytes, started)
        if raised:
            raise raised[0]
        return outcome[0]

    def _tell(self, name: str, size_bytes: int, started: float) -> None:
        if self.on_progress is not None:
            elapsed_s = monotonic() - started
            self.on_progress(CompileProgress(name=name, size_bytes=size_bytes, elapsed_s=elapsed_s))


class _Entries:
    """The entries of a cache in `directory`, of about `max_bytes` at most."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._seen: dict[str, Path] | None = None
        self._unswept_bytes = max_bytes

    def seen(self, key: str) -> Iterator[Path]:
        """Yield the entry of a key, if it existed when this process first listed the folder, or was added by this
        process.

        Listing a folder with thousands of entries for each guest would take longer than loading the guest.
        """
        if self._seen is None:
            self._seen = {path.name.rsplit(".", 2)[0]: path for path in self._directory.glob("*.cwasm")}
        if key in self._seen:
            yield self._seen[key]

    def found(self, key: str) -> Iterator[Path]:
        """Return the current entries of a key."""
        return self._directory.glob(f"{key}.*.cwasm")

    def add(self, key: str, part: Path) -> None:
        """Make the file `part` the entry of a key. Raises `OSError` if it cannot be renamed."""
        size_bytes = part.stat().st_size
        with open_own(part, _MOST_ENTRY_BYTES) as descriptor:
            checksum = _checksum(descriptor)
        entry = part.replace(self._directory / f"{key}.{checksum}.cwasm")
        if self._seen is not None:
            self._seen[key] = entry
        self._unswept_bytes += size_bytes
        if self._unswept_bytes > self._max_bytes // _SWEEPS:
            self._unswept_bytes = 0
            self._sweep()

    def _sweep(self) -> None:
        for suffix, age_s in _LEFTOVERS.items():
            for path in self._directory.glob(f"*{suffix}"):
                with suppress(OSError):  # gone, or a folder of that name
                    if time_ns() - path.lstat().st_mtime_ns > age_s * 1e9:
                        path.unlink()
        entries = []
        for path in self._directory.glob("*.cwasm"):
            with suppress(FileNotFoundError):
                stat = path.lstat()
                entries.append((stat.st_mtime_ns, stat.st_size, path))
        total_bytes = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total_bytes <= self._max_bytes:
                break
            with suppress(OSError):
                path.unlink()
                total_bytes -= size


def _load_own(path: Path, load: Callable[[Path], T]) -> T:
    """Return the result of `load` for an entry that only this user can have written, and whose content matches its
    checksum.

    Raises `OSError` or `ValueError` for any other entry.
    """
    with open_own(path, _MOST_ENTRY_BYTES) as descriptor:
        if path.name.split(".")[-2] != _checksum(descriptor):
            raise ValueError("the entry is damaged")
        found = load(path_of(descriptor) or path)
        if path_of(descriptor) is None and not os.path.samestat(path.lstat(), os.fstat(descriptor)):
            raise ValueError("the entry was exchanged")
        os.utime(descriptor)  # the entry that was used last is removed last
        return found


def _checksum(descriptor: int) -> str:
    if not os.fstat(descriptor).st_size:
        return "nothing"
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        return f"{zlib.crc32(content):08x}"


def _remove_foreign(lock: Path) -> None:
    """Remove the file at the path of a lock, unless it is a lock of this user. A folder is not removed."""
    with suppress(OSError):
        status = lock.lstat()
        if not S_ISDIR(status.st_mode) and not (S_ISREG(status.st_mode) and status.st_uid == os.geteuid()):
            lock.unlink()  # another could hold it for ever, and a link is followed when it is opened


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
