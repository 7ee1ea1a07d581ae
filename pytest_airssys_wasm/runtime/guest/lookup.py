"""The lookup of the exports of an instance of this process, for calls that are prepared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.guest import component_calls, module_calls
from pytest_airssys_wasm.runtime.guest.core_module import CoreModule
from pytest_airssys_wasm.runtime.guest.lifted_functions import lifted_function
from pytest_airssys_wasm.runtime.guest.parked_calls import component_function, lifted_call, module_function
from pytest_airssys_wasm.runtime.guest.wit_component import WitComponent

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.lifted_functions import LiftedFunction
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle
    from pytest_airssys_wasm.runtime.guest.parked_calls import ParkedFunction

_COMMAND = re.compile(r"wasi:cli/run@0\.2\.\d+#run")


def is_command(function: str) -> bool:
    """Return whether a function runs a command, which may exit with status 0 instead of returning."""
    return _COMMAND.fullmatch(function) is not None


def look_up(handle: InstanceHandle, name: str, store: int) -> tuple[Any, LiftedFunction | None]:
    """Return the C struct of an export and its scalar lift, for the `wasmtime_context_t` at an address.

    An export that has a scalar lift does not need its own struct, which is `None` then.
    """
    component = handle.component
    match component:
        case CoreModule():
            return module_calls.function_of(handle, name, store), None
        case WitComponent():
            lifted = lifted_function(handle, component, name, store)
            if lifted is not None:
                return None, lifted
            export = component.check_call(name, len(component.parameter_types(name)))
            return component_calls.function_of(handle, name, export, store), None
    raise TypeError(f"{component!r} is neither a component nor a module")


def struct_of(handle: InstanceHandle, name: str) -> Any:
    """Return the C struct of an export that was called before: of its scalar lift, if it has one."""
    lifted = handle.lifted.get(name)
    return handle.functions[name] if lifted is None else lifted.struct


def parked_function(handle: InstanceHandle, name: str) -> ParkedFunction | None:
    """Return an export as it is called on a parked thread; `None` if that is not possible."""
    component, lifted = handle.component, handle.lifted.get(name)
    export = component.check_call(name, len(component.parameter_types(name)))
    match component:
        case CoreModule():
            return module_function(export)
        case WitComponent() if not component.uses_resources and not is_command(name):
            return component_function(export) if lifted is None else lifted_call(lifted.export, export)
    return None
