"""The imports, exports and declarations of a core module, as data. The `str()` of a type is WebAssembly text."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class CoreFunction(Struct, frozen=True, gc=False, array_like=True, tag="function"):
    """The type of a core function, whose value types are names of the text format."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        params = f" (param {' '.join(self.params)})" if self.params else ""
        results = f" (result {' '.join(self.results)})" if self.results else ""
        return f"(func{params}{results})"


class Declared(Struct, frozen=True, gc=False, array_like=True, tag="declared"):
    """A memory (in pages of 64 KiB unless it says otherwise) or a table (in elements)."""

    what: Literal["memory", "table"]
    minimum: int
    maximum: int | None
    page_bytes: int = 65536
    is_64: bool = False
    """Whether the addresses of the memory, or the indices of the table, have 64 bits."""
    is_imported: bool = False

    @property
    def minimum_bytes(self) -> int:
        """The initial size of a memory, in bytes."""
        return self.minimum * self.page_bytes

    def __str__(self) -> str:
        width = "i64 " if self.is_64 else ""
        maximum = "" if self.maximum is None else f" {self.maximum}"
        pages = "" if self.page_bytes == 65536 else f" (pagesize {self.page_bytes})"
        return f"({self.what} {width}{self.minimum}{maximum}{pages})"


class ActiveData(Struct, frozen=True, gc=False, array_like=True):
    """A data segment that is copied into a memory when the module is instantiated."""

    number: int
    """The number of the segment in its module, from 0."""
    memory: int
    """The index of the memory."""
    offset: int | None
    """The address at which the segment begins, modulo 2**64; `None` if it is not known before instantiation."""
    size_bytes: int


class Other(Struct, frozen=True, gc=False, array_like=True, tag="other"):
    """A global, a tag, or a function whose type is not read."""

    text: str

    def __str__(self) -> str:
        return f"({self.text})"


class OtherFunction(Struct, frozen=True, gc=False, array_like=True, tag="other-function"):
    """An imported function of a type that is not final, that has supertypes, or that belongs to a recursive group.

    Two such types can differ although their parameters and results are the same.
    """

    signature: CoreFunction

    def __str__(self) -> str:
        return f"(sub {self.signature})"


CoreType = CoreFunction | Declared | Other | OtherFunction
"""The type of an import or an export of a core module."""


class ModuleImport(Struct, frozen=True, gc=False, array_like=True):
    """One import of a core module."""

    module: str
    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether the import is a function, which a host function can serve."""
        return isinstance(self.type, CoreFunction)


class ModuleExport(Struct, frozen=True, gc=False, array_like=True):
    """One export of a core module."""

    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether the export is a function, which can be called."""
        return isinstance(self.type, CoreFunction)


class ModuleShape(Struct, frozen=True, gc=False, array_like=True):
    """The declarations in the sections of a core module."""

    imports: tuple[ModuleImport, ...]
    exports: tuple[ModuleExport, ...]
    memories: tuple[Declared, ...]
    """The memories in the order of their indices: imported ones first."""
    tables: tuple[Declared, ...]
    """The tables in the order of their indices: imported ones first."""


class ModuleContents(Struct, frozen=True, gc=False, array_like=True):
    """The memories, tables and data segments of a core module."""

    memories: tuple[Declared, ...]
    """The memories in the order of their indices: imported ones first."""
    tables: tuple[Declared, ...]
    """The tables in the order of their indices: imported ones first."""
    active_data: tuple[ActiveData, ...]
    data_bytes: int
    """The bytes of all data segments together, passive ones included."""
