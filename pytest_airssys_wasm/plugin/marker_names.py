"""The names of the markers and fixtures, by which the plugin knows its items.

Every run of pytest loads this module. What markers mean is in `markers`, which is imported when a test has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

FIXTURES = frozenset({"wasm_engine", "wasm_limits", "wasm_host", "limited_store", "component", "fuel_snapshot"})
"""The fixtures that the markers act on."""
COUNTS = ("tables", "table_elements", "instances", "memories", "transfer", "output")
"""The limits that the marker `wasm_limits` sets."""
SIGNATURES = {
    "component": "component(source, *, manifest=None, world=None)",
    "fuel": "fuel(n, *, per='call')",
    "memory": "memory(size)",
    "timeout_ms": "timeout_ms(n)",
    "wasm_limits": f"wasm_limits({', '.join(f'{name}=…' for name in COUNTS)})",
    "wasi": "wasi(*, args=(), env={}, stdin='', preopen={guest: (host, 'ro' or 'rw')}, inherit=False)",
    "fuel_snapshot": "fuel_snapshot(*, tolerance)",
    "conformance": "conformance",
}
MEANINGS = {
    "component": "the guest of this test: a path relative to the test file or rootdir, or WebAssembly text",
    "fuel": "the fuel limit of each call; with per='test', one limit for all calls of the test together",
    "memory": "the memory limit of the test's store, such as 1048576 or '1 MiB'",
    "timeout_ms": "the wall-clock limit of each call in ms, such as 100 or '2 s'",
    "wasm_limits": "the limits on the other resources of the test's store",
    "wasi": "what the guest may access through WASI: nothing unless it is granted here or in Component.toml",
    "fuel_snapshot": "the share by which the test may cost more than its fuel snapshot says, such as '2 %'",
    "conformance": "a case of the bundled conformance suite for WebAssembly resource limits",
}


NAMES = frozenset(SIGNATURES) - {"conformance"}
"""The names of the markers with data."""


def declare(config: pytest.Config) -> None:
    """Register every marker, so that `--strict-markers` accepts it."""
    for name, signature in SIGNATURES.items():
        config.addinivalue_line("markers", f"{signature}: {MEANINGS[name]}")


def uses_guests(item: pytest.Item) -> bool:
    """Return whether an item is a test that may run guests."""
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def marks_of(node: pytest.Item | pytest.Collector) -> Iterator[pytest.Mark]:
    """Yield the markers of an item or collector, the closest first.

    `node.iter_markers` does the same, and takes twice as long.
    """
    for one in node.iter_parents():
        yield from one.own_markers


def ours_among(marks: Iterable[pytest.Mark]) -> list[pytest.Mark]:
    """Return the markers of this plugin with data among some markers."""
    return [mark for mark in marks if mark.name in NAMES]
