"""The notes about the files of guests, so that files that have not changed need not be read."""

from __future__ import annotations

import hashlib
import os
from stat import S_ISREG
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, open_regular, read_open
from pytest_airssys_wasm.runtime.binary.facts import REVISION, GuestFacts
from pytest_airssys_wasm.runtime.compile.notes import encode_note, read_note
from pytest_airssys_wasm.runtime.compile.signatures import Signature, signature_of

if TYPE_CHECKING:
    from pathlib import Path


class _SourceNote(Struct, frozen=True):
    revision: int
    translator: str
    signature: Signature
    facts: GuestFacts


# Made here and not by the first to need it: two threads at once would crash msgspec.
_NOTE = msgspec.json.Decoder(_SourceNote)


def name_of_note(path: Path) -> str:
    """Return the name of the note about the file at a path."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest() + ".source"  # noqa: PTH100 three times as fast


def signature_at(path: Path) -> Signature | None:
    """Return the signature of the file at a path, or `None` if no file that could be read is there."""
    try:
        status = system.os.stat(path)
    except (OSError, ValueError):
        return None  # opening it raises the error
    return signature_of(status) if S_ISREG(status.st_mode) else None


def read_source(path: Path) -> tuple[bytes, Signature | None]:
    """Return the content of a file, and the signature of its state.

    The signature is `None` if another state could have the same one: for a file that changed just now, or while it was
    read. Raises the errors of `open_regular`.
    """
    # All from one open file: a build may replace it at any time, and the facts about one file with the signature of
    # another would keep a wrong artefact for good.
    with open_regular(path, GUEST_BYTES) as descriptor:
        before = signature_of(system.os.fstat(descriptor))
        is_settled = before.is_settled  # asked before it is read, which takes a while
        content = read_open(descriptor, path, GUEST_BYTES)
        after = signature_of(system.os.fstat(descriptor))
    is_one_state = is_settled and before == after and len(content) == before.size_bytes
    return content, before if is_one_state else None


def new_note(signature: Signature, facts: GuestFacts, translator: str) -> bytes | None:
    """Return a note about a file in the state of a signature, or `None` if the facts are too many to be kept.

    `translator` names the version of the translator from text to binaries.
    """
    return encode_note(_SourceNote(REVISION, translator, signature, facts))


def noted_facts(note: str, signature: Signature, translator: str) -> GuestFacts | None:
    """Return the facts in a note about a file in the state of a signature.

    Returns `None` if the note is about another state, is damaged, or was made by another version.
    """
    match read_note(note, _NOTE):
        case _SourceNote(revision, by, known, facts) if (revision, by, known) == (REVISION, translator, signature):
            return facts
        case _:
            return None
