"""The writing of a report to a file, in the format that the suffix of the file name stands for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.reporting.changes import Changes
    from pytest_airssys_wasm.reporting.model import Report

SUFFIXES = (".json", ".md", ".html")
"""The suffixes of report files."""


def check_path(path: Path, where: str = "report") -> None:
    """Raise `InvalidConfiguration`, whose message begins with `where`, unless the suffix is that of a report."""
    if path.suffix.lower() not in SUFFIXES or path.is_dir():
        raise InvalidConfiguration(where, str(path), f"a file name that ends in {', '.join(SUFFIXES)}")


def write(report: Report, path: Path, changes: Changes | None = None) -> None:
    """Write the report to a file, and create missing parent folders. The file is replaced atomically.

    The changes since an earlier report become a part of Markdown and HTML, but not of JSON, whose readers can compare.

    Raises `InvalidConfiguration` for a name without the suffix of a report, and `OSError` if the file cannot be
    written.
    """
    check_path(path)
    replace_file(path, _render(report, path.suffix.lower(), changes))


def replace_file(path: Path, text: str) -> None:
    """Write a text to a file, which is replaced atomically, and create missing parent folders. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(text.encode("utf-8"))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _render(report: Report, suffix: str, changes: Changes | None) -> str:
    # The modules of a format are imported for that format only.
    if suffix == ".json":
        from pytest_airssys_wasm.reporting import json_report

        return json_report.render(report)
    if suffix == ".md":
        from pytest_airssys_wasm.reporting import markdown

        return markdown.render(report, changes)
    from pytest_airssys_wasm.reporting import html

    return html.render(report, changes)
