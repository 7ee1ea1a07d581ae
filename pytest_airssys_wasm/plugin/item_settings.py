"""The settings of one test, resolved once from its markers, its manifest and the settings of the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import limits, markers
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import find_folder, find_source
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from pytest_airssys_wasm.plugin.limits import OriginatedLimits
    from pytest_airssys_wasm.plugin.markers import Marks
    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

SOURCE: pytest.StashKey[Source | None] = pytest.StashKey()
"""The guest of an item that has no marker for it, such as a check of a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSettings:
    """The guest of a test, and its limits."""

    marks: Marks
    source: Source | None
    limits: OriginatedLimits | InvalidConfiguration
    """The limits, or the reason why there are none: a test that uses its own does not need them."""


_ITEM_SETTINGS = pytest.StashKey[ItemSettings]()


def settings_of(item: pytest.Item) -> ItemSettings:
    """Return the settings of a test, resolved when they are first needed, since a fixture may build the guest.

    They are resolved anew when the item's markers have changed since. Raises `InvalidConfiguration` for a wrong
    marker, a file that does not exist and a wrong manifest.
    """
    marks = markers.of_item(item)
    known = item.stash.get(_ITEM_SETTINGS, None)
    if known is None or known.marks is not marks:
        known = item.stash[_ITEM_SETTINGS] = _resolve(item, marks)
    return known


def wasi_of(item: pytest.Item) -> Wasi | None:
    """Return the WASI grants of a test: those of its closest `wasi` marker, or else of its manifest.

    Directories are looked up now, since a fixture may create them. Raises `InvalidConfiguration` for one that does
    not exist.
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
        found = limits.resolve(item.nodeid, marks, item.config.stash[SETTINGS], manifest)
    except InvalidConfiguration as error:
        found = error
    return ItemSettings(marks=marks, source=source, limits=found)
