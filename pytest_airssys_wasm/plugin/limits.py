"""Which limits hold for a test: built-in defaults < Component.toml < ini < command line < marker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.settings import check_ceiling
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.plugin.settings import Settings
    from pytest_airssys_wasm.runtime.manifest.model import Manifest

WAYS_TO_GIVE_MEMORY = (
    "a limit, because there is no default: @pytest.mark.memory('1 MiB') on the test, its class or module, "
    "--wasm-memory '1 MiB' on the command line, wasm_memory = 1 MiB in the ini file, "
    "or max_bytes under [resources.memory] in the Component.toml beside the component"
)


def resolve(item: pytest.Item, settings: Settings, manifest: Manifest | None) -> ResourceLimits:
    """The limits of one test.

    Raises `InvalidConfiguration` when no memory is given anywhere, or when a limit is over its ceiling.
    """
    given: dict[str, Any] = {}
    for layer in (_of_manifest(manifest), _of_settings(settings), _of_markers(item)):
        given.update(layer)
    for name, (value, where) in given.items():
        check_ceiling(settings, name, value, where)
    if "memory" not in given:
        raise InvalidConfiguration(f"{item.nodeid}: memory", NOTHING, WAYS_TO_GIVE_MEMORY)
    limits = ResourceLimits(**{**_defaults(settings), **{name: value for name, (value, _) in given.items()}})
    return replace(limits, **markers.counts(item))


def _defaults(settings: Settings) -> dict[str, Any]:
    """The built-in defaults; nobody asked for them, so a lower ceiling lowers them."""
    defaults = {"fuel": ResourceLimits.DEFAULT_FUEL, "timeout_ms": ResourceLimits.DEFAULT_TIMEOUT_MS}
    ceilings = {"fuel": settings.wasm_max_fuel, "timeout_ms": settings.wasm_max_timeout_ms}
    return {name: value if (top := ceilings[name]) is None else min(value, top) for name, value in defaults.items()}


def _of_manifest(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {}
    stated = {"memory": manifest.memory_bytes, "fuel": manifest.max_fuel, "timeout_ms": manifest.timeout_ms}
    return {name: (value, f"{manifest.path}: {name}") for name, value in stated.items() if value is not None}


def _of_settings(settings: Settings) -> dict[str, Any]:
    stated = {
        "memory": settings.wasm_memory,
        "fuel": settings.wasm_fuel,
        "timeout_ms": settings.wasm_timeout_ms,
    }
    return {name: (given.value, given.where) for name, given in stated.items() if given is not None}


def _of_markers(item: pytest.Item) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("memory", "fuel", "timeout_ms"):
        if item.get_closest_marker(name) is not None:
            data = markers.closest(item, name)
            found[name] = (data.fuel if isinstance(data, markers.FuelMark) else data, f"marker {name}")
    return found
