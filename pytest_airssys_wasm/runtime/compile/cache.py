"""The cache of compiled guests on disk, which is content-addressed, shared by processes, bounded, and private to the
user.

A compiled artefact is machine code that will be run. So the folder must belong to the user, and must not be writable or
replaceable by others. Because this may have been different before, each entry is checked in the same way, on the
descriptor that is mapped. wasmtime accepts an artefact with a flipped byte, so each entry has a checksum in its name:
one file is an entry, complete or absent. CRC-32 finds damaged files; no checksum would help against a process that can
write here.

Reading megabytes would take most of the time of loading a guest. So the result of reading a file is noted together with
the file's signature, for the binary as well as for the entry, and neither is read again while its signature stays the
same. The signature of a file that changed in the last seconds is not noted, since it could change once more within one
tick of the clock of its file system. Because of the signatures, the time of the last use is kept at the note about an
entry, and not at the entry.
"""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, TypeVar

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, is_true_os, monotonic, start_thread
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks
from pytest_airssys_wasm.runtime.compile.entries import LEFTOVERS, MOST_ENTRY_BYTES, Entries, checksum_of
from pytest_airssys_wasm.runtime.compile.entry_checks import CheckedEntry, EntryChecks, key_of
from pytest_airssys_wasm.runtime.compile.private_files import folder_weakness, open_own, path_of
from pytest_airssys_wasm.runtime.compile.signatures import has_settled, signature_of
from pytest_airssys_wasm.runtime.compile.source_notes import (
    name_of_note,
    new_note,
    noted_facts,
    read_source,
    signature_at,
)
from pytest_airssys_wasm.runtime.compile.user_folder import user_cache_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.runtime.binary.facts import GuestFacts
    from pytest_airssys_wasm.runtime.compile.signatures import Signature

T = TypeVar("T")

_TICK_S = 1.0
_FAULTS_OF_THE_MACHINE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO)
"""The errors of opening and mapping an entry that do not depend on the entry."""


class CacheUnavailable(UserWarning):
    """The warning that the compile cache is not used, with the reason. Guests are compiled without it."""

    __module__ = "pytest_airssys_wasm"  # where users import it from, and what warnings show


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
        self.directory = Path(directory or user_cache_path())
        self.max_bytes = max_bytes
        self.on_progress = on_progress
        self._is_usable: bool | None = None
        self._has_warned = False
        self._entries = Entries(self.directory, max_bytes, EntryChecks(self.directory, self._write))

    def __repr__(self) -> str:
        return f"CompileCache({str(self.directory)!r}, max_bytes={self.max_bytes})"

    def facts(self, path: Path, translator: str) -> GuestFacts | None:
        """Return the facts about the guest in a file, without reading the file.

        Returns `None` if they are not known, or if the file has changed since. `translator` is the version of the
        translator from text to binaries.
        """
        signature = signature_at(path)
        return None if signature is None else self._noted(path, signature, translator)

    def read(self, path: Path, translator: str) -> tuple[bytes, Signature | None, GuestFacts | None]:
        """Return the content of a file, its signature for `remember`, and the facts about this content if they are
        known.

        Raises the errors of `open_regular`.
        """
        content, signature = read_source(path)
        return content, signature, None if signature is None else self._noted(path, signature, translator)

    def remember(self, path: Path, signature: Signature | None, facts: GuestFacts, translator: str) -> None:
        """Note the facts that were read from a file in the state of this signature."""
        if signature is None or not self._usable():
            return
        note = new_note(signature, facts, translator)
        if note is not None:
            with suppress(OSError):
                self._write(self.directory / name_of_note(path), note)

    def recall(self, key: str, load: Callable[[Path], T]) -> T | None:
        """Return the compiled guest for `key` if there is a valid entry, otherwise `None`.

        `load` is that of `fetch`.
        """
        if not self._usable():
            return None
        checked = self._entries.checks.find(key)
        if checked is not None:
            with suppress(OSError, ValueError):  # told below
                return self._load_own(self.directory / checked.name, load, checked)
        return self._load(self._entries.seen(key), load)

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
        found = self.recall(key, load)
        if found is not None:
            return found
        with self._alone(key, name, size_bytes) as is_first:
            # Listing the folder takes longer than a compilation once it has thousands of entries.
            found = None if is_first else self._load(self._entries.found(key), load)
            if found is None:
                found = self._compile(name, size_bytes, compile_)
                self._store(key, partial(save, found))
        return found

    def clear(self) -> None:
        """Remove all entries. Guests that are in use remain usable."""
        if self._usable():
            for path in self.directory.iterdir():
                if path.suffix in (".cwasm", *LEFTOVERS):
                    with suppress(OSError):  # a folder of that name, or gone
                        path.unlink()

    def _usable(self) -> bool:
        if not is_true_os(os):
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
        except ValueError as error:
            return f"not the path of a folder ({error})"
        if weakness is None and not os.access(self.directory, os.W_OK | os.X_OK):
            return "it cannot be written to"
        return weakness

    def _load(self, paths: Iterable[Path], load: Callable[[Path], T]) -> T | None:
        for path in paths:
            try:
                return self._load_own(path, load, self._entries.checks.find(key_of(path.name)))
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

    def _load_own(self, path: Path, load: Callable[[Path], T], checked: CheckedEntry | None) -> T:
        """Return the result of `load` for an entry that only this user can have written, and whose content matches its
        checksum, as far as `checked` does not tell this already.

        Raises `OSError` or `ValueError` for any other entry.
        """
        checks = self._entries.checks
        with open_own(path, MOST_ENTRY_BYTES) as descriptor:
            signature = signature_of(os.fstat(descriptor))
            is_settled = signature.is_settled  # asked before it is read, which takes a while
            is_known = checked is not None and (checked.name, checked.signature) == (path.name, signature)
            if not is_known and path.name.split(".")[-2] != checksum_of(descriptor):
                raise ValueError("the entry is damaged")
            unchangeable = path_of(descriptor)
            found = load(unchangeable or path)
            if unchangeable is None and not os.path.samestat(path.lstat(), os.fstat(descriptor)):
                raise ValueError("the entry was exchanged")
            # The entry that was used last is removed last.
            if is_known:
                checks.touch(path)
            elif is_settled:
                checks.add(path, signature)
            elif has_settled(signature.mtime_ns):
                os.utime(descriptor)
            return found

    def _noted(self, path: Path, signature: Signature, translator: str) -> GuestFacts | None:
        return noted_facts(f"{self.directory}/{name_of_note(path)}", signature, translator) if self._usable() else None

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
    def _alone(self, key: str, name: str, size_bytes: int) -> Iterator[bool]:
        """Keep other processes from compiling the guest for `key` during the block.

        Yields whether no other process has done so, as far as the file of the lock tells, which remains for weeks.
        """
        # Loads asyncio, too. Processes whose guests are all in the cache do not need it.
        from filelock import FileLock, Timeout

        path = self.directory / f"{key}.lock"
        _remove_foreign(path)
        is_first = _creates(path)
        lock = FileLock(path, mode=0o600)
        started = monotonic()
        wait_s = 0.0
        while True:
            try:
                lock.acquire(timeout=wait_s)
                break
            except Timeout:  # the holder compiles; if it dies, the system frees the lock
                if wait_s:
                    self._tell(name, size_bytes, started)
                is_first, wait_s = False, _TICK_S
            except (OSError, NotImplementedError) as error:
                self._warn(f"the compile cache {self.directory}: {error}")  # then each process compiles for itself
                break
        try:
            yield is_first
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


def _creates(lock: Path) -> bool:
    """Create the file of a lock, and return whether it did not exist."""
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError:  # one that keeps the lock from being taken is raised, and told, when it is taken
        return False
    return True


def _remove_foreign(lock: Path) -> None:
    """Remove the file at the path of a lock, unless it is a lock of this user. A folder is not removed."""
    with suppress(OSError):
        status = lock.lstat()
        if not S_ISDIR(status.st_mode) and not (S_ISREG(status.st_mode) and status.st_uid == os.geteuid()):
            lock.unlink()  # another could hold it for ever, and a link is followed when it is opened
