"""The value of the fixture `component`: an instance that is created on first use."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Interface
    from pytest_airssys_wasm.runtime.store.store import LimitedStore


class LazyInstance:
    """A proxy for an `Instance`. The first call, item look-up or attribute access loads and instantiates the guest.

    Errors are raised at the place at which the test uses the instance, so that the test can expect them. A `WasmError`
    is raised again on later uses. Any other error, such as the one for a store in use, does not depend on the guest,
    and the next use tries again.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Component],
        store: LimitedStore,
    ) -> None:
        self._name = name
        self._load = load
        self._store = store
        self._loaded: Component | None = None
        self._instance: Instance | None = None
        self._error: WasmError | None = None

    def call(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call an export; the same as `Instance.call`."""
        return self._open().call(name, *args, **named)

    async def call_async(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Call an export; the same as `Instance.call_async`.

        The first use instantiates the guest without blocking the event loop.
        """
        if self._instance is None and self._error is None:
            try:
                self._instance = await self._store.instantiate_async(self._guest())
            except WasmError as error:
                self._error = error
                raise
        return await self._open().call_async(name, *args, **named)

    def __getitem__(self, interface: str) -> Interface:
        return self._open()[interface]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._open(), name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *dir(Instance), "component", "store"}
        with suppress(WasmError):  # the guest cannot be loaded; the first use raises the error
            names.update(self._guest().offered(""))
        return sorted(names)

    def _ipython_key_completions_(self) -> list[str]:
        with suppress(WasmError):
            return sorted(filter(None, self._guest().attributes))
        return []

    def __repr__(self) -> str:
        return f"<{self._name}, not instantiated yet>" if self._instance is None else repr(self._instance)

    def _guest(self) -> Component:
        """Return the loaded guest without instantiating it. Raises the errors of `WasmEngine.load`."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _open(self) -> Instance:
        if self._error is not None:
            raise self._error
        if self._instance is None:
            try:
                self._instance = self._store.instantiate(self._guest())
            except WasmError as error:
                self._error = error
                raise
        return self._instance
