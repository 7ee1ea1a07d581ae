"""The files of the suite: found by their names, and read on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_airssys_wasm.conformance.decode import decode_toml
from pytest_airssys_wasm.conformance.model import Case, Chapter

CHAPTER_FILE = "chapter.toml"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """The file of a case."""

    chapter: str
    name: str
    path: Path

    @property
    def node_id(self) -> str:
        """The pytest node id, `conformance/<chapter>/<case>`."""
        return f"conformance/{self.chapter}/{self.name}"

    def load(self) -> Case:
        """Read the case. Raises `InvalidConfiguration`, naming file, table and key."""
        return decode_toml(self.path, Case)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterFile:
    """The file of a chapter, and the case files beside it."""

    name: str
    path: Path

    def load(self) -> Chapter:
        """Read title and requirements. Raises `InvalidConfiguration`, naming file, table and key."""
        return decode_toml(self.path, Chapter)

    def cases(self) -> tuple[CaseFile, ...]:
        """Return the chapter's cases in alphabetical order."""
        files = sorted(self.path.parent.glob("*.toml"))
        return tuple(
            CaseFile(chapter=self.name, name=file.stem, path=file) for file in files if file.name != CHAPTER_FILE
        )


def find_chapters(root: Path | None = None) -> tuple[ChapterFile, ...]:
    """Return the chapters under `root` (the bundled suite when `None`), in alphabetical order."""
    folder = data_folder("conformance") if root is None else root
    return tuple(ChapterFile(name=file.parent.name, path=file) for file in sorted(folder.glob(f"*/{CHAPTER_FILE}")))


def data_folder(name: str) -> Path:
    """Return the folder `conformance` or `fixtures`: inside the package of an installed wheel, else beside it.

    Raises `FileNotFoundError`, naming both places, when the installation holds neither.
    """
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no folder {name!r} at {' or '.join(map(str, places))}")
