"""The text of a stub: a class for the guest, for its interfaces and resources, and for the types of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.values import attribute_name, field_name
from pytest_airssys_wasm.runtime.guest.class_names import class_name
from pytest_airssys_wasm.runtime.guest.component import by_attribute
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    RecordType,
    ResourceType,
    VariantType,
    without_python_value,
)
from pytest_airssys_wasm.runtime.wit.world import flatten, full_name, functions
from pytest_airssys_wasm.stubs.names import Names, camel, is_writable, last_part
from pytest_airssys_wasm.stubs.spelling import Spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.guest.component import Component

_PRELUDE = """\
import builtins as _builtins
import collections.abc as _abc
import typing as _t

import pytest_airssys_wasm as _wasm

_T = _t.TypeVar("_T")
_P = _t.ParamSpec("_P")

class _Function(_t.Generic[_P, _T]):
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
    def call_async(self, *args: _P.args, **kwargs: _P.kwargs) -> _abc.Coroutine[_t.Any, _t.Any, _T]: ...

def _function(method: _t.Callable[_t.Concatenate[_t.Any, _P], _T]) -> _Function[_P, _T]: ...

class _Ok(_wasm.Ok, _t.Generic[_T]):
    value: _T

class _Err(_wasm.Err, _t.Generic[_T]):
    error: _T

class _Some(_wasm.Some, _t.Generic[_T]):
    value: _T
"""
_CORE = {"i32": "int", "i64": "int", "f32": "float", "f64": "float"}
_HANDLE = ("drop", "drop_async")
_CLASS = ("call_async",)


def render(guest: Component, file_name: str) -> str:
    """Return the stub of a guest that was loaded from a file of this name."""
    stub = _ComponentStub(guest) if isinstance(guest, WitComponent) else _Stub(guest)
    name = stub.names.new_class(camel(_identifier(file_name.partition(".")[0])), "Guest")
    head = f"# The exports of {printable(file_name)}, as written by python -m pytest_airssys_wasm.stubs."
    # The bodies come first, because they determine the types to be defined.
    body = [*stub.guest_class(name), *stub.others()]
    return "\n".join([head, _PRELUDE, *body]) + "\n"


def _identifier(name: str) -> str:
    """Return a text with a hyphen for each character that cannot be in an identifier."""
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in name).lstrip("-0123456789")


class _Stub:
    """The stub of a core module."""

    def __init__(self, guest: Component) -> None:
        self.guest = guest
        self.names = Names(self.attributes())

    def attributes(self) -> Iterator[str]:
        """Yield all names that are declared in the bodies of classes."""
        for known in (*self.guest.attributes.values(), *self.guest.resources.values()):
            yield from known

    def guest_class(self, name: str) -> Iterator[str]:
        """Yield the lines of the class of the guest's instances."""
        yield f"class {name}:"
        yield "    store: _wasm.LimitedStore"
        yield "    component: _wasm.Component"
        yield from self._calls()
        yield from self._context(name)
        yield from self.members("")

    def others(self) -> Iterator[str]:
        """Yield the lines of all other classes."""
        return iter(())

    def members(self, interface: str) -> Iterator[str]:
        """Yield the lines of the functions of an interface, or of the root if the name is empty."""
        yield from self._functions(self.guest.attributes.get(interface, {}), full_name(interface, ""))

    def signature(self, function: str, lead: int) -> tuple[list[str], str, str] | None:
        """Return the parameters, the result and the receiver of a function; `None` if it cannot be called."""
        params, results = self.guest.parameter_types(function), self.guest.result_types(function)
        if any(type_ not in _CORE for type_ in (*params, *results)):
            return None
        listed = [f"p{index}: {self.names.builtin(_CORE[type_])}" for index, type_ in enumerate(params)]
        made = [self.names.builtin(_CORE[type_]) for type_ in results]
        result = f"{self.names.builtin('tuple')}[{', '.join(made)}]" if len(made) > 1 else made[0] if made else "None"
        return [*listed, "/"] if listed else [], result, "self"

    def _functions(self, known: Mapping[str, Sequence[str]], prefix: str, lead: int = 0) -> Iterator[str]:
        for attribute, names in known.items():
            if names[0].startswith("[") and isinstance(self.guest, WitComponent):
                continue  # constructors, methods and static functions belong to their resources
            listed = ", ".join(ascii(name)[:200] for name in names)
            if len(names) > 1 or not is_writable(attribute):
                yield f"    # only by exact name: {listed}"
                continue
            signature = self.signature(prefix + names[0], lead)
            if signature is None:
                yield f"    # cannot be called, because values of its type have no Python value: {listed}"
                continue
            params, result, receiver = signature
            yield "    @_function"
            yield f"    def {attribute}({', '.join([receiver, *params])}) -> {result}: ..."

    def _calls(self) -> Iterator[str]:
        text = self.names.builtin("str")
        yield f"    def call(self, name: {text}, /, *args: _t.Any, **named: _t.Any) -> _t.Any: ..."
        yield f"    async def call_async(self, name: {text}, /, *args: _t.Any, **named: _t.Any) -> _t.Any: ..."

    def _context(self, name: str) -> Iterator[str]:
        thing = self.names.builtin("object")
        yield f"    def __enter__(self) -> {name}: ..."
        yield f"    def __exit__(self, *raised: {thing}) -> None: ..."
        yield f"    async def __aenter__(self) -> {name}: ..."
        yield f"    async def __aexit__(self, *raised: {thing}) -> None: ..."


class _ComponentStub(_Stub):
    """The stub of a component."""

    guest: WitComponent

    def __init__(self, guest: WitComponent) -> None:
        super().__init__(guest)
        self._types = functions(guest.exports)
        self._spelling = Spelling(self.names)
        self._interfaces = {
            interface: self.names.new_class(camel(last_part(interface)) + "Interface", "Interface")
            for interface in guest.attributes
            if interface
        }
        self._resources: dict[tuple[str, str], tuple[str, str]] = {}
        self._name_types()

    def attributes(self) -> Iterator[str]:
        yield from super().attributes()
        for full in self.guest.function_names():
            if "]" in full:  # of a resource: the attribute is the part after the dot
                attribute = attribute_name(full.rpartition(".")[2])
                yield from (attribute, attribute + "_")
        for _, _, item in (*flatten(self.guest.imports), *flatten(self.guest.exports)):
            if isinstance(item, RecordType):
                yield from (field_name(field) for field, _ in item.fields)

    def guest_class(self, name: str) -> Iterator[str]:
        yield from super().guest_class(name)
        for interface, made in self._interfaces.items():
            if len(self._interfaces) > 1:
                yield "    @_t.overload"
            yield f"    def __getitem__(self, interface: _t.Literal[{interface!a}], /) -> {made}: ..."

    def others(self) -> Iterator[str]:
        for interface, name in self._interfaces.items():
            yield from ("", f"class {name}:", *self._calls(), *self.members(interface))
        for (interface, resource), (made, handle) in self._resources.items():
            yield from ("", f"class {made}:", *self._class_members(interface, resource))
            yield from ("", f"class {handle}:", *self._handle_members(handle, interface, resource))
        yield from self._spelling.definitions()

    def members(self, interface: str) -> Iterator[str]:
        yield from super().members(interface)
        taken = self.guest.attributes.get(interface, {})
        for attribute, names in self.guest.resources.get(interface, {}).items():
            if len(names) > 1:
                yield f"    # several resources: {', '.join(map(ascii, names))}"
            elif attribute not in taken and is_writable(attribute):
                yield f"    {attribute}: {self._resources[interface, names[0]][0]}"

    def signature(self, function: str, lead: int) -> tuple[list[str], str, str] | None:
        type_ = self._types[function]
        if without_python_value(type_) is not None:
            return None
        names = [attribute_name(name) for name, _ in type_.params[lead:]]
        params = [f"{name}: {self._spelling.into(of)}" for name, (_, of) in zip(names, type_.params[lead:])]
        return params, self._spelling.out(type_.result), "_self, /" if "self" in names else "self"

    def _name_types(self) -> None:
        """Choose the names of all types that have one in WIT, and those of resources."""
        for interface, resources in self.guest.resources.items():
            for names in resources.values():
                for resource in names:
                    if (interface, resource) not in self._resources:
                        self._resources[interface, resource] = self._name_resource(interface, resource)
        for interface, name, item in (*flatten(self.guest.exports), *flatten(self.guest.imports)):
            match item:
                case ResourceType() if (interface, name) in self._resources:
                    self._spelling.handles.setdefault(item, self._resources[interface, name][1])
                case RecordType() | VariantType() | EnumType() | FlagsType():
                    self._spelling.name(item, camel(name), camel(last_part(interface)) + camel(name))
                case _:
                    pass

    def _name_resource(self, interface: str, resource: str) -> tuple[str, str]:
        first, second = class_name(resource), camel(last_part(interface)) + class_name(resource)
        made = self.names.new_class(first + "Class", second + "Class")
        return made, self.names.new_class(first + "Handle", second + "Handle")

    def _class_members(self, interface: str, resource: str) -> Iterator[str]:
        constructor = full_name(interface, f"[constructor]{resource}")
        signature = self.signature(constructor, 0) if constructor in self._types else None
        if signature is None:
            yield "    ...  # without a constructor that can be called"
        else:
            params, result, receiver = signature
            listed = ", ".join([receiver, *params])
            yield f"    def __call__({listed}) -> {result}: ..."
            yield f"    async def call_async({listed}) -> {result}: ..."
        yield from self._role(interface, resource, "static", _CLASS)

    def _handle_members(self, handle: str, interface: str, resource: str) -> Iterator[str]:
        yield "    def drop(self) -> None: ..."
        yield "    async def drop_async(self) -> None: ..."
        yield from self._context(handle)
        methods = {*self._named(interface, resource, "method", _HANDLE)}
        yield from self._role(interface, resource, "method", _HANDLE, lead=1)
        yield from self._role(interface, resource, "static", _HANDLE, without=methods)

    def _role(
        self,
        interface: str,
        resource: str,
        role: str,
        taken: Sequence[str],
        *,
        lead: int = 0,
        without: set[str] | frozenset[str] = frozenset(),
    ) -> Iterator[str]:
        known = self._named(interface, resource, role, taken)
        prefix = full_name(interface, f"[{role}]{resource}.")
        yield from self._functions({key: names for key, names in known.items() if key not in without}, prefix, lead)

    def _named(self, interface: str, resource: str, role: str, taken: Sequence[str]) -> dict[str, tuple[str, ...]]:
        prefix = full_name(interface, f"[{role}]{resource}.")
        return by_attribute((full[len(prefix) :] for full in self._types if full.startswith(prefix)), taken)
