"""The tables of `Component.toml`, as msgspec decodes them.

What stands below a key is its entry in docs/reference.md.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ManifestTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tests]]`: a call and what must come of it, which an author writes without Python. Any number of them."""

    name: str
    """A sentence, different from the others; the check is named `tests[<name>]`."""
    call: str
    """The export by its full name: `transform`, or `pkg:name/iface@1.0.0#transform` inside an interface."""
    args: list[Any] = []
    """Its arguments."""
    returns: Any = msgspec.UNSET
    """The value that must come back; `{}` for none. This, or `verdict` and `trap`, is required."""
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    """How the call must end instead, such as `"out-of-fuel"`; `"ok"`: it returns, whatever the value."""
    trap: str | msgspec.UnsetType = msgspec.UNSET
    """The kind of trap that must end it, such as `"unreachable"`."""
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET
    """The most fuel that the call may use."""


class ComponentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[component]`: what it is. Required."""

    name: str
    """Its name."""
    version: str
    """Its version."""
    wasm: str | None = None
    """The binary or WAT file, relative to the manifest; `<name>.wasm` beside it where this is left out."""
    description: str | None = None
    """A text for readers."""


class MemoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources.memory]`: required, because memory has no default."""

    max_bytes: int
    """Bytes of all its memories together, within the platform's range (ini key `wasm_memory_range`)."""


class CpuTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources.cpu]`: for each instantiation and each call."""

    max_fuel: int | None = None
    """Units of fuel; 1,000,000 where nothing else says so."""
    timeout_ms: float | None = None
    """Milliseconds of wall clock; 100 where nothing else says so."""
    timeout_seconds: float | None = None
    """The same in seconds, instead of `timeout_ms`."""


class ResourcesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources]`: what it may use."""

    memory: MemoryTable
    cpu: CpuTable | None = None


class WasiTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[wasi]`: with this table, even an empty one, WASI is linked; it grants what the keys say and nothing else."""

    args: list[str] = []
    """Arguments, the program's name first."""
    env: dict[str, str] = {}
    """Environment variables, as a table `[wasi.env]`."""
    stdin: str = ""
    """What it reads from stdin."""
    preopen: dict[str, str] = {}
    """Guest directory = folder below that of the manifest, as a table `[wasi.preopen]`. Always read-only."""


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    component: ComponentTable
    resources: ResourcesTable
    wasi: WasiTable | None = None
    tests: list[ManifestTest] = []


# msgspec looks at a type when it is first needed, and crashes when two threads need it at once.
msgspec.json.Decoder(Document)
