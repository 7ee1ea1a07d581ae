"""The C callbacks of host functions: one callback of each kind per engine, with a table of the functions that it
dispatches to.

wasmtime-py stores the last exception of a host call in a global variable, which is not thread-safe. Here each served
function stores its own exception, and no exception leaves the callback.
"""

from __future__ import annotations

from ctypes import CFUNCTYPE, addressof, c_uint32, c_void_p, cast
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.capi import abi, failures
from pytest_airssys_wasm.runtime.capi.guard import GuardImport, guard
from pytest_airssys_wasm.runtime.capi.stores import address

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Serve = Callable[[int, int], None]
    """A host function: `(address of the arguments, of the results)`. It may raise any exception."""
    Destroy = Callable[[int], None]
    """A destructor: `(representation of the resource)`. It may raise any exception."""

_RAISED = "a host function raised"

_Serve = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
_Destroy = CFUNCTYPE(c_void_p, c_void_p, c_uint32)
_Finalizer = CFUNCTYPE(None, c_void_p)


class Callbacks:
    """The C callbacks of one engine's host functions. They must outlive the engine and its linkers."""

    def __init__(self) -> None:
        self._guard = guard()
        self._served: dict[int, tuple[GuardImport, Any]] = {}
        """The functions, by the addresses of their structs."""
        self._component = _Serve(self._serve_component)
        self._module = _Serve(self._serve_module)
        self._destructor = _Destroy(self._destroy)
        self._finalizer = _Finalizer(self._forget)

    def define_in_component(self, linker_instance: Any, name: str, serve: Serve) -> None:
        """Define a function in a `wasmtime.component.LinkerInstance`. Raises `ValueError` if wasmtime refuses it."""
        served = self._remember(GuardImport(serve=_address(self._component)), serve)
        encoded = name.encode()
        _check(
            abi.component_linker_add_func(
                address(linker_instance), encoded, len(encoded), self._guard.serve_component, served, self._finalizer
            )
        )

    def define_resource(self, linker_instance: Any, name: str, resource_type: Any, destroy: Destroy) -> None:
        """Define a host resource of a `wasmtime.component.ResourceType`.

        Raises `ValueError` if wasmtime refuses it.
        """
        served = self._remember(GuardImport(destroy=_address(self._destructor)), destroy)
        encoded = name.encode()
        _check(
            abi.component_linker_add_resource(
                address(linker_instance),
                encoded,
                len(encoded),
                address(resource_type),
                self._guard.serve_destructor,
                served,
                self._finalizer,
            )
        )

    def define_in_module(self, linker: Any, module: str, name: str, function_type: Any, serve: Serve) -> None:
        """Define a function of a `wasmtime.FuncType` in a `wasmtime.Linker`.

        Raises `ValueError` if wasmtime refuses it.
        """
        linker.callbacks = (
            self  # they are called once more when the linker is deleted, perhaps together with the engine
        )
        served = self._remember(GuardImport(serve=_address(self._module)), serve)
        first, second = module.encode(), name.encode()
        _check(
            abi.linker_define_func(
                address(linker),
                first,
                len(first),
                second,
                len(second),
                address(function_type),
                self._guard.serve_module,
                served,
                self._finalizer,
            )
        )

    def _remember(self, one: GuardImport, served: Serve | Destroy) -> int:
        where = addressof(one)
        self._served[where] = one, served
        return where

    def _forget(self, where: int) -> None:
        self._served.pop(where, None)

    def _serve_component(self, where: int, args: int | None, results: int | None) -> int | None:
        try:
            self._served[where][1](args or 0, results or 0)
        except BaseException:  # noqa: BLE001 an exception that left here would crash the process
            return failures.new_error(_RAISED)
        return None

    def _serve_module(self, where: int, args: int | None, results: int | None) -> int | None:
        try:
            self._served[where][1](args or 0, results or 0)
        except BaseException:  # noqa: BLE001 as above
            return failures.new_trap(_RAISED)
        return None

    def _destroy(self, where: int, representation: int) -> int | None:
        try:
            self._served[where][1](representation)
        except BaseException:  # noqa: BLE001 as above
            return failures.new_error(_RAISED)
        return None


def _address(callback: Any) -> int | None:
    return cast(callback, c_void_p).value


def _check(error: int | None) -> None:
    if error:
        raise ValueError(failures.take(error).cause)
