"""The answers that an adapter may give: in how much time, in which order, and to how many requests at once."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.conformance.adapter import Patience
from pytest_airssys_wasm.protocol.messages import RunRequest, StepRequest
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from support.adapter_scripts import FIRST, HEALTHY, died, run, together


def test_nothing_is_answered_after_a_step_that_was_not_ok(start):
    adapter = start(
        "hello()\nwhile True: say(read()['id'], steps=[{'verdict': 'trap', 'trap': 'unreachable'}, {'verdict': 'ok'}])"
    )
    assert "after a step that was not ok" in died(run(adapter, steps=2))


def test_fewer_answers_than_steps_need_a_reason(start):
    adapter = start("hello()\nwhile True: say(read()['id'], steps=[{'verdict': 'ok'}])")
    assert "and the last of them is ok" in died(run(adapter, steps=2))


def test_a_trap_ends_the_steps(start):
    adapter = start(
        "hello()\nwhile True: say(read()['id'], steps=[{'verdict': 'trap', 'trap': 'unreachable', 'new': 1}])"
    )
    assert [step.trap for step in run(adapter, steps=2)] == ["unreachable"]


def test_a_long_message_is_cut(start):
    adapter = start("hello()\nwhile True: fine(read(), message='x' * 5000)")
    assert len(run(adapter)[0].message) == 2_000


def test_the_time_of_all_steps_counts(start):
    adapter = start("hello()\nwhile True:\n    request = read()\n    time.sleep(2.5)\n    fine(request)")
    assert len(run(adapter, steps=200, timeout_ms=100)) == 200
    assert "no answer in 0.7 s" in died(run(adapter, steps=1, timeout_ms=100))


@pytest.mark.parametrize(
    ("timeout_ms", "seconds"),
    [("unlimited", 20.5), ("soon", 0.5), (-1, 0.5), (float("nan"), 0.5), (True, 0.502), (1e300, 0.5), (2**70, 0.5)],
)
def test_odd_timeouts_have_a_deadline_too(start, timeout_ms, seconds):
    adapter = start(HEALTHY)
    request = RunRequest(id=1, component="x", limits={"timeout_ms": timeout_ms}, steps=[StepRequest(call="f")])
    assert adapter._deadline_s(request) == pytest.approx(seconds)


def test_requests_at_once_are_answered_in_any_order(start):
    adapter = start("""
        hello("concurrent")
        held = [read() for _ in range(8)]
        for request in reversed(held): fine(request, value=request["component"])
        while True: fine(read())
    """)
    answers = together(
        8,
        lambda number: adapter.run(
            RunRequest(id=5, component=str(number), limits={"timeout_ms": 10_000}, steps=[StepRequest(call="f")])
        ),
    )
    assert [answer.steps[0].value for answer in answers] == [str(number) for number in range(8)]
    assert {answer.id for answer in answers} == {5}


def test_all_requests_at_once_fail_with_their_process(start):
    adapter = start(
        f"{FIRST}hello('concurrent')\nif first:\n    for _ in range(8): read()\n    os.abort()\nwhile True: fine(read())"
    )
    for steps in together(8, lambda _number: run(adapter)):
        assert "SIGABRT" in died(steps)
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


def test_an_adapter_that_is_not_concurrent_is_asked_one_thing_at_a_time(start):
    adapter = start("""
        hello()
        while True:
            time.sleep(0.05)
            lines = os.read(0, 65536).splitlines()
            for line in lines: fine(json.loads(line), value=len(lines))
    """)
    assert {steps[0].value for steps in together(8, lambda _number: run(adapter))} == {1}


def test_the_patience_for_one_request_can_be_less_than_its_timeouts(start):
    adapter = start("hello()\nread()\ntime.sleep(60)", patience=Patience(most_s=0.4))
    assert "silence: no answer in 0.4 s" in died(run(adapter, timeout_ms=60_000))
