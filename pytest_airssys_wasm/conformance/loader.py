"""Finds chapters and cases by their file names, and reads them when they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_airssys_wasm.conformance.data import data_folder
from pytest_airssys_wasm.conformance.decode import decode_toml
from pytest_airssys_wasm.conformance.model import Case, Chapter
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.conformance.model import Actor, Repeated

CHAPTER_FILE = "chapter.toml"
_PIECE = re.compile(r"\{\{([a-z][a-z0-9-]*)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A case by its place; its content is read on demand."""

    chapter: str
    name: str
    path: Path

    @property
    def node_id(self) -> str:
        """`conformance/<chapter>/<case>`."""
        return f"conformance/{self.chapter}/{self.name}"

    def load(self) -> Case:
        """The case. Raises `InvalidConfiguration`, naming file, table and key."""
        return decode_toml(self.path, Case)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterFile:
    """A chapter by its place; its content is read on demand."""

    name: str
    path: Path

    def load(self) -> Chapter:
        """Title and requirements. Raises `InvalidConfiguration`, naming file, table and key."""
        return decode_toml(self.path, Chapter)

    def cases(self) -> tuple[CaseFile, ...]:
        """The chapter's cases in alphabetical order."""
        files = sorted(self.path.parent.glob("*.toml"))
        return tuple(
            CaseFile(chapter=self.name, name=file.stem, path=file) for file in files if file.name != CHAPTER_FILE
        )


def find_chapters(root: Path | None = None) -> tuple[ChapterFile, ...]:
    """The chapters under `root` (the bundled suite when `None`), in alphabetical order."""
    folder = data_folder("conformance") if root is None else root
    return tuple(ChapterFile(name=file.parent.name, path=file) for file in sorted(folder.glob(f"*/{CHAPTER_FILE}")))


def source_text(actor: Actor, where: str, fixtures: Path | None = None) -> str:
    """The WAT of the actor's component, inline or from the fixtures folder, with its repeated pieces written out.

    Raises `InvalidConfiguration`, beginning with `where`, when there is none, or a piece is unknown or unused.
    """
    return _written_out(_source(actor, where, fixtures), actor.repeated, where)


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
        raise InvalidConfiguration(f"{where}: repeated", odd[0], "a piece that the WAT names as {{…}}, and only those")
    written = {name: _times_over(piece) for name, piece in pieces.items()}
    return _PIECE.sub(lambda match: written[match[1]], text) if pieces else text


def _times_over(piece: Repeated) -> str:
    if "{#}" not in piece.text:
        return piece.text * piece.times
    return "".join(piece.text.replace("{#}", str(number)) for number in range(piece.times))
