"""The temporary folders of this package, which are removed even if the process that created them is killed.

Each folder is locked as long as the process that created it runs, and holds a mark with its own device and inode.
Creating a folder removes those that carry their own mark, that processes of this user created, and that have no lock. A
folder that only has such a name, or is a copy of such a folder, is left alone, because it may hold data of a user.
(Services that clean the temporary folders of the system also skip locked ones.)
"""

from __future__ import annotations

import tempfile
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.budget.machine import lack_of
from pytest_airssys_wasm.runtime.errors import UnfitHost

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType

_PREFIX = "pytest-airssys-wasm-"
_MARK = ".pytest-airssys-wasm-scratch"
_DIRECTORY = system.os.O_RDONLY | system.os.O_DIRECTORY | system.os.O_NOFOLLOW


class ScratchFolder:
    """A new temporary folder, and a context manager that returns its path.

    It is removed when the context is left, the object is collected, or the interpreter ends; in a process that was
    forked meanwhile, none of these removes it. Raises `UnfitHost` where the machine has no temporary folder
    that can be used.
    """

    def __init__(self, purpose: str) -> None:
        with explained():
            _remove_abandoned()
            self.path, lock = _make(f"{_PREFIX}{purpose}-")
        self.remove = weakref.finalize(self, _remove, self.path, lock, system.os.getpid())
        """A function that removes the folder and its contents. Calling it again does nothing."""

    @property
    def is_there(self) -> bool:
        """Whether the folder still exists, and belongs to this process rather than to the one it was forked from."""
        found = self.remove.peek()
        if found is None:
            return False
        _, _, (path, lock, process_id), _ = found
        return process_id == system.os.getpid() and _is_at(path, system.os.fstat(lock))

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


@contextmanager
def explained() -> Iterator[None]:
    """Turn an `OSError` of the block, which writes to the temporary folder, into an error that names the folder."""
    try:
        yield
    except OSError as error:
        raise lack_of(error) or unfit(f"a folder that can be written to ({error.strerror or error})") from None


def unfit(wanted: str) -> UnfitHost:
    """Return the error for a temporary folder that cannot be used; `wanted` describes one that could be."""
    try:
        folder = tempfile.gettempdir()
    except OSError:
        folder = system.os.environ.get("TMPDIR", "/tmp")
    return UnfitHost("the temporary folder (TMPDIR)", folder, wanted)


def _new_folder(prefix: str) -> Path:
    while True:
        path = Path(tempfile.gettempdir()).absolute() / f"{prefix}{system.os.urandom(6).hex()}"
        with suppress(FileExistsError):
            system.os.mkdir(path, 0o700)
            return path


def _make(prefix: str) -> tuple[Path, int]:
    path = _new_folder(prefix)
    try:
        system.os.fspath(path).encode()
    except UnicodeEncodeError:
        system.os.rmdir(path)
        raise unfit("a folder whose path is UTF-8, as wasmtime needs it") from None
    lock = system.os.open(path, _DIRECTORY)
    with suppress(OSError):  # a file system without locks: no other process gets one either
        system.fcntl.flock(lock, system.fcntl.LOCK_EX)
    # Marked when it is locked: before that, nobody takes it for abandoned.
    try:
        mark = system.os.open(_MARK, system.os.O_WRONLY | system.os.O_CREAT | system.os.O_EXCL, 0o600, dir_fd=lock)
        try:
            system.os.write(mark, _mark_of(system.os.fstat(lock)))
        finally:
            system.os.close(mark)
    except BaseException:
        _remove(path, lock, system.os.getpid())
        raise
    return path, lock


def _remove(path: Path, lock: int, process_id: int) -> None:
    try:
        if process_id == system.os.getpid():
            _remove_at(path, lock)
    finally:
        system.os.close(lock)


def _remove_at(path: Path, folder: int) -> None:
    """Remove the folder of an open descriptor with its contents, which is at `path` unless somebody moved it."""
    # The mark goes last, so that what is left of an interrupted removal is removed by the next process.
    with suppress(OSError):
        for _, folders, files, parent in system.os.fwalk(".", topdown=False, dir_fd=folder):
            is_top = system.os.path.samestat(system.os.fstat(parent), system.os.fstat(folder))
            for name in files:
                if not (is_top and name == _MARK):
                    with suppress(OSError):
                        system.os.unlink(name, dir_fd=parent)
            for name in folders:
                with suppress(OSError):  # a link to a folder is listed as a folder
                    _remove_folder(name, parent)
    with suppress(OSError):
        if system.os.listdir(folder) == [_MARK]:
            system.os.unlink(_MARK, dir_fd=folder)
        if _is_at(path, system.os.fstat(folder)):
            system.os.rmdir(path)


def _remove_folder(name: str, parent: int) -> None:
    try:
        system.os.rmdir(name, dir_fd=parent)
    except NotADirectoryError:
        system.os.unlink(name, dir_fd=parent)


def _remove_abandoned() -> None:
    temporary = Path(tempfile.gettempdir())
    names: list[str] = []
    with suppress(OSError):
        names = system.os.listdir(temporary)
    for path in (temporary / name for name in names if name.startswith(_PREFIX)):
        with suppress(OSError):  # held, another user's, or gone
            folder = system.os.open(path, _DIRECTORY)
            try:
                if _is_ours(folder):
                    system.fcntl.flock(folder, system.fcntl.LOCK_EX | system.fcntl.LOCK_NB)
                    _remove_at(path, folder)
            finally:
                system.os.close(folder)


def _is_ours(folder: int) -> bool:
    """Return whether a process of this user made the open folder in this place. Raises `OSError` without a mark."""
    status = system.os.fstat(folder)
    if status.st_uid != system.os.geteuid():
        return False
    mark = system.os.open(_MARK, system.os.O_RDONLY | system.os.O_NOFOLLOW | system.os.O_NONBLOCK, dir_fd=folder)
    try:
        found = system.os.fstat(mark)
        wanted = _mark_of(status)
        return (
            S_ISREG(found.st_mode) and found.st_uid == status.st_uid and system.os.read(mark, len(wanted) + 1) == wanted
        )
    finally:
        system.os.close(mark)


def _mark_of(status: os.stat_result) -> bytes:
    # It names the folder itself, so that a copy of it does not carry a mark of its own.
    return f"a temporary folder of pytest-airssys-wasm: device {status.st_dev}, inode {status.st_ino}\n".encode()


def _is_at(path: Path, status: os.stat_result) -> bool:
    try:
        return system.os.path.samestat(system.os.stat(path, follow_symlinks=False), status)
    except OSError:
        return False
