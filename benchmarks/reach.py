"""All costs as ratios to the same work done by hand, in one run: `python benchmarks/reach.py`.

With `--quick`, each row is measured just enough to see that it works. With words, only the rows whose names contain one
of them are measured. A ratio below 1 means that this package is faster. The column `floor` is the C floor, where there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alternation import FULL, QUICK, alternate
from calls import CALLS
from floor import compile_floor
from runs import RUNS
from session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from alternation import Repeat


class Row(NamedTuple):
    """A row of the table."""

    name: str
    most: float
    """The ratio that is to be reached."""
    beside: str
    """The name of the work with which the time is compared."""
    sides: Callable[[Session], dict[str, Repeat]]
    """A function that prepares the work: `ours`, `other`, and `floor` if there is one."""


ROWS = [Row(*row) for row in (*CALLS, *RUNS)]


def line_of(row: Row, session: Session) -> str:
    """Measure a row, and return its line of the table."""
    found = alternate(row.sides(session), session.effort)
    ratio = found["ours"] / found["other"]
    floor = f"{found['floor'] / found['other']:8.4f}" if "floor" in found else f"{'-':>8}"
    verdict = "tried" if session.is_quick else "reached" if ratio <= row.most else "missed"
    times = "".join(f"{found[side] * 1e6:14,.1f}" for side in ("ours", "other"))
    return f"{row.name:38}{ratio:10.4f}{row.most:8g}  {verdict:8}{floor}{times}  {row.beside}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only try whether each row can be measured")
    parser.add_argument("names", nargs="*", help="a part of the names of the rows that are measured")
    given = parser.parse_args()
    print(f"{'':38}{'ratio':>10}{'at most':>8}  {'':8}{'floor':>8}{'here, µs':>14}{'other, µs':>14}  other")
    with tempfile.TemporaryDirectory() as folder:
        session = Session(QUICK if given.quick else FULL, compile_floor(Path(folder)), Path(folder))
        for row in ROWS:
            if not given.names or any(name in row.name for name in given.names):
                print(line_of(row, session), flush=True)
    if session.floor is None:
        print("There is no C floor, because no C compiler was found.")


if __name__ == "__main__":
    sys.exit(main())
