"""The open files of this process, each told from every other."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_files() -> set[tuple[str, str]]:
    """Return the number of each open descriptor and its target. A pipe or socket has its own number in the target."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing itself, and files that other threads close
            found.add((descriptor.name, str(descriptor.readlink())))
    return found


@contextlib.contextmanager
def no_file_stays_open(seconds: float = 20) -> Iterator[None]:
    """Check that what is opened within is closed in the end, at most so many seconds later.

    A count would tell too little: files that earlier tests gave up on may be closed meanwhile.
    """
    before = open_files()
    yield
    until = time.monotonic() + seconds
    while (left := open_files() - before) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left
