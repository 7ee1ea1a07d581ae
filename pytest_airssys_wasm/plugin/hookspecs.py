"""The hooks that this plugin calls, which a conftest.py or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions


def pytest_wasm_host(host: HostFunctions, item: pytest.Item) -> None:
    """Register host functions that guests may import: `host.register("pkg:name/iface@1.0.0#func", function)`.

    The hook is called for each `item` (a test, or a check of a component) before the fixture `wasm_host` returns
    `host`. An implementation in a conftest.py is called for the tests below its folder; an implementation in a plugin
    is called for all tests of the session.
    """
