"""The one way in which files of users are read: regular files, within a stated size.

A path in a manifest or on a command line may lead to a device without end, to a pipe that nobody writes to, or to a
file larger than the memory. Therefore the descriptor that is then read is checked, and not the path, which may
lead to something else a moment later.
"""

from __future__ import annotations

import errno
from codecs import BOM_UTF8
from contextlib import contextmanager
from os import O_CLOEXEC, O_CREAT, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import system

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

GUEST_BYTES = 256 * 2**20
"""The largest file of a guest that is read. A guest with a whole interpreter takes 20 MiB."""
MANIFEST_BYTES = 2**20
"""The largest `Component.toml` that is read."""
TEXT_BYTES = 16 * 2**20
"""The largest WIT file, expectations file or case that is read."""
REPORT_BYTES = 256 * 2**20
"""The largest JSON report that is read."""

_CHUNK_BYTES = 2**20
_KINDS = (
    (S_ISFIFO, "a pipe"),
    (S_ISCHR, "a device"),
    (S_ISBLK, "a device"),
    (S_ISSOCK, "a socket"),
)


class UnfitFile(OSError):
    """The error for a path that does not lead to a file that may be read; `strerror` is the reason."""


def read_regular(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Return the content of a regular file of at most `most_bytes`.

    Raises `UnfitFile` for anything else at the path, and any other `OSError` of opening and reading.
    """
    with open_regular(path, most_bytes) as descriptor:
        return read_open(descriptor, path, most_bytes)


@contextmanager
def open_regular(path: str | os.PathLike[str], most_bytes: int, *, follow: bool = True) -> Iterator[int]:
    """Yield a descriptor of a regular file of at most `most_bytes`, for reading.

    A link at the end of the path is followed only if `follow` is true.

    Raises `UnfitFile` for anything else at the path, and any other `OSError` of opening.
    """
    # Without O_NONBLOCK, opening a pipe waits for its writer, and opening some devices for whatever they like.
    flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (0 if follow else O_NOFOLLOW)
    try:
        # Opening alone makes some devices do things; asked before, they are not even opened.
        _check(system.os.stat(path, follow_symlinks=follow), path, most_bytes)
        descriptor = system.os.open(path, flags)
    except ValueError as error:  # a NUL, or a lone surrogate
        raise UnfitFile(errno.EINVAL, f"not the path of a file ({error})", system.os.fspath(path)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # in between it has become a socket, or a device without a driver
            raise UnfitFile(errno.ENXIO, "a socket or a device, not a regular file", system.os.fspath(path)) from None
        raise
    try:
        _check(system.os.fstat(descriptor), path, most_bytes)
        yield descriptor
    finally:
        system.os.close(descriptor)


def read_open(descriptor: int, path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Return the content of an open regular file. Raises `UnfitFile` where it turns out to have more bytes."""
    # In one piece where the size is known. The files of /proc have a size of 0, and others may grow meanwhile.
    size = system.os.fstat(descriptor).st_size
    chunks = [system.os.read(descriptor, min(size, most_bytes) + 1)]
    total = len(chunks[0])
    while total and (chunk := system.os.read(descriptor, min(_CHUNK_BYTES, most_bytes + 1 - total))):
        chunks.append(chunk)
        total += len(chunk)
    if total > most_bytes:
        raise _too_large(path, f"more than {most_bytes:,}", most_bytes)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check(status: os.stat_result, path: str | os.PathLike[str], most_bytes: int) -> None:
    mode = status.st_mode
    if S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, system.os.strerror(errno.EISDIR), system.os.fspath(path))
    if not S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise UnfitFile(errno.EINVAL, f"{kind}, not a regular file", system.os.fspath(path))
    if status.st_size > most_bytes:
        raise _too_large(path, f"{status.st_size:,}", most_bytes)


def _too_large(path: str | os.PathLike[str], found: str, most_bytes: int) -> UnfitFile:
    text = f"too large: it has {found} bytes, and at most {most_bytes:,} are read"
    return UnfitFile(errno.EFBIG, text, system.os.fspath(path))


def decoded(content: bytes) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    The codec `utf-8-sig` does the same, but Python would import it now, when files may not be found any more. Raises
    `UnicodeDecodeError`.
    """
    return content.removeprefix(BOM_UTF8).decode()


def write_new(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a new file, which only this user can read. Raises `OSError` if the file exists or cannot be written."""
    descriptor = system.os.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    with system.io.open(descriptor, "wb") as file:
        file.write(content)
