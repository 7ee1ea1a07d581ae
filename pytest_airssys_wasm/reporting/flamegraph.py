"""Profiles as files: folded stacks, the format of speedscope, and a flame graph as one HTML page without other files.

The flame graph is an SVG that needs no script to be read; a script adds zooming and searching.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zlib import crc32

from markupsafe import Markup
from msgspec import Struct, field

from pytest_airssys_wasm.reporting.page import PageTemplate
from pytest_airssys_wasm.reporting.write import replace_file
from pytest_airssys_wasm.runtime.base.figures import percent, size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from pytest_airssys_wasm.reporting.memory_timeline import MemoryTimeline

    Places: TypeAlias = Mapping[str, tuple[str, int]]
    """The file and the number of a source line, by the name of a function."""

    Stacks: TypeAlias = Mapping[tuple[str, ...], int]
    """Fuel by stack: names of functions, outermost first."""

SUFFIXES = (".folded", ".speedscope.json", ".html")
"""The ends of the names of files with profiles."""
MOST_BOXES = 6_000
"""The number of boxes that a page shows; narrower ones are left out first."""
NOWHERE: Places = MappingProxyType({})
"""The source lines of functions of which none is known."""
_HUES = 6
_MOST_NAME = 160
_MOST_ROWS = 200
_PAGE = PageTemplate("flamegraph", most_text=_MOST_NAME, filters={"size": size})


class Origin(Struct, frozen=True, kw_only=True):
    """The test whose call was profiled, for the page of the profile."""

    test: str
    """The node id of the test."""
    links: tuple[tuple[str, Markup], ...] = ()
    """Links to other pages about the test: their texts, and their addresses relative to the page."""


def address_of(path: str, anchor: str = "") -> Markup:
    """Return the address of a file, given by a path relative to a page, and of a part of it."""
    return Markup(f"./{quote(os.fsencode(path))}" + (f"#{quote(anchor)}" if anchor else ""))


def write(
    path: str | os.PathLike[str],
    stacks: Stacks,
    *,
    title: str,
    total: int,
    samples: int,
    is_difference: bool = False,
    places: Places = NOWHERE,
    origin: Origin | None = None,
    memory: MemoryTimeline | None = None,
) -> None:
    """Write a profile to a file, in the format that its name ends with, and create missing folders.

    Only pages name the test of `origin`, and show the memory. `places` are source lines of functions, by their names.

    Raises `InvalidConfiguration` for another name, and `OSError` if the file cannot be written.
    """
    name = os.fspath(path)
    suffix = next((one for one in SUFFIXES if str(name).lower().endswith(one)), None)
    if suffix is None or Path(name).is_dir():
        raise InvalidConfiguration("profile", str(name), f"a file name that ends in {', '.join(SUFFIXES)}")
    if suffix == ".folded":
        text = folded(stacks)
    elif suffix == ".html":
        text = page(
            stacks,
            title=title,
            total=total,
            samples=samples,
            is_difference=is_difference,
            places=places,
            origin=origin,
            memory=memory,
        )
    else:
        text = speedscope(stacks, title=title, samples=samples, is_difference=is_difference, places=places)
    replace_file(Path(name), text)


def folded(stacks: Stacks) -> str:
    """Return one line for each stack: `outer;inner 1234`, in the order of the names."""
    lines = (f"{';'.join(name.replace(';', ':') for name in stack)} {fuel}\n" for stack, fuel in stacks.items())
    return "".join(sorted(lines))


def speedscope(
    stacks: Stacks,
    *,
    title: str,
    samples: int,
    is_difference: bool = False,
    places: Places = NOWHERE,
) -> str:
    """Return a profile for https://www.speedscope.app; a difference becomes two profiles, of higher and of lower costs.

    The key `samples` is for this package, which can read such files; speedscope ignores it.
    """
    frames: dict[str, int] = {}
    for stack in stacks:
        for name in stack:
            frames.setdefault(name, len(frames))
    parts = {f"{title}: more": 1, f"{title}: less": -1} if is_difference else {title: 1}
    profiles = []
    for name, sign in parts.items():
        some = [(stack, sign * fuel) for stack, fuel in sorted(stacks.items()) if sign * fuel > 0]
        profiles.append(
            {
                "type": "sampled",
                "name": name,
                "unit": "none",
                "startValue": 0,
                "endValue": sum(fuel for _, fuel in some),
                "samples": [[frames[frame] for frame in stack] for stack, _ in some],
                "weights": [fuel for _, fuel in some],
            }
        )
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "pytest-airssys-wasm",
        "name": title,
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(name, places.get(name)) for name in frames]},
        "profiles": profiles,
        "samples": samples,
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _frame(name: str, place: tuple[str, int] | None) -> dict[str, Any]:
    return {"name": name} if place is None else {"name": name, "file": place[0], "line": place[1]}


class _Node(Struct, eq=False):
    """A function in a stack, with what it called."""

    name: str
    own: int = 0
    children: dict[str, _Node] = field(default_factory=dict)
    total: int = 0
    """The fuel with all that it called; negative where a difference is less."""
    width: int = 0
    """The fuel that it is drawn for: that of all its stacks, without signs."""

    def add_up(self) -> None:
        """Set the sums of this node and of all below it."""
        # Stacks are at most as deep as backtraces are read.
        for child in self.children.values():
            child.add_up()
        self.total = self.own + sum(child.total for child in self.children.values())
        self.width = abs(self.own) + sum(child.width for child in self.children.values())


class Box(Struct, frozen=True, kw_only=True):
    """A rectangle of the flame graph: a function in a stack."""

    name: str
    start: float
    """The left edge, from 0 to 1."""
    width: float
    """The share of the whole, from 0 to 1."""
    depth: int
    fuel: int
    """The fuel with all that it called."""
    own: int
    """The fuel of its own."""
    colour: str
    """The name of a class: one of the hues, or `more` or `less`."""

    @property
    def figures(self) -> str:
        """The fuel, and the part of its own."""
        return f"{self.fuel:,} fuel, {self.own:,} of its own"


def boxes(stacks: Stacks, *, is_difference: bool = False) -> tuple[Box, ...]:
    """Lay out a flame graph: outermost functions first, and below each one what it called, by name.

    The widths are exact shares. If there are too many boxes for a page, the narrowest are left out.
    """
    root = _Node("")
    for stack, fuel in stacks.items():
        node = root
        for name in stack:
            node = node.children.setdefault(name, _Node(name))
        node.own += fuel
    root.add_up()
    found = [*_laid_out(root, 0, 0, root.width or 1, is_difference)]
    found.sort(key=lambda box: (-box.width, box.depth, box.start))
    return tuple(sorted(found[:MOST_BOXES], key=lambda box: (box.depth, box.start)))


def _laid_out(node: _Node, start: int, depth: int, whole: int, is_difference: bool) -> Iterator[Box]:
    for name, child in sorted(node.children.items()):
        if child.width:
            sign = "more" if child.total > 0 else "less" if child.total < 0 else "same"
            yield Box(
                name=name,
                start=start / whole,
                width=child.width / whole,
                depth=depth,
                fuel=child.total,
                own=child.own,
                colour=sign if is_difference else f"hue{crc32(name.encode('utf-8', 'surrogatepass')) % _HUES}",
            )
            yield from _laid_out(child, start, depth + 1, whole, is_difference)
        start += child.width


def page(
    stacks: Stacks,
    *,
    title: str,
    total: int,
    samples: int,
    is_difference: bool = False,
    places: Places = NOWHERE,
    origin: Origin | None = None,
    memory: MemoryTimeline | None = None,
) -> str:
    """Return a flame graph with a table of the functions and a timeline of the memory, as one HTML page."""
    found = boxes(stacks, is_difference=is_difference)
    rows = _rows(stacks)
    content = {
        "title": title,
        "origin": origin,
        "places": {name: f"{file}:{line}" for name, (file, line) in places.items()},
        "total": total,
        "samples": samples,
        "is_difference": is_difference,
        "more": sum(fuel for fuel in stacks.values() if fuel > 0),
        "less": sum(fuel for fuel in stacks.values() if fuel < 0),
        "boxes": found,
        "left_out": _count(stacks) - len(found),
        "depth": 1 + max((box.depth for box in found), default=0),
        "rows": rows[:_MOST_ROWS],
        "share": lambda fuel: percent(100 * fuel / total if total else 0),
        "rows_left_out": max(0, len(rows) - _MOST_ROWS),
        "memory": memory,
    }
    return _PAGE.render(content)


def _count(stacks: Stacks) -> int:
    return len({stack[: depth + 1] for stack, fuel in stacks.items() if fuel for depth in range(len(stack))})


def _rows(stacks: Stacks) -> list[tuple[str, int, int]]:
    """Return the functions with their own fuel and that with all they called, the dearest on its own first."""
    own: dict[str, int] = {}
    whole: dict[str, int] = {}
    for stack, fuel in stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + fuel
        for name in set(stack):
            whole[name] = whole.get(name, 0) + fuel
    return sorted(
        ((name, own.get(name, 0), fuel) for name, fuel in whole.items()),
        key=lambda row: (-abs(row[1]), -abs(row[2]), row[0]),
    )
