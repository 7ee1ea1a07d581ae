"""Runs a case against a runtime and records what is seen. Knows nothing of what is expected."""

from __future__ import annotations

import gc
import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import UNSET, structs

from pytest_airssys_wasm.conformance import measure
from pytest_airssys_wasm.conformance.data import data_folder
from pytest_airssys_wasm.conformance.loader import source_text
from pytest_airssys_wasm.conformance.observation import Observation, Seen
from pytest_airssys_wasm.conformance.translation import translated
from pytest_airssys_wasm.protocol import wire
from pytest_airssys_wasm.protocol.limits import limits_on_wire
from pytest_airssys_wasm.protocol.messages import ConfigureRequest, RunRequest, StepRequest
from pytest_airssys_wasm.runtime.base.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_airssys_wasm.conformance.model import Actor, Case, Step
    from pytest_airssys_wasm.protocol.messages import Runtime, StepAnswer


def missing_capabilities(case: Case, runtime: Runtime) -> tuple[str, ...]:
    """What the case needs and the runtime does not have; such a case is to be skipped."""
    present = set(runtime.hello().capabilities)
    if measure.can_measure():
        present.add("host-rss")
    return tuple(need for need in case.needs if need not in present)


@dataclass(slots=True)
class CaseRunner:
    """Runs cases against one runtime."""

    runtime: Runtime
    scratch: Path
    """An existing folder for components that are written inline."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def run(self, case: Case, where: str = "case") -> Observation:
        """Everything seen of `case`. `where` begins the error when its component cannot be found."""
        lanes = [
            _Lane(actor, copy, self._component_path(actor, where))
            for actor in case.cast()
            for copy in range(case.concurrency)
        ]
        watched = case.expect.host_rss_growth_mib is not None or case.expect.open_files_growth is not None
        warm_up = case.repeat // 10 or min(1, case.repeat - 1)
        before: tuple[float, int] | None = None
        seen: list[Seen] = []
        started = perf_counter()
        for repetition in range(case.repeat):
            if watched and repetition == warm_up:
                before = self._footprint()
            latest = self._run_once(case, lanes, repetition)
            seen += latest
            if any(map(_has_died, latest)):
                break  # it would take as long again, and tell nothing new
        elapsed_ms = (perf_counter() - started) * 1_000
        if before is None:
            return Observation(seen=tuple(seen), elapsed_ms=elapsed_ms)
        after = self._footprint()
        return Observation(
            seen=tuple(seen),
            elapsed_ms=elapsed_ms,
            host_rss_growth_mib=after[0] - before[0],
            open_files_growth=after[1] - before[1],
        )

    def _run_once(self, case: Case, lanes: list[_Lane], repetition: int) -> list[Seen]:
        if case.schedule == "at-once":
            return self._at_once(lanes, repetition)
        by_actor = itertools.groupby(lanes, key=lambda lane: lane.actor.name)
        return [seen for _, group in by_actor for seen in self._at_once(list(group), repetition)]

    def _at_once(self, lanes: list[_Lane], repetition: int) -> list[Seen]:
        if len(lanes) == 1:
            return [self._run_lane(lanes[0], repetition)]
        barrier = Barrier(len(lanes))

        def run(lane: _Lane) -> Seen:
            barrier.wait()
            return self._run_lane(lane, repetition)

        with ThreadPoolExecutor(len(lanes)) as threads:
            return list(threads.map(run, lanes))

    def _run_lane(self, lane: _Lane, repetition: int) -> Seen:
        answers: list[StepAnswer | None] = []
        for steps in _by_store(lane.actor.steps):
            given = self._run_steps(lane, steps)
            known = [_without_unasked(step, answer) for step, answer in zip(steps, given)]
            answers += (known + [None] * len(steps))[: len(steps)]
        return Seen(actor=lane.actor.name, copy=lane.copy, repetition=repetition, answers=tuple(answers))

    def _run_steps(self, lane: _Lane, steps: list[Step]) -> list[StepAnswer | None]:
        actor = lane.actor
        if steps[0].phase == "configure":
            question = ConfigureRequest(id=next(self._ids), manifest=actor.manifest or "")
            return [*self.runtime.configure(question).steps]
        request = RunRequest(
            id=next(self._ids),
            component=str(lane.component),
            limits=limits_on_wire(actor.limits),
            steps=[StepRequest(call=step.call, args=wire.from_toml(step.args)) for step in steps],
            wasi=None if actor.wasi is None else structs.asdict(actor.wasi),
            imports=list(actor.imports or ()),
            fuel_per=actor.fuel_per or "step",
        )
        return [*self.runtime.run(request).steps]

    def _component_path(self, actor: Actor, where: str) -> Path | None:
        if all(step.phase == "configure" for step in actor.steps):
            return None
        path = self._text_path(actor, where)
        return path if "wat" in self.runtime.hello().capabilities else translated(path, self.scratch)

    def _text_path(self, actor: Actor, where: str) -> Path:
        text = source_text(actor, where)
        if actor.wat is None and actor.fixture is not None and not actor.repeated:
            return data_folder("fixtures") / actor.fixture
        path = self.scratch / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.wat"
        if not path.exists():
            path.write_text(text, encoding="utf-8")
        return path

    def _footprint(self) -> tuple[float, int]:
        gc.collect()
        process_ids = self.runtime.process_ids()
        return measure.resident_mib(process_ids), measure.open_files(process_ids)


@dataclass(frozen=True, slots=True)
class _Lane:
    """One actor's way through its steps, in one thread."""

    actor: Actor
    copy: int
    component: Path | None


def _has_died(seen: Seen) -> bool:
    return any(answer is not None and answer.verdict is Verdict.RUNTIME_DIED for answer in seen.answers)


def _without_unasked(step: Step, answer: StepAnswer | None) -> StepAnswer | None:
    """Values that no expectation is about are not kept: of many repetitions they would outgrow what is measured."""
    is_asked = step.expect.value is not UNSET or "value" in step.expect.steady
    if answer is None or is_asked or answer.verdict is not Verdict.OK:
        return answer
    return structs.replace(answer, value=UNSET)


def _by_store(steps: list[Step]) -> Iterator[list[Step]]:
    """The steps, cut where a new store begins."""
    group: list[Step] = []
    for step in steps:
        if group and (step.fresh or "configure" in (step.phase, group[-1].phase)):
            yield group
            group = []
        group.append(step)
    yield group
