"""The server of sessions, which runs them with an ordinary engine, in a worker or in the bundled adapter."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from pytest_airssys_wasm.isolation.codec import wasi_from_wire
from pytest_airssys_wasm.isolation.plain_exports import PlainExports
from pytest_airssys_wasm.isolation.proxies import Objects, proxy_host
from pytest_airssys_wasm.protocol.envelope import LINE_BYTES, WORKER_ROOM_BYTES, worker_line_bytes
from pytest_airssys_wasm.protocol.host_calls import HostCallUnanswered
from pytest_airssys_wasm.protocol.limits import limits_from_wire
from pytest_airssys_wasm.protocol.outcomes import end_answer
from pytest_airssys_wasm.protocol.session_messages import (
    CallRequest,
    CloseRequest,
    DropRequest,
    LoadRequest,
    OpenRequest,
    SessionAnswer,
)
from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.probes import ProbeFile
from pytest_airssys_wasm.runtime.engine import ProbedEngine
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError, outcome_of
from pytest_airssys_wasm.runtime.guest.operations import CallExport, Instantiate
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable
from pytest_airssys_wasm.runtime.store.store import LimitedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.protocol.session_messages import EndAnswer, SessionRequest
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle, Operation

_STREAMS = ("stdout", "stderr")


class Sessions:
    """The sessions of one process. Requests of different stores can be answered on several threads at once.

    `most_open` is the maximum number of open sessions. With `is_worker` the driver is the process that started this
    one: artefacts that a request names are trusted, and the length of lines is bounded by the limits of the store.
    Otherwise components are compiled here, and the length of lines is bounded by the protocol.
    """

    def __init__(self, engine: WasmEngine, *, most_open: int | None = None, is_worker: bool = False) -> None:
        self._engine = engine
        self._most_open = most_open
        self._is_worker = is_worker
        self._loaded: dict[tuple[WasmEngine, str, str | None], Component] = {}
        self._probed: dict[ProbeFile, WasmEngine] = {}
        self._numbers = count(1)
        self._lock = allocate_lock()
        self._open: dict[int, tuple[ServedStore, InstanceHandle | None]] = {}
        """The store and the instance of each session. The instance is missing after a failed instantiation, which the
        store outlives.
        """
        self.plain_exports = PlainExports()
        """The exports that plain calls have called since the last session was closed."""
        self.line_bytes = WORKER_ROOM_BYTES if is_worker else LINE_BYTES
        """The maximum length of a line that the driver reads at present, in bytes."""

    def answer(self, request: SessionRequest, ask: Ask) -> SessionAnswer:
        """Return the answer to a request. While it is executed, `ask` calls host functions of the driver.

        Raises an error for an invalid request. Errors of guests are part of the answer.
        """
        match request:
            case LoadRequest():
                self._load(self._engine, request.component, request.artefact)
                return SessionAnswer(id=request.id)
            case OpenRequest():
                return self._answer_open(request, ask)
        served, instance = self.session(request.session)
        with served.serving(ask):
            match request:
                case CallRequest():
                    return _answer_call(request, served, instance)
                case DropRequest():
                    return _answer_drop(request, served)
                case CloseRequest():
                    self._close(served)
                    return SessionAnswer(id=request.id)
                case _:
                    assert_never(request)

    def _load(self, engine: WasmEngine, path: str, artefact: str | None) -> Component:
        if not self._is_worker:
            artefact = None
        component = self._loaded.get((engine, path, artefact))
        if component is None:
            component = engine.load(path) if artefact is None else engine.revive(Path(path), Path(artefact))
            self._loaded[engine, path, artefact] = component
        return component

    def _engine_for(self, request: OpenRequest) -> WasmEngine:
        """Return the engine of a new store: an instrumented guest has one of its own."""
        if request.probes is None or not self._is_worker:
            return self._engine
        path, memory_bytes, most_memory_bytes = request.probes
        probes = ProbeFile(path=path, memory_bytes=memory_bytes, most_memory_bytes=most_memory_bytes)
        if probes not in self._probed:
            self._probed[probes] = ProbedEngine(probes)
        return self._probed[probes]

    def session(self, number: int) -> tuple[ServedStore, InstanceHandle | None]:
        """Return the store and the instance of an open session. Raises `LookupError` for another number."""
        found = self._open.get(number)
        if found is None:
            raise LookupError(f"no session {number} is open")
        return found

    def _answer_open(self, request: OpenRequest, ask: Ask) -> SessionAnswer:
        try:
            engine = self._engine_for(request)
            component = self._load(engine, request.component, request.artefact)
            served = self._new(request, engine) if request.beside is None else self.session(request.beside)[0]
        except WasmError as error:
            return SessionAnswer(id=request.id, end=end_answer(outcome_of(error)))
        number = next(self._numbers)
        with served.serving(ask):
            try:
                self._admit(number, served)
                served.objects.forget(request.forget)
                host = proxy_host(component, request.imports, request.resources, served.objects, served.ask)
                args = [] if request.call is None else _decoded(served, component, request.call, request.args)
                opened, end = served.run(Instantiate(component, request.call, args, host))
            except BaseException:  # whatever it was: the driver has no number to close it by
                with self._lock:
                    self._open.pop(number, None)
                if request.beside is None:
                    served.close()
                raise
            with self._lock:
                self._open[number] = served, None if opened is None else opened.handle
            value = None if opened is None else opened.value
            return _with_value(SessionAnswer(id=request.id, session=number, end=end), served, value)

    def _admit(self, number: int, served: ServedStore) -> None:
        """Count a new session before anything runs in it. Raises `StoreUnusable` if too many sessions are open."""
        with self._lock:
            if self._most_open is not None and len(self._open) >= self._most_open:
                raise StoreUnusable(f"{self._most_open} sessions are open already: close some")
            self._open[number] = served, None

    def _new(self, request: OpenRequest, engine: WasmEngine) -> ServedStore:
        limits = limits_from_wire(request.limits)
        if self._is_worker:
            self.line_bytes = worker_line_bytes(limits)
        store = LimitedStore(
            engine,
            limits,
            wasi=None if request.wasi is None else wasi_from_wire(request.wasi),
            fuel_per="store" if request.fuel_per == "run" else "call",
        )
        return ServedStore(store)

    def _close(self, served: ServedStore) -> None:
        self.plain_exports.clear()
        with self._lock:
            self._open = {number: one for number, one in self._open.items() if one[0] is not served}
        served.close()


class ServedStore:
    """A store that persists between requests, with its resources and the length of the output that was already sent."""

    def __init__(self, store: LimitedStore) -> None:
        self.store = store
        """The store that serves the requests."""
        self.objects = Objects(self.ask)
        """The resources of the store that both processes use."""
        self._told = dict.fromkeys(_STREAMS, 0)
        self._busy = allocate_lock()
        self._ask: Ask | None = None

    @contextmanager
    def serving(self, ask: Ask) -> Iterator[None]:
        """Run the block for one request, whose guest calls host functions with `ask`.

        Raises `StoreUnusable` while another request is open.
        """
        if not self._busy.acquire(blocking=False):
            raise StoreUnusable(
                "another request of this session, or of its store, is still open: wait for its answer first"
            )
        try:
            # A guest that was given up may come back, and must not ask as part of a later request.
            self._ask = ask if self.store.is_usable else None
            yield
        finally:
            self._ask = None
            self._busy.release()

    def ask(self, name: str, args: Sequence[Any], run: Run | None) -> Any:
        """Call a host function of the driver, as part of the open request."""
        ask = self._ask
        if ask is None:
            raise HostCallUnanswered
        return ask(name, args, run)

    def run(self, operation: Operation) -> tuple[Any, EndAnswer]:
        """Run an operation, and return its result and its outcome without the value."""
        return self.end_of(lambda: self.store.run(operation))

    def end_of(self, execute: Callable[[], Any]) -> tuple[Any, EndAnswer]:
        """Call a function that runs an operation in the store, and return its result and its outcome without the
        value.
        """
        value, error = None, None
        try:
            value = execute()
        except WasmError as raised:
            if isinstance(raised.__cause__, MemoryError):
                raise MemoryError from raised  # it was raised in here, and not by a host function
            if isinstance(raised, UnfitHost):
                raise  # the guest has no part in it
            error = raised
        outcome = outcome_of(error, self.store.usage if error is None else None)
        return value, end_answer(outcome, is_over=not self.store.is_usable, **self._new_output())

    def answer_of(self, identifier: int, execute: Callable[[], Any]) -> SessionAnswer:
        """Return the answer to a request, which tells the end of a function that runs an operation in the store."""
        value, end = self.end_of(execute)
        return _with_value(SessionAnswer(id=identifier, end=end), self, value)

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def _new_output(self) -> dict[str, bytes]:
        output = {}
        for name in _STREAMS:
            text: bytes = getattr(self.store, name)
            output[name] = text[self._told[name] :]
            self._told[name] = len(text)
        return output


def _answer_call(request: CallRequest, served: ServedStore, instance: InstanceHandle | None) -> SessionAnswer:
    if instance is None:
        raise LookupError(f"session {request.session} has no instance")
    served.objects.forget(request.forget)
    args = _decoded(served, instance.component, request.call, request.args)
    call = CallExport(instance, request.call, args)
    return served.answer_of(request.id, lambda: served.store.run(call))


def _answer_drop(request: DropRequest, served: ServedStore) -> SessionAnswer:
    _, end = served.end_of(served.objects.take(request.resource).drop)
    return SessionAnswer(id=request.id, end=end)


def _decoded(served: ServedStore, component: Component, function: str, args: Sequence[Any]) -> Sequence[Any]:
    types = component.parameter_types(function)
    if len(types) != len(args):
        return args  # the call itself says what would be right
    return [served.objects.decode(value, type_) for value, type_ in zip(args, types)]


def _with_value(answer: SessionAnswer, served: ServedStore, value: Any) -> SessionAnswer:
    if answer.end is None or answer.end.verdict is not Verdict.OK:
        return answer
    return structs.replace(answer, end=structs.replace(answer.end, value=served.objects.encode(value)))
