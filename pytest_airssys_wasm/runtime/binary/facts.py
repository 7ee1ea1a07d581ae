"""The facts that an engine needs to know about a guest besides its artefact, as data that can be kept."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from pytest_airssys_wasm.runtime.binary.component_reader import DEEPEST
from pytest_airssys_wasm.runtime.binary.expansion import MOST_DEFINITIONS, expand
from pytest_airssys_wasm.runtime.binary.formats import Kind  # noqa: TC001 msgspec reads the annotations
from pytest_airssys_wasm.runtime.binary.interruption import is_soon_interrupted
from pytest_airssys_wasm.runtime.binary.sections import read_module
from pytest_airssys_wasm.runtime.binary.types import ModuleShape  # noqa: TC001
from pytest_airssys_wasm.runtime.errors import InvalidComponent, ResourceLimitExceeded

REVISION = 2
"""The number to raise when the readers of this package come to read other facts from the same binary: facts that were
kept under another number are read again.
"""


class GuestFacts(Struct, frozen=True, kw_only=True, gc=False):
    """The facts about a guest that are read from its binary."""

    kind: Kind
    digest: str
    """The SHA-256 digest of the binary, in hexadecimal."""
    size_bytes: int
    """The size of the binary, in bytes."""
    instance_bytes: int
    """The bytes that an instance takes for globals, functions, tables and the like, approximately."""
    is_soon_interrupted: bool
    """Whether the guest can be interrupted at any time: see `interruption`."""
    shape: ModuleShape | None
    """The declarations in the sections of a module; `None` for a component, whose artefact tells them."""


def read_facts(kind: Kind, binary: bytes, name: str) -> GuestFacts:
    """Return the facts about a guest, which is called `name` in messages.

    Raises `InvalidComponent` for a module whose sections are malformed, and `ResourceLimitExceeded` for a component
    that cannot be compiled, because its nested instances multiply.
    """
    shape = read_module(binary) if kind == "module" else None  # refuses what the compiler need not see
    return GuestFacts(
        kind=kind,
        digest=hashlib.sha256(binary).hexdigest(),
        size_bytes=len(binary),
        instance_bytes=_instance_bytes(binary, name),
        is_soon_interrupted=is_soon_interrupted(binary),
        shape=shape,
    )


def _instance_bytes(binary: bytes, name: str) -> int:
    try:
        expansion = expand(binary)
    except InvalidComponent:
        return 0  # wasmtime says better what is wrong
    if expansion.nested_definitions > MOST_DEFINITIONS:
        raise ResourceLimitExceeded(
            f"{name}: the instances of its nested components consist of more than {MOST_DEFINITIONS:,} definitions "
            f"together, or its components are nested more than {DEEPEST} deep",
            "instances",
        )
    return expansion.instance_bytes
