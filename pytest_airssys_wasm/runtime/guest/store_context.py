"""The wasmtime store in which guests are linked and called, with everything that serves their imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.guest.resources import Resources

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import Runner
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class StoreContext:
    """One store of this process, as linking and calling see it."""

    def __init__(
        self, engine: EngineCore, raw: RawStore, host: HostFunctions | None, wasi: Wasi | None, runner: Runner
    ) -> None:
        self.engine = engine
        self.raw = raw
        self.wasi = wasi
        self.resources = Resources(raw.context, engine.runs, host, runner)

    @property
    def host(self) -> HostFunctions | None:
        """The host functions that serve imports."""
        return self.resources.host

    def add_host(self, host: HostFunctions) -> None:
        """Serve imports with these host functions too.

        Functions are looked up at linking alone; the classes of resources also later.
        """
        self.resources.host = host if self.host is None else self.host.merged(host)
