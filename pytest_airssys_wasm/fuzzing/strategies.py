"""Hypothesis strategies for the inputs that users write: limits and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

PAGE_BYTES = 65_536


def fuels(max_fuel: int = 100_000) -> SearchStrategy[int]:
    """Return a strategy for fuel budgets in units: mostly small ones, with the extremes."""
    return st.one_of(st.sampled_from([0, 1, 2, 10]), st.integers(0, max_fuel), st.just(MAX_U64))


def memory_sizes(max_bytes: int = 64 * PAGE_BYTES) -> SearchStrategy[int]:
    """Return a strategy for memory limits in bytes: whole pages, one byte less than a page, and arbitrary numbers."""
    pages = st.integers(0, max_bytes // PAGE_BYTES).map(lambda pages: pages * PAGE_BYTES)
    return st.one_of(pages, pages.map(lambda size: max(0, size - 1)), st.integers(0, max_bytes))


def timeouts_ms(max_ms: float = 30) -> SearchStrategy[float]:
    """Return a strategy for timeouts from zero to a few milliseconds."""
    return st.one_of(st.sampled_from([0.0, 0.001, 1.0]), st.floats(0, max_ms))


def resource_limits() -> SearchStrategy[ResourceLimits]:
    """Return a strategy for `ResourceLimits` under which a test can run a guest: always bounded by fuel or a short
    timeout.
    """
    return st.builds(
        ResourceLimits,
        memory=memory_sizes(),
        fuel=st.one_of(st.none(), fuels()),
        timeout_ms=timeouts_ms(),
        tables=st.integers(0, 4),
        table_elements=st.integers(0, 200),
        instances=st.integers(0, 8),
        memories=st.integers(0, 4),
        transfer=st.one_of(st.sampled_from([0, 31, 32, 33, 64]), st.integers(0, 4_096), st.just(16 * 2**20)),
        output=st.one_of(st.integers(0, 64), st.just(2**20)),
    )


def manifests() -> SearchStrategy[str]:
    """Return a strategy for texts of valid manifests: with each way to write limits, within the platform's range."""
    low, high = PLATFORM_RANGE
    fuel = st.none() | st.sampled_from([0, 1, 2**63 - 1]) | st.integers(0, 2**63 - 1)
    time = st.none() | st.tuples(
        st.sampled_from(["timeout_ms", "timeout_seconds"]), st.one_of(st.integers(0, 10**6), st.floats(0, 1e6))
    )
    return st.builds(_manifest, st.sampled_from([low, high]) | st.integers(low, high), fuel, time)


def manifest_of(limits: ResourceLimits) -> str:
    """Return the text of a manifest with these limits on memory, fuel and time, of which none is unlimited."""
    return _manifest(limits.memory, limits.fuel, ("timeout_ms", limits.timeout_ms))


def _manifest(memory: int, fuel: int | None, time: tuple[str, float | None] | None) -> str:
    lines = ["[component]", 'name = "a"', 'version = "1"', "[resources.memory]", f"max_bytes = {memory}"]
    lines += ["[resources.cpu]"] if fuel is not None or time is not None else []
    lines += [] if fuel is None else [f"max_fuel = {fuel}"]
    lines += [] if time is None else [f"{time[0]} = {time[1]!r}"]
    return "\n".join([*lines, ""])


def manifest_texts() -> SearchStrategy[str]:
    """Return a strategy for texts of `Component.toml`: valid ones, ones with a mistake, and noise."""
    value = st.one_of(
        st.integers(-(2**65), 2**65).map(str),
        st.floats().map(str),
        st.text(ANY_CHARACTER, max_size=12).map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'),
        st.sampled_from(["true", "[]", "{}", "1048576", "[1]", "1979-05-27"]),
    )
    key = st.sampled_from(
        ["name", "version", "wasm", "max_bytes", "max_fuel", "timeout_ms", "timeout_seconds", "call", "verdict", "x"]
    )
    line = st.one_of(
        st.tuples(key, value).map(lambda pair: f"{pair[0]} = {pair[1]}"),
        st.sampled_from(["[component]", "[resources.memory]", "[resources.cpu]", "[[tests]]", "[resources]", "#"]),
    )
    minimal = '[component]\nname = "a"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'
    lines = st.lists(line, max_size=12).map("\n".join)
    return st.one_of(lines, lines.map(lambda text: minimal + text), st.text(ANY_CHARACTER, max_size=60))
