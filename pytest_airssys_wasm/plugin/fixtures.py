"""The fixtures of the plugin.

The fixture `component` is lazy; everything that a test's store holds is released after the test. Every run of pytest
loads this module, so the fixtures import what they need when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.plugin.component_factory import ComponentFactory
    from pytest_airssys_wasm.plugin.lazy_instance import LazyInstance
    from pytest_airssys_wasm.plugin.snapshot.sections import FuelSections
    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


@pytest.fixture(scope="session")
def wasm_engine(pytestconfig: pytest.Config) -> WasmEngine:
    """Return the engine of the session, which compiles and runs guests, and uses the compile cache."""
    from pytest_airssys_wasm.plugin.engine import the_engine

    return the_engine(pytestconfig)


@pytest.fixture
def wasm_limits(request: pytest.FixtureRequest) -> ResourceLimits:
    """Return the limits of this test: defaults < ini < Component.toml < command line < marker.

    Timeouts are multiplied by `--wasm-timeout-scale`.
    """
    from pytest_airssys_wasm.plugin.item_settings import settings_of, tell_overruled
    from pytest_airssys_wasm.plugin.late_markers import refuse_late_markers
    from pytest_airssys_wasm.plugin.stash import KIND
    from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

    limits = settings_of(request.node).limits
    if isinstance(limits, InvalidConfiguration):
        raise limits
    if request.node.stash.get(KIND, None) is None:  # checks use their limits or not, and say so themselves
        tell_overruled(request.node)
    refuse_late_markers(request)
    return limits.values


@pytest.fixture
def wasm_host(request: pytest.FixtureRequest) -> HostFunctions:
    """Return the host functions for this test's guest, to be registered before `component` is first used."""
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
    """Return a store with this test's limits, host functions and WASI grants. The store is closed after the test."""
    from pytest_airssys_wasm.plugin import markers
    from pytest_airssys_wasm.plugin.item_settings import wasi_of
    from pytest_airssys_wasm.plugin.late_markers import refuse_late_markers
    from pytest_airssys_wasm.plugin.stash import STORE
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

    store = LimitedStore(
        wasm_engine,
        wasm_limits,
        host=wasm_host,
        wasi=wasi_of(request.node),
        fuel_per="store" if markers.of_item(request.node).fuel_per == "test" else "call",
    )
    request.node.stash[STORE] = store
    refuse_late_markers(request)
    with store:
        yield store


@pytest.fixture
def _wasm_source(request: pytest.FixtureRequest) -> Source:
    from pytest_airssys_wasm.plugin.item_settings import settings_of
    from pytest_airssys_wasm.plugin.late_markers import refuse_late_markers

    source = settings_of(request.node).source
    if source is None:
        from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration

        raise InvalidConfiguration(
            f"{request.node.nodeid}: marker component",
            NOTHING,
            "@pytest.mark.component('path/to/guest.wasm') on the test, its class or module",
        )
    refuse_late_markers(request)
    return source


@pytest.fixture
def component(
    _wasm_source: Source, wasm_engine: WasmEngine, limited_store: LimitedStore, pytestconfig: pytest.Config
) -> LazyInstance:
    """Return the instance of the marker's guest, which is instantiated in `limited_store` on first use."""
    from pytest_airssys_wasm.plugin.lazy_instance import LazyInstance
    from pytest_airssys_wasm.plugin.sources import load_component

    def load() -> Component:
        loaded = load_component(_wasm_source, wasm_engine, pytestconfig)
        if _wasm_source.world is not None:
            from pytest_airssys_wasm.plugin.components.worlds import check_world

            check_world(loaded, _wasm_source.world, _wasm_source.world_name)
        return loaded

    return LazyInstance(_wasm_source.name, load, limited_store)


@pytest.fixture(scope="session")
def component_factory(wasm_engine: WasmEngine, pytestconfig: pytest.Config) -> ComponentFactory:
    """Return a function that creates instances for fixtures of any scope.

    `with component_factory(source, *, manifest=None, host=None, wasi=None, **limits) as instance: …` instantiates a
    guest in a store of its own, which is closed at the end of the block. The limits are those of the session: defaults
    < ini < Component.toml < command line < `limits`, within the ceilings of the ini file.
    """
    from pytest_airssys_wasm.plugin.component_factory import ComponentFactory

    return ComponentFactory(pytestconfig, wasm_engine)


@pytest.fixture
def fuel_snapshot(pytestconfig: pytest.Config) -> FuelSections:
    """Return a function that gives a block of calls a line of its own in the fuel snapshot.

    In `with fuel_snapshot("parse"): …` the line `parse` sums up the calls of the block, which then do not count for
    their exports. Without `--wasm-fuel-snapshot` such blocks have no effect.
    """
    from pytest_airssys_wasm.plugin.snapshot.sections import sections_of

    return sections_of(pytestconfig)
