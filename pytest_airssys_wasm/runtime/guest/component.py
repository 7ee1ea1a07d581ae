"""What `WasmEngine.load` returns: a compiled component or core module, with its typed imports and exports."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.values import attribute_name
from pytest_airssys_wasm.runtime.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.in_process import ThreadHome
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.manifest.loading import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class UnknownExport(LinkError, LookupError):
    """The guest exports no function or interface of this name; the message names the near ones."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "; it exports none"
        super().__init__(f"{what} has no export {name!r}{hint}")


class Items(dict[str, Any]):
    """Names, and what they stand for. `str()` is text: WIT for a component, WebAssembly text for a module."""

    __slots__ = ("_write",)

    def __init__(self, items: Mapping[str, Any], write: Callable[[], str]) -> None:
        super().__init__(items)
        self._write = write

    def __str__(self) -> str:
        return self._write()


class Component(ABC):
    """A compiled guest, to be instantiated in any number of stores. Immutable, and safe to share between threads."""

    def __init__(self, engine: WasmEngine, raw: Any, name: str, path: Path | None, manifest: Manifest | None) -> None:
        self.engine = engine
        self.raw = raw
        """wasmtime's own object."""
        self.name = name
        self.path = path
        """The file it was loaded from, if it was."""
        self.manifest = manifest
        """The `Component.toml` beside that file, if there is one."""
        self.binary: bytes | None = None
        """What it was compiled from, kept where another process has to read it too."""
        self.load_ms = 0.0
        """How long loading took."""
        self.was_compiled = True
        """Whether it had to be compiled for that; `False` where the compile cache had it."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """`component` or `module`."""

    @property
    @abstractmethod
    def exports(self) -> Items:
        """The typed exports by name; `str()` of it is WIT, of a module WebAssembly text."""

    @property
    @abstractmethod
    def imports(self) -> Items:
        """The typed imports by name; `str()` of it is WIT, of a module WebAssembly text."""

    @abstractmethod
    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        """Every import that neither the host functions nor the WASI grants provide as it is declared."""

    @abstractmethod
    def link(self, home: ThreadHome) -> Callable[[Run], Instance]:
        """Resolve the imports; the result instantiates, on a guest thread.

        Raises `LinkError` naming every import that is missing or has the wrong type.
        """

    @abstractmethod
    def check_call(self, function: str, count: int) -> Any:
        """What is known of the function, once a call with so many arguments can be made. Raises as `prepare` does."""

    @abstractmethod
    def prepare(self, function: str, args: Sequence[Any], run: Run, home: ThreadHome) -> Callable[[Instance, Run], Any]:
        """Lower the arguments of a call; the result makes the call, on a guest thread.

        Raises `UnknownExport`, or `TypeError`/`ValueError` naming the place in `args` that does not fit.
        """

    @abstractmethod
    def function_names(self) -> Mapping[str, str]:
        """Every function that can be called: its full name (`iface#func` inside an interface) and its type."""

    @cached_property
    def attributes(self) -> dict[str, dict[str, str]]:
        """By interface (empty for the root): Python attribute -> full name of a function."""
        found: dict[str, dict[str, str]] = {}
        for full in self.function_names():
            interface, _, name = full.rpartition("#")
            found.setdefault(interface, {})[attribute_name(name)] = full
        return found

    @abstractmethod
    def parameter_types(self, function: str) -> tuple[Any, ...]:
        """The types of a function's parameters: WIT types, or a module's value types by name.

        Raises `UnknownExport`.
        """

    @abstractmethod
    def result_types(self, function: str) -> tuple[Any, ...]:
        """The types of a function's results: at most one WIT type, or a module's value types by name.

        Raises `UnknownExport`.
        """

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def check_name(name: object) -> None:
    """Raise a `TypeError` for what cannot be the name of an export."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an export is a string, got {name!r}")


def check_argument_count(function: str, expected: Sequence[str], given: int) -> None:
    """Raise a `TypeError` that shows the signature when the number of arguments is wrong."""
    if len(expected) != given:
        raise TypeError(f"{function}({', '.join(expected)}) takes {len(expected)} argument(s), got {given}")
