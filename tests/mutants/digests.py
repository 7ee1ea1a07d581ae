"""Short digests of the texts that the record depends on: where a text changes, what is recorded of it is out of date."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from typing import TYPE_CHECKING, NamedTuple

from mutants import mutant
from mutants.catalogue import MUTANTS
from pytest_airssys_wasm.conformance.loader import data_folder, find_chapters

if TYPE_CHECKING:
    from types import ModuleType

_DIGITS = 12
_NEEDS = re.compile(r"^needs = \[[^]]*\]", re.MULTILINE)


def case_digests() -> dict[str, str]:
    """Return the digest of each case: of its file and of the fixtures that it names.

    The capabilities that it needs are left out: mutants have them all, except for that of isolated compilers.
    """
    found = {}
    for chapter in find_chapters():
        for file in chapter.cases():
            case = file.load()
            fixtures = {one.fixture for one in (case, *case.actors) if one.fixture is not None}
            texts = [(data_folder("fixtures") / fixture).read_text("utf-8") for fixture in sorted(fixtures)]
            found[f"{chapter.name}/{file.name}"] = _digest(case_text(file.path.read_text("utf-8")), *texts)
    return found


def case_text(text: str) -> str:
    """Return the text of a case without the capabilities that it needs."""
    return _NEEDS.sub(lambda found: str("isolated-compile" in found[0]), text, count=1)


def mutant_digests() -> dict[str, str]:
    """Return the digest of each mutant: of the function that plants it, and of what that uses of its file and of `mutant.py`."""
    shared = {name: one for name, one in _definitions(mutant).items() if name not in ("Mutant", "Family")}
    rooms: dict[str, dict[str, _Definition]] = {}
    found = {}
    for name, one in MUTANTS.items():
        module = inspect.getmodule(one.plant)
        assert module is not None
        room = rooms.setdefault(module.__name__, {})
        if not room:
            room.update(shared, **_definitions(module))
        found[name] = _digest(*_reached(one.plant.__name__, room))
    return found


class _Definition(NamedTuple):
    text: str
    names: set[str]
    """Used in it."""


def _definitions(module: ModuleType) -> dict[str, _Definition]:
    text = inspect.getsource(module)
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        own = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        for name in _defined(node):
            found[name] = _Definition(own, used)
    return found


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return [one.id for one in getattr(node, "targets", ()) if isinstance(one, ast.Name)]


def _reached(name: str, room: dict[str, _Definition]) -> list[str]:
    reached: set[str] = set()
    todo = {name}
    while todo:
        reached |= todo
        todo = {used for one in todo for used in room[one].names & room.keys()} - reached
    return [room[one].text for one in sorted(reached)]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGITS]
