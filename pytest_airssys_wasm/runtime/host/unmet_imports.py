"""The imports that cannot be linked, and the `LinkError` with the reasons."""

from __future__ import annotations

import difflib
import re
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.types import CoreFunction, OtherFunction
from pytest_airssys_wasm.runtime.convert.core_values import unsupported
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.wit.types import FunctionType, ResourceType, without_python_value
from pytest_airssys_wasm.runtime.wit.world import Opaque, flatten, full_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.binary.types import CoreType, ModuleImport
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.wit.world import Item

WASI_P1 = "wasi_snapshot_preview1"
"""The name of the module from which WASI preview 1 is imported."""
_WASI_P2 = r"wasi:(cli|clocks|filesystem|io|random|sockets)/[\w-]+@0\.2\.\d+"
"""The interfaces that `wasmtime.component.Linker.add_wasip2` provides. They also serve imports of older patch
versions.
"""
WASI_NOT_GRANTED = "WASI is not granted: wasi=Wasi() in Python, [wasi] in Component.toml"
"""The reason for unmet imports of WASI, with the remedy."""


_MOST_TYPE = 120
"""The maximum number of characters of a type in a list of imports."""
_MEMBERS = r"\{(?!…\})[^{}]*(?:\{…\}[^{}]*)*\}"


class UnmetImport(Struct, frozen=True, kw_only=True):
    """An import that is not provided, or whose signature differs from that of the registered function."""

    name: str
    """The full name of the import."""
    type: str
    """The type that the guest declares for the import."""
    why: str = ""
    """The reason, if it is not obvious; else an empty string."""
    is_registered: bool = False
    """Whether a function with another signature is registered for the import."""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{f' ({self.why})' if self.why else ''}"

    @property
    def short_text(self) -> str:
        """The import and its type on one line, without the members of long records and variants."""
        return f"{self.name}: {_short(self.type)}{f' ({self.why})' if self.why else ''}"


def is_wasi(interface: str) -> bool:
    """Return whether wasmtime itself can provide this interface."""
    return re.fullmatch(_WASI_P2, interface) is not None


def unmet_wit_imports(
    imports: Mapping[str, Item],
    host: HostFunctions | None,
    unprovided_wasi: Mapping[tuple[str, str], str] | None,
) -> Iterator[UnmetImport]:
    """Yield each import of a component that cannot be linked, with its WIT type, and the reason if it is not obvious.

    `unprovided_wasi` maps the imports of WASI that wasmtime does not provide, by interface and name, to the reasons; it
    is `None` if WASI is not granted.
    """
    for interface, name, item in flatten(imports):
        full = full_name(interface, name)
        if is_wasi(interface.partition("#")[0]):
            if unprovided_wasi is None:
                if isinstance(item, FunctionType):
                    yield UnmetImport(name=full, type=str(item), why=WASI_NOT_GRANTED)
            elif (interface, name) in unprovided_wasi:
                type_ = "resource" if isinstance(item, ResourceType) else str(item)
                yield UnmetImport(name=full, type=type_, why=unprovided_wasi[interface, name])
        elif isinstance(item, FunctionType):
            odd = without_python_value(item)
            if odd is not None:
                why = f"the host cannot serve it: values of type {odd} have no Python value"
                yield UnmetImport(name=full, type=str(item), why=why)
            elif host is None or host.find(interface, name) is None:
                lacks = None if host is None else host.lack(interface, name)
                yield UnmetImport(name=full, type=str(item), why=lacks or _near(full, host))
            elif (registered := host.misfit(interface, name, item)) is not None:
                yield UnmetImport(name=full, type=str(item), why=registered, is_registered=True)
        elif isinstance(item, ResourceType):
            if host is None or host.find_resource(interface, name) is None:
                yield UnmetImport(name=full, type="resource", why=_near(full, host))
        elif isinstance(item, Opaque):
            yield UnmetImport(name=full, type=str(item), why="the host cannot provide it")


def unmet_core_imports(
    imports: Sequence[ModuleImport], host: HostFunctions | None, provided_wasi: Mapping[str, CoreFunction] | None
) -> Iterator[UnmetImport]:
    """Yield each import of a module that cannot be linked, with its type, and the reason if it is not obvious.

    `provided_wasi` maps the names of the functions of WASI preview 1 that wasmtime provides to their types; it is
    `None` if WASI is not granted.
    """
    first: dict[tuple[str, str], CoreType] = {}
    for one in dict.fromkeys(imports):
        full, declared = f"{one.module}#{one.name}", str(one.type)
        if one.module == WASI_P1 and provided_wasi is not None:
            provided = provided_wasi.get(one.name)
            if provided != one.type:
                yield UnmetImport(name=full, type=declared, why=f"WASI has {provided or 'no function of that name'}")
            continue
        if first.setdefault((one.module, one.name), one.type) != one.type:
            why = f"the same name is also imported as {first[one.module, one.name]}"
            yield UnmetImport(name=full, type=declared, why=why)
        elif host is None or host.find(one.module, one.name) is None or not isinstance(one.type, CoreFunction):
            yield UnmetImport(name=full, type=declared, why=_why_not_served(one))
        elif odd := unsupported([*one.type.params, *one.type.results]):
            why = f"the host cannot serve it: values of type {', '.join(odd)} have no Python value"
            yield UnmetImport(name=full, type=declared, why=why)
        elif (registered := host.misfit(one.module, one.name, one.type)) is not None:
            yield UnmetImport(name=full, type=declared, why=registered, is_registered=True)


def _why_not_served(one: ModuleImport) -> str:
    if isinstance(one.type, OtherFunction):
        return "no host function has such a type"
    return WASI_NOT_GRANTED if one.module == WASI_P1 else ""


def refusal(guest: object, unmet: Sequence[UnmetImport]) -> LinkError:
    """Return the error that names all unmet imports, beginning with those that are not provided."""
    missing = [one for one in unmet if not one.is_registered]
    misfits = [one for one in unmet if one.is_registered]
    paragraphs = []
    if missing:
        paragraphs.append("\n  ".join([f"{guest!r} needs imports that are not provided:", *_listed(missing)]))
    if misfits:
        begins = f"{guest!r} imports functions whose signatures differ from those of the registered functions:"
        paragraphs.append("\n  ".join([begins, *(printable(str(one)) for one in misfits)]))
    return LinkError("\n".join(paragraphs), [one.name for one in unmet])


def _listed(missing: Sequence[UnmetImport]) -> Iterator[str]:
    """Yield a line for each import, but only one for each interface of WASI, whose imports are numerous."""
    for is_ungranted, group in groupby(missing, key=lambda one: one.why == WASI_NOT_GRANTED):
        if is_ungranted:
            for interface, functions in groupby(group, key=lambda one: one.name.partition("#")[0]):
                names = ", ".join(one.name.partition("#")[2] for one in functions)
                yield printable(f"{interface}: {names} ({WASI_NOT_GRANTED})")
        else:
            yield from (printable(one.short_text) for one in group)


def _short(type_text: str) -> str:
    if len(type_text) > _MOST_TYPE:
        # The innermost first, until no braces are left but those with an ellipsis.
        collapsed, times = type_text, 1
        while times:
            collapsed, times = re.subn(_MEMBERS, "{…}", collapsed)
        type_text = collapsed
    return type_text if len(type_text) <= _MOST_TYPE else f"{type_text[: _MOST_TYPE - 1]}…"


def _near(full: str, host: HostFunctions | None) -> str:
    names = host.names if host is not None else ()
    # Names of one interface are similar as a whole, whatever they end with.
    last = full.rpartition("#")[2]
    alike = [one for one in names if difflib.get_close_matches(last, [one.rpartition("#")[2]])]
    near = difflib.get_close_matches(full, alike, n=1, cutoff=0.8)
    return f"a similar name is registered: {near[0]}" if near else ""
