"""The division of the command line arguments into cases of the bundled suite and files."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from pytest_airssys_wasm.conformance.loader import CHAPTER_FILE, data_folder
from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = "conformance"


class Selection(Struct, frozen=True, kw_only=True):
    """The arguments, divided into files and cases."""

    files: tuple[str, ...]
    """The arguments that pytest collects itself."""
    node_ids: tuple[str, ...]
    """The node ids of cases, chapters or the whole suite; empty if nothing of the suite is to run."""

    def holds(self, node_id: str) -> bool:
        """Return whether a node of the suite, or any node below it, is selected."""
        return any(_is_within(node_id, chosen) or _is_within(chosen, node_id) for chosen in self.node_ids)

    def check(self, node_ids: Iterable[str]) -> None:
        """Raise `pytest.UsageError` for a case that is selected and is not among the node ids of the suite."""
        known = {ROOT, *node_ids}
        for chosen in self.node_ids:
            if chosen not in known:
                raise pytest.UsageError(f"there is no conformance case or chapter {chosen}; {_hint(chosen, known)}")


def select(config: pytest.Config) -> Selection:
    """Divide the arguments. An argument that is an existing file or folder is left to pytest, unless it is in the suite
    or is a copy of a part of it.

    With `--wasm-conformance=auto` the suite runs if it is named, or if the command line names nothing; with `always` it
    runs in any case. Raises `pytest.UsageError` if it is named with `never`.
    """
    when = config.stash[SETTINGS].wasm_conformance
    suite = data_folder("conformance")
    found = [(argument, _node_id(config, argument, suite)) for argument in config.args]
    chosen = [node_id for _, node_id in found if node_id is not None]
    if when == "never" and chosen:
        raise pytest.UsageError(f"{chosen[0]} is a part of the suite, which --wasm-conformance=never leaves out")
    has_paths = config.args_source is pytest.Config.ArgsSource.ARGS
    if not chosen and (when == "always" or (when == "auto" and not has_paths)):
        chosen = [ROOT]
    return Selection(files=tuple(argument for argument, node_id in found if node_id is None), node_ids=tuple(chosen))


def _hint(node_id: str, known: set[str]) -> str:
    near = difflib.get_close_matches(node_id, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(sorted(known - {ROOT})[:3])} …"


def _node_id(config: pytest.Config, argument: str, suite: Path) -> str | None:
    """Return the node id that an argument stands for: a node id, a node id as pytest shows it in a subfolder, or a file
    of the suite.
    """
    if "::" in argument:
        return None
    place = Path(os.path.normpath(config.invocation_params.dir / argument))
    if os.path.exists(place):  # noqa: PTH110 never raises an error
        inside = _relative(place, suite)
        if inside is None:
            inside = _within_copy(place)
        return None if inside is None else "/".join((ROOT, *inside.parts)).removesuffix(".toml")
    if _is_within(argument, ROOT):
        return argument.rstrip("/")
    shown = _relative(place, config.rootpath)
    return shown.as_posix() if shown is not None and shown.parts[:1] == (ROOT,) else None


def _within_copy(place: Path) -> Path | None:
    """Return the path inside a folder `conformance` with chapters, such as the one of a checkout whose package is
    installed elsewhere; `None` for any other path.
    """
    chapter = place.parent if place.suffix == ".toml" else place
    if place.name == ROOT and next(place.glob(f"*/{CHAPTER_FILE}"), None) is not None:
        return Path()
    is_chapter = chapter.parent.name == ROOT and os.path.isfile(chapter / CHAPTER_FILE)  # noqa: PTH113
    return place.relative_to(chapter.parent) if is_chapter else None


def _relative(path: Path, base: Path) -> Path | None:
    return path.relative_to(base) if path.is_relative_to(base) else None


def _is_within(node_id: str, above: str) -> bool:
    return node_id == above or node_id.startswith(above + "/")
