"""The check whether a component implements a world: it compares the names of exports with those in a WIT file.

Only the parts of WIT that declare names are read: the package, and the `export` and `include` statements of worlds.
Types are not compared: the guest's compiler and the calls of the test check them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.regular_files import TEXT_BYTES, read_regular
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidComponent, InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_airssys_wasm.runtime.guest.component import Component

# They are compiled on first use, because few tests name a world.
_COMMENT = r"//[^\n]*|/\*(?s:.*?)\*/"
_PACKAGE = r"\bpackage\s+([^\s;@{]+)(@[^\s;{]+)?\s*;"
_WORLD = r"\bworld\s+%?([\w-]+)\s*\{"
_GATES = r"(@\w+\s*(\([^)]*\))?\s*)+"
_STATEMENT = r"(export|include)\s+((?s:.+))"
_INLINE = r"%?([\w-]+)\s*:(?![\w-]+/)"


def check_world(component: Component, file: Path, world: str | None) -> None:
    """Check that `component` has the exports of a world.

    `world` may be `None` if the file declares only one. Raises `InvalidComponent`, which names the missing exports, and
    `InvalidConfiguration` if the file does not have the world, or has several and `world` is `None`.
    """
    name, exports = read_exports(file, world)
    missing = [export for export in exports if export not in component.exports]
    if missing:
        names = ", ".join(missing)
        raise InvalidComponent(f"{component!r} does not implement world {name} of {file}: it does not export {names}")


def read_exports(file: Path, world: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the name and the exports of a world.

    Raises `InvalidConfiguration` if the file cannot be read, does not have the world, or has several and none is named.
    """
    try:
        text = re.sub(_COMMENT, " ", read_regular(file, TEXT_BYTES).decode("utf-8"))
    except OSError as error:
        raise InvalidConfiguration(str(file), error.strerror, "a file that can be read") from None
    except UnicodeDecodeError:
        raise InvalidConfiguration(str(file), "other bytes", "WIT text in UTF-8") from None
    bodies = {match[1]: _body(text, match.end()) for match in re.finditer(_WORLD, text)}
    if world is None and len(bodies) == 1:
        world = next(iter(bodies))
    if world is None or world not in bodies:
        wanted = f"one of its worlds, as {file.name}#name: {', '.join(bodies)}" if bodies else "a file with a world"
        raise InvalidConfiguration(str(file), NOTHING if world is None else world, wanted)
    return world, tuple(_exports(file, text, bodies, world, set()))


def _exports(file: Path, text: str, bodies: dict[str, str], world: str, seen: set[str]) -> Iterator[str]:
    seen.add(world)
    package = re.search(_PACKAGE, text)
    for statement in _statements(bodies[world]):
        match = re.fullmatch(_STATEMENT, statement)
        if match is None:
            continue
        what, rest = match[1], match[2].strip()
        if what == "include":
            included = rest.split()[0].lstrip("%")
            if included not in bodies:
                raise InvalidConfiguration(f"{file}: world {world}: include", included, "a world of the same file")
            if included not in seen:
                yield from _exports(file, text, bodies, included, seen)
        elif inline := re.match(_INLINE, rest):
            yield inline[1]
        elif ":" in rest or package is None:
            yield rest
        else:
            yield f"{package[1]}/{rest.lstrip('%')}{package[2] or ''}"


def _body(text: str, start: int) -> str:
    depth, at = 1, start
    while depth and at < len(text):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start : at - 1]


def _statements(body: str) -> Iterator[str]:
    """Yield the statements in the body of a world, without the text in braces."""
    depth, statement = 0, ""
    for character in body:
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if not depth:
                yield _plain(statement)
                statement = ""
        elif not depth and character == ";":
            yield _plain(statement)
            statement = ""
        elif not depth:
            statement += character


def _plain(statement: str) -> str:
    statement = statement.strip()
    gates = re.match(_GATES, statement)
    return statement[gates.end() :] if gates else statement
