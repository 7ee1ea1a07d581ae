"""The keys of `item.stash`, in which parts of the plugin store data about an item for other parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.store.store import LimitedStore
    from pytest_airssys_wasm.validation.candidate import Finding

KIND = pytest.StashKey[str]()
"""The kind of item in reports: `case`, `check` or `law`; absent for a Python test."""
REQUIREMENT = pytest.StashKey[str]()
"""The requirement that a conformance case is about."""
PINS = pytest.StashKey["list[str]"]()
"""The findings of a conformance case that has run, as an expectations file names them."""
RERUN_FLAGS = pytest.StashKey[tuple[str, ...]]()
"""The flags without which `pytest <node id>` would not collect the item."""
CHECKED_EXPORT = pytest.StashKey[str]()
"""The full name of the export whose law a check looks for; absent for all other items."""
FINDINGS: pytest.StashKey[list[Finding]] = pytest.StashKey()
"""The laws and worst cases that a check has found when it ran last."""
STORE: pytest.StashKey[LimitedStore] = pytest.StashKey()
"""The store that the test used."""
RUNNING: pytest.StashKey[pytest.Item] = pytest.StashKey()
"""The item that is running, in `config.stash` of a run whose executions are recorded."""
COST_CHANGES = pytest.StashKey[tuple[str, ...]]()
"""The lines about the entries of the fuel snapshot that are not as recorded, in `config.stash` at the end of a session
that has one."""
ROOT_AND_START = "wasm_root_and_start"
"""The key, in the input of an xdist worker, of the paths of the root directory and of the folder in which pytest was
started."""
LIMIT_PAIRS = "airssys_wasm_limit_pairs"
"""The key, in the output of an xdist worker, of the fuel limits and timeouts of its tests that are to be judged."""
NOTE = "wasm_note"
"""The name of the user property that holds the note of a passing check."""
OVERRULED = "wasm_overruled_limit"
"""The name of the user properties that each say which limit of a manifest the command line replaced."""
CUT_OFF = "wasm_search_cut_off"
"""The name of the user property of a passing check whose search was cut off; its value is the time in seconds."""
DENIED_GROWTHS = "wasm_denied_growths"
"""The name of the user property with the number of growths that the memory limit refused during a test."""
