"""What a store is given, checked where it is given: what does not fit would be found out in another room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.guest.component import Component
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.engine import WasmEngine


def check_parts(limits: object, host: object, wasi: object) -> None:
    """Raise `InvalidConfiguration` for what a store cannot be made of."""
    if not isinstance(limits, ResourceLimits):
        raise InvalidConfiguration("limits", limits, "ResourceLimits(…)")
    if not isinstance(host, (HostFunctions, type(None))):
        raise InvalidConfiguration("host", host, "HostFunctions(), or None")
    if not isinstance(wasi, (Wasi, type(None))):
        raise InvalidConfiguration("wasi", wasi, "Wasi(…), or None")


def check_component(component: object, engine: WasmEngine) -> None:
    """Raise a `TypeError` for what is no component, a `ValueError` for one of another engine."""
    if getattr(component, "engine", None) is engine:
        return
    if not isinstance(component, Component):
        raise TypeError(f"component: expected what the engine's load() returns, got {component!r}")
    raise ValueError(f"{component!r} was loaded by another engine: a store runs what its own engine has loaded")
