"""Sessions, served with an ordinary engine: in a worker, and in the bundled adapter."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.isolation.outcome_codec import end_answer
from pytest_airssys_wasm.isolation.proxies import proxy_host
from pytest_airssys_wasm.isolation.served_store import ServedStore
from pytest_airssys_wasm.isolation.wasi_codec import wasi_from_wire
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.session_messages import (
    CallRequest,
    DropRequest,
    LoadRequest,
    OpenRequest,
    SessionAnswer,
)
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.guest.operations import CallExport, Instantiate
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.protocol.session_messages import SessionRequest
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle


class Sessions:
    """Answers the requests of sessions, of different stores on several threads at once.

    `most_open` bounds how many are open. Without `takes_artefacts` a component is compiled here, whatever a request
    says it was compiled to.
    """

    def __init__(self, engine: WasmEngine, *, most_open: int | None = None, takes_artefacts: bool = False) -> None:
        self._engine = engine
        self._most_open = most_open
        self._takes_artefacts = takes_artefacts
        self._loaded: dict[tuple[str, str | None], Component] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._open: dict[int, tuple[ServedStore, InstanceHandle | None]] = {}
        """By session: its store and its instance, where there is one: the store outlives a failed instantiation."""

    def answer(self, request: SessionRequest, ask: Ask) -> SessionAnswer:
        """The answer; `ask` asks the driver for a host function meanwhile.

        Raises what is wrong with the request, which no guest can be to blame for.
        """
        if isinstance(request, LoadRequest):
            self._load(request.component, request.artefact)
            return SessionAnswer(id=request.id)
        if isinstance(request, OpenRequest):
            return self._opened(request, ask)
        kept, instance = self._session(request.session)
        with kept.serving(ask):
            if isinstance(request, CallRequest):
                return _called(request, kept, instance)
            if isinstance(request, DropRequest):
                return _dropped(request, kept)
            self._close(kept)
        return SessionAnswer(id=request.id)

    def _load(self, path: str, artefact: str | None) -> Component:
        if not self._takes_artefacts:
            artefact = None
        component = self._loaded.get((path, artefact))
        if component is None:
            component = self._engine.load(path) if artefact is None else self._engine.revive(Path(path), Path(artefact))
            self._loaded[path, artefact] = component
        return component

    def _session(self, number: int) -> tuple[ServedStore, InstanceHandle | None]:
        found = self._open.get(number)
        if found is None:
            raise LookupError(f"no session {number} is open")
        return found

    def _opened(self, request: OpenRequest, ask: Ask) -> SessionAnswer:
        try:
            component = self._load(request.component, request.artefact)
            kept = self._new(request) if request.beside is None else self._session(request.beside)[0]
        except WasmError as error:
            return SessionAnswer(id=request.id, end=end_answer(error, None))
        number = next(self._numbers)
        with kept.serving(ask):
            try:
                self._admit(number, kept)
                kept.objects.forget(request.forget)
                host = proxy_host(component, request.imports, request.resources, kept.objects, kept.ask)
                args = [] if request.call is None else _decoded(kept, component, request.call, request.args)
                opened, end = kept.run(Instantiate(component, request.call, args, host))
            except BaseException:  # whatever it was: the driver has no number to close it by
                with self._lock:
                    self._open.pop(number, None)
                if request.beside is None:
                    kept.close()
                raise
            with self._lock:
                self._open[number] = kept, None if opened is None else opened.handle
            value = None if opened is None else opened.value
            return _with_value(SessionAnswer(id=request.id, session=number, end=end), kept, value)

    def _admit(self, number: int, kept: ServedStore) -> None:
        """Count a session before anything runs in it. Raises `StoreUnusable` where too many are open."""
        with self._lock:
            if self._most_open is not None and len(self._open) >= self._most_open:
                raise StoreUnusable(f"{self._most_open} sessions are open already: close some")
            self._open[number] = kept, None

    def _new(self, request: OpenRequest) -> ServedStore:
        store = LimitedStore(
            self._engine,
            limits_from_wire(request.limits),
            wasi=None if request.wasi is None else wasi_from_wire(request.wasi),
            fuel_per="store" if request.fuel_per == "run" else "call",
        )
        return ServedStore(store)

    def _close(self, kept: ServedStore) -> None:
        with self._lock:
            self._open = {number: one for number, one in self._open.items() if one[0] is not kept}
        kept.close()


def _called(request: CallRequest, kept: ServedStore, instance: InstanceHandle | None) -> SessionAnswer:
    if instance is None:
        raise LookupError(f"session {request.session} has no instance")
    kept.objects.forget(request.forget)
    args = _decoded(kept, instance.component, request.call, request.args)
    value, end = kept.run(CallExport(instance, request.call, args))
    return _with_value(SessionAnswer(id=request.id, end=end), kept, value)


def _dropped(request: DropRequest, kept: ServedStore) -> SessionAnswer:
    _, end = kept.end_of(kept.objects.take(request.resource).drop)
    return SessionAnswer(id=request.id, end=end)


def _decoded(kept: ServedStore, component: Component, function: str, args: Sequence[Any]) -> Sequence[Any]:
    types = component.parameter_types(function)
    if len(types) != len(args):
        return args  # the call itself says what would be right
    return [kept.objects.decode(value, type_) for value, type_ in zip(args, types)]


def _with_value(answer: SessionAnswer, kept: ServedStore, value: Any) -> SessionAnswer:
    if answer.end is None or answer.end.verdict is not Verdict.OK:
        return answer
    return structs.replace(answer, end=structs.replace(answer.end, value=kept.objects.encode(value)))
