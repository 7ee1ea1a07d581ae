"""The division of the command line arguments into cases of the bundled suite and files."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = "conformance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The arguments, divided into files and cases."""

    files: tuple[str, ...]
    """The arguments that pytest collects itself."""
    node_ids: tuple[str, ...]
    """The node ids of cases, chapters or the whole suite."""

    def holds(self, node_id: str) -> bool:
        """Return whether a node of the suite, or any node below it, is selected."""
        return any(_is_within(node_id, chosen) or _is_within(chosen, node_id) for chosen in self.node_ids)


def select(config: pytest.Config, known: Iterable[str], suite: Path) -> Selection:
    """Divide the arguments. An argument that is an existing file or folder is left to pytest, unless it is in the
    `suite` folder.

    `known` are the node ids of chapters and cases. Raises `pytest.UsageError` for a case that does not exist.
    """
    files: list[str] = []
    chosen: list[str] = []
    known = {ROOT, *known}
    for argument in config.args:
        node_id = _node_id(config, argument, suite)
        if node_id is None:
            files.append(argument)
        elif node_id in known:
            chosen.append(node_id)
        else:
            raise pytest.UsageError(f"there is no conformance case or chapter {node_id}; {_hint(node_id, known)}")
    if not chosen and not any("::" in argument for argument in files):
        chosen.append(ROOT)  # single tests of other files were asked for otherwise
    return Selection(files=tuple(files), node_ids=tuple(chosen))


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
    if place.exists():
        inside = _relative(place, suite)
        return None if inside is None else "/".join((ROOT, *inside.parts)).removesuffix(".toml")
    if _is_within(argument, ROOT):
        return argument.rstrip("/")
    shown = _relative(place, config.rootpath)
    return shown.as_posix() if shown is not None and shown.parts[:1] == (ROOT,) else None


def _relative(path: Path, base: Path) -> Path | None:
    return path.relative_to(base) if path.is_relative_to(base) else None


def _is_within(node_id: str, above: str) -> bool:
    return node_id == above or node_id.startswith(above + "/")
