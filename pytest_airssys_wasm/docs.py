"""The command `python -m pytest_airssys_wasm.docs [PAGE[#SECTION]]`, which prints the documentation of this version."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from pytest_airssys_wasm.conformance.loader import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_HEADING = re.compile(r"(#+) +(.+?) *")
_COMMENT = re.compile(r"<!--.*-->")
_FENCE = re.compile(r" *(```|~~~)")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a page, or a section of it, or the names of all pages. Another name is a usage error."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_airssys_wasm.docs",
        description="Print a page of the documentation of this version, or the names of all pages.",
    )
    parser.add_argument(
        "page", nargs="?", metavar="PAGE[#SECTION]", help="a page such as `manifest`, or a section: `manifest#tests`"
    )
    given = parser.parse_args(arguments).page
    folder = data_folder("docs")
    paths = sorted(folder.rglob("*.md"), key=lambda path: (path.parent, path))
    pages = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    if given is None:
        text = "".join(f"{line}\n" for line in _listed(pages, folder))
    else:
        name, _, section = given.partition("#")
        page = pages.get(name.removeprefix("docs/").removesuffix(".md"))
        if page is None:
            parser.error(f"there is no page {name!r}; the pages are {', '.join(pages)}")
        content = page.read_text("utf-8")
        lines = _section(content, section) if section else (line for _, _, line in _lines(content))
        text = "".join(f"{line}\n" for line in lines)
        if not text:
            parser.error(f"{page.stem} has no section {section!r}; it has {', '.join(_anchors(page))}")
    sys.stdout.buffer.write(text.encode())  # UTF-8, whatever the terminal's encoding


def _listed(pages: dict[str, Path], folder: Path) -> Iterator[str]:
    wide = max(map(len, pages), default=0)
    for name, path in pages.items():
        title = next((title for depth, title, _ in _lines(path.read_text("utf-8")) if depth == 1), "")
        yield f"{name:<{wide}}  {title}"
    yield f"The files are in {folder}."


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each line with the depth and the title of the heading that it is; 0 and nothing for other lines.

    Comments, which are for the tools of the project, are left out with the blank line after them.
    """
    is_code = is_after_comment = False
    for line in text.splitlines():
        is_code ^= _FENCE.match(line) is not None
        is_comment = not is_code and _COMMENT.fullmatch(line) is not None
        is_left_out = is_comment or (is_after_comment and not line)
        is_after_comment = is_comment
        if is_left_out:
            continue
        heading = None if is_code else _HEADING.fullmatch(line)
        yield (0, "", line) if heading is None else (len(heading[1]), heading[2].replace("`", ""), line)


def _anchor(title: str) -> str:
    """Return the anchor of a heading, as in links between the pages."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _anchors(page: Path) -> list[str]:
    return [_anchor(title) for depth, title, _ in _lines(page.read_text("utf-8")) if depth > 1]


def _section(text: str, anchor: str) -> Iterator[str]:
    """Yield the lines of a section with all below it; nothing if there is no such section."""
    inside = 0
    for depth, title, line in _lines(text):
        if inside and 0 < depth <= inside:
            return
        if not inside and depth and _anchor(title) == anchor:
            inside = depth
        if inside:
            yield line


if __name__ == "__main__":
    main()
