"""The notes in the compile cache: small files with a checksum, which only this user can have written."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TypeVar

import msgspec

from pytest_airssys_wasm.runtime.base.regular_files import read_open
from pytest_airssys_wasm.runtime.compile.private_files import open_own

T = TypeVar("T")

_MOST_NOTE_BYTES = 2**20
"""The maximum size in bytes of a note. The notes about guests with more declarations are not kept."""
_CHECKSUM_BYTES = 8


def encode_note(content: msgspec.Struct) -> bytes | None:
    """Return the content of a file from which `read_note` reads these data, or `None` if they cannot be kept."""
    try:
        text = msgspec.json.encode(content)
    except (OverflowError, ValueError):  # a number of more than 64 bits
        return None
    return _checksum(text) + text if len(text) <= _MOST_NOTE_BYTES - _CHECKSUM_BYTES else None


def read_note(path: str, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Return the data in a note; `None` if there is no note, or if it is damaged or not a file of this user alone."""
    with suppress(OSError, ValueError, RecursionError):
        with open_own(path, _MOST_NOTE_BYTES) as descriptor:
            note = read_open(descriptor, path, _MOST_NOTE_BYTES)
        if note[:_CHECKSUM_BYTES] == _checksum(note[_CHECKSUM_BYTES:]):
            return decoder.decode(note[_CHECKSUM_BYTES:])
    return None


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
