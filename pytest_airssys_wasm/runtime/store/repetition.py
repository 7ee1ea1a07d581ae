"""The repetition of a call in a new store, for searches and reports that start from the call of an error."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.outcome import Call
from pytest_airssys_wasm.runtime.wave import write_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class Repetition(Struct, frozen=True, eq=False):
    """The objects that are needed to repeat an execution."""

    engine: EngineCore
    component: Component
    function: str | None
    """The full name of the export; `None` for an instantiation."""
    args: Sequence[Any]
    limits: ResourceLimits
    host: HostFunctions | None
    wasi: Wasi | None
    store: object
    """A token of the store, the same for all of its executions, that does not keep the store alive."""


def call_of(
    operation: Operation,
    engine: EngineCore,
    limits: ResourceLimits,
    host: HostFunctions | None,
    wasi: Wasi | None,
    nth: int,
    store: object,
) -> Call:
    """Return the description of the execution of an operation, which can repeat it."""
    component, function, args = operation.component, operation.function, operation.args
    return Call(
        component=component.name,
        path=component.path,
        export=function,
        limits={field.name: getattr(limits, field.name) for field in fields(limits)},
        nth=nth,
        write=partial(call_text, component, function, args),
        repetition=Repetition(engine, component, function, args, limits, host, wasi, store),
    )


def repetition_of(call: Call | None) -> Repetition | None:
    """Return the objects that are needed to repeat a call; `None` without a call, or if the call is a copy."""
    found = None if call is None else call.repetition
    return found if isinstance(found, Repetition) else None


def call_text(component: Component, function: str | None, args: Sequence[Any]) -> str:
    """Return a call in WAVE notation, cut if it is long."""
    if function is None:
        return f"instantiate {component.name}"
    try:
        types = component.parameter_types(function)
    except LookupError:  # a destructor has no export of its own
        return function
    return write_call(function, args, types)
