"""The settings of one test, resolved once from its markers, its manifest and the settings of the session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.settings import SETTINGS, check_ceiling
from pytest_airssys_wasm.plugin.sources import find_folder, find_source
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_airssys_wasm.plugin.markers import Marks
    from pytest_airssys_wasm.plugin.settings import Settings
    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


_WAYS_TO_GIVE_MEMORY = (
    "a limit, because there is no default: @pytest.mark.memory('1 MiB') on the test, its class or module, "
    "--wasm-memory '1 MiB' on the command line, wasm_memory = 1 MiB in the ini file, "
    "or max_bytes under [resources.memory] in the Component.toml beside the component"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginatedLimits:
    """The limits of a test, with their sources."""

    values: ResourceLimits
    origins: Mapping[str, str]
    """The source of each limit that is set, such as `--wasm-fuel` for `fuel`. Built-in defaults are not included."""


def resolve_limits(name: str, marks: Marks, settings: Settings, manifest: Manifest | None) -> OriginatedLimits:
    """Return the limits of the test that messages refer to as `name`.

    Raises `InvalidConfiguration` if no source sets a memory limit, and `OverCeiling` for a limit over its ceiling.
    """
    given: dict[str, Any] = {}
    for layer in (_of_manifest(manifest), _of_settings(settings), _of_markers(marks)):
        given.update(layer)
    for limit, (value, where) in given.items():
        check_ceiling(settings, limit, value, where)
    if "memory" not in given:
        raise InvalidConfiguration(f"{name}: memory", NOTHING, _WAYS_TO_GIVE_MEMORY)
    values = ResourceLimits(**{**_defaults(settings), **{limit: value for limit, (value, _) in given.items()}})
    return OriginatedLimits(
        values=replace(values, **marks.counts) if marks.counts else values,
        origins={
            **{limit: where for limit, (_, where) in given.items()},
            **dict.fromkeys(marks.counts, "marker wasm_limits"),
        },
    )


def _defaults(settings: Settings) -> dict[str, Any]:
    """Return the built-in defaults, lowered to the ceilings of the ini file."""
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


def _of_markers(marks: Marks) -> dict[str, Any]:
    return {name: (value, f"marker {name}") for name, value in marks.limits.items()}


SOURCE: pytest.StashKey[Source | None] = pytest.StashKey()
"""The guest of an item without the marker `component`, such as a check of a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSettings:
    """The guest of a test, and its limits."""

    marks: Marks
    source: Source | None
    limits: OriginatedLimits | InvalidConfiguration
    """The limits, or the error that explains why there are none. It is not raised if the test does not use the
    limits.
    """


_ITEM_SETTINGS = pytest.StashKey[ItemSettings]()


def settings_of(item: pytest.Item) -> ItemSettings:
    """Return the settings of a test. They are resolved on first use, because a fixture may build the guest.

    They are resolved again if the item's markers have changed. Raises `InvalidConfiguration` for a wrong marker, a file
    that does not exist and a wrong manifest.
    """
    marks = markers.of_item(item)
    known = item.stash.get(_ITEM_SETTINGS, None)
    if known is None or known.marks is not marks:
        known = item.stash[_ITEM_SETTINGS] = _resolve(item, marks)
    return known


def wasi_of(item: pytest.Item) -> Wasi | None:
    """Return the WASI grants of a test: those of its closest `wasi` marker, or else of its manifest.

    Directories are looked up in this call, because a fixture may create them. Raises `InvalidConfiguration` for a
    directory that does not exist.
    """
    mark = markers.of_item(item).wasi
    if mark is None:
        source = settings_of(item).source
        return source.manifest.wasi if source and source.manifest else None
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    preopen = {guest: (find_folder(item, host), access) for guest, (host, access) in mark.preopen.items()}
    return Wasi(**mark.grants, preopen=preopen)


def _resolve(item: pytest.Item, marks: Marks) -> ItemSettings:
    source = item.stash[SOURCE] if SOURCE in item.stash else find_source(item, marks.component)
    manifest = source.manifest if source else None
    found: OriginatedLimits | InvalidConfiguration
    try:
        found = resolve_limits(item.nodeid, marks, item.config.stash[SETTINGS], manifest)
    except InvalidConfiguration as error:
        found = error
    return ItemSettings(marks=marks, source=source, limits=found)
