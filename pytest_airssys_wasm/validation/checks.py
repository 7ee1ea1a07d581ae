"""The checks of every component. Each returns a note of one line, or raises `Unfit` or `Blocked`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.binary.needs import exceeded, read_needs
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.host.unmet_imports import is_wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.validation import ORDER
from pytest_airssys_wasm.validation.determinism import check_determinism
from pytest_airssys_wasm.validation.unfit import Unfit, remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate


def check_manifest(candidate: Candidate) -> str:
    """Check that the manifest is valid: known keys, and values in range."""
    manifest = candidate.manifest
    assert manifest is not None
    limits = manifest.limits()
    return (
        f"memory {limits.memory:,} bytes, fuel {limits.fuel:,}, timeout {limits.timeout_ms:g} ms, "
        f"{counted(len(manifest.tests), 'test')}"
    )


def check_loads(candidate: Candidate) -> str:
    """Check that the binary is valid and the platform's compiler accepts it."""
    return _loading(candidate.load())


def check_imports(candidate: Candidate) -> str:
    """Check that every import is provided by granted WASI or by a registered host function."""
    component = candidate.need("loads", candidate.load)
    unmet = list(component.unmet_imports(candidate.host, candidate.wasi))
    if not unmet:
        return (
            f"{counted(len(component.imports), 'import')}, all provided" if component.imports else "it imports nothing"
        )
    if all(_is_wasi(one.name) for one in unmet):
        interfaces = sorted({one.name.partition("#")[0] for one in unmet})
        raise Unfit(
            f"it imports WASI, which is not granted: {', '.join(interfaces)}",
            "write a table [wasi] into its Component.toml: an empty one links WASI and grants no access to the machine",
        )
    missing = [one for one in unmet if not one.is_registered]
    if not missing:
        raise Unfit(
            f"another signature is registered for {counted(len(unmet), 'import')}: {'; '.join(map(str, unmet))}",
            "register functions with the declared signatures, or declare the signatures of those that are registered",
        )
    raise Unfit(
        f"nothing provides {counted(len(missing), 'import')}: {'; '.join(map(str, missing))}",
        "register them in a conftest.py beside it, in a fixture that overrides `wasm_host` or in the hook "
        f"`pytest_wasm_host`: host.register({missing[0].name!r}, function)",
    )


def check_limits(candidate: Candidate) -> str:
    """Check that the declared needs of the binary are within its limits, before any of its code runs."""
    candidate.need("loads", candidate.load)
    limits = candidate.limits
    needs = read_needs(candidate.read())
    over = exceeded(needs, limits)
    if over:
        raise Unfit(
            "; ".join(one.sentence for one in over),
            "declare less (C and Rust: link with -z stack-size=65536 and a smaller --initial-memory), "
            "or raise the limit",
        )
    least = "" if needs.is_complete else "at least "
    return f"declares {least}{needs.memory_bytes:,} of {limits.memory:,} bytes of memory"


def check_instantiates(candidate: Candidate) -> str:
    """Check that the component instantiates within its limits.

    It is instantiated twice, because the second time shows the warm cost.
    """
    component = candidate.need("loads", candidate.load)
    candidate.need("limits", lambda: check_limits(candidate))
    candidate.need("imports", lambda: check_imports(candidate))
    times_ms: list[float] = []
    for _ in range(2):
        started = monotonic()
        with LimitedStore(candidate.engine, candidate.limits, host=candidate.host, wasi=candidate.wasi) as store:
            try:
                store.instantiate(component)
            except UnfitHost:
                raise  # which says nothing about the component
            except WasmError as error:
                raise Unfit(f"instantiation ended with {error.verdict}: {error}", remedy(error)) from error
            times_ms.append((monotonic() - started) * 1_000)
            usage = store.usage
    assert usage is not None
    return (
        f"{_loading(component)}; cold {times_ms[0]:.2g} ms, warm {times_ms[1]:.2g} ms; "
        f"fuel {usage.fuel.consumed:,}, peak {usage.peak_memory_bytes:,} bytes"
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
    return f"{'compiled' if component.was_compiled else 'from the cache'} in {component.load_ms:.3g} ms"


def _is_wasi(name: str) -> bool:
    interface, _, _ = name.partition("#")
    return is_wasi(interface) or interface == "wasi_snapshot_preview1"
