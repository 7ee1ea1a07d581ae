"""The settings of one test, resolved once from its markers, its manifest and the settings of the session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.ceilings import check_ceilings
from pytest_airssys_wasm.plugin.fuel_against_time import note_limits
from pytest_airssys_wasm.plugin.given import Given
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import find_folder, find_source
from pytest_airssys_wasm.plugin.stash import OVERRULED, RUNNING
from pytest_airssys_wasm.runtime.base.figures import milliseconds
from pytest_airssys_wasm.runtime.budget.limit_text import WORDS, limit_text
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


class OriginatedLimits(Struct, frozen=True, kw_only=True):
    """The limits of a test, with their sources."""

    values: ResourceLimits
    origins: Mapping[str, str]
    """The place where each limit was set, such as `--wasm-fuel` for `fuel`. Counts have none unless a marker sets
    them."""
    overruled: tuple[str, ...] = ()
    """A sentence for each limit of the manifest that the command line replaces by another one."""


def resolve_limits(
    name: str, marks: Marks, settings: Settings, manifest: Manifest | None, root: Path | None = None
) -> OriginatedLimits:
    """Return the limits of the test that is called `name` in messages; paths in them are relative to `root`.

    The weakest source comes first: built-in default, ini file, manifest, command line, marker. Raises
    `InvalidConfiguration` when no memory limit is given anywhere, and `OverCeiling` for limits over their ceilings.
    """
    marked = {limit: Given(value=value, where=f"marker {limit}") for limit, value in marks.limits.items()}
    counts = {limit: Given(value=value, where="marker wasm_limits") for limit, value in marks.counts.items()}
    return limits_from(name, {**marked, **counts}, settings, manifest, root=root, ways=_WAYS_TO_GIVE_MEMORY)


def limits_from(
    name: str,
    asked: Mapping[str, Given],
    settings: Settings,
    manifest: Manifest | None,
    *,
    root: Path | None,
    ways: str,
) -> OriginatedLimits:
    """Return the limits of a guest or test, which messages call `name`; those in `asked` take precedence over all
    others.

    `ways` says how a memory limit can be given. Otherwise the same as `resolve_limits`.
    """
    declared, ordered = _of_manifest(manifest, root), settings.limits(from_command_line=True)
    given = {**settings.limits(from_command_line=False), **declared, **ordered, **asked}
    check_ceilings(settings, {limit: one for limit, one in given.items() if limit in WORDS})
    if "memory" not in given:
        raise InvalidConfiguration(f"{name}: memory", NOTHING, ways)
    found = {**settings.default_limits(), **given}
    origins = {limit: one.where for limit, one in found.items()}
    values = {limit: one.value for limit, one in found.items()}
    scale = settings.wasm_timeout_scale
    if scale != 1 and values["timeout_ms"] is not None:
        origins["timeout_ms"] += f", {milliseconds(values['timeout_ms'])} ms times {scale:g}"
        values["timeout_ms"] *= scale
    return OriginatedLimits(
        values=ResourceLimits(**values),
        origins=origins,
        overruled=tuple(
            f"{WORDS[limit]} {limit_text(limit, one.value)} from {one.where}, "
            f"the manifest says {limit_text(limit, declared[limit].value)}"
            for limit, one in ordered.items()
            if limit in declared and limit not in asked and one.value != declared[limit].value
        ),
    )


def _of_manifest(manifest: Manifest | None, root: Path | None) -> dict[str, Given]:
    if manifest is None:
        return {}
    path = manifest.path if root is None else os.path.relpath(manifest.path, root)
    stated = {
        "memory": ("max_bytes", manifest.memory_bytes),
        "fuel": ("max_fuel", manifest.max_fuel),
        "timeout_ms": ("timeout_ms", manifest.timeout_ms),
    }
    return {
        name: Given(value=value, where=f"{key} of {path}") for name, (key, value) in stated.items() if value is not None
    }


SOURCE: pytest.StashKey[Source | None] = pytest.StashKey()
"""The guest of an item without the marker `component`, such as a check of a manifest."""


class ItemSettings(Struct, frozen=True, kw_only=True):
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
        return source.wasi if source else None
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    preopen = {guest: (find_folder(item, host), access) for guest, (host, access) in mark.preopen.items()}
    return Wasi(**mark.grants, preopen=preopen)


def _resolve(item: pytest.Item, marks: Marks) -> ItemSettings:
    source = item.stash[SOURCE] if SOURCE in item.stash else find_source(item, marks.component)
    manifest = source.manifest if source else None
    found: OriginatedLimits | InvalidConfiguration
    try:
        config = item.config
        found = resolve_limits(item.nodeid, marks, config.stash[SETTINGS], manifest, config.rootpath)
        note_limits(config, found.values, found.origins)
    except InvalidConfiguration as error:
        found = error
    return ItemSettings(marks=marks, source=source, limits=found)


def tell_overruled(item: pytest.Item) -> None:
    """Note on an item, for its report, the limits of its manifest that the command line replaces."""
    found = settings_of(item).limits
    if isinstance(found, OriginatedLimits):
        _note_overruled(item, found)


def note_overruled(config: pytest.Config, limits: OriginatedLimits) -> None:
    """Record, for the running item, the limits of a manifest that the command line replaces."""
    item = config.stash.get(RUNNING, None)
    if item is not None:
        _note_overruled(item, limits)


def _note_overruled(item: pytest.Item, limits: OriginatedLimits) -> None:
    known = [value for name, value in item.user_properties if name == OVERRULED]
    item.user_properties.extend((OVERRULED, text) for text in limits.overruled if text not in known)


_REGISTERED = pytest.StashKey["dict[int, OriginatedLimits]"]()


def register_limits(config: pytest.Config, limits: OriginatedLimits) -> None:
    """Remember limits that do not belong to one test, so that messages can name their sources."""
    config.stash.setdefault(_REGISTERED, {})[id(limits.values)] = limits


def origins_of(item: pytest.Item, limits: ResourceLimits) -> Mapping[str, str]:
    """Return the sources of limits by name; empty for limits that the test has made itself.

    Raises `InvalidConfiguration` for a wrong marker, a file that does not exist and a wrong manifest.
    """
    registered = item.config.stash.get(_REGISTERED, {}).get(id(limits))
    found = settings_of(item).limits if registered is None else registered
    return found.origins if isinstance(found, OriginatedLimits) and found.values is limits else {}
