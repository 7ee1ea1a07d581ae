"""The start of worker and compiler processes, which are spawned, never forked, and inherit only their pipes.

A child runs Python in isolated mode without `site`, so that environment variables, user folders and `.pth` files have
no effect. The list of folders to import from begins with the standard library, so that a `json.py` in a folder of tests
does not break the child.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.isolation import bootstrap as boot
from pytest_airssys_wasm.isolation.unfit import told_unfit
from pytest_airssys_wasm.protocol.process import AdapterProcess
from pytest_airssys_wasm.runtime.budget.machine import lack_of, no_thread
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration, UnfitHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.protocol.transcript import Transcript
    from pytest_airssys_wasm.runtime.errors import RuntimeDied

_PACKAGE = Path(__file__).parents[1]
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The environment variables without which a Python that is linked to a shared library may fail to start."""


class ChildLimits(Struct, frozen=True, kw_only=True):
    """The limits of a child process, which the operating system enforces."""

    data_bytes: int
    """The limit in bytes on private writable memory. Reserved address space, of which wasmtime takes gigabytes, does
    not count.
    """
    cpu_s: int | None = None
    """The limit in seconds on the CPU time of all threads together; `None` means unlimited."""
    open_files: int = 64
    """The limit on the number of open files."""


def spawn(
    module: str, limits: ChildLimits, *, line_bytes: int, transcript: Transcript, pipes: Sequence[int] = ()
) -> AdapterProcess:
    """Start a process that runs a module. The module has to obtain its pipes with `take_pipes`, and write lines.

    The process also inherits the descriptors `pipes`, which are the arguments in its `sys.argv`.

    Raises `UnfitHost` if no process can be started.
    """
    try:
        return AdapterProcess(
            _command(module, limits, pipes),
            folder=Path("/"),
            environment={name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
            line_bytes=line_bytes,
            transcript=transcript,
            inherited=pipes,
        )
    except (OSError, RuntimeError) as error:
        lack = lack_of(error)
        if lack is None and isinstance(error, RuntimeError):
            raise
        raise lack or UnfitHost("isolation", sys.executable, f"a Python that can be started ({error})") from None


def cannot_start(died: RuntimeDied, transcript: Transcript) -> UnfitHost:
    """Return the error for a process that ended before it was given any work, so that no guest can be the cause."""
    stderr = " / ".join(transcript.stderr[-3:])
    reason = f"{died}; its stderr ends with: {stderr}" if stderr else str(died)
    return UnfitHost("isolation", sys.executable, f"a Python that can start as a process of its own ({reason})")


_OUT_OF_MEMORY = (
    "memory allocation of ",  # Rust
    "MemoryError",  # Python
    "failed to spawn thread",  # a thread's stack is memory too
    "Cannot allocate memory",
    "failed to allocate",
)


def was_out_of_memory(transcript: Transcript) -> bool:
    """Return whether the stderr of a child that has ended reports a failed allocation of memory.

    After a failed allocation a child aborts, with a status that does not reveal the cause. Guests cannot write to the
    stderr of the process, so the text can be trusted.
    """
    return any(sign in line for line in transcript.stderr for sign in _OUT_OF_MEMORY)


_NO_THREADS = ("ThreadPoolBuildError", "can't start new thread")
"""The texts of Rust and of Python for a thread that the system refuses."""


def lack_told(transcript: Transcript) -> UnfitHost | None:
    """Return the error for what the machine lacks, according to the stderr of a child that has ended; `None` if it
    tells nothing of the kind.
    """
    unfit = told_unfit(transcript)
    if unfit is None and any(sign in line for line in transcript.stderr for sign in _NO_THREADS):
        return no_thread()
    return unfit


def _command(module: str, limits: ChildLimits, pipes: Sequence[int]) -> tuple[str, ...]:
    if not sys.executable:
        raise InvalidConfiguration("isolation: sys.executable", NOTHING, "the path of the running Python")
    bounds = {"RLIMIT_DATA": limits.data_bytes, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": limits.open_files}
    if limits.cpu_s is not None:
        bounds["RLIMIT_CPU"] = limits.cpu_s
    order = json.dumps({"limits": bounds, "path": _path(), "arguments": [*map(str, pipes)]})
    options = ("-I", "-S", "-X", "utf8", *(("-B",) if sys.dont_write_bytecode else ()))
    return (sys.executable, *options, boot.__file__, module, order)


def _path() -> list[str]:
    """Return the import path of a child: the folders of this package and of this process, so that the child can import
    the same modules.
    """
    places = [str(_PACKAGE.parent), *sys.path]
    return [*dict.fromkeys(str(Path(place).absolute()) for place in places)]
