"""The temporary folders of this package, which are removed even if the process that created them is killed.

Each folder is locked as long as the process that created it runs. Creating a folder removes folders without a lock.
(Services that clean the temporary folders of the system also skip locked ones.)
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
    """A new temporary folder, and a context manager that returns its path.

    It is removed when the context is left, the object is collected, or the interpreter ends.
    """

    def __init__(self, purpose: str) -> None:
        _remove_abandoned()
        self.path, lock = _make(f"{_PREFIX}{purpose}-")
        self.remove = weakref.finalize(self, _remove, self.path, lock)
        """A function that removes the folder and its contents. Calling it again does nothing."""

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
            with suppress(OSError):  # a file system without locks: no other process gets one either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
        # Another process took it for abandoned before it was locked.


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_abandoned() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # held, another user's, or gone
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.getuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
