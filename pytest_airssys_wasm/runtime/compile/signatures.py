"""The signatures of files, which tell without reading them whether they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_airssys_wasm.runtime.base.originals import system, time_ns

if TYPE_CHECKING:
    import os

SETTLED_S = 2
"""The age of the last change in seconds below which a file may change again without new time stamps. Some file
systems count whole seconds, or two at a time.
"""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Signature(NamedTuple):
    """The metadata that differ between two states of a file.

    The time of the last change of the metadata (`ctime_ns`) is among them, because programs such as `cp -p` and `tar`
    set the other time stamp back.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @property
    def is_settled(self) -> bool:
        """Whether the file was last changed so long ago that the next change will lead to another signature."""
        return has_settled(max(self.mtime_ns, self.ctime_ns))


def has_settled(changed_ns: int) -> bool:
    """Return whether a time stamp is so old that the next change of its file will lead to another one."""
    return time_ns() - changed_ns > SETTLED_S * 1_000_000_000


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature of a file in the state that `status` describes."""
    return Signature(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def read_boot_id() -> str | None:
    """Return the identifier of the time since the machine was started, or `None` if the system does not tell it."""
    try:
        with system.io.open(_BOOT_ID, encoding="utf-8") as file:
            return file.read(64).strip() or None
    except (OSError, ValueError):
        return None
