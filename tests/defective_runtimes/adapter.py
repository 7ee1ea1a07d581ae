"""`python tests/defective_runtimes/adapter.py NAME`: the defective runtime of that name as an adapter; `sound`: none."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    import pytest

    from defective_runtimes.catalogue import DEFECTS
    from pytest_airssys_wasm.adapter import main

    if sys.argv[1] != "sound":
        DEFECTS[sys.argv[1]].plant(pytest.MonkeyPatch())
    main()
