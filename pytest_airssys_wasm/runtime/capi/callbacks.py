"""The C callbacks of host functions: one callback of each kind per engine, with a table of the functions that it
dispatches to.

wasmtime-py stores the last exception of a host call in a global variable, which is not thread-safe. Here each served
function stores its own exception, and no exception leaves the callback.
"""

from __future__ import annotations

from ctypes import CFUNCTYPE, c_size_t, c_uint32, c_void_p
from itertools import count
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.stores import address

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Serve = Callable[[int, int, int], None]
    """A host function: `(address of the context, of the arguments, of the results)`. It may raise any exception."""
    Destroy = Callable[[int], None]
    """A destructor: `(representation of the resource)`. It may raise any exception."""

_RAISED = "a host function raised"

_ComponentCallback = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t)
_ModuleCallback = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t)
_Destructor = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_uint32)
_Finalizer = CFUNCTYPE(None, c_void_p)


class Callbacks:
    """The C callbacks of one engine's host functions. They must outlive the engine and its linkers."""

    def __init__(self) -> None:
        self._served: dict[int, Any] = {}
        self._ids = count(1)
        self._component = _ComponentCallback(self._call_component)
        self._module = _ModuleCallback(self._call_module)
        self._destructor = _Destructor(self._destroy)
        self._finalizer = _Finalizer(self._forget)

    def define_in_component(self, linker_instance: Any, name: str, serve: Serve) -> None:
        """Define a function in a `wasmtime.component.LinkerInstance`. Raises `ValueError` if wasmtime refuses it."""
        identity = self._remember(serve)
        encoded = name.encode()
        _check(
            abi.component_linker_add_func(
                address(linker_instance), encoded, len(encoded), self._component, identity, self._finalizer
            )
        )

    def define_resource(self, linker_instance: Any, name: str, resource_type: Any, destroy: Destroy) -> None:
        """Define a host resource of a `wasmtime.component.ResourceType`.

        Raises `ValueError` if wasmtime refuses it.
        """
        identity = self._remember(destroy)
        encoded = name.encode()
        _check(
            abi.component_linker_add_resource(
                address(linker_instance),
                encoded,
                len(encoded),
                address(resource_type),
                self._destructor,
                identity,
                self._finalizer,
            )
        )

    def define_in_module(self, linker: Any, module: str, name: str, function_type: Any, serve: Serve) -> None:
        """Define a function of a `wasmtime.FuncType` in a `wasmtime.Linker`.

        Raises `ValueError` if wasmtime refuses it.
        """
        identity = self._remember(serve)
        first, second = module.encode(), name.encode()
        _check(
            abi.linker_define_func(
                address(linker),
                first,
                len(first),
                second,
                len(second),
                address(function_type),
                self._module,
                identity,
                self._finalizer,
            )
        )

    def _remember(self, served: Serve | Destroy) -> int:
        identity = next(self._ids)
        self._served[identity] = served
        return identity

    def _forget(self, identity: int) -> None:
        self._served.pop(identity, None)

    def _call_component(
        self, identity: int, context: int, _type: int, args: int | None, _count: int, results: int | None, _n: int
    ) -> int | None:
        try:
            self._served[identity](context, args or 0, results or 0)
        except BaseException:  # noqa: BLE001 an exception that left here would crash the process
            return failures.new_error(_RAISED)
        return None

    def _call_module(
        self, identity: int, caller: int, args: int | None, _count: int, results: int | None, _n: int
    ) -> int | None:
        try:
            self._served[identity](caller, args or 0, results or 0)
        except BaseException:  # noqa: BLE001 as above
            return failures.new_trap(_RAISED)
        return None

    def _destroy(self, identity: int, _context: int, representation: int) -> int | None:
        try:
            self._served[identity](representation)
        except BaseException:  # noqa: BLE001 as above
            return failures.new_error(_RAISED)
        return None


def _check(error: int | None) -> None:
    if error:
        raise ValueError(failures.take(error).cause)
