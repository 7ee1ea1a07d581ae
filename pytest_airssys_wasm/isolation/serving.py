"""In the worker: sessions, served with an ordinary engine."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.isolation.endings import end_answer
from pytest_airssys_wasm.isolation.granting import wasi_from_wire
from pytest_airssys_wasm.isolation.proxies import Objects, proxy_host
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.sessions import (
    CallRequest,
    CloseRequest,
    DropRequest,
    LoadRequest,
    OpenRequest,
    SessionAnswer,
)
from pytest_airssys_wasm.runtime.errors import Verdict, WasmError
from pytest_airssys_wasm.runtime.operations import CallExport
from pytest_airssys_wasm.runtime.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.isolation.proxies import Ask
    from pytest_airssys_wasm.protocol.sessions import EndAnswer, SessionRequest
    from pytest_airssys_wasm.runtime.component import Component
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.host import HostFunctions
    from pytest_airssys_wasm.runtime.instance import Instance
    from pytest_airssys_wasm.runtime.operations import Operation
    from pytest_airssys_wasm.runtime.run import Run
    from pytest_airssys_wasm.runtime.thread_home import ThreadHome

_STREAMS = ("stdout", "stderr")


class _Open:
    """Link to the host functions of this component, instantiate, and call where there is something to be called."""

    __slots__ = ("args", "component", "function", "host")

    def __init__(self, component: Component, host: HostFunctions, function: str | None, args: Sequence[Any]) -> None:
        self.component = component
        self.host = host
        self.function = function
        self.args = args

    def prepare(self, run: Run, home: ThreadHome) -> Callable[[Run], tuple[Instance, Any]]:
        # Functions are looked up at linking alone; classes of resources, which are all one here, also later.
        home.host = self.host if home.host is None else home.host.merged(self.host)
        instantiate = self.component.link(home)
        if self.function is None:
            return lambda run: (instantiate(run), None)
        call = self.component.prepare(self.function, self.args, run, home)

        def enter(run: Run) -> tuple[Instance, Any]:
            instance = instantiate(run)
            return instance, call(instance, run)

        return enter


class _Kept:
    """A store, the objects that crossed its border, and how much of its output is told."""

    def __init__(self, store: LimitedStore, objects: Objects) -> None:
        self.store = store
        self.objects = objects
        self._told = dict.fromkeys(_STREAMS, 0)

    def run(self, operation: Operation) -> tuple[Any, EndAnswer]:
        """The value of an execution, and the end of it without that."""
        return self.end_of(lambda: self.store.run(operation))

    def end_of(self, execute: Callable[[], Any]) -> tuple[Any, EndAnswer]:
        """The same of anything that executes."""
        value, error = None, None
        try:
            value = execute()
        except WasmError as raised:
            if isinstance(raised.__cause__, MemoryError):
                raise MemoryError from raised  # a host function's only in name: it failed in here
            error = raised
        usage = self.store.usage if error is None else error.usage
        return value, end_answer(error, usage, is_over=not self.store.is_usable, **self._news())

    def close(self) -> None:
        """Release it."""
        self.store.close()

    def _news(self) -> dict[str, bytes]:
        news = {}
        for name in _STREAMS:
            text: bytes = getattr(self.store, name)
            news[name] = text[self._told[name] :]
            self._told[name] = len(text)
        return news


class Sessions:
    """Answers the requests of sessions. `ask` asks the driver for a host function."""

    def __init__(self, engine: WasmEngine, ask: Ask) -> None:
        self._engine = engine
        self._ask = ask
        self._loaded: dict[tuple[str, str | None], Component] = {}
        self._numbers = count(1)
        self._open: dict[int, tuple[_Kept, Instance | None]] = {}
        """By session: its store and its instance, where there is one: the store outlives a failed instantiation."""

    def answer(self, request: SessionRequest) -> SessionAnswer:
        """The answer. Raises what is wrong with the request, which no guest can be to blame for."""
        if isinstance(request, LoadRequest):
            self._load(request.component, request.artefact)
        elif isinstance(request, OpenRequest):
            return self._opened(request)
        elif isinstance(request, CallRequest):
            return self._called(request)
        elif isinstance(request, DropRequest):
            return self._dropped(request)
        elif isinstance(request, CloseRequest):
            self._close(request.session)
        return SessionAnswer(id=request.id)

    def _load(self, path: str, artefact: str | None) -> Component:
        component = self._loaded.get((path, artefact))
        if component is None:
            component = self._engine.load(path) if artefact is None else self._engine.revive(Path(path), Path(artefact))
            self._loaded[path, artefact] = component
        return component

    def _opened(self, request: OpenRequest) -> SessionAnswer:
        component = self._load(request.component, request.artefact)
        kept = self._new(request) if request.beside is None else self._open[request.beside][0]
        kept.objects.forget(request.forget)
        host = proxy_host(component, request.imports, request.resources, kept.objects, self._ask)
        args = [] if request.call is None else _decoded(kept, component, request.call, request.args)
        opened, end = kept.run(_Open(component, host, request.call, args))
        instance, value = opened or (None, None)
        number = next(self._numbers)
        self._open[number] = kept, instance
        return _with_value(SessionAnswer(id=request.id, session=number, end=end), kept, value)

    def _new(self, request: OpenRequest) -> _Kept:
        store = LimitedStore(
            self._engine,
            limits_from_wire(request.limits),
            wasi=None if request.wasi is None else wasi_from_wire(request.wasi),
            fuel_per="store" if request.fuel_per == "run" else "execution",
        )
        return _Kept(store, Objects(self._ask))

    def _called(self, request: CallRequest) -> SessionAnswer:
        kept, instance = self._open[request.session]
        if instance is None:
            raise LookupError(f"session {request.session} has no instance")
        kept.objects.forget(request.forget)
        args = _decoded(kept, instance.component, request.call, request.args)
        value, end = kept.run(CallExport(instance, request.call, args))
        return _with_value(SessionAnswer(id=request.id, end=end), kept, value)

    def _dropped(self, request: DropRequest) -> SessionAnswer:
        kept, _ = self._open[request.session]
        _, end = kept.end_of(kept.objects.take(request.resource).drop)
        return SessionAnswer(id=request.id, end=end)

    def _close(self, session: int) -> None:
        kept, _ = self._open[session]
        self._open = {number: one for number, one in self._open.items() if one[0] is not kept}
        kept.close()


def _decoded(kept: _Kept, component: Component, function: str, args: Sequence[Any]) -> list[Any]:
    return [kept.objects.decode(value, type_) for value, type_ in zip(args, component.parameter_types(function))]


def _with_value(answer: SessionAnswer, kept: _Kept, value: Any) -> SessionAnswer:
    if answer.end is None or answer.end.verdict is not Verdict.OK:
        return answer
    return structs.replace(answer, end=structs.replace(answer.end, value=kept.objects.encode(value)))
