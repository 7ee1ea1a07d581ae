"""The notes about entries of the compile cache whose checksum was found right, so that they need not be read again.

Damage that does not change a file's signature comes from the disk, or from a machine that lost power before everything
was written. So a note is believed until the machine is started again.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pytest_airssys_wasm.runtime.compile.notes import encode_note, read_note
from pytest_airssys_wasm.runtime.compile.signatures import Signature, read_boot_id

if TYPE_CHECKING:
    from collections.abc import Callable


class CheckedEntry(Struct, frozen=True):
    """An entry whose checksum was right."""

    name: str
    signature: Signature
    boot_id: str
    """The identifier of the time for which the check holds."""


# Made here and not by the first to need it: two threads at once would crash msgspec.
_NOTE = msgspec.json.Decoder(CheckedEntry)


_END = re.compile(r"\.[0-9a-f]{8}\.cwasm")
"""The end of the name of an entry, behind its key."""


class EntryChecks:
    """The checks of the entries in `directory`. `write` writes a new file; it may raise `OSError`."""

    SUFFIX = ".checked"

    def __init__(self, directory: Path, write: Callable[[Path, bytes], None]) -> None:
        self._folder = os.fspath(directory)  # names are put together as text, which takes a fifth of the time
        self._write = write

    @cached_property
    def _boot_id(self) -> str | None:
        return read_boot_id()

    def find(self, key: str) -> CheckedEntry | None:
        """Return the entry of a key that was checked since the machine was started; `None` if there is none."""
        known = None if self._boot_id is None else read_note(self._note(key), _NOTE)
        if known is None or known.boot_id != self._boot_id:
            return None
        return known if known.name.startswith(key) and _END.fullmatch(known.name, len(key)) else None

    def add(self, entry: Path, signature: Signature) -> None:
        """Note that the content of an entry matches its checksum in the state of this signature."""
        if self._boot_id is None:
            return
        note = encode_note(CheckedEntry(entry.name, signature, self._boot_id))
        if note is not None:
            with suppress(OSError):
                self._write(Path(self._note(key_of(entry.name))), note)

    def touch(self, entry: Path) -> None:
        """Note that an entry is used now, which leaves the entry itself unchanged."""
        with suppress(OSError):
            os.utime(self._note(key_of(entry.name)), follow_symlinks=False)

    def last_use_ns(self, entry: Path) -> int:
        """Return the time at which an entry was last used according to its note, or 0 if there is none."""
        with suppress(OSError):
            return Path(self._note(key_of(entry.name))).lstat().st_mtime_ns
        return 0

    def remove(self, entry: Path) -> None:
        """Remove the note about an entry, if there is one."""
        with suppress(OSError):
            Path(self._note(key_of(entry.name))).unlink()

    def _note(self, key: str) -> str:
        return f"{self._folder}/{key}{self.SUFFIX}"


def key_of(name: str) -> str:
    """Return the key of the entry with this file name."""
    return name.rsplit(".", 2)[0]
