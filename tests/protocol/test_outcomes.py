"""An outcome is the same on the other side of a session, and an adapter tells of it what the protocol has."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from pytest_airssys_wasm.protocol.outcomes import end_answer, outcome_of_end, step_answer
from pytest_airssys_wasm.protocol.session_messages import EndAnswer
from pytest_airssys_wasm.runtime.base.outcome import Frame, Outcome, Verdict
from pytest_airssys_wasm.runtime.base.usage import FuelMetrics, Usage

USAGE = Usage(
    fuel=FuelMetrics(max_fuel=100, consumed=7, is_exact=False),
    wall_ms=1.5,
    peak_memory_bytes=65_536,
    memory_limit_bytes=131_072,
    denied_growths=1,
    host_calls=2,
    transfer_bytes=8,
    denied_capabilities=("files",),
)
FRAMES = (Frame("add", "math", 70, "_add"), Frame(None, None, 2))
OUTCOMES = [
    Outcome(verdict=Verdict.OK, usage=USAGE),
    Outcome(verdict=Verdict.OUT_OF_FUEL, message="spent", usage=USAGE, frames=FRAMES),
    Outcome(verdict=Verdict.TRAP, message="boom", trap="unreachable", usage=USAGE, frames=FRAMES),
    Outcome(verdict=Verdict.OUT_OF_MEMORY, message="refused", trap="unreachable", cause="boom", usage=USAGE),
    Outcome(verdict=Verdict.RESOURCE_LIMIT, message="too much", resource="output", usage=USAGE),
    Outcome(verdict=Verdict.EXIT, message="exit", exit_code=3, usage=USAGE),
    Outcome(verdict=Verdict.LINK_ERROR, message="missing", imports=("env#f", "env#g"), usage=USAGE),
]
KNOWN = {"fuel_budget": 100, "memory_limit_bytes": 131_072, "denied_capabilities": ["files"]}


def named(outcome):
    return str(outcome.verdict)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=named)
def test_an_outcome_is_the_same_on_the_other_side(outcome):
    line = msgspec.json.encode(end_answer(outcome))
    assert outcome_of_end(msgspec.json.decode(line, type=EndAnswer), **KNOWN) == outcome


def test_a_name_of_the_guest_stays_as_it_is_for_another_process_and_is_printable_for_reports():
    outcome = replace(OUTCOMES[2], message="\x1b[2J")
    assert end_answer(outcome).message == "\x1b[2J"
    assert step_answer(outcome).message == "\\x1b[2J"


@pytest.mark.parametrize("outcome", OUTCOMES, ids=named)
def test_an_adapter_tells_each_fact_beside_its_verdict_alone_and_no_figure_that_is_not_exact(outcome):
    answer = step_answer(outcome, elapsed_ms=2.0)
    assert (answer.verdict, answer.elapsed_ms, answer.fuel_consumed) == (outcome.verdict, 2.0, None)
    assert (answer.peak_memory_bytes, answer.denied_growths) == (65_536, 1)
    assert (answer.trap is not None) == (outcome.verdict is Verdict.TRAP)
    assert (answer.resource is not None) == (outcome.verdict is Verdict.RESOURCE_LIMIT)
    assert (answer.code is not None) == (outcome.verdict is Verdict.EXIT)
    assert (answer.message is not None) == (outcome.verdict is not Verdict.OK)


def test_an_outcome_that_no_execution_can_have_is_refused():
    end = end_answer(OUTCOMES[0])
    lies = [
        msgspec.structs.replace(end, usage=None),
        msgspec.structs.replace(end, usage=msgspec.structs.replace(end.usage, fuel_consumed=101)),
        msgspec.structs.replace(end, usage=msgspec.structs.replace(end.usage, wall_ms=float("nan"))),
        msgspec.structs.replace(end, frames=[("f", None, 1, None)] * 300),
    ]
    for lie in lies:
        with pytest.raises(ValueError, match=r"^(usage|frames)"):
            outcome_of_end(lie, **KNOWN)
