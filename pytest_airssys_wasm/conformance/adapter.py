"""A runtime behind the adapter protocol: a separate process, which is restarted if it dies, hangs or sends invalid
answers.

One process serves all threads. Concurrent requests of the runner are sent concurrently, and answered in any order: the
cases with `concurrency` test that one process isolates its stores from each other, which a pool of processes would
achieve by itself. An adapter without the capability `concurrent` gets one request at a time.
"""

from __future__ import annotations

import itertools
import os
import weakref
from contextlib import contextmanager, nullcontext
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, structs

from pytest_airssys_wasm.protocol.answers import read_hello, read_run
from pytest_airssys_wasm.protocol.limits import UNLIMITED
from pytest_airssys_wasm.protocol.messages import (
    MESSAGE_CHARACTERS,
    ConfigureRequest,
    HelloRequest,
    RunAnswer,
    RunRequest,
    StepAnswer,
)
from pytest_airssys_wasm.protocol.process import AdapterProcess, before_request
from pytest_airssys_wasm.protocol.process_group import session_members
from pytest_airssys_wasm.protocol.transcript import Transcript
from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.protocol.messages import HelloAnswer

_STARTS = 3
"""The number of consecutive starts without an answer to `hello` after which the adapter is not started again."""
_STDERR_CHARACTERS = 300


class Patience(Struct, frozen=True, kw_only=True):
    """The time limits of an adapter, in seconds."""

    start_s: float = 30.0
    """The maximum time from the start of the adapter to its answer to `hello`."""
    grace_s: float = 2.0
    """The time that a request may take in addition to the timeouts of its steps."""
    unlimited_s: float = 60.0
    """The time that is allowed for each step without a timeout."""
    most_s: float = 86_400.0
    """The maximum time of any request, regardless of the timeouts of its steps."""

    def scaled(self, scale: float) -> Patience:
        """Return these times multiplied by `scale`."""
        return Patience(**{name: scale * value for name, value in structs.asdict(self).items()})


class AdapterRuntime:
    """The runtime whose adapter a command line starts. It is thread-safe; call `close` when it is no longer needed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path | None = None,
        patience: Patience | None = None,
        line_bytes: int = 16 * 2**20,
    ) -> None:
        self.transcript = Transcript()
        self._command = tuple(command)
        self._folder = folder
        self._patience = patience or Patience()
        self._line_bytes = line_bytes
        self._ids = itertools.count(1)
        self._starting = allocate_lock()
        self._one_at_a_time = allocate_lock()
        self._hello: HelloAnswer | None = None
        self._failed_starts: list[RuntimeDied] = []
        self._processes: list[AdapterProcess] = []
        self._scratch: ScratchFolder | None = None
        # At the latest when the interpreter ends.
        weakref.finalize(self, _close, self._processes)

    def hello(self) -> HelloAnswer:
        """Return the name, version and capabilities that the adapter reported when it was first started.

        Raises `InvalidConfiguration` if the command cannot be run, and `RuntimeDied` if the adapter does not answer
        `hello` as the protocol requires.
        """
        if self._hello is None:
            self._process()
        assert self._hello is not None
        return self._hello

    def run(self, request: RunRequest) -> RunAnswer:
        """Run the steps of a request.

        If the adapter fails to answer, the answer has one step with the verdict `runtime-died`.
        """
        return self._answer(request, len(request.steps), self._deadline_s(request))

    def configure(self, request: ConfigureRequest) -> RunAnswer:
        """Send a manifest to the adapter.

        If the adapter fails to answer, the answer has one step with the verdict `runtime-died`.
        """
        return self._answer(request, 1, self._patience.grace_s)

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Yield the folder to which `TMPDIR` of the adapter points."""
        self._process(for_request=False)
        assert self._scratch is not None
        yield self._scratch.path

    def process_ids(self) -> tuple[int, ...]:
        """Return the ids of the adapter process and of the processes that it started; empty if the adapter cannot be
        started.
        """
        try:
            return session_members(self._process(for_request=False).process_id)
        except RuntimeDied:
            return ()

    def close(self) -> None:
        """End the adapter process. A later request starts another one."""
        with self._starting:
            _close(self._processes)
            if self._scratch is not None:
                self._scratch.remove()
                self._scratch = None

    def _answer(self, request: RunRequest | ConfigureRequest, steps: int, deadline_s: float) -> RunAnswer:
        try:
            process = self._process()
            is_concurrent = "concurrent" in self.hello().capabilities
            with nullcontext() if is_concurrent else self._one_at_a_time:
                line = self._exchange(process, request, deadline_s)
            try:
                answer = read_run(line, steps)
            except RuntimeDied as error:
                if error.reason == "garbage":
                    process.kill()
                raise
        except RuntimeDied as error:
            died = StepAnswer(verdict=Verdict.RUNTIME_DIED, message=self._told(error))
            return RunAnswer(id=request.id, steps=[died])
        return structs.replace(answer, id=request.id)

    def _exchange(self, process: AdapterProcess, request: Any, deadline_s: float) -> bytes:
        # Numbered here, because the numbers of all requests to one process must differ.
        identifier = next(self._ids)
        line = msgspec.json.encode(structs.replace(request, id=identifier))
        return process.ask(identifier, line, deadline_s)

    def _process(self, *, for_request: bool = True) -> AdapterProcess:
        """Return the adapter process, which is started and greeted first if necessary.

        Raises `RuntimeDied` if the last process ended while no request was open.
        """
        with self._starting:
            if self._processes:
                process = self._processes[-1]
                if not process.is_over:
                    return process
                if (failure := process.untold) is not None:
                    if for_request:
                        process.untold = None
                    raise before_request(failure)
            if len(self._failed_starts) == _STARTS:
                raise self._failed_starts[-1]
            self._processes.clear()
            process = self._started()
            self._processes.append(process)
            try:
                line = self._exchange(process, HelloRequest(id=0), self._patience.start_s)
                self._greet(read_hello(line))
            except RuntimeDied as error:
                process.kill()
                failure = RuntimeDied(f"it did not start correctly: {error}", error.reason)
                self._failed_starts.append(failure)
                raise failure from None
            self._failed_starts.clear()
            return process

    def _started(self) -> AdapterProcess:
        if self._scratch is None:
            self._scratch = ScratchFolder("adapter")
        try:
            return AdapterProcess(
                self._command,
                folder=self._folder,
                line_bytes=self._line_bytes,
                transcript=self.transcript,
                environment={**os.environ, "TMPDIR": str(self._scratch.path)},
            )
        except (OSError, ValueError) as error:
            text = f"a command that can be run ({error})"
            raise InvalidConfiguration("adapter", " ".join(self._command), text) from None

    def _greet(self, said: HelloAnswer) -> None:
        before = self._hello or said
        if structs.replace(said, id=before.id) != before:
            raise RuntimeDied("its name, version or capabilities differ from those of its first start", "garbage")
        self._hello = before

    def _deadline_s(self, request: RunRequest) -> float:
        timeout_ms = request.limits.get("timeout_ms", ResourceLimits.DEFAULT_TIMEOUT_MS)
        if timeout_ms == UNLIMITED:
            each_s = self._patience.unlimited_s
        elif isinstance(timeout_ms, (int, float)) and 0 <= timeout_ms < 1_000 * TIMEOUT_MAX:
            each_s = timeout_ms / 1_000
        else:
            each_s = 0.0  # the runtime is to refuse it
        # The instantiation before the first step has the whole timeout too.
        return min((len(request.steps) + 1) * each_s + self._patience.grace_s, self._patience.most_s)

    def _told(self, error: RuntimeDied) -> str:
        text = f"{error.reason}: {error}"
        if stderr := " / ".join(self.transcript.stderr[-4:]):
            text += f"; its stderr ends with: {stderr[-_STDERR_CHARACTERS:]}"
        return text[:MESSAGE_CHARACTERS]


def _close(processes: list[AdapterProcess]) -> None:
    while processes:
        processes.pop().close()
