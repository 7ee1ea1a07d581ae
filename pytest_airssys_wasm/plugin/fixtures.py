"""The fixtures. `component` is lazy; everything that a test's store holds is released after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.plugin.engine import the_engine
from pytest_airssys_wasm.plugin.lazy import LazyInstance
from pytest_airssys_wasm.plugin.limits import resolve
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import Source, find_folder, find_source
from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

STORE = pytest.StashKey["LimitedStore"]()
"""On an item: the store that its test used."""
SOURCE = pytest.StashKey["Source | None"]()
"""On an item: the guest that it is about."""


@pytest.fixture(scope="session")
def wasm_engine(pytestconfig: pytest.Config) -> WasmEngine:
    """The engine that compiles and runs guests, with the compile cache on. One for the session."""
    return the_engine(pytestconfig)


@pytest.fixture
def wasm_limits(request: pytest.FixtureRequest) -> ResourceLimits:
    """The limits of this test: defaults < Component.toml < ini < command line < marker."""
    source = _source(request.node)
    return resolve(request.node, request.config.stash[SETTINGS], source.manifest if source else None)


@pytest.fixture
def wasm_host(request: pytest.FixtureRequest) -> HostFunctions:
    """Host functions for this test's guest: register them before `component` is first used."""
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

    host = HostFunctions()
    request.node.ihook.pytest_wasm_host(host=host, item=request.node)
    return host


@pytest.fixture
def limited_store(
    request: pytest.FixtureRequest,
    wasm_engine: WasmEngine,
    wasm_limits: ResourceLimits,
    wasm_host: HostFunctions,
) -> Iterator[LimitedStore]:
    """A store under this test's limits, with its host functions and WASI grants; closed after the test."""
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

    fuel: markers.FuelMark | None = markers.closest(request.node, "fuel")
    store = LimitedStore(
        wasm_engine,
        wasm_limits,
        host=wasm_host,
        wasi=grants(request.node),
        fuel_per="store" if fuel is not None and fuel.per == "test" else "call",
    )
    request.node.stash[STORE] = store
    with store:
        yield store


@pytest.fixture
def _wasm_source(request: pytest.FixtureRequest) -> Source:
    source = _source(request.node)
    if source is None:
        raise InvalidConfiguration(
            f"{request.node.nodeid}: marker component",
            NOTHING,
            "@pytest.mark.component('path/to/guest.wasm') on the test, its class or module",
        )
    return source


@pytest.fixture
def component(_wasm_source: Source, wasm_engine: WasmEngine, limited_store: LimitedStore) -> LazyInstance:
    """The guest that the marker `component` names, in `limited_store`; instantiated on first use."""

    def load() -> Component:
        loaded = wasm_engine.load(_wasm_source.content, manifest=_wasm_source.manifest)
        if _wasm_source.world is not None:
            from pytest_airssys_wasm.plugin.components.worlds import check_world

            check_world(loaded, _wasm_source.world, _wasm_source.world_name)
        return loaded

    return LazyInstance(
        _wasm_source.name,
        lambda: limited_store.instantiate(load()),
        lambda: limited_store.instantiate_async(load()),
    )


def _source(item: pytest.Item) -> Source | None:
    if SOURCE not in item.stash:
        item.stash[SOURCE] = find_source(item, item.config.stash[SETTINGS])
    return item.stash[SOURCE]


def grants(item: pytest.Item) -> Wasi | None:
    """What the item's guest may see of the machine: as its closest `wasi` marker says, else its manifest."""
    mark: markers.WasiMark | None = markers.closest(item, "wasi")
    if mark is None:
        source = _source(item)
        return source.manifest.wasi if source and source.manifest else None
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

    preopen = {guest: (find_folder(item, host), access) for guest, (host, access) in mark.preopen.items()}
    return Wasi(**mark.grants, preopen=preopen)
