"""A compiled component or core module, with its typed imports and exports: the result of `WasmEngine.load`."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.base.values import attribute_name
from pytest_airssys_wasm.runtime.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import wasmtime

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class UnknownExport(LinkError, LookupError):
    """The guest does not export a function or interface of this name; the message names similar ones."""

    @classmethod
    def among(cls, guest: object, name: str, known: Iterable[str]) -> UnknownExport:
        """Return the error for a `name` that is not one of the `known` names that `guest` exports."""
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "; it exports none"
        return cls(f"{guest!r} has no export {name!r}{hint}")


class Items(dict[str, Any]):
    """Imports or exports by name. `str()` of it is text: WIT for a component, WebAssembly text for a module."""

    __slots__ = ("_write",)

    def __init__(self, items: Mapping[str, Any], write: Callable[[], str]) -> None:
        super().__init__(items)
        self._write = write

    def __str__(self) -> str:
        return self._write()


class Component(ABC):
    """A compiled guest, to be instantiated in any number of stores. Immutable, and safe to share between threads."""

    def __init__(
        self, engine: wasmtime.Engine, raw: Any, name: str, path: Path | None, manifest: Manifest | None
    ) -> None:
        self.engine = engine
        """The wasmtime engine that it was compiled by: only stores of that engine can run it."""
        self.raw = raw
        """wasmtime's own object."""
        self.name = name
        """The name of the file it was loaded from, or `<bytes>` or `<text>`."""
        self.path = path
        """The file it was loaded from; `None` for bytes and text."""
        self.manifest = manifest
        """The `Component.toml` beside that file, if there is one."""
        self.binary: bytes | None = None
        """The binary it was compiled from, kept where another process has to read it too."""
        self.load_ms = 0.0
        """The time that loading took, in milliseconds."""
        self.was_compiled = True
        """Whether it had to be compiled for that; `False` where the compile cache had it."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The kind of the guest: `component` or `module`."""

    @property
    @abstractmethod
    def exports(self) -> Items:
        """The typed exports by name; `str()` of it is WIT, for a module WebAssembly text."""

    @property
    @abstractmethod
    def imports(self) -> Items:
        """The typed imports by name; `str()` of it is WIT, for a module WebAssembly text."""

    @abstractmethod
    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        """Yield every import that neither the host functions nor the WASI grants provide as it is declared."""

    @abstractmethod
    def check_call(self, function: str, count: int) -> Any:
        """Return what is known of an export, once a call with `count` arguments can be made.

        Raises `UnknownExport`, and `TypeError` for another number of arguments or a type without a Python value.
        """

    @abstractmethod
    def function_names(self) -> Mapping[str, str]:
        """Return every function that can be called: its full name (`iface#func` inside an interface) and its type."""

    @cached_property
    def attributes(self) -> dict[str, dict[str, str]]:
        """The functions by interface (empty for the root) and Python attribute: their full names."""
        found: dict[str, dict[str, str]] = {}
        for full in self.function_names():
            interface, _, name = full.rpartition("#")
            found.setdefault(interface, {})[attribute_name(name)] = full
        return found

    @abstractmethod
    def parameter_types(self, function: str) -> tuple[Any, ...]:
        """Return the types of a function's parameters: WIT types, or a module's value types by name.

        Raises `UnknownExport`.
        """

    @abstractmethod
    def result_types(self, function: str) -> tuple[Any, ...]:
        """Return the types of a function's results: at most one WIT type, or a module's value types by name.

        Raises `UnknownExport`.
        """

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def check_name(name: object) -> None:
    """Raise a `TypeError` for something that cannot be the name of an export."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an export is a string, got {name!r}")


def check_argument_count(function: str, expected: Sequence[str], given: int) -> None:
    """Raise a `TypeError` that shows the signature when the number of arguments is wrong."""
    if len(expected) != given:
        raise TypeError(f"{function}({', '.join(expected)}) takes {counted(len(expected), 'argument')}, got {given}")
