"""Folders for a while, which a process that is killed does not leave for ever.

Each is locked as long as the process that made it lives. Whoever makes one removes those that nobody holds. (Those who
clean temporary folders for the system leave locked ones alone, too.)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_PREFIX = "pytest-airssys-wasm-"


class ScratchFolder:
    """A new folder. A context manager; it is removed when it is left, collected, or the interpreter ends."""

    def __init__(self, purpose: str) -> None:
        _remove_abandoned()
        self.path, lock = _make(f"{_PREFIX}{purpose}-")
        self.remove = weakref.finalize(self, _remove, self.path, lock)
        """Remove it with what is in it. Calling it again does nothing."""

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


def _make(prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks: nobody else gets one either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
        # Somebody took it for abandoned before it was locked.


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_abandoned() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # held, somebody else's, or gone
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.getuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
