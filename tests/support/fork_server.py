"""A process that has imported what pytest and this package need, and forks for each run of pytest.

A run in it is a run in a process of its own, without the second that the imports take. It is started as a script by
`Forks`, and reads a line of JSON for each run. The workers of xdist are such processes too, unless the run asks for
another interpreter or folder.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execnet import gateway_io
from execnet.gateway_base import ExecModel, Popen2IO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from execnet import XSpec

_IMPORTED = (
    "pytest",
    "wasmtime",
    "email.message",  # metadata of distributions, which the header of pytest names
    "email.parser",
    "filelock",
    "xdist.dsession",
    "xdist.workermanage",
    "hypothesis.internal.conjecture.engine",
    "hypothesis.strategies",
    "pytest_airssys_wasm.analysis.blaming",
    "pytest_airssys_wasm.analysis.failed_call",
    "pytest_airssys_wasm.conformance.model",
    "pytest_airssys_wasm.fuzzing.exports",
    "pytest_airssys_wasm.fuzzing.pasteable",
    "pytest_airssys_wasm.isolation.backend",
    "pytest_airssys_wasm.isolation.compile",
    "pytest_airssys_wasm.isolation.process_isolation",
    "pytest_airssys_wasm.plugin.components.validation",
    "pytest_airssys_wasm.plugin.components.worlds",
    "pytest_airssys_wasm.plugin.coverage.hooks",
    "pytest_airssys_wasm.plugin.fixtures",
    "pytest_airssys_wasm.plugin.fuel_against_time",
    "pytest_airssys_wasm.plugin.header",
    "pytest_airssys_wasm.plugin.hookspecs",
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
    "pytest_airssys_wasm.validation.candidate",
    "pytest_airssys_wasm.validation.checks",
    "pytest_airssys_wasm.validation.cost_laws",
)
"""Modules that take time; none that reads the suite or its laws, which projects replace, and not the one that would
stand in its package in place of the fixture `component_factory`, before pytest has seen that.
"""

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
        self._server = self._start()

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
                self._server = self._start()
                raise subprocess.TimeoutExpired([*arguments], timeout_s, output.read())
            status = json.loads(self._server.stdout.readline())
            return status, output.read()

    def close(self) -> None:
        """End the server, the run in it, and all workers."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__],
            env=plain_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,  # all that it forks stays in one group of processes
        )


class ForkedWorker(Popen2IO):
    """The pipes to a worker that the server forks, in place of those to an interpreter that execnet starts."""

    def __init__(self, server: bytes, execmodel: ExecModel) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(server)
        its_input, input_ = os.pipe()
        output, its_output = os.pipe()
        order = json.dumps({"cwd": str(Path.cwd()), "env": dict(os.environ)}).encode()
        socket.send_fds(self._connection, [order], [its_input, its_output, 2])
        os.close(its_input)
        os.close(its_output)
        self._process_id = int(self._connection.recv(32))
        super().__init__(os.fdopen(input_, "wb"), os.fdopen(output, "rb"), execmodel)

    def wait(self) -> None:
        """Wait for the end of the worker, which closes its end of the connection."""
        self._connection.recv(1)

    def kill(self) -> None:
        os.kill(self._process_id, signal.SIGKILL)


def serve() -> None:
    """Fork for each line on stdin, and write the exit status of the run to stdout; fork for the workers that it wants."""
    answers = os.dup(1)
    os.dup2(2, 1)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("")  # to a name that Linux chooses, and that is in no folder
    listener.listen()
    workers: set[int] = set()
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers)
            server = listener.getsockname()
            listener.close()
            _run(order, server)
        end = os.pidfd_open(child)
        while end not in select.select([end, listener], [], [])[0]:
            workers.add(_fork_worker(listener))
        os.close(end)
        _, status = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))
        workers -= {worker for worker in workers if os.waitpid(worker, os.WNOHANG)[0]}


def _fork_worker(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    order, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    child = os.fork()
    if child == 0:
        listener.close()
        _become(json.loads(order), descriptors)
        connection.send(b"%d" % os.getpid())
        sys.stdin = os.fdopen(0, closefd=False)
        exec(eval(sys.stdin.readline()), {"__name__": "__main__"})  # as the interpreter that execnet starts
        _end(0)
    connection.close()
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _become(order: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Be a process with these streams, in this folder and with this environment, from here on."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in {*streams}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.modules["hypothesis.configuration"].set_hypothesis_home_dir(Path(order["cwd"], ".hypothesis"))


def _run(order: Mapping[str, Any], server: bytes) -> None:
    """Be `python -m pytest`, with workers that this server forks, from here on."""
    output = os.open(order["output"], os.O_WRONLY)
    _become(order, [os.open(os.devnull, os.O_RDONLY), output, output])
    sys.argv = ["pytest", *order["argv"]]
    create_io = gateway_io.create_io

    def create_or_fork(spec: XSpec, execmodel: ExecModel) -> Popen2IO:
        plain = spec.popen and not (spec.python or spec.chdir)
        return ForkedWorker(server, execmodel) if plain else create_io(spec, execmodel)

    gateway_io.create_io = create_or_fork
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

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Hypothesis warns of use before pytest has loaded its plugins
        settings(max_examples=1, database=None)(
            given(strategies.text(), strategies.integers())(lambda text, integer: None)
        )()


if __name__ == "__main__":
    _import_all()
    _try_hypothesis()
    gc.freeze()  # a collector that went through all of this in each child would copy its pages
    serve()
