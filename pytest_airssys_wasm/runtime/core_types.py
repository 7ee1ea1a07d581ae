"""What a core module imports, exports and declares, as data; `str()` of a type is WebAssembly text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CoreFunction:
    """The type of a core function, value types by their names in the text format."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        params = f" (param {' '.join(self.params)})" if self.params else ""
        results = f" (result {' '.join(self.results)})" if self.results else ""
        return f"(func{params}{results})"


@dataclass(frozen=True, slots=True)
class Declared:
    """A memory (in pages of 64 KiB unless it says otherwise) or a table (in elements)."""

    what: Literal["memory", "table"]
    minimum: int
    maximum: int | None
    page_bytes: int = 65536

    def __str__(self) -> str:
        return f"({self.what} {self.minimum}{'' if self.maximum is None else f' {self.maximum}'})"


@dataclass(frozen=True, slots=True)
class Other:
    """A global, a tag, or a function whose type is beyond this reader."""

    text: str

    def __str__(self) -> str:
        return f"({self.text})"


CoreType = CoreFunction | Declared | Other


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """One import of a core module."""

    module: str
    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether a host function can serve it."""
        return isinstance(self.type, CoreFunction)


@dataclass(frozen=True, slots=True)
class ModuleExport:
    """One export of a core module."""

    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether it can be called."""
        return isinstance(self.type, CoreFunction)


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """What the sections of a core module declare."""

    imports: tuple[ModuleImport, ...]
    exports: tuple[ModuleExport, ...]
    memories: tuple[Declared, ...]
    tables: tuple[Declared, ...]
