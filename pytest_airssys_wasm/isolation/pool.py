"""The worker processes that run guests, and the leases by which stores use them.

Processes are started on demand, reused for further stores, and ended after any failure.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NoReturn

import msgspec
from msgspec import structs

from pytest_airssys_wasm.isolation.plain_pipe import PlainPipe
from pytest_airssys_wasm.isolation.spawn import ChildLimits, cannot_start, lack_told, spawn, was_out_of_memory
from pytest_airssys_wasm.protocol.answers import read_host_call, read_session_answer
from pytest_airssys_wasm.protocol.envelope import WORKER_ROOM_BYTES, worker_line_bytes
from pytest_airssys_wasm.protocol.pending import HostCallLine
from pytest_airssys_wasm.protocol.process_group import exited
from pytest_airssys_wasm.protocol.session_messages import CloseRequest, LoadRequest
from pytest_airssys_wasm.protocol.transcript import Transcript
from pytest_airssys_wasm.runtime.base.originals import Empty, SimpleQueue, allocate_lock, monotonic
from pytest_airssys_wasm.runtime.budget.machine import is_short_of_addresses, naming_lacks, no_memory
from pytest_airssys_wasm.runtime.errors import RuntimeDied
from pytest_airssys_wasm.runtime.store.exclusive_use import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.artefacts import GuestFiles
    from pytest_airssys_wasm.protocol.pending import PendingRequest
    from pytest_airssys_wasm.protocol.session_messages import HostCall, HostReply, SessionAnswer, SessionRequest
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.errors import UnfitHost
    from pytest_airssys_wasm.runtime.execution.run import Run

_MODULE = "pytest_airssys_wasm.isolation.worker"
_START_S = 60.0
"""The maximum time in seconds from the start of a process to its first answer, on a machine under load."""
_MOST_PROCESSES = 32
"""The maximum number of concurrent processes, each of which takes about 50 MB."""
_PATIENCE_S = 30.0
"""The time in seconds that a store waits until another store returns its process."""
_STDERR_LINES, _STDERR_CHARACTERS = 4, 300
"""The limits of the part of stderr that is shown when a process dies: its last lines and characters."""
_OPEN_FILES = 512
"""The limit on the open files of a process: those of its guests, of which each store may have 128, and its own."""
_MOST_GUESTS = 100
"""The number of guests after which a process is replaced. Each guest keeps a file open as long as the process lives."""


class WorkerProcess:
    """A worker process, which runs the guests of one store at a time."""

    def __init__(self, memory_bytes: int) -> None:
        self._transcript = Transcript()
        self._memory_bytes = memory_bytes
        self._has_answered = False
        limits = ChildLimits(data_bytes=memory_bytes, open_files=_OPEN_FILES)
        with naming_lacks():
            self.pipe = PlainPipe(self._has_exited)
            """The pipe of plain calls."""
        try:
            self._process = spawn(
                _MODULE,
                limits,
                line_bytes=WORKER_ROOM_BYTES,
                transcript=self._transcript,
                pipes=self.pipe.theirs,
            )
        except BaseException:
            self.pipe.close()
            raise
        finally:
            self.pipe.close_theirs()
        self.numbers = count(1)
        """The numbers of requests and plain calls."""
        self._loaded: set[GuestFiles] = set()
        self._pending: PendingRequest | None = None

    @property
    def process_id(self) -> int:
        """The process id."""
        return self._process.process_id

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.is_over or exited(self.process_id) is not None

    @property
    def is_exhausted(self) -> bool:
        """Whether the process has loaded so many guests that it should not be used for another store."""
        return len(self._loaded) >= _MOST_GUESTS

    def load(self, files: GuestFiles) -> None:
        """Load a guest in the process. Raises `RuntimeDied` if the process fails."""
        if files not in self._loaded:
            self.ask(LoadRequest(id=0, component=files.binary, artefact=files.artefact), lambda: _START_S)
            self._loaded.add(files)

    def ask(
        self,
        request: SessionRequest,
        left_s: Callable[[], float | None],
        serve: Callable[[HostCall], HostReply] | None = None,
    ) -> SessionAnswer:
        """Send a request, serve its host calls, and return its answer. `left_s` returns the remaining time in seconds.

        Raises `RuntimeDied` if there is no valid answer in time. The process is ended in this case.
        """
        identifier = next(self.numbers)
        line = msgspec.json.encode(structs.replace(request, id=identifier))
        try:
            pending = self._pending = self._process.begin(identifier, line, may_call=serve is not None)
            while isinstance(came := self._process.await_line(pending, left_s()), HostCallLine):
                assert serve is not None
                self._process.reply(pending, msgspec.json.encode(serve(read_host_call(came))))
            answer = read_session_answer(came)
        except RuntimeDied as died:
            self.kill(died)
            raise self._explained(died) from died.__cause__
        self._has_answered = True
        return answer

    def rest(self, count: int, left_ms: float | None, most_ms: float | None) -> bytes:
        """Return the answer to a plain call, or the beginning of a line, for which `ask` has returned `count`.

        Raises `RuntimeDied` if there is no answer in the rest of the time, `most_ms`. The process is ended in this
        case.
        """
        answer = self.pipe.rest(count, left_ms)
        return answer or self._unanswered(answer, most_ms)

    def read_answer(self, begun: bytes, most_ms: float, line_bytes: int) -> SessionAnswer:
        """Return the answer to a plain call that is a line of at most `line_bytes` bytes and begins with `begun`.

        Raises `RuntimeDied` if the rest of it does not come within `most_ms`, or if it is not valid.
        """
        line, began_at = bytearray(begun), monotonic()
        while not line.endswith(b"\n"):
            if len(line) > line_bytes:
                raise RuntimeDied(f"it wrote a line of more than {line_bytes:,} bytes", "garbage")
            more = self.pipe.read(max(0.0, most_ms - 1_000 * (monotonic() - began_at)))
            line += more or self._unanswered(more, most_ms)
        answer = read_session_answer(bytes(line))
        self.pipe.note_answer()
        return answer

    def last_words(self, wait_s: float) -> SessionAnswer | None:
        """Return the answer to an abandoned request, or `None` if it does not arrive in time.

        This method can be called on any thread. The thread that serves the request, which may be in a host function,
        gets `RuntimeDied` in the place of the answer.
        """
        pending = self._pending
        if pending is None:
            return None
        with suppress(RuntimeDied):
            line = pending.next_line(wait_s)
            if line is not None:
                pending.inbox.put(RuntimeDied("the request was given up", "signal"))
                return read_session_answer(line)
        return None

    def allow(self, limits: ResourceLimits) -> None:
        """Set the maximum length of the process's lines to the length that a store with these limits needs."""
        self._process.allow(worker_line_bytes(limits))

    def close_session(self, session: int) -> None:
        """Request the release of a session and its store. Raises `RuntimeDied` if the process has failed.

        This method does not wait for the answer, because the process answers before it reads the next request.
        """
        identifier = next(self.numbers)
        self._process.begin(identifier, msgspec.json.encode(CloseRequest(id=identifier, session=session)))

    def kill(self, why: RuntimeDied | None = None) -> None:
        """Kill the process without waiting for its end."""
        self._process.condemn(why or RuntimeDied("it was killed", "signal"))

    def release(self) -> None:
        """Close the pipes of plain calls, because no store uses the process any more."""
        self.pipe.close()

    def join(self) -> None:
        """Kill the process, and wait for its end."""
        self._process.kill()

    def _has_exited(self) -> bool:
        return exited(self.process_id) is not None

    def _unanswered(self, answer: bytes | None, most_ms: float | None) -> NoReturn:
        """End the process, and raise the reason for which a plain call has no answer, which is `None` if it is late."""
        if answer is None:
            died = RuntimeDied(f"no answer in {(most_ms or 0) / 1_000:g} s", "silence")
        else:
            died = self._process.await_failure(next(self.numbers))
        self.kill(died)
        raise self._explained(died) from died.__cause__

    def _explained(self, died: RuntimeDied) -> RuntimeDied | UnfitHost:
        reason = died.reason
        if reason in ("signal", "status"):
            unfit = lack_told(self._transcript)
            if unfit is not None:
                return unfit
            if was_out_of_memory(self._transcript):
                if is_short_of_addresses(self._memory_bytes):
                    return no_memory()
                reason = "memory"
            elif reason == "status" and not self._has_answered:
                return cannot_start(died, self._transcript)
        text = f"the guest's process: {died}"
        if stderr := " / ".join(self._transcript.stderr[-_STDERR_LINES:]):
            text += f"; its stderr ends with: {stderr[-_STDERR_CHARACTERS:]}"
        return RuntimeDied(text, reason)


class WorkerProcessPool:
    """The worker processes of all stores of one engine."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process_id = os.getpid()
        self._lock = allocate_lock()
        self._idle: list[WorkerProcess] = []
        self._most_idle = os.cpu_count() or 1
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST_PROCESSES):
            self._places.put(None)
        self._all: set[WorkerProcess] = set()

    @property
    def is_anothers(self) -> bool:
        """Whether it belongs to the process from which this one was forked. Its locks may be held for ever then."""
        return self._process_id != os.getpid()

    def take(self, files: GuestFiles) -> WorkerProcess:
        """Return a process in which this guest is loaded.

        Raises `RuntimeDied` if no process can be started, and `StoreUnusable` if too many processes are in use.
        """
        try:
            self._places.get(timeout=_PATIENCE_S)
        except Empty:
            text = f"{_MOST_PROCESSES} stores with separate processes are open already: close some"
            raise StoreUnusable(text) from None
        worker = None
        try:
            while (worker := self._next_idle()) is not None:
                with suppress(RuntimeDied):  # it died while nobody looked
                    worker.load(files)
                    return worker
            worker = WorkerProcess(self._memory_bytes)
            with self._lock:
                self._all.add(worker)
            worker.load(files)
            return worker
        except BaseException:  # a signal as well
            if worker is not None:
                worker.kill()  # nobody would have it
                worker.release()
            self._places.put(None)
            raise

    def give_back(self, worker: WorkerProcess, *, is_well: bool) -> None:
        """Take back the process of a store that no longer needs it.

        The process is ended if it has failed or is exhausted.
        """
        with self._lock:
            self._all = {one for one in self._all if not one.is_over}
            is_kept = is_well and not (worker.is_over or worker.is_exhausted) and len(self._idle) < self._most_idle
            if is_kept:
                self._idle.append(worker)
        if not is_kept:
            worker.kill()
            worker.release()
        self._places.put(None)

    def close(self) -> None:
        """End the idle processes."""
        while (worker := self._next_idle()) is not None:
            worker.join()
            worker.release()

    def kill(self) -> None:
        """End all processes, because this process is ending."""
        if self.is_anothers:
            return
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()

    def _next_idle(self) -> WorkerProcess | None:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if not worker.is_over:
                    return worker
        return None


class Lease:
    """A store's lease of a process, from its first execution until the store is closed or garbage-collected.

    A lease does not reference its store, so that the store can be collected.
    """

    def __init__(self, pool: WorkerProcessPool) -> None:
        self._pool = pool
        self._lock = allocate_lock()
        self._is_closed = False
        self.worker: WorkerProcess | None = None
        """The leased process; `None` before the first execution, and after the last."""
        self.session: int | None = None
        """The number of the first open session, which identifies the store."""
        self.running: list[Run] = []
        """A list with the current run; empty if there is none."""

    def ready(self, files: GuestFiles) -> None:
        """Lease a process if necessary, and load this guest in it. Raises `RuntimeDied` if the process fails."""
        if self.worker is not None:
            self.worker.load(files)
            return
        worker = self._pool.take(files)
        with self._lock:
            if not self._is_closed:
                self.worker = worker
                return
        self._pool.give_back(worker, is_well=True)  # the store was closed meanwhile

    def end(self) -> None:
        """End the process. The store cannot be used any more after this."""
        worker = self._take()
        if worker is not None:
            self._pool.give_back(worker, is_well=False)

    def release(self) -> None:
        """Return the process to the pool, because the store is closed or the interpreter ends."""
        if self._pool.is_anothers:
            return
        if self.running:
            self.end()
            return
        worker = self._take()
        if worker is None:
            return
        # Signals may have interrupted a plain call, and then its judgement. Nobody else may get its answer.
        is_well = not worker.pipe.is_open
        if is_well and self.session is not None:
            try:
                worker.close_session(self.session)
            except RuntimeDied:
                is_well = False
        self._pool.give_back(worker, is_well=is_well)

    def _take(self) -> WorkerProcess | None:
        with self._lock:
            self._is_closed = True
            worker, self.worker = self.worker, None
        return worker
