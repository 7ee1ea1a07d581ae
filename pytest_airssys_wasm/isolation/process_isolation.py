"""The class `ProcessIsolation`: the limits of the processes that compile and run guests."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.units import parse_duration_ms, parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.formats import Kind
    from pytest_airssys_wasm.runtime.guest.backend import BackendFactory

DEFAULT_MEMORY_BYTES = 2**30
DEFAULT_GRACE_MS = 500.0
DEFAULT_COMPILE_TIMEOUT_MS = 60_000.0
DEFAULT_COMPILE_MEMORY_BYTES = 2**30
# Without a guest such a process was measured to take 40 MiB, and 26 to compile; machines differ by some more.
LEAST_MEMORY_BYTES = 64 * 2**20
LEAST_COMPILE_MEMORY_BYTES = 48 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIsolation:
    """The isolation of guests: separate processes compile and run them, within these limits.

    Sizes and durations may be given with units (`"512 MiB"`, `"2 s"`). Raises `InvalidConfiguration`, which names the
    field, for a value out of range.
    """

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    """The limit in bytes on the data of a process that runs guests, including the memories of its guests: at least 64
    MiB.
    """
    grace_ms: float = DEFAULT_GRACE_MS
    """The time in milliseconds after the deadline of an execution after which its process is killed if there is no
    answer.
    """
    compile_timeout_ms: float = DEFAULT_COMPILE_TIMEOUT_MS
    """The limit in milliseconds on the wall-clock time of one compilation. The start of its process is not counted."""
    compile_memory_bytes: int = DEFAULT_COMPILE_MEMORY_BYTES
    """The limit in bytes on the data of a process that compiles: at least 48 MiB."""

    if TYPE_CHECKING:
        # The fields are plain numbers; what they are made from may have units.
        def __init__(
            self,
            *,
            memory_bytes: int | str = ...,
            grace_ms: float | str = ...,
            compile_timeout_ms: float | str = ...,
            compile_memory_bytes: int | str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Convert every field to a plain number. Raises `InvalidConfiguration` for a wrong value."""
        for field in fields(self):
            parse = parse_size if field.name.endswith("_bytes") else parse_duration_ms
            object.__setattr__(self, field.name, parse(getattr(self, field.name), field.name))
        _check_least("memory_bytes", self.memory_bytes, LEAST_MEMORY_BYTES)
        _check_least("compile_memory_bytes", self.compile_memory_bytes, LEAST_COMPILE_MEMORY_BYTES)

    def scaled(self, scale: float) -> ProcessIsolation:
        """Return this isolation with its durations multiplied by `scale`."""
        return replace(self, grace_ms=scale * self.grace_ms, compile_timeout_ms=scale * self.compile_timeout_ms)

    def new_backends(self) -> BackendFactory:
        """Create the factory of one engine's backends. Engines call this method."""
        from pytest_airssys_wasm.isolation.backend import WorkerBackends

        return WorkerBackends(memory_bytes=self.memory_bytes, grace_ms=self.grace_ms)

    def translate(self, text: bytes, name: str) -> bytes:
        """Return the binary of WebAssembly text. Engines call this method for long text.

        Raises `InvalidComponent`, `ResourceLimitExceeded` or `RuntimeDied`, as `load` does.
        """
        from pytest_airssys_wasm.isolation import compile as compiling

        timeout_ms, memory_bytes = self.compile_timeout_ms, self.compile_memory_bytes
        return compiling.translate(text, name, timeout_ms=timeout_ms, memory_bytes=memory_bytes)

    def compile(self, kind: Kind, binary: bytes, name: str, artefact: Path) -> None:
        """Compile a binary into a file that wasmtime's `deserialize_file` reads. Engines call this method.

        Raises `InvalidComponent`, `ResourceLimitExceeded` or `RuntimeDied`, as `load` does.
        """
        from pytest_airssys_wasm.isolation import compile as compiling

        timeout_ms, memory_bytes = self.compile_timeout_ms, self.compile_memory_bytes
        compiling.compile_(kind, binary, name, artefact, timeout_ms=timeout_ms, memory_bytes=memory_bytes)


def _check_least(where: str, given: int, least: int) -> None:
    if given < least:
        wanted = f"at least {least // 2**20} MiB: Python and the runtime take more than half of that before any guest"
        raise InvalidConfiguration(where, given, wanted)
