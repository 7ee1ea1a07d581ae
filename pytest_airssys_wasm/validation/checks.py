"""The checks of every component. Each returns a note of one line, or raises `Unfit` or `Blocked`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.figures import measured_ms
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.binary.needs import exceeded, read_needs
from pytest_airssys_wasm.runtime.budget.limit_text import limit_text
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.validation import ORDER
from pytest_airssys_wasm.validation.calls import refusals
from pytest_airssys_wasm.validation.determinism import check_determinism
from pytest_airssys_wasm.validation.imports import check_imports
from pytest_airssys_wasm.validation.unfit import Unfit, raise_limit, remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate


def check_manifest(candidate: Candidate) -> str:
    """Check that the manifest is valid: known keys, and values in range."""
    manifest = candidate.manifest
    assert manifest is not None
    # Other sources give the limits that it leaves out.
    limits = candidate.declared_limits if isinstance(candidate.declared_limits, ResourceLimits) else manifest.limits()
    fuel = limits.fuel if manifest.max_fuel is None else manifest.max_fuel
    timeout_ms = limits.timeout_ms if manifest.timeout_ms is None else manifest.timeout_ms
    return (
        f"memory {manifest.memory_bytes:,} bytes, fuel {limit_text('fuel', fuel)}, "
        f"timeout {limit_text('timeout_ms', timeout_ms)}, {counted(len(manifest.tests), 'test')}"
    )


def check_loads(candidate: Candidate) -> str:
    """Check that the binary is valid and the platform's compiler accepts it."""
    return _loading(candidate.load())


def check_limits(candidate: Candidate) -> str:
    """Check that the declared needs of the binary are within its limits, before any of its code runs."""
    candidate.need("loads", candidate.load)
    limits = candidate.limits
    needs = read_needs(candidate.read())
    over = exceeded(needs, limits)
    origin = f" ({candidate.origins['memory']})" if "memory" in candidate.origins else ""
    if over:
        sentences = [one.sentence + (origin if one.resource == "memory" else "") for one in over]
        raise Unfit("; ".join(sentences), _smaller(over[0].resource, candidate))
    least = "" if needs.is_complete else "at least "
    return f"declares {least}{needs.memory_bytes:,} of {limits.memory:,} bytes of memory{origin}"


def _smaller(resource: str, candidate: Candidate) -> str:
    if resource == "memory":
        return (
            "declare less initial memory, which holds the stack and static data (with wasm-ld, the linker of C, C++ "
            f"and Rust: -z stack-size=65536), or {raise_limit('memory', candidate.origins)}"
        )
    if resource == "data":
        return "correct the offset of the segment, or declare a larger initial memory"
    return "declare fewer: this limit is the platform's, not the manifest's"


def check_instantiates(candidate: Candidate) -> str:
    """Check that the component instantiates within its limits.

    It is instantiated twice, because the second time shows the warm cost.
    """
    component = candidate.need("loads", candidate.load)
    candidate.need("limits", lambda: check_limits(candidate))
    candidate.need("imports", lambda: check_imports(candidate))
    host = candidate.served(component).host
    times_ms: list[float] = []
    for _ in range(2):
        started = monotonic()
        with LimitedStore(candidate.engine, candidate.limits, host=host, wasi=candidate.wasi) as store:
            try:
                store.instantiate(component)
            except UnfitHost:
                raise  # which says nothing about the component
            except WasmError as error:
                raise Unfit(
                    f"instantiation ended with {error.verdict}: {error}", remedy(error, candidate.origins)
                ) from error
            times_ms.append((monotonic() - started) * 1_000)
            usage = store.usage
    assert usage is not None
    return (
        f"{_loading(component)}; cold {measured_ms(times_ms[0])} ms, warm {measured_ms(times_ms[1])} ms; "
        f"fuel {usage.fuel.consumed:,}, peak {usage.peak_memory_bytes:,} bytes{refusals(usage.denied_growths)}"
    )


_FUNCTIONS: tuple[Callable[[Candidate], str], ...] = (
    check_manifest,
    check_loads,
    check_imports,
    check_limits,
    check_instantiates,
    check_determinism,
)
CHECKS = dict(zip(ORDER, _FUNCTIONS))
"""The checks by the names of their pytest items."""


def _loading(component: Component) -> str:
    return f"{'compiled' if component.was_compiled else 'from the cache'} in {measured_ms(component.load_ms)} ms"
