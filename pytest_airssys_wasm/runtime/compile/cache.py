"""Compiled guests on disk: content-addressed, shared by processes, bounded, private to the user.

A compiled artefact is machine code that will be run. So the folder must belong to the user and be writable by
nobody else.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISVTX
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from pytest_airssys_wasm.runtime.compile.cache_entries import Entries, is_sound
from pytest_airssys_wasm.runtime.compile.cache_notes import new_note, noted_digest, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

DEFAULT_MAX_BYTES = 2**30
_TICK_S = 1.0


class CacheUnavailable(UserWarning):
    """The compile cache is not used; the message says why. Guests are compiled anew."""


@dataclass(frozen=True, slots=True)
class CompileProgress:
    """A compilation (here, or in another process) that is still going on."""

    name: str
    size_bytes: int
    elapsed_s: float


class CompileCache:
    """Artefacts in `directory` (`None`: the user's cache folder), about `max_bytes` of them together at most.

    `on_progress` is called about every second while a compilation goes on, on the thread that waits for it.
    A folder that cannot be used, or that others could write to, is a `CacheUnavailable` warning, never an error.
    """

    def __init__(
        self,
        directory: Path | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        on_progress: Callable[[CompileProgress], None] | None = None,
    ) -> None:
        self.directory = directory or user_cache_path("pytest-airssys-wasm", appauthor=False)
        self.max_bytes = max_bytes
        self.on_progress = on_progress
        self._is_usable: bool | None = None
        self._entries = Entries(self.directory, max_bytes)

    def read(self, path: Path) -> tuple[bytes, str]:
        """A file's content and the SHA-256 of it, not computed where path, size and time stamps are as they were."""
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
        """The compiled guest under `key`: mapped by `load` where it is there and sound, else by `compile_`.

        `save` writes what was compiled to a file. `load` may raise `ValueError` for an entry it cannot use.
        Processes that ask for one key at the same time compile it once between them.
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
        """Remove every entry. Guests that are in use stay usable."""
        if self._usable():
            for path in self.directory.iterdir():
                if path.suffix in (".cwasm", ".source", ".lock", ".part"):
                    path.unlink(missing_ok=True)

    def _usable(self) -> bool:
        if self._is_usable is None:
            problem = self._problem()
            self._is_usable = problem is None
            if problem is not None:
                warnings.warn(
                    f"the compile cache {self.directory} is not used: {problem}", CacheUnavailable, stacklevel=4
                )
        return self._is_usable

    def _problem(self) -> str | None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._weakness(self.directory.stat())
        except OSError as error:
            return str(error)

    def _weakness(self, stat: os.stat_result) -> str | None:
        if stat.st_uid != os.geteuid():
            return f"it belongs to user {stat.st_uid}, and compiled guests are code that would be run"
        if stat.st_mode & 0o022:
            return f"others can write to it (mode {stat.st_mode & 0o777:o}): use chmod 700"
        if not os.access(self.directory, os.W_OK | os.X_OK):
            return "it cannot be written to"
        for parent in self.directory.resolve().parents:
            mode = parent.stat().st_mode
            if mode & 0o002 and not mode & S_ISVTX:
                return f"anyone can put another in its place (mode {mode & 0o777:o} of {parent})"
        return None

    def _load(self, paths: Iterable[Path], load: Callable[[Path], T]) -> T | None:
        for path in paths:
            try:
                if is_sound(path):
                    found = load(path)
                    os.utime(path)  # what was used last is removed last
                    return found
            except FileNotFoundError:
                continue
            except (OSError, ValueError):
                pass
            path.unlink(missing_ok=True)
        return None

    def _store(self, key: str, save: Callable[[Path], object]) -> None:
        try:
            with self._part() as part:
                save(part)
                self._entries.add(key, part)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        warnings.warn(f"the compile cache {self.directory}: {error}", CacheUnavailable, stacklevel=6)

    def _write(self, path: Path, content: bytes) -> None:
        with self._part() as part:
            part.write_bytes(content)
            part.replace(path)

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """A file that becomes an entry at once, or goes."""
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=self.directory)  # mode 0600
        os.close(descriptor)
        part = Path(name)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _alone(self, key: str, name: str, size_bytes: int) -> Iterator[None]:
        lock = FileLock(self.directory / f"{key}.lock", mode=0o600)
        started = time.monotonic()
        while True:
            try:
                lock.acquire(timeout=_TICK_S)
                break
            except Timeout:  # the holder compiles; the system frees the lock should it die
                self._tell(name, size_bytes, started)
            except (OSError, NotImplementedError) as error:
                self._warn(error)  # then each process compiles for itself
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

        thread = threading.Thread(target=run, name="airssys-wasm-compile", daemon=True)
        started = time.monotonic()
        thread.start()
        while thread.is_alive():
            thread.join(_TICK_S)
            if thread.is_alive():
                self._tell(name, size_bytes, started)
        if raised:
            raise raised[0]
        return outcome[0]

    def _tell(self, name: str, size_bytes: int, started: float) -> None:
        if self.on_progress is not None:
            self.on_progress(CompileProgress(name, size_bytes, time.monotonic() - started))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
