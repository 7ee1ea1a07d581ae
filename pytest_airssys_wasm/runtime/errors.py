"""The error tree: one class for each verdict that is not `ok`. `judgement.py` decides which one is raised."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from pytest_airssys_wasm.runtime.base.printable import printable, printable_lines
from pytest_airssys_wasm.runtime.base.values import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.guest.executions import Call


class Verdict(str, Enum):
    """How an execution ended: a closed set, kebab-case in data."""

    OK = "ok"
    OUT_OF_FUEL = "out-of-fuel"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    RESOURCE_LIMIT = "resource-limit"
    TRAP = "trap"
    EXIT = "exit"
    HOST_ERROR = "host-error"
    RUNTIME_DIED = "runtime-died"
    LINK_ERROR = "link-error"
    INVALID_COMPONENT = "invalid-component"
    INVALID_CONFIG = "invalid-config"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the guest's backtrace, innermost first."""

    function: str | None
    """Its name as its author wrote it: of Rust and C++, the demangled one without hashes."""
    module: str | None
    offset: int
    """Byte offset in the binary."""
    symbol: str | None = None
    """Its name as the binary has it; `None` where the binary names no function."""

    def __str__(self) -> str:
        name = self.function or "<unnamed>"
        line = f"{self.module}!{name}" if self.module else name
        # The guest chose these names: one frame stays one line, and no terminal is sent commands.
        return printable(line)


class WasmError(Exception):
    """Base of all errors that this package raises about a guest, its limits or its configuration."""

    verdict: ClassVar[Verdict]
    usage: Usage | None = None
    """What the execution cost; `None` when no guest code had started."""
    __module__ = "pytest_airssys_wasm"  # where users import it from, and what pytest shows

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("pytest_airssys_wasm."):
            cls.__module__ = "pytest_airssys_wasm"

    frames: Sequence[Frame] = ()
    """The guest's backtrace where there is one, innermost frame first."""
    call: Call | None = None
    """What was executed; `None` when no guest code had started."""
    stdout: bytes = b""
    """What the guest wrote up to then, within the output limit; empty where WASI is not granted."""
    stderr: bytes = b""
    """The same."""

    def __str__(self) -> str:
        # Names of imports and exports stand in it, which a guest chooses.
        return printable_lines(super().__str__())


class OutOfFuel(WasmError):
    """The fuel budget was spent."""

    verdict = Verdict.OUT_OF_FUEL


class ExecutionTimeout(WasmError):
    """The wall clock ran out, in guest code, in a host function or in a WASI call."""

    verdict = Verdict.TIMEOUT


class OutOfMemory(WasmError):
    """The memory limit refused a growth or an initial size, and the guest failed because of it."""

    verdict = Verdict.OUT_OF_MEMORY


class ResourceLimitExceeded(WasmError):
    """A counted resource went over its limit."""

    verdict = Verdict.RESOURCE_LIMIT

    def __init__(self, message: str, resource: str) -> None:
        super().__init__(message)
        self.resource = resource
        """Which one: `tables`, `table-elements`, `instances`, `memories`, `host-transfer`, `output`, `handles` …"""


class ComponentTrapped(WasmError):
    """The guest trapped."""

    verdict = Verdict.TRAP

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The kebab-cased name of wasmtime's trap code (`unreachable`, `stack-overflow` …)."""


class GuestExit(WasmError):
    """The guest ended itself through WASI with a status other than 0."""

    verdict = Verdict.EXIT

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """The status; of a component 1 for every failure."""


class HostFunctionError(WasmError):
    """A host function raised; `__cause__` is the original exception."""

    verdict = Verdict.HOST_ERROR


class RuntimeDied(WasmError):
    """The process that ran the guest died, hung or broke the protocol."""

    verdict = Verdict.RUNTIME_DIED

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """`signal`, `status`, `memory`, `silence`, `garbage` or `refusal`."""


class LinkError(WasmError):
    """Imports are missing or have the wrong type."""

    verdict = Verdict.LINK_ERROR

    def __init__(self, message: str, imports: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.imports = tuple(imports)
        """Every such import, by name."""


class InvalidComponent(WasmError):
    """The bytes are no valid component or module, or not the one that is needed."""

    verdict = Verdict.INVALID_COMPONENT


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""What was given where something had to be."""


class InvalidConfiguration(WasmError):
    """A manifest, limit, marker or option is wrong: says where, what was given, and what would be right."""

    verdict = Verdict.INVALID_CONFIG

    def __init__(self, where: str, given: object, wanted: str) -> None:
        super().__init__(where, given, wanted)
        self.where = where
        """File, table and key, or the name of the option, ini key, marker or argument."""
        self.given = given
        """The value that is wrong."""
        self.wanted = wanted
        """What would be right."""

    def __str__(self) -> str:
        try:
            given = repr(self.given)
        except Exception:  # noqa: BLE001 that of an int of thousands of digits raises
            given = shown(self.given)
        return f"{self.where}: expected {self.wanted}, got {given if len(given) <= 200 else given[:200] + '…'}"
