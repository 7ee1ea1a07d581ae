"""The start of a worker or compiler process: spawned, never forked, with nothing inherited but its three pipes.

It runs Python in isolated mode without `site`, on which no environment variable, user folder or `.pth` file has an
influence. It is given the folders that it may import from, the standard library always first, so that a `json.py` in
a folder of tests does not break it.
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
"""The variables without which a Python that was built with a shared library may not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """The limits of a child process, which the system enforces."""

    data_bytes: int
    """The bytes of private writable memory. Reserved addresses, of which wasmtime takes gigabytes, do not count."""
    cpu_s: int | None = None
    """The seconds of processor time of all its threads together; `None` means unlimited."""
    open_files: int = 64
    """The number of files that it may have open at once."""


def spawn(module: str, limits: ChildLimits, *, line_bytes: int, transcript: Transcript) -> AdapterProcess:
    """Start a process that runs a module, which has to use its pipes as `take_pipes` gives them, and write lines.

    Raises `InvalidConfiguration` if no process can be started.
    """
    try:
        return AdapterProcess(
            _command(module, limits),
            folder=Path("/"),
            environment={name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
            line_bytes=line_bytes,
            transcript=transcript,
        )
    except OSError as error:
        raise InvalidConfiguration("isolation", sys.executable, f"a Python that can be started ({error})") from None


_OUT_OF_MEMORY = (
    "memory allocation of ",  # Rust
    "MemoryError",  # Python
    "failed to spawn thread",  # a thread's stack is memory too
    "Cannot allocate memory",
    "failed to allocate",
)


def was_out_of_memory(transcript: Transcript) -> bool:
    """Return whether a child that has ended said on stderr that it was refused memory.

    It aborts then, and its status does not tell why. Guests cannot write what is read here: stderr is the process's
    own.
    """
    return any(sign in line for line in transcript.stderr for sign in _OUT_OF_MEMORY)


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
    """Return the folders of this package and of this process: its child can import whatever this process can."""
    places = [str(_PACKAGE.parent), *sys.path]
    return [*dict.fromkeys(str(Path(place).absolute()) for place in places)]
