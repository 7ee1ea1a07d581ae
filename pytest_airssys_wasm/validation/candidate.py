"""The subject of validation: a binary with its manifest, its limits, and its host functions."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import (
    NOTHING,
    InvalidComponent,
    InvalidConfiguration,
    ResourceLimitExceeded,
    RuntimeDied,
    UnfitHost,
    WasmError,
)
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.validation.stubs import serve_stubs
from pytest_airssys_wasm.validation.unfit import Blocked, Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.analysis.laws.law import CostLaw
    from pytest_airssys_wasm.analysis.worst.search import WorstCase
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.model import ImportStub, Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
    from pytest_airssys_wasm.validation.cut_off import SearchCutOff
    from pytest_airssys_wasm.validation.stubs import ServedStubs

    Finding = CostLaw | WorstCase | SearchCutOff
    """The result of a search that a check has made."""

T = TypeVar("T")


def _ignore(finding: Finding) -> None:
    """Do nothing with a finding."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A component or module to be validated."""

    engine: WasmEngine
    wasm: Path
    loader: Callable[[], Component]
    """The function that loads the binary, or returns the guest that was loaded before. It raises the errors of
    `WasmEngine.load`.
    """
    manifest: Manifest | None
    declared_limits: ResourceLimits | InvalidConfiguration
    """The limits, or the error that explains why there are none."""
    host: HostFunctions
    wasi: Wasi | None
    origins: Mapping[str, str] = field(default_factory=dict)
    """The place of each limit for messages, as far as it is known: `{"fuel": "--wasm-fuel"}`."""
    tell: Callable[[Finding], None] = _ignore
    """The function that is told of each law and worst case that a check has found, and of a search that was cut off."""

    def load(self) -> Component:
        """Compile the binary, or take it from the compile cache.

        Raises `Unfit` if the binary cannot be read, is not a valid component or module, or exceeds the compiler's
        bounds.
        """
        try:
            return self.loader()
        except (FileNotFoundError, IsADirectoryError):
            raise Unfit(f"there is no file {self.wasm}", _build_it(self.manifest)) from None
        except OSError as error:
            raise Unfit(f"{self.wasm} cannot be read: {error.strerror}", "make it readable") from None
        except (ResourceLimitExceeded, RuntimeDied) as error:
            raise Unfit(str(error), "split it, or compile it with --wasm-isolation=thread if you trust it") from error
        except InvalidComponent as error:
            reason, *details = str(error).split("\n")
            raise Unfit(
                f"it is not a valid component or module: {reason}", _make_it_valid(self.wasm), details
            ) from error

    def read(self) -> bytes:
        """Return the bytes of the binary, translated if the file contains WebAssembly text.

        `load` must be called first, which raises an error for a file that cannot be read or translated.
        """
        return self.engine.compiler.to_binary(read_regular(self.wasm, GUEST_BYTES), self.wasm.name)[1]

    @property
    def limits(self) -> ResourceLimits:
        """The limits under which the component is to run.

        Raises `Unfit` if no memory limit is given, or a limit is not allowed.
        """
        if isinstance(self.declared_limits, ResourceLimits):
            return self.declared_limits
        error = self.declared_limits
        if error.given is NOTHING:
            raise Unfit(
                "no memory limit is given, and there is no default",
                'use --wasm-memory "4 MiB", or write a Component.toml beside it, with measured limits: '
                f"pytest --wasm-init {shlex.quote(os.path.relpath(self.wasm))}",
            )
        first, *others = str(error).split("\n")
        raise Unfit(first, "give limits that the ini file allows, where each of them is given", others) from None

    def served(self, component: Component, stubs: Sequence[ImportStub] = ()) -> ServedStubs:
        """Return the host functions for the guest, with these stubs and those of the manifest.

        Raises `Unfit` for a stub that does not fit the guest.
        """
        declared = self.manifest.imports if self.manifest else ()
        return serve_stubs(component, self.host, (*stubs, *declared))

    @contextmanager
    def instantiated(self, stubs: Sequence[ImportStub] = ()) -> Iterator[tuple[Instance, ServedStubs]]:
        """Yield an instance in a separate store, and what serves its imports: host functions, and stubs.

        Raises `Unfit` for a stub among `stubs` that does not fit the guest, and `Blocked` if one of the checks `loads`,
        `limits`, `imports` and `instantiates` fails.
        """
        component = self.need("loads", self.load)
        limits = self.need("limits", lambda: self.limits)
        self.need("imports", lambda: self.served(component))
        served = self.served(component, stubs)
        for unmet in component.unmet_imports(served.host, self.wasi):
            raise Blocked("imports", f"the import {unmet.name} is not provided as declared")
        with LimitedStore(self.engine, limits, host=served.host, wasi=self.wasi) as store:
            try:
                instance = store.instantiate(component)
            except UnfitHost:
                raise  # which says nothing about the component
            except WasmError as error:
                raise Blocked("instantiates", str(error)) from error
            yield instance, served

    @staticmethod
    def need(check: str, get: Callable[[], T]) -> T:
        """Return the result of `get`. Raises `Blocked`, which names the check, if `get` raises `Unfit`."""
        try:
            return get()
        except Unfit as unfit:
            raise Blocked(check, unfit.reason) from unfit


def _make_it_valid(wasm: Path) -> str:
    if wasm.suffix == ".wat":
        return "correct the text, and check it with `wasm-tools validate`"
    return "build it for WebAssembly (for example wasm32-wasip2), and inspect it with `wasm-tools validate`"


def _build_it(manifest: Manifest | None) -> str:
    if manifest is None:
        return "build it first"
    return "build it first, or correct wasm under [component]"
