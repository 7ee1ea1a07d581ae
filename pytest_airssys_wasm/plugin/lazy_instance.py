"""The value of the fixture `component`: an instance that is created on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pytest_airssys_wasm.runtime.guest.instance import Instance, Interface


class LazyInstance:
    """A proxy for an `Instance`. The first call, item look-up or attribute access loads and instantiates the guest.

    Errors are raised at the place at which the test uses the instance, so that the test can expect them. A `WasmError`
    is raised again on later uses. Any other error, such as the one for a store in use, does not depend on the guest,
    and the next use tries again.
    """

    def __init__(
        self,
        name: str,
        instantiate: Callable[[], Instance],
        instantiate_async: Callable[[], Coroutine[Any, Any, Instance]],
    ) -> None:
        self._name = name
        self._instantiate = instantiate
        self._instantiate_async = instantiate_async
        self._instance: Instance | None = None
        self._error: WasmError | None = None

    def call(self, name: str, /, *args: Any) -> Any:
        """Call an export; the same as `Instance.call`."""
        return self._open().call(name, *args)

    async def call_async(self, name: str, /, *args: Any) -> Any:
        """Call an export; the same as `Instance.call_async`.

        The first use instantiates the guest without blocking the event loop.
        """
        if self._instance is None and self._error is None:
            try:
                self._instance = await self._instantiate_async()
            except WasmError as error:
                self._error = error
                raise
        return await self._open().call_async(name, *args)

    def __getitem__(self, interface: str) -> Interface:
        return self._open()[interface]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._open(), name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(() if self._instance is None else dir(self._instance))})

    def __repr__(self) -> str:
        return f"<{self._name}, not instantiated yet>" if self._instance is None else repr(self._instance)

    def _open(self) -> Instance:
        if self._error is not None:
            raise self._error
        if self._instance is None:
            try:
                self._instance = self._instantiate()
            except WasmError as error:
                self._error = error
                raise
        return self._instance
