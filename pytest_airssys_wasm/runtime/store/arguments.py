"""The checks of the arguments of a store, which are made early so that the error names the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.guest.component import Component
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore


def check_parts(limits: object, host: object, wasi: object) -> None:
    """Raise `InvalidConfiguration` for arguments from which a store cannot be created."""
    if not isinstance(limits, ResourceLimits):
        raise InvalidConfiguration("limits", limits, "ResourceLimits(…)")
    if not isinstance(host, (HostFunctions, type(None))):
        raise InvalidConfiguration("host", host, "HostFunctions(), or None")
    if not isinstance(wasi, (Wasi, type(None))):
        raise InvalidConfiguration("wasi", wasi, "Wasi(…), or None")


def check_component(component: object, engine: EngineCore) -> None:
    """Raise a `TypeError` for an object that is not a component, and a `ValueError` for a component of another
    engine.
    """
    if getattr(component, "engine", None) is engine.raw:
        return
    if not isinstance(component, Component):
        raise TypeError(f"component: expected the result of the engine's load(), got {component!r}")
    raise ValueError(
        f"{component!r} was loaded by another engine: a store can run only those that its engine has loaded"
    )


def check_fuel_scope(fuel_per: object) -> None:
    """Raise `InvalidConfiguration` unless the scope of a fuel budget is `call` or `store`."""
    if fuel_per not in ("call", "store"):
        raise InvalidConfiguration("fuel_per", fuel_per, "'call' or 'store'")
