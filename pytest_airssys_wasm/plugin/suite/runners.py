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

    Cases about the compiler have a separate engine, with tight bounds that keep the suite fast. The harmless guests of
    these cases come from the cache. Those whose compilation exceeds the bounds leave nothing there.
    """
    is_own = "isolated-compile" in needs and config.stash[SETTINGS].wasm_runtime is None
    key = _ISOLATED_RUNNER if is_own else _RUNNER
    if key not in config.stash:
        from pytest_airssys_wasm.conformance.inprocess import BOMB_ISOLATION, InProcessRuntime
        from pytest_airssys_wasm.conformance.runner import CaseRunner
        from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder

        runtime: Runtime
        if is_own:
            runtime = InProcessRuntime(new_engine(config, the_engine(config).cache, BOMB_ISOLATION))
        else:
            runtime = the_adapter(config) or InProcessRuntime(the_engine(config))
        scratch = ScratchFolder("suite")
        config.add_cleanup(lambda: scratch.remove())  # which also keeps it until then
        config.stash[key] = CaseRunner(runtime, scratch.path)
    return config.stash[key]
