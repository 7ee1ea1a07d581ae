"""The command `python -m pytest_airssys_wasm.compare a.json b.json …`, which compares the reports of several runtimes
as Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.reporting import json_report
from pytest_airssys_wasm.reporting.comparison import compare
from pytest_airssys_wasm.reporting.side_by_side import render
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison of the reports. A file that is not a report is a usage error."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_airssys_wasm.compare",
        description="Compare reports of the conformance suite, and print the comparison as Markdown.",
    )
    parser.add_argument("report", nargs="+", type=Path, help="a file that `pytest --wasm-report x.json` has written")
    given = parser.parse_args(arguments).report
    paths = list(dict.fromkeys(given))
    if len(paths) == 1 and len(given) > 1:
        parser.error(f"{paths[0]} would be compared with itself; give two different reports or more")
    if len(paths) < 2:
        parser.error("give two reports or more; --wasm-report x.md shows a single one")
    try:
        reports = {title: json_report.read(path) for title, path in zip(_titles(paths), paths)}
    except InvalidConfiguration as error:
        parser.error(str(error))
    sys.stdout.buffer.write(render(compare(reports)).encode())  # UTF-8, whatever the terminal's encoding


def _titles(paths: Sequence[Path]) -> list[str]:
    """Return the file names without folder and suffix, or the whole paths if the short names are not unique."""
    times = Counter(path.stem for path in paths)
    return [path.stem if times[path.stem] == 1 else str(path) for path in paths]


if __name__ == "__main__":
    main()
