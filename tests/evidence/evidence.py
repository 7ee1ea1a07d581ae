"""The evidence that what is said of costs is true. This program plants changes of which the effect is known, and counts
how many of them are told as what they are.

    python tests/evidence/evidence.py
    python tests/evidence/evidence.py laws slowdowns
    python tests/evidence/evidence.py pairs --python .venv-3.10/bin/python --python .venv-3.13/bin/python

It prints a table with a row for each claim, and exits with 1 where one does not hold. `--scale 0.1` makes a tenth of
the trials.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from evidence import exceptions, laws, limits, profiles, snapshots
from pytest_airssys_wasm import WasmEngine
from support.fork_server import Forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from evidence.claim import Claim


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the trials, and print what they show; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("claims", nargs="*", metavar="claim", help=f"of {', '.join(CLAIMS)} (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the trials that are made")
    parser.add_argument(
        "--python",
        action="append",
        type=lambda path: Path(path).absolute(),
        help="an interpreter that has this package, for pairs of runs",
    )
    parser.add_argument(
        "--guest",
        action="append",
        nargs=2,
        metavar=("FILE", "EXPORT"),
        help="a guest more, whose law and limits are tried",
    )
    options = parser.parse_args(arguments)
    unknown = [*set(options.claims) - {*CLAIMS}]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(CLAIMS)}")
    print("| claim | trials | wrong | | seconds |\n|---|--:|--:|---|--:|", flush=True)
    wrong: list[str] = []
    for name in options.claims or CLAIMS:
        started = time.monotonic()
        for claim in CLAIMS[name](options):
            seconds, started = time.monotonic() - started, time.monotonic()
            print(
                f"| {claim.text} | {claim.trials:,} | {len(claim.wrong)} | {claim.note} | {seconds:.0f} |", flush=True
            )
            wrong += [f"{claim.text}: {one}" for one in claim.wrong if len(claim.wrong) > claim.allowed]
    print("".join(f"\n{one}" for one in wrong))
    return 1 if wrong else 0


def _count(options: argparse.Namespace, trials: int) -> int:
    return max(1, round(options.scale * trials))


def _edits(options: argparse.Namespace) -> Iterator[Claim]:
    forks = Forks()
    yield snapshots.edits(_count(options, 200), forks)
    forks.close()


def _pairs(options: argparse.Namespace) -> Iterator[Claim]:
    yield snapshots.pairs(_count(options, 20), options.python or [Path(sys.executable)])


def _laws(options: argparse.Namespace) -> Iterator[Claim]:
    engine = WasmEngine()
    yield laws.of_kernels(engine, _count(options, 1_000))
    more = [(Path(file), export) for file, export in options.guest or ()]
    yield laws.of_guests(engine, _count(options, 1_000), more)


def _coefficients(options: argparse.Namespace) -> Iterator[Claim]:
    yield laws.coefficients(WasmEngine(), _count(options, 100))


def _exceptions(options: argparse.Namespace) -> Iterator[Claim]:
    yield exceptions.exceptions(WasmEngine(), _count(options, 200))


def _limits(options: argparse.Namespace) -> Iterator[Claim]:
    more = [(Path(file), export) for file, export in options.guest or ()]
    yield limits.tightest(WasmEngine(), _count(options, 10), more)


def _splits(options: argparse.Namespace) -> Iterator[Claim]:
    yield profiles.splits(WasmEngine(), _count(options, 20))


def _slowdowns(options: argparse.Namespace) -> Iterator[Claim]:
    yield profiles.slowdowns(WasmEngine(), _count(options, 50))


CLAIMS: dict[str, Callable[[argparse.Namespace], Iterator[Claim]]] = {
    "edits": _edits,
    "pairs": _pairs,
    "laws": _laws,
    "coefficients": _coefficients,
    "exceptions": _exceptions,
    "limits": _limits,
    "splits": _splits,
    "slowdowns": _slowdowns,
}


if __name__ == "__main__":
    sys.exit(main())
