"""The hooks that this plugin calls, which a conftest.py or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions


def pytest_wasm_host(host: HostFunctions, item: pytest.Item) -> None:
    """Register host functions that guests may import: `host.register("pkg:name/iface@1.0.0#func", function)`.

    It is called for each test and each check of a component, the `item`, before the fixture `wasm_host` returns
    `host`. A conftest.py serves the tests below its folder; a plugin serves the whole session.
    """
