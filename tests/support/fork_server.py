"""A process that has imported what pytest and this package need, and forks for each run of pytest.

A run in it is a run in a process of its own, without the second that the imports take. It is started as a script by
`Forks`, and reads a line of JSON for each run.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_IMPORTED = (
    "pytest",
    "wasmtime",
    "xdist.dsession",
    "xdist.workermanage",
    "hypothesis.internal.conjecture.engine",
    "hypothesis.strategies",
    "pytest_airssys_wasm.analysis.blaming",
    "pytest_airssys_wasm.analysis.failed_call",
    "pytest_airssys_wasm.isolation.backend",
    "pytest_airssys_wasm.isolation.compile",
    "pytest_airssys_wasm.isolation.process_isolation",
    "pytest_airssys_wasm.plugin.components.worlds",
    "pytest_airssys_wasm.plugin.coverage.hooks",
    "pytest_airssys_wasm.plugin.fixtures",
    "pytest_airssys_wasm.plugin.fuel_against_time",
    "pytest_airssys_wasm.plugin.header",
    "pytest_airssys_wasm.plugin.late_markers",
    "pytest_airssys_wasm.plugin.lazy_instance",
    "pytest_airssys_wasm.plugin.parts",
    "pytest_airssys_wasm.plugin.profiles.hooks",
    "pytest_airssys_wasm.plugin.report.differences",
    "pytest_airssys_wasm.plugin.report.making",
    "pytest_airssys_wasm.plugin.report.progress",
    "pytest_airssys_wasm.plugin.report.records",
    "pytest_airssys_wasm.plugin.report.summary",
    "pytest_airssys_wasm.plugin.report.tracebacks",
    "pytest_airssys_wasm.plugin.snapshot.hooks",
    "pytest_airssys_wasm.plugin.suggestions.hooks",
    "pytest_airssys_wasm.reporting.html",
    "pytest_airssys_wasm.reporting.markdown",
    "pytest_airssys_wasm.reporting.write",
    "pytest_airssys_wasm.runtime.compile.cache",
    "pytest_airssys_wasm.runtime.engine",
    "pytest_airssys_wasm.runtime.execution.awaiting.event_loop",
    "pytest_airssys_wasm.validation.checks",
    "pytest_airssys_wasm.validation.cost_laws",
)
"""Modules that take time; none of `conformance`, in which projects replace the folder of the suite."""

_LEFT_OUT = ("asyncio", "randomly")
"""Plugins of others that most runs do not load."""


def plain_environment() -> dict[str, str]:
    """Return the environment for a pytest that a test runs: nothing in it says how the test's own pytest was started."""
    return {
        key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(("PYTEST_", "COV_CORE_"))
    }


class Forks:
    """The other end of the pipe: runs of pytest, each in a process of its own."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=plain_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(
        self, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str]:
        """Run `python -m pytest` with these arguments; return the exit status, and stdout and stderr as one text."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as output:
            order = {"argv": [*arguments], "cwd": str(cwd), "env": dict(environment), "output": output.name}
            self._server.stdin.write(json.dumps(order) + "\n")
            ready, _, _ = select.select([self._server.stdout], [], [], timeout_s)
            if not ready:
                self.close()
                raise subprocess.TimeoutExpired([*arguments], timeout_s, output.read())
            status = json.loads(self._server.stdout.readline())
            return status, output.read()

    def close(self) -> None:
        """End the server, and the run in it."""
        self._server.kill()
        self._server.communicate()


def serve() -> None:
    """Fork for each line on stdin, and write the exit status of the run to stdout."""
    answers = os.dup(1)
    os.dup2(2, 1)
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers)
            _run(order)
        _, status = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


def _run(order: Mapping[str, str]) -> None:
    """Be `python -m pytest`, in this folder and with this environment, from here on."""
    output = os.open(order["output"], os.O_WRONLY)
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.argv = ["pytest", *order["argv"]]
    sys.modules["hypothesis.configuration"].set_hypothesis_home_dir(Path(order["cwd"], ".hypothesis"))
    try:
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        _end(end.code)


def _end(status: str | int | None) -> None:
    """End as the interpreter does, but leave the modules as they are.

    To clear them copies every page that is shared with the server, which takes longer than many runs. Runs in processes
    that tests start otherwise end with all of it.
    """
    if isinstance(status, str):
        sys.stderr.write(status + "\n")
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError):  # it was closed
            stream.flush()
    os._exit(status or 0)


def _import_all() -> None:
    from _pytest.config import default_plugins

    before = {*sys.modules}
    plugins = (one.module for one in entry_points(group="pytest11") if one.name not in _LEFT_OUT)
    for name in (*_IMPORTED, *(f"_pytest.{name}" for name in default_plugins), *plugins):
        importlib.import_module(name)
    for name in sys.modules.keys() - before:
        # pytest warns of plugins that it cannot rewrite any more, but for those that ask for that.
        module = sys.modules[name]
        module.__doc__ = f"{module.__doc__} PYTEST_DONT_REWRITE"


def _try_hypothesis() -> None:
    """Let Hypothesis make what it keeps for a process: tables of characters, and the constants in the modules there are."""
    from hypothesis import given, settings, strategies

    settings(max_examples=1, database=None)(
        given(strategies.text(), strategies.integers())(lambda text, integer: None)
    )()


if __name__ == "__main__":
    _import_all()
    _try_hypothesis()
    gc.freeze()  # a collector that went through all of this in each child would copy its pages
    serve()
