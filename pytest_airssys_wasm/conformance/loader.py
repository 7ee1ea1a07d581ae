"""The files of the suite, which are found by their names and read on demand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from pytest_airssys_wasm.conformance.model import Case, Chapter
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.base.regular_files import TEXT_BYTES, read_regular
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

CHAPTER_FILE = "chapter.toml"
_PACKAGE = Path(__file__).resolve().parents[1]


class CaseFile(Struct, frozen=True, kw_only=True):
    """The file of a case."""

    chapter: str
    name: str
    path: Path

    @property
    def node_id(self) -> str:
        """The pytest node id, `conformance/<chapter>/<case>`."""
        return f"conformance/{self.chapter}/{self.name}"

    def load(self) -> Case:
        """Read the case.

        Raises `InvalidConfiguration`, which names the file, the table and the key, for a file that is not valid.
        """
        return decode_toml(self.path, Case)


class ChapterFile(Struct, frozen=True, kw_only=True):
    """The file of a chapter, and the case files beside it."""

    name: str
    path: Path

    def load(self) -> Chapter:
        """Read the title and the requirements.

        Raises `InvalidConfiguration`, which names the file, the table and the key, for a file that is not valid.
        """
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
    """Return the folder `conformance`, `docs` or `fixtures`: inside the package of an installed wheel, else beside it.

    Raises `FileNotFoundError`, which names both places, if the folder does not exist in either.
    """
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no folder {name!r} at {' or '.join(map(str, places))}")


Model = TypeVar("Model")

_EXPECTED = re.compile(r"Expected (?P<wanted>.*?)(?:, got .*)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`", re.DOTALL)


def decode_toml(path: Path, model: type[Model]) -> Model:
    """Return the content of a TOML file as a `model`.

    Raises `InvalidConfiguration` if the file cannot be read, is not TOML, or does not fit the model.
    """
    try:
        text = read_regular(path, TEXT_BYTES).decode("utf-8")
    except OSError as error:
        raise InvalidConfiguration(str(path), error.strerror or str(error), "a readable UTF-8 file") from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(
            str(path), f"byte 0x{error.object[error.start]:02x}", "a readable UTF-8 file"
        ) from error
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise InvalidConfiguration(str(path), str(error), "TOML") from error
    return convert(data, model, str(path))


def convert(data: Any, model: type[Model], file: str) -> Model:
    """Return decoded data as a `model`.

    Raises `InvalidConfiguration`, whose message begins with `file`, if the data does not fit the model.
    """
    try:
        return msgspec.convert(data, model)
    except msgspec.ValidationError as error:
        raise _located(file, data, model, str(error)) from error


def _located(file: str, data: Any, model: type[Any], message: str) -> InvalidConfiguration:
    text, _, path = message.partition(" - at `")
    path = _with_keys(data, model, path.removesuffix("`").removeprefix("$"))
    given: Any = _at(data, path)
    wanted = text
    if unknown := _UNKNOWN.fullmatch(text):
        path, wanted = f"{path}.{unknown['key']}", "a known key"
        given = _at(data, path)
    elif missing := _MISSING.fullmatch(text):
        path, wanted, given = f"{path}.{missing['key']}", "this key", "nothing"
    elif expected := _EXPECTED.fullmatch(text):
        wanted = expected["wanted"]
    place = path.removeprefix(".")
    return InvalidConfiguration(f"{file}: {place}" if place else file, given, wanted)


def _with_keys(data: Any, model: type[Any], path: str) -> str:
    """Return the path with the actual key in place of `[...]`, which msgspec writes for the key of a mapping."""
    while "[...]" in path:
        before, _, after = path.partition("[...]")
        table = _at(data, before)
        for key, value in table.items():
            alone = _replaced(data, _keys(before), {key: value})
            try:
                msgspec.convert(alone, model)
            except msgspec.ValidationError:
                path, data = f"{before}.{key}{after}", alone
                break
        else:
            break
    return path


def _keys(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]


def _at(data: Any, path: str) -> Any:
    for key in _keys(path):
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _replaced(data: Any, keys: list[str | int], value: Any) -> Any:
    if not keys:
        return value
    first, *rest = keys
    if isinstance(first, int):
        return [_replaced(item, rest, value) if i == first else item for i, item in enumerate(data)]
    return {**data, first: _replaced(data[first], rest, value)}
