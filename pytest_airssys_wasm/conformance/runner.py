"""The runner of cases, which requests each step from a runtime and records the answers.

It does not compare them with the expectations.
"""

from __future__ import annotations

import gc
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, field, structs

from pytest_airssys_wasm.conformance import measure
from pytest_airssys_wasm.conformance.guests import spells_bytes, text_file, translated
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.limits import limits_on_wire
from pytest_airssys_wasm.protocol.messages import ConfigureRequest, RunRequest, StepRequest, promised
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_airssys_wasm.conformance.model import Actor, Case, Step, WasiGrant
    from pytest_airssys_wasm.protocol.messages import Runtime, StepAnswer


class ActorPass(Struct, frozen=True, kw_only=True):
    """The answers to one pass of an actor through its steps."""

    actor: str
    copy: int
    """The number of the concurrent copy, from 0."""
    repetition: int
    """The number of the repetition, from 0."""
    answers: tuple[StepAnswer | None, ...]
    """One answer for each step of the actor; `None` if the runtime gave none."""

    @property
    def has_died(self) -> bool:
        """Whether the runtime died in one of the steps."""
        return any(answer is not None and answer.verdict is Verdict.RUNTIME_DIED for answer in self.answers)


class Observation(Struct, frozen=True, kw_only=True):
    """The observation of one case: the runtime's answers, and the external measurements."""

    passes: tuple[ActorPass, ...]
    elapsed_ms: float
    """The wall-clock time of the whole case in milliseconds, as measured by its caller."""
    host_rss_growth_mib: float | None = None
    """The growth of the runtime's resident memory in MiB; `None` if it was not measured."""
    open_files_growth: int | None = None
    """The growth of the number of files that the runtime holds open; `None` if it was not measured."""
    threads_growth: int | None = None
    """The growth of the number of threads of the runtime; `None` if it was not measured."""
    temporary_files_growth: int | None = None
    """The growth of the number of temporary files of the runtime; `None` if it was not measured."""
    busy_threads: int | None = None
    """The number of threads of the runtime that were at work without an open request; `None` if it was not measured."""
    capabilities: frozenset[str] | None = None
    """The capabilities that the runtime promises; `None` stands for all."""

    def promises(self, capability: str) -> bool:
        """Return whether the runtime promises this capability."""
        return self.capabilities is None or capability in self.capabilities


def missing_capabilities(case: Case, runtime: Runtime) -> tuple[str, ...]:
    """Return the capabilities that the case needs and the runtime lacks. A case is skipped if any is missing."""
    present = promised(runtime.hello().capabilities)
    if measure.can_measure():
        present |= {"host-rss"}
    return tuple(need for need in case.needs if need not in present)


class CaseRunner(Struct):
    """The runner of cases on one runtime."""

    runtime: Runtime
    scratch: Path
    """An existing folder, in which inline components are stored as files."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, case: Case, where: str = "case") -> Observation:
        """Run the case and return the observation.

        Raises `InvalidConfiguration`, whose message begins with `where`, if a component cannot be found.
        """
        copies = [
            _ActorCopy(actor=actor, number=number, requests=requests)
            for actor in case.cast()
            for requests in [_requests(actor, self._component_path(actor, where))]
            for number in range(case.concurrency)
        ]
        with self._temporary_folder(case) as folder:
            return self._observed(case, copies, folder)

    def _observed(self, case: Case, copies: list[_ActorCopy], folder: Path | None) -> Observation:
        warm_up = case.repeat // 10 or min(1, case.repeat - 1)
        before: _Footprint | None = None
        passes: list[ActorPass] = []
        started = monotonic()
        for repetition in range(case.repeat):
            if case.expect.is_measured and repetition == warm_up:
                before = self._footprint(folder)
            latest = self._run_once(case, copies, repetition)
            passes += latest
            if any(one.has_died for one in latest):
                break  # another repetition would take as long, and show nothing new
        seen = Observation(
            passes=tuple(passes),
            elapsed_ms=(monotonic() - started) * 1_000,
            capabilities=promised(self.runtime.hello().capabilities),
        )
        if before is None:
            return seen
        after = self._footprint(folder)
        return structs.replace(
            seen,
            host_rss_growth_mib=after.resident_mib - before.resident_mib,
            open_files_growth=after.open_files - before.open_files,
            threads_growth=after.threads - before.threads,
            temporary_files_growth=after.temporary_files - before.temporary_files,
            busy_threads=None if case.expect.busy_threads is None else measure.busy_threads(self.runtime.process_ids()),
        )

    def _run_once(self, case: Case, copies: list[_ActorCopy], repetition: int) -> list[ActorPass]:
        if case.schedule == "at-once":
            return self._at_once(copies, repetition)
        by_actor = itertools.groupby(copies, key=lambda copy: copy.actor.name)
        return [one for _, group in by_actor for one in self._at_once(list(group), repetition)]

    def _at_once(self, copies: list[_ActorCopy], repetition: int) -> list[ActorPass]:
        if len(copies) == 1:
            return [self._run_copy(copies[0], repetition)]
        barrier = Barrier(len(copies))

        def run(copy: _ActorCopy) -> ActorPass:
            barrier.wait()
            return self._run_copy(copy, repetition)

        with ThreadPoolExecutor(len(copies)) as threads:
            return list(threads.map(run, copies))

    def _run_copy(self, copy: _ActorCopy, repetition: int) -> ActorPass:
        answers: list[StepAnswer | None] = []
        for steps, request in copy.requests:
            given = self._answers(copy.actor, request)
            known = [_without_unasked(step, answer) for step, answer in zip(steps, given)]
            answers += (known + [None] * len(steps))[: len(steps)]
        return ActorPass(actor=copy.actor.name, copy=copy.number, repetition=repetition, answers=tuple(answers))

    def _answers(self, actor: Actor, request: ConfigureRequest | RunRequest) -> list[StepAnswer | None]:
        identifier = next(self._ids)
        if isinstance(request, ConfigureRequest):
            return [*self.runtime.configure(structs.replace(request, id=identifier)).steps]
        with self._granted(actor.wasi) as wasi:
            return [*self.runtime.run(structs.replace(request, id=identifier, wasi=wasi)).steps]

    @contextmanager
    def _granted(self, grant: WasiGrant | None) -> Iterator[dict[str, Any] | None]:
        """Yield the grant as it is sent to the runtime. A granted folder exists until the block ends."""
        if grant is None:
            yield None
            return
        sent = structs.asdict(grant)
        if not sent.pop("folder"):
            yield sent
            return
        with TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as folder:
            yield {**sent, "folder": folder}

    def _component_path(self, actor: Actor, where: str) -> Path | None:
        if all(step.phase == "configure" for step in actor.steps):
            return None
        path = text_file(actor, where, self.scratch)
        # Bytes are no text to a runtime, which might start a process to translate them.
        if "wat" not in self.runtime.hello().capabilities or spells_bytes(path):
            return translated(path, self.scratch)
        return path

    def _temporary_folder(self, case: Case) -> AbstractContextManager[Path | None]:
        return nullcontext() if case.expect.temporary_files_growth is None else self.runtime.temporary_folder()

    def _footprint(self, folder: Path | None) -> _Footprint:
        gc.collect()
        process_ids = self.runtime.process_ids()
        return _Footprint(
            resident_mib=measure.resident_mib(process_ids),
            open_files=measure.open_files(process_ids),
            threads=measure.threads(process_ids),
            temporary_files=0 if folder is None else measure.files_within(folder),
        )


class _Footprint(Struct, frozen=True, kw_only=True):
    """The resources that the processes of a runtime hold."""

    resident_mib: float
    open_files: int
    threads: int
    temporary_files: int


class _ActorCopy(Struct, frozen=True, kw_only=True):
    """One copy of an actor, whose steps run on one thread."""

    actor: Actor
    number: int
    requests: list[tuple[list[Step], ConfigureRequest | RunRequest]]
    """The steps that share a store, and the request for them."""


def _requests(actor: Actor, component: Path | None) -> list[tuple[list[Step], ConfigureRequest | RunRequest]]:
    """Return the requests of an actor, without their ids and without what is granted anew to each repetition."""
    return [(steps, _request(actor, component, steps)) for steps in _by_store(actor.steps)]


def _request(actor: Actor, component: Path | None, steps: list[Step]) -> ConfigureRequest | RunRequest:
    if steps[0].phase == "configure":
        return ConfigureRequest(id=0, manifest=actor.manifest or "")
    return RunRequest(
        id=0,
        component=str(component),
        limits=limits_on_wire(actor.limits),
        steps=[StepRequest(call=step.call, args=wire.from_toml(step.args)) for step in steps],
        imports=list(actor.imports or ()),
        fuel_per=actor.fuel_per or "step",
    )


def _without_unasked(step: Step, answer: StepAnswer | None) -> StepAnswer | None:
    """Drop the value and the output of an answer if no expectation is about them.

    If many repetitions kept them, they would distort the measured growth.
    """
    if answer is None:
        return None
    expect = step.expect
    is_asked = expect.value is not UNSET or "value" in expect.steady or answer.verdict is not Verdict.OK
    return structs.replace(
        answer,
        value=answer.value if is_asked else UNSET,
        stdout=None if expect.stdout is None else answer.stdout,
        stderr=None if expect.stderr is None else answer.stderr,
    )


def _by_store(steps: list[Step]) -> Iterator[list[Step]]:
    """Yield the steps in groups, one for each store."""
    group: list[Step] = []
    for step in steps:
        if group and (step.fresh or "configure" in (step.phase, group[-1].phase)):
            yield group
            group = []
        group.append(step)
    yield group
