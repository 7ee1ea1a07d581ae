"""The compiled component or core module that `WasmEngine.load` returns, with its typed imports and exports."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.base.values import attribute_name
from pytest_airssys_wasm.runtime.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import wasmtime

    from pytest_airssys_wasm.runtime.capi.memory_images import MemoryImage
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class UnknownExport(LinkError, LookupError):
    """The guest does not export a function or interface of this name. The message suggests similar names."""

    @classmethod
    def among(cls, guest: object, name: str, known: Iterable[str]) -> UnknownExport:
        """Return the error for a `name` that is not among the `known` exports of `guest`."""
        known = sorted(known)
        if near := similar_names(name, known):
            hint = f"; did you mean {' or '.join(map(repr, near))}?"
        elif known:
            more = len(known) - _SOME
            hint = f"; it exports {', '.join(map(repr, known[:_SOME]))}" + (f" and {more:,} more" if more > 0 else "")
        else:
            hint = "; it exports none"
        return cls(f"{guest!r} has no export {name!r}{hint}")


_SOME = 5
"""The number of exports that a message names if none of them is similar."""
_MOST_NAMES, _MOST_CHARACTERS = 2_000, 200
"""The bounds within which similar names are looked for, which takes time."""


def similar_names(name: str, known: Sequence[str], most: int = 3) -> list[str]:
    """Return the known names that may have been meant by `name`: first those of the same function in another interface,
    then those that are spelled similarly.
    """
    known = [one for one in known[:_MOST_NAMES] if len(one) <= _MOST_CHARACTERS]
    name = name[:_MOST_CHARACTERS]
    wanted, full_of = _plain(name), {_plain(one): one for one in known}
    found = [one for one in known if _last(one) == _last(name)]
    found += [full_of[one] for one in difflib.get_close_matches(wanted, full_of, n=most, cutoff=0.6)]
    ends = {_last(one): one for one in known}
    found += [ends[one] for one in difflib.get_close_matches(_last(name), ends, n=most, cutoff=0.6)]
    return list(dict.fromkeys(found))[:most]


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()


def _last(name: str) -> str:
    """Return the last part of a full name: a function without its interface, a method without its resource."""
    end = re.split(r"[#\]]", _plain(name))[-1]
    if "#" not in name:
        end = end.rpartition("/")[2].partition("@")[0]
    return end.rpartition(".")[2]


class Items(dict[str, Any]):
    """A mapping from names to imports or exports.

    Its `str()` is WIT for a component, and WebAssembly text for a module.
    """

    __slots__ = ("_write",)

    def __init__(self, items: Mapping[str, Any], write: Callable[[], str]) -> None:
        super().__init__(items)
        self._write = write

    def __str__(self) -> str:
        return self._write()


class Component(ABC):
    """A compiled guest, which can be instantiated in any number of stores.

    It is immutable and can be shared between threads.
    """

    def __init__(
        self, engine: wasmtime.Engine, raw: Any, name: str, path: Path | None, manifest: Manifest | None
    ) -> None:
        self.engine = engine
        """The wasmtime engine that compiled the guest. Only stores of that engine can run it."""
        self.raw = raw
        """The compiled guest as an object of wasmtime."""
        self.image: MemoryImage | None = None
        """The image with which the memory of the guest begins; `None` if wasmtime copies the data of the guest."""
        self.name = name
        """The name of the file from which the guest was loaded, or `<bytes>` or `<text>`."""
        self.path = path
        """The path from which the guest was loaded; `None` for bytes and text."""
        self.manifest = manifest
        """The `Component.toml` that was given or is beside the file; `None` without one."""
        self.loaded_by: object = None
        """The `EngineCore` that loaded the guest, for those who run it again without having the engine at hand."""
        self.binary: bytes | None = None
        """The binary of the guest, which is kept only if another process has to read it, or if no file has it."""
        self.digest = ""
        """The SHA-256 digest of the binary, in hexadecimal."""
        self.instance_bytes = 0
        """The bytes that an instance takes for globals, functions, tables and the like, approximately."""
        self.is_soon_interrupted = False
        """Whether the code can be interrupted within microseconds, because it has no bulk operations."""
        self.direct_executions: dict[tuple[str, int], tuple[Any, Any]] = {}
        """The prepared executions by export and identity of their limits, with these limits."""
        self.load_ms = 0.0
        """The time in milliseconds that loading the guest took."""
        self.was_compiled = True
        """Whether the guest was compiled when it was loaded; `False` if it was in the compile cache."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The kind of the guest: `component` or `module`."""

    @property
    @abstractmethod
    def exports(self) -> Items:
        """The typed exports by name. The `str()` of the mapping is WIT, or WebAssembly text for a module."""

    @property
    @abstractmethod
    def imports(self) -> Items:
        """The typed imports by name. The `str()` of the mapping is WIT, or WebAssembly text for a module."""

    @abstractmethod
    def unmet_imports(self, host: HostFunctions | None, wasi: Wasi | None) -> Iterator[UnmetImport]:
        """Yield every import that neither the host functions nor the WASI grants provide with the declared type."""

    @abstractmethod
    def needed_from_host(self) -> Iterator[tuple[str, str]]:
        """Yield the interface (empty for the root) or module, and the name, of every import that a host must provide.

        Types are left out.
        """

    @property
    def obstacle(self) -> str | None:
        """The reason for which the guest cannot be instantiated with any imports; `None` if there is none."""
        return None

    @property
    @abstractmethod
    def calls_out(self) -> bool:
        """Whether the guest imports anything that might block it, or be called back by it."""

    @abstractmethod
    def text_results(self, function: str) -> int | None:
        """Return how many strings a result of this export can consist of; `None` if there is no limit, for lists."""

    @abstractmethod
    def check_call(self, function: str, count: int) -> Any:
        """Check that an export can be called with `count` arguments, and return its description.

        Raises `UnknownExport`, and `TypeError` for another number of arguments or a type without a Python value.
        """

    @abstractmethod
    def function_names(self) -> Mapping[str, str]:
        """Return the types of all exported functions by their full names (`iface#func` inside an interface)."""

    @cached_property
    def attributes(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The names of the functions that each Python attribute may stand for, by interface (empty for the root)."""
        names: dict[str, list[str]] = {}
        for full in self.function_names():
            interface, name = self.place_of(full)
            names.setdefault(interface, []).append(name)
        return {interface: by_attribute(inner, TAKEN) for interface, inner in names.items()}

    @property
    def resources(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The names of the exported resources that each Python attribute may stand for, by interface.

        Resources without functions are not included.
        """
        return {}

    def offered(self, interface: str) -> list[str]:
        """Return the attributes of an interface (empty for the root) that can be written in Python, for `dir`."""
        names = {**self.resources.get(interface, {}), **self.attributes.get(interface, {})}
        return sorted(name for name in names if name.isidentifier())

    def place_of(self, function: str) -> tuple[str, str]:
        """Return the interface (empty for the root) and the name of a function, by its full name."""
        interface, _, name = function.rpartition("#")
        return interface, name

    @abstractmethod
    def parameter_types(self, function: str) -> tuple[Any, ...]:
        """Return the types of a function's parameters: WIT types, or a module's value types by name.

        Raises `UnknownExport`.
        """

    @abstractmethod
    def parameter_names(self, function: str) -> tuple[str, ...] | None:
        """Return the names of a function's parameters; `None` for a module, whose parameters have none.

        Raises `UnknownExport`.
        """

    @abstractmethod
    def result_types(self, function: str) -> tuple[Any, ...]:
        """Return the types of a function's results: at most one WIT type, or a module's value types by name.

        Raises `UnknownExport`.
        """

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


TAKEN = frozenset(["call", "call_async", "component", "store"])
"""The attributes that instances have themselves."""


def by_attribute(names: Iterable[str], taken: Container[str]) -> dict[str, tuple[str, ...]]:
    """Return the names that each Python attribute stands for; a name that is the attribute itself wins.

    An attribute that is `taken` has a `_` behind it.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        attribute = attribute_name(name)
        found.setdefault(attribute + "_" if attribute in taken else attribute, []).append(name)
    return {attribute: (attribute,) if attribute in several else tuple(several) for attribute, several in found.items()}


def choose(guest: object, attribute: str, names: Sequence[str]) -> str:
    """Return the only one of these names. Raises `AttributeError`, which lists them, if there are several."""
    if len(names) > 1:
        listed = " or ".join(map(repr, names))
        text = f"{attribute!r} of {guest!r} may be {listed}: call it by its exact name"
        raise AttributeError(text, name=attribute, obj=None)  # with an object, Python would suggest another attribute
    return names[0]


def check_name(name: object) -> None:
    """Raise a `TypeError` for a name that is not a string."""
    if not isinstance(name, str):
        raise TypeError(f"the name of an export must be a string, got {name!r}")


def check_argument_count(function: str, expected: Sequence[str], given: int) -> None:
    """Raise a `TypeError`, which shows the signature, if the number of arguments is wrong."""
    if len(expected) != given:
        signature = printable(f"{function}({', '.join(expected)})")
        raise TypeError(f"{signature} takes {counted(len(expected), 'argument')}, got {given}")
