"""`python tests/mutants/adapter.py NAME`: the defective runtime of that name as an adapter.

`sound` has no defect, nor has `isolated`, which compiles in processes of their own.
"""

from __future__ import annotations

import operator
import sys
from pathlib import Path


class Planting:
    """What defects use of `pytest.MonkeyPatch`, without the way back: loading pytest takes longer than most defects."""

    setattr = staticmethod(setattr)
    setitem = staticmethod(operator.setitem)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from mutants.catalogue import DEFECTS
    from pytest_airssys_wasm.adapter import main

    name = sys.argv[1]
    if name in DEFECTS:
        DEFECTS[name].plant(Planting())
    main(["--isolation=process"] if name == "isolated" else [])
