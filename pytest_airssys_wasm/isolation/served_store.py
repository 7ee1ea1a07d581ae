"""A store that lives on between requests, and what it is asked to run."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.outcome_codec import end_answer
from pytest_airssys_wasm.isolation.proxies import Objects
from pytest_airssys_wasm.protocol.host_calls import Unanswered
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_airssys_wasm.protocol.host_calls import Ask
    from pytest_airssys_wasm.protocol.session_messages import EndAnswer
    from pytest_airssys_wasm.runtime.execution.run import Run
    from pytest_airssys_wasm.runtime.guest.operations import Operation
    from pytest_airssys_wasm.runtime.store.store import LimitedStore

_STREAMS = ("stdout", "stderr")


class ServedStore:
    """A store, the objects that crossed its border, and how much of its output is told."""

    def __init__(self, store: LimitedStore) -> None:
        self.store = store
        self.objects = Objects(self.ask)
        self._told = dict.fromkeys(_STREAMS, 0)
        self._busy = threading.Lock()
        self._ask: Ask | None = None

    @contextmanager
    def serving(self, ask: Ask) -> Iterator[None]:
        """One request at a time, whose guest asks like this. Raises `StoreUnusable` during another."""
        if not self._busy.acquire(blocking=False):
            raise StoreUnusable(
                "another request of this session, or of its store, is still worked on: wait for its answer first"
            )
        try:
            # A guest that was given up may come back, and is not to ask as part of a later request.
            self._ask = ask if self.store.is_usable else None
            yield
        finally:
            self._ask = None
            self._busy.release()

    def ask(self, name: str, args: Sequence[Any], run: Run | None) -> Any:
        """Ask for a host function, as part of the request that is worked on."""
        ask = self._ask
        if ask is None:
            raise Unanswered
        return ask(name, args, run)

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
