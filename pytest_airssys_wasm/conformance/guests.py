"""The guests of the cases: their WebAssembly text, inline or from a fixture, and the file with it that is passed to a
runtime.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.conformance.loader import data_folder
from pytest_airssys_wasm.runtime.binary.formats import translate
from pytest_airssys_wasm.runtime.errors import InvalidComponent, InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.conformance.model import Actor, Repeated

_BYTES = re.compile(r"\s*\((module|component) binary\b")
_BEGINNING = 1_024
"""The number of characters of a file in which its first words are looked for."""
_PIECE = re.compile(r"\{\{([a-z][a-z0-9-]*)\}\}")


def source_text(actor: Actor, where: str, fixtures: Path | None = None) -> str:
    """Return the WAT of the actor's component, with its repeated pieces expanded.

    Fixtures are looked for in the folder `fixtures` (the bundled one when `None`). Raises `InvalidConfiguration`, whose
    message begins with `where`, if the fixture does not exist, or a piece is unknown or unused.
    """
    return _written_out(_source(actor, where, fixtures), actor.repeated, where)


def text_file(actor: Actor, where: str, folder: Path) -> Path:
    """Return the path of the WAT file of the actor's component: the fixture itself, or a new file in `folder`.

    Raises `InvalidConfiguration` as `source_text` does.
    """
    text = source_text(actor, where)
    if actor.wat is None and actor.fixture is not None and not actor.repeated:
        return data_folder("fixtures") / actor.fixture
    path = folder / f"{_digest(text.encode())}.wat"
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    return path


def spells_bytes(text: Path) -> bool:
    """Return whether a WAT file is a binary that is written as text, byte by byte."""
    with text.open(encoding="utf-8") as file:
        return _BYTES.match(file.read(_BEGINNING)) is not None


def translated(text: Path, folder: Path) -> Path:
    """Return the binary of a WAT file, written once into `folder`, for runtimes that do not read WebAssembly text.

    If a file cannot be translated, its own path is returned: it is not a binary, so every runtime can refuse it.
    """
    source = text.read_bytes()
    # By content: files of one name may stand in two folders.
    binary = folder / f"{_digest(source)}.wasm"
    if not binary.exists():
        try:
            content = translate(source, text.name)
        except InvalidComponent:
            return text
        binary.write_bytes(content)
    return binary


def _source(actor: Actor, where: str, fixtures: Path | None) -> str:
    if actor.wat is not None:
        return actor.wat
    if actor.fixture is None:
        raise InvalidConfiguration(f"{where}: fixture", "nothing", "a file in fixtures/, or `wat`")
    path = (data_folder("fixtures") if fixtures is None else fixtures) / actor.fixture
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{where}: fixture", actor.fixture, "a WAT file in fixtures/") from error


def _written_out(text: str, pieces: dict[str, Repeated], where: str) -> str:
    used = set(_PIECE.findall(text)) if pieces else set()
    if odd := sorted(used ^ pieces.keys()):
        raise InvalidConfiguration(f"{where}: repeated", odd[0], "a piece that the WAT uses as {{…}}")
    written = {name: _times_over(piece) for name, piece in pieces.items()}
    return _PIECE.sub(lambda match: written[match[1]], text) if pieces else text


def _times_over(piece: Repeated) -> str:
    parts = piece.text.split("{#}")
    if len(parts) == 1:
        return piece.text * piece.times
    return "".join([str(number).join(parts) for number in range(piece.times)])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
