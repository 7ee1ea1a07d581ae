"""Adapters as forks of this process, which has imported what they need: a new Python takes half a second for that."""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import TYPE_CHECKING, Any

from mutants.adapter import serve
from mutants.catalogue import MUTANTS as MUTANTS
from pytest_airssys_wasm import adapter as adapter
from pytest_airssys_wasm.protocol import process
from pytest_airssys_wasm.runtime.base.originals import Popen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


def fork_adapters() -> None:
    """Let adapters be forks of this process from here on. It must have neither threads nor an engine."""
    process.Popen = Fork


class Fork:
    """The part of `subprocess.Popen` that `AdapterProcess` uses, for the command line of `adapter.py`."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], **_: Any) -> None:
        (its_stdin, stdin), (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe(), os.pipe()
        its_ends = (its_stdin, its_stdout, its_stderr)
        self.pid = os.fork()
        if self.pid == 0:
            _be_adapter(command[-1], env, its_ends)
        for end in its_ends:
            os.close(end)
        self.stdin = os.fdopen(stdin, "wb", buffering=0)
        self.stdout, self.stderr = os.fdopen(stdout, "rb", buffering=0), os.fdopen(stderr, "rb", buffering=0)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for its end. It is killed before, so that no timeout is needed."""
        os.waitpid(self.pid, 0)


def _be_adapter(name: str, environment: Mapping[str, str], pipes: Sequence[int]) -> NoReturn:
    """Be what `python adapter.py NAME` is, in a session of its own and with nothing of this process, from here on."""
    try:
        os.setsid()
        for number, pipe in enumerate(pipes):
            os.dup2(pipe, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.update(environment)
        tempfile.tempdir = None  # where it is was asked before
        process.Popen = Popen
        serve(name)
        os._exit(0)
    finally:  # whatever is raised, it must not go on as the process that it was forked from
        traceback.print_exc()
        os._exit(1)
