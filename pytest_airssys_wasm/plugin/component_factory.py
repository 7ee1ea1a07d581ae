"""The value of the fixture `component_factory`, which creates instances for fixtures of any scope."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.plugin.given import Given
from pytest_airssys_wasm.plugin.item_settings import limits_from, note_overruled, register_limits
from pytest_airssys_wasm.plugin.markers import ComponentMark
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import load_component, source_of
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.store.arguments import check_parts
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import pytest

    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.instance import Instance
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

_NAME = "component_factory"
_WAYS_TO_GIVE_MEMORY = (
    f"a limit, because there is no default: {_NAME}(…, memory='1 MiB'), --wasm-memory '1 MiB' on the command line, "
    "wasm_memory = 1 MiB in the ini file, or max_bytes under [resources.memory] in the Component.toml beside the "
    "component"
)
_LIMITS = tuple(field.name for field in fields(ResourceLimits))


class ComponentFactory:
    """A function that creates instances for fixtures of any scope. Each call returns a context manager with its own
    store.

    Called as `component_factory(source, *, manifest=None, host=None, wasi=None, **limits)`.
    """

    def __init__(self, config: pytest.Config, engine: WasmEngine) -> None:
        self._config = config
        self._engine = engine

    def __call__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        manifest: str | os.PathLike[str] | None = None,
        host: HostFunctions | None = None,
        wasi: Wasi | None = None,
        **limits: Any,
    ) -> InstanceContext:
        """Return a context manager, for `with` and `async with`, that instantiates a guest and closes its store.

        `source` is a path, WebAssembly text or the bytes of a binary, as for the marker `component`; relative paths are
        relative to the root directory. `manifest` defaults to the `Component.toml` beside the guest, and `wasi` to the
        grants of the manifest. `host` serves the imports of the guest.

        `limits` are named as in `ResourceLimits`. Like markers, they take precedence over the command line, and must be
        within the ceilings of the ini file. Raises `InvalidConfiguration` for a wrong argument, a file that does not
        exist, a wrong manifest, and limits over their ceilings or without one for memory.
        """
        if not isinstance(source, (str, bytes, os.PathLike)) or not source:
            raise InvalidConfiguration(f"{_NAME}: source", source, "a path, WebAssembly text or bytes")
        config = self._config
        found = source_of(
            ComponentMark(source=source, manifest=manifest, world=None), config, (config.rootpath,), _NAME
        )
        given = {name: Given(value=value, where=f"{name} of {_NAME}") for name, value in _parsed(limits).items()}
        resolved = limits_from(
            f"{_NAME}({found.name})",
            given,
            config.stash[SETTINGS],
            found.manifest,
            root=config.rootpath,
            ways=_WAYS_TO_GIVE_MEMORY,
        )
        check_parts(resolved.values, host, wasi)
        register_limits(config, resolved)

        def make_store() -> LimitedStore:
            note_overruled(config, resolved)
            return LimitedStore(self._engine, resolved.values, host=host, wasi=found.wasi if wasi is None else wasi)

        return InstanceContext(lambda: load_component(found, self._engine, config), make_store)


class InstanceContext:
    """A context manager that gives an instance of a guest, in a store that is closed at the end of the block.

    It can be entered again after its block has ended, and then gives a new instance in a new store.
    """

    def __init__(self, load: Callable[[], Component], make_store: Callable[[], LimitedStore]) -> None:
        self._load = load
        self._make_store = make_store
        self._store: LimitedStore | None = None

    def __enter__(self) -> Instance:
        with ExitStack() as undo:
            store = undo.enter_context(self._new_store())
            instance = store.instantiate(self._load())
            undo.pop_all()
        self._store = store
        return instance

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Instance:
        async with AsyncExitStack() as undo:
            store = undo.enter_context(self._new_store())
            instance = await store.instantiate_async(self._load())
            undo.pop_all()
        self._store = store
        return instance

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _new_store(self) -> LimitedStore:
        if self._store is not None:
            raise RuntimeError(f"this instance is in use already: call {_NAME} again for another one")
        return self._make_store()

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


def _parsed(limits: dict[str, Any]) -> dict[str, Any]:
    """Return limits as plain numbers. Raises `InvalidConfiguration` for an unknown name and a wrong value."""
    for name, value in limits.items():
        if name not in _LIMITS:
            raise InvalidConfiguration(_NAME, {name: value}, f"one of {', '.join(_LIMITS)}")
    try:
        checked = ResourceLimits(**{"memory": 0, **limits})
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{_NAME}: {error.where}", error.given, error.wanted) from None
    return {name: getattr(checked, name) for name in limits}
