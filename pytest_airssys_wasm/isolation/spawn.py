"""How a process of ours is started: spawned, never forked, with nothing inherited but its three pipes.

Python in isolated mode without `site`: no environment variable, no user folder and no `.pth` file has a say in it.
What it may import from is handed to it, the standard library always first: a folder of tests that has a `json.py`
is no reason to fail.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.isolation import bootstrap as boot
from pytest_airssys_wasm.protocol.process import AdapterProcess
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

if TYPE_CHECKING:
    from pytest_airssys_wasm.protocol.transcript import Transcript

_PACKAGE = Path(__file__).parents[1]
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""A Python that was built with a shared library may not start without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What a child may use of the machine."""

    data_bytes: int
    """Private writable memory. Reserved addresses do not count, of which wasmtime takes gigabytes."""
    cpu_s: int | None = None
    """Time on processors, of all its threads together."""
    open_files: int = 64


def spawn(module: str, limits: ChildLimits, *, line_bytes: int, diary: Transcript) -> AdapterProcess:
    """A process that runs `module`, which must take its pipes with `take_pipes` and speak in lines.

    Raises `InvalidConfiguration` where no process can be started.
    """
    try:
        return AdapterProcess(
            _command(module, limits),
            folder=Path("/"),
            environment={name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
            line_bytes=line_bytes,
            diary=diary,
        )
    except OSError as error:
        raise InvalidConfiguration("isolation", sys.executable, f"a Python that can be started ({error})") from None


def _command(module: str, limits: ChildLimits) -> tuple[str, ...]:
    if not sys.executable:
        raise InvalidConfiguration("isolation: sys.executable", NOTHING, "the path of the Python that runs this")
    bounds = {"RLIMIT_DATA": limits.data_bytes, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": limits.open_files}
    if limits.cpu_s is not None:
        bounds["RLIMIT_CPU"] = limits.cpu_s
    order = json.dumps({"limits": bounds, "path": _path()})
    options = ("-I", "-S", "-X", "utf8", *(("-B",) if sys.dont_write_bytecode else ()))
    return (sys.executable, *options, boot.__file__, module, order)


def _path() -> list[str]:
    """Where this package is, and where this process looks: what it could import, its child can."""
    places = [str(_PACKAGE.parent), *sys.path]
    return [*dict.fromkeys(str(Path(place).absolute()) for place in places)]
