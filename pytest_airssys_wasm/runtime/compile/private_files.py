"""The files and folders that the compile cache may trust, because other users cannot have written them.

A folder that was once writable by others may contain their files, and the owner of a parent folder can replace
everything in it. So each file is checked by its own owner and mode, on the descriptor that is read or mapped, and each
folder in its path by the users that could replace it.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE, S_ISLNK, S_ISVTX
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.regular_files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS_WRITE, _GROUP_WRITES = 0o002, 0o020
_MOST_LINKS = 40


class ForeignFile(OSError):
    """The error for a file that others could have created or written; `strerror` is the reason."""


@contextmanager
def open_own(path: str | os.PathLike[str], most_bytes: int) -> Iterator[int]:
    """Yield a descriptor of a regular file of at most `most_bytes` that only this user can have written.

    Raises `ForeignFile` or `UnfitFile` for anything else at the path, and any other `OSError` of opening.
    """
    with open_regular(path, most_bytes, follow=False) as descriptor:
        status = os.fstat(descriptor)
        reason = None
        if status.st_uid != os.geteuid():
            reason = f"it belongs to user {status.st_uid}"
        elif status.st_mode & (_OTHERS_WRITE | _GROUP_WRITES):
            reason = f"others can write to it (mode {S_IMODE(status.st_mode):o})"
        elif status.st_nlink > 1:
            reason = "it has other names"
        if reason is not None:
            raise ForeignFile(errno.EPERM, reason, os.fspath(path))
        yield descriptor


def path_of(descriptor: int) -> Path | None:
    """Return a path that leads to this open file even if it is renamed or removed; `None` if the system does not have
    such paths.
    """
    path = Path(f"/proc/self/fd/{descriptor}")
    return path if path.exists() else None


def folder_weakness(folder: Path) -> str | None:
    """Return the reason for which others may have written to a folder, or may replace it; `None` if there is none.

    Raises `OSError` if this cannot be determined.
    """
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, and compiled guests are code that would be run"
    if status.st_mode & (_OTHERS_WRITE | _GROUP_WRITES):
        mode = S_IMODE(status.st_mode)
        return f"others can write to it (mode {mode:o}): empty it, since its content may be theirs, and chmod 700 it"
    for above in _folders_above(folder):
        weakness = _can_be_exchanged(above)
        if weakness is not None:
            return weakness
    return None


def _folders_above(folder: Path) -> Iterator[Path]:
    """Yield each link and each folder through which a path leads, itself excluded unless it is a link."""
    here = Path("/")
    pending = [*reversed(folder.absolute().parts[1:])]
    links = 0
    while pending:
        yield here
        name = pending.pop()
        if name == "..":
            here = here.parent
            continue
        if not (here / name).is_symlink():
            here /= name
            continue
        yield here / name
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        target = (here / name).readlink()
        if target.is_absolute():
            here = Path("/")
        pending += reversed(target.parts[target.is_absolute() :])


def _can_be_exchanged(folder: Path) -> str | None:
    """Return the way in which another user can replace the contents of a folder, or change a link."""
    status = folder.lstat()
    # The owner of the root directory is root, or stands for root in a container.
    if status.st_uid not in (0, os.geteuid(), Path("/").stat().st_uid):
        return f"user {status.st_uid} can put another in its place ({folder} is theirs)"
    mode = status.st_mode
    if S_ISLNK(mode) or mode & S_ISVTX:
        return None
    if mode & _OTHERS_WRITE:
        return f"anyone can put another in its place (mode {S_IMODE(mode):o} of {folder})"
    if mode & _GROUP_WRITES and not _is_private_group(status.st_gid):
        return f"group {status.st_gid} can put another in its place (mode {S_IMODE(mode):o} of {folder})"
    return None


def _is_private_group(group_id: int) -> bool:
    """Return whether a group belongs to root, or is the private group that most systems give to each user."""
    if group_id == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
