"""`python tests/mutants/adapter.py NAME`: the mutant of that name as an adapter.

`sound` is the runtime without a mutation; so is `isolated`, which compiles in processes of its own.
"""

from __future__ import annotations

import operator
import sys
from pathlib import Path


class Planting:
    """The part of `pytest.MonkeyPatch` that mutants use, without undo: importing pytest takes longer than most of them."""

    setattr = staticmethod(setattr)
    setitem = staticmethod(operator.setitem)


def serve(name: str) -> None:
    """Be the adapter of this name from here on."""
    from mutants.catalogue import MUTANTS
    from pytest_airssys_wasm.adapter import main

    if name in MUTANTS:
        MUTANTS[name].plant(Planting())
    elif name not in ("sound", "isolated"):
        sys.exit(f"there is no mutant {name!r}: the names are those of docs/matrix.md, in kebab case")
    main(["--isolation=process"] if name == "isolated" else [])


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    serve(sys.argv[1])
