"""The hook of `mkdocs.yml` that adds the pages to the site, at the same paths as in the repository.

Pages link to each other, and to sources, by relative paths. Because the site has the same tree as the repository, these
links work in both without being rewritten. A file that a page links to and that is not a page becomes a file of the
site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "examples/**/README.md")
_LINK = re.compile(r"\]\(([^)#:\s]+)[^)]*\)")


def pages() -> list[Path]:
    """Return the paths of all pages."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path for path in found if "node_modules" not in path.parts)


def linked_sources(page: Path) -> set[Path]:
    """Return the files in the repository, other than pages, to which a page links."""
    targets = {(page.parent / target).resolve() for target in _LINK.findall(page.read_text("utf-8"))}
    return {path for path in targets if path.is_file() and path.is_relative_to(ROOT) and path.suffix != ".md"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Replace the files below `docs_dir` by all pages, and keep the files of the theme."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    sources = {path for page in pages() for path in linked_sources(page)}
    for path in [*pages(), *sorted(sources)]:
        uri = path.relative_to(ROOT).as_posix()
        added = File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.INCLUDED)
        files.append(added)
    return files
