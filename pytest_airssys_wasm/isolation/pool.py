"""The processes that run guests: started when they are needed, used again, and ended when anything is wrong."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import structs

from pytest_airssys_wasm.isolation.deaths import was_out_of_memory
from pytest_airssys_wasm.isolation.lines import ANSWER_ROOM, line_bytes
from pytest_airssys_wasm.isolation.spawn import ChildLimits, spawn
from pytest_airssys_wasm.protocol.envelope import UNREADABLE
from pytest_airssys_wasm.protocol.pending import Question
from pytest_airssys_wasm.protocol.process_group import exited
from pytest_airssys_wasm.protocol.session_messages import CloseRequest, HostCall, LoadRequest, SessionAnswer
from pytest_airssys_wasm.protocol.transcript import Transcript, shown
from pytest_airssys_wasm.runtime.errors import RuntimeDied
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.artefacts import GuestFiles
    from pytest_airssys_wasm.protocol.pending import Waiting
    from pytest_airssys_wasm.protocol.session_messages import HostReply, SessionRequest
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

_MODULE = "pytest_airssys_wasm.isolation.worker"
_START_S = 60.0
"""From the start of a process to its first answer, beside whatever else the machine does."""
_MOST = 32
"""Processes at once. Each takes 50 MB."""
_PATIENCE_S = 30.0
"""How long a store waits for another to give its process back."""
_WORDS_CHARACTERS = 300
_OPEN_FILES = 256
_MOST_GUESTS = 100
"""Guests that a process has had when it is replaced: each keeps a file open, as long as the process lives."""


Message = TypeVar("Message")


class _Refusal(msgspec.Struct, frozen=True):
    error: str | None = None


# Made here and not by the first to need them: two threads at once would crash msgspec.
_REFUSAL = msgspec.json.Decoder(_Refusal)
_ANSWER = msgspec.json.Decoder(SessionAnswer)
_CALL = msgspec.json.Decoder(HostCall)


class WorkerProcess:
    """One process that runs guests, for one store at a time."""

    def __init__(self, memory_bytes: int) -> None:
        self._diary = Transcript()
        limits = ChildLimits(data_bytes=memory_bytes, open_files=_OPEN_FILES)
        self._process = spawn(_MODULE, limits, line_bytes=ANSWER_ROOM, diary=self._diary)
        self._numbers = count(1)
        self._loaded: set[GuestFiles] = set()
        self._waiting: Waiting | None = None

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.process_id

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.is_over or exited(self.process_id) is not None

    @property
    def is_worn(self) -> bool:
        """Whether it has had so many guests that the next store should have another."""
        return len(self._loaded) >= _MOST_GUESTS

    def load(self, files: GuestFiles) -> None:
        """Have a guest ready. Raises `RuntimeDied`."""
        if files not in self._loaded:
            self.ask(LoadRequest(id=0, component=files.binary, artefact=files.artefact), lambda: _START_S)
            self._loaded.add(files)

    def ask(
        self,
        request: SessionRequest,
        left_s: Callable[[], float | None],
        serve: Callable[[HostCall], HostReply] | None = None,
    ) -> SessionAnswer:
        """The answer to a request. `serve` serves host calls until then; `left_s` tells how long may be waited.

        Raises `RuntimeDied` where there is none, or none that can be believed; the process is ended then.
        """
        identifier = next(self._numbers)
        line = msgspec.json.encode(structs.replace(request, id=identifier))
        try:
            waiting = self._waiting = self._process.begin(identifier, line, may_ask=serve is not None)
            while isinstance(came := self._process.await_line(waiting, left_s()), Question):
                assert serve is not None
                self._process.reply(waiting, msgspec.json.encode(serve(_decoded(came, _CALL))))
            return _decoded(came, _ANSWER)
        except RuntimeDied as died:
            self.kill(died)
            raise self._told(died) from died.__cause__

    def last_words(self, wait_s: float) -> SessionAnswer | None:
        """The answer to a request that nobody waits for any more, if it comes; for use on any thread."""
        with suppress(RuntimeDied):
            line = None if self._waiting is None else self._waiting.next_line(wait_s)
            return None if line is None else _decoded(line, _ANSWER)
        return None

    def allow(self, limits: ResourceLimits) -> None:
        """How long its lines may be under these limits."""
        self._process.allow(line_bytes(limits.transfer, limits.output))

    def close_session(self, session: int) -> None:
        """Have a store released. Raises `RuntimeDied`.

        Nobody waits for the answer: the next request is not looked at before it.
        """
        identifier = next(self._numbers)
        self._process.begin(identifier, msgspec.json.encode(CloseRequest(id=identifier, session=session)))

    def kill(self, why: RuntimeDied | None = None) -> None:
        """End it, without waiting for that."""
        self._process.condemn(why or RuntimeDied("it was killed", "signal"))

    def bury(self) -> None:
        """End it, and wait for that."""
        self._process.kill()

    def _told(self, died: RuntimeDied) -> RuntimeDied:
        reason = "memory" if died.reason in ("signal", "status") and was_out_of_memory(self._diary) else died.reason
        text = f"the guest's process: {died}"
        if stderr := " / ".join(self._diary.stderr[-4:]):
            text += f"; its stderr ends with: {stderr[-_WORDS_CHARACTERS:]}"
        return RuntimeDied(text, reason)


class WorkerProcessPool:
    """All processes of one engine's stores."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._most_idle = os.cpu_count() or 1
        self._places = threading.BoundedSemaphore(_MOST)
        self._all: set[WorkerProcess] = set()

    def take(self, files: GuestFiles) -> WorkerProcess:
        """A process that has this guest ready. Raises `RuntimeDied` where none can be had, `StoreUnusable` for too
        many at once.
        """
        if not self._places.acquire(timeout=_PATIENCE_S):
            raise StoreUnusable(f"{_MOST} stores have processes of their own already: close some")
        mate = None
        try:
            while (mate := self._next_idle()) is not None:
                with suppress(RuntimeDied):  # it died while nobody looked
                    mate.load(files)
                    return mate
            mate = WorkerProcess(self._memory_bytes)
            with self._lock:
                self._all.add(mate)
            mate.load(files)
            return mate
        except BaseException:  # a signal as well
            if mate is not None:
                mate.kill()  # nobody would have it
            self._places.release()
            raise

    def give_back(self, mate: WorkerProcess, *, is_well: bool) -> None:
        """A process that a store has done with."""
        with self._lock:
            self._all = {one for one in self._all if not one.is_over}
            stays = is_well and not (mate.is_over or mate.is_worn) and len(self._idle) < self._most_idle
            if stays:
                self._idle.append(mate)
        if not stays:
            mate.kill()
        self._places.release()

    def close(self) -> None:
        """End those that are idle."""
        while (mate := self._next_idle()) is not None:
            mate.bury()

    def kill(self) -> None:
        """End all, at the end of this process."""
        with self._lock:
            mates, self._all, self._idle = self._all, set(), []
        for mate in mates:
            mate.kill()
        for mate in mates:
            mate.bury()

    def _next_idle(self) -> WorkerProcess | None:
        with self._lock:
            while self._idle:
                mate = self._idle.pop()
                if not mate.is_over:
                    return mate
        return None


def _decoded(line: bytes, decoder: msgspec.json.Decoder[Message]) -> Message:
    try:
        refusal = _REFUSAL.decode(line).error
        if refusal is None:
            return decoder.decode(line)
    except UNREADABLE as error:
        raise RuntimeDied(f"what it wrote is not as it must be ({error}): {shown(line, 200)}", "garbage") from None
    raise RuntimeDied(f"it refused the request: {shown(refusal.encode('utf-8', 'replace'))}", "refusal")
