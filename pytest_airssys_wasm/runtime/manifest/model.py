"""The manifest `Component.toml`, and its tables as msgspec decodes them.

The docstring of a key is its entry in docs/reference.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class ManifestTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry `[[tests]]`: a call, and how it must end. Any number of them."""

    name: str
    """A sentence that no other entry has; the check is named `tests[<name>]`."""
    call: str
    """The export by its full name: `transform`, or `pkg:name/iface@1.0.0#transform` inside an interface."""
    args: list[Any] = []
    """The arguments of the call."""
    returns: Any = msgspec.UNSET
    """The value that the call must return; `{}` for no value. Either this, or `verdict` or `trap`, is required."""
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    """The verdict that the call must end with, such as `"out-of-fuel"`; `"ok"` accepts every value."""
    trap: str | msgspec.UnsetType = msgspec.UNSET
    """The kind of trap that the call must end with, such as `"unreachable"`."""
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET
    """The most fuel that the call may use."""


class ComponentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[component]`. Required."""

    name: str
    """The name of the component, without slashes."""
    version: str
    """The version of the component."""
    wasm: str | None = None
    """The binary or WAT file, relative to the manifest. The default is `<name>.wasm` beside it.

    It must lie below the manifest's folder or pytest's root directory, or be named on the command line."""
    description: str | None = None
    """A description for readers."""


class MemoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[resources.memory]`. Required, because memory has no default."""

    max_bytes: int
    """The bytes of all memories together, within the platform's range (ini key `wasm_memory_range`)."""


class CpuTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[resources.cpu]`: the limits of each instantiation and each call."""

    max_fuel: int | None = None
    """The units of fuel; 1,000,000 unless another setting says otherwise."""
    timeout_ms: float | None = None
    """The milliseconds of wall clock; 100 unless another setting says otherwise."""
    timeout_seconds: float | None = None
    """The seconds of wall clock, instead of `timeout_ms`."""


class ResourcesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[resources]`. Required."""

    memory: MemoryTable
    cpu: CpuTable | None = None


class WasiTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[wasi]`. With it, even an empty one, WASI is linked; it grants what its keys say and nothing else."""

    args: list[str] = []
    """The arguments, beginning with the name of the program."""
    env: dict[str, str] = {}
    """The environment variables, as a table `[wasi.env]`."""
    stdin: str = ""
    """The text that the guest reads from stdin."""
    preopen: dict[str, str] = {}
    """The directories of the guest, as a table `[wasi.preopen]`: directory = folder below the manifest's, read-only."""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file, as it is decoded."""

    component: ComponentTable
    resources: ResourcesTable
    wasi: WasiTable | None = None
    tests: list[ManifestTest] = []


# msgspec inspects a type when it is first needed, and crashes when two threads need it at once.
msgspec.json.Decoder(Document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A `Component.toml` that was checked. CPU limits that it does not state are `None`: weaker settings apply."""

    path: Path
    """The file that it was read from."""
    name: str
    """The name of the component."""
    version: str
    """The version of the component."""
    wasm: Path
    """The binary or text file of the component."""
    memory_bytes: int
    """The memory limit in bytes."""
    max_fuel: int | None
    """The units of fuel of each execution."""
    timeout_ms: float | None
    """The milliseconds of wall clock of each execution."""
    wasi: Wasi | None
    """The grants of the table `[wasi]`; `None` without that table, and then WASI is not linked."""
    tests: tuple[ManifestTest, ...]
    """The entries `[[tests]]`, in the order of the file."""

    def limits(self) -> ResourceLimits:
        """Return the limits of this manifest, with the built-in defaults for those that it does not state."""
        return ResourceLimits(
            memory=self.memory_bytes,
            fuel=ResourceLimits.DEFAULT_FUEL if self.max_fuel is None else self.max_fuel,
            timeout_ms=ResourceLimits.DEFAULT_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms,
        )
