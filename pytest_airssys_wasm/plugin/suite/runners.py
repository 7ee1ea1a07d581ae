"""The runners of conformance cases, which all cases of a pytest process share. They are created on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.adapter import the_adapter
from pytest_airssys_wasm.plugin.engine import new_engine, the_engine
from pytest_airssys_wasm.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_airssys_wasm.conformance.runner import CaseRunner
    from pytest_airssys_wasm.protocol.messages import Runtime

_RUNNER: pytest.StashKey[CaseRunner] = pytest.StashKey()
_ISOLATED_RUNNER: pytest.StashKey[CaseRunner] = pytest.StashKey()


def the_runner(config: pytest.Config, needs: Collection[str] = ()) -> CaseRunner:
    """Return the runner of the conformance cases that need these capabilities.

    Cases about the compiler have a separate engine. It has tight bounds, which keep the suite fast, and no cache,
    because the guests of these cases would displace those of the user.
    """
    is_own = "isolated-compile" in needs and config.stash[SETTINGS].wasm_runtime is None
    key = _ISOLATED_RUNNER if is_own else _RUNNER
    if key not in config.stash:
        from pytest_airssys_wasm.conformance.inprocess import BOMB_ISOLATION, InProcessRuntime
        from pytest_airssys_wasm.conformance.runner import CaseRunner
        from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder

        runtime: Runtime
        if is_own:
            runtime = InProcessRuntime(new_engine(config, None, BOMB_ISOLATION))
        else:
            runtime = the_adapter(config) or InProcessRuntime(the_engine(config))
        scratch = ScratchFolder("suite")
        config.add_cleanup(lambda: scratch.remove())  # which also keeps it until then
        config.stash[key] = CaseRunner(runtime, scratch.path)
    return config.stash[key]
