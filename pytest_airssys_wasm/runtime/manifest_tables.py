"""The tables of `Component.toml`, as msgspec decodes them."""

from __future__ import annotations

from typing import Any

import msgspec


class ManifestTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[tests]]` entry: a check that an author writes without Python."""

    name: str
    call: str
    args: list[Any] = []
    returns: Any = msgspec.UNSET
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    trap: str | msgspec.UnsetType = msgspec.UNSET
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET


class ComponentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[component]`: what it is."""

    name: str
    version: str
    wasm: str | None = None
    description: str | None = None


class MemoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources.memory]`"""

    max_bytes: int


class CpuTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources.cpu]`"""

    max_fuel: int | None = None
    timeout_ms: float | None = None
    timeout_seconds: float | None = None


class ResourcesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[resources]`"""

    memory: MemoryTable
    cpu: CpuTable | None = None


class WasiTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[wasi]`: what the guest may see of the machine."""

    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str = ""
    preopen: dict[str, str] = {}


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    component: ComponentTable
    resources: ResourcesTable
    wasi: WasiTable | None = None
    tests: list[ManifestTest] = []
