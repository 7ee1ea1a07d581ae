"""Host calls and their replies belong to one request, while it is processed, and to no other."""

from __future__ import annotations

import json
import threading
from queue import Queue

import pytest

from pytest_airssys_wasm import ResourceLimitExceeded, ResourceLimits
from pytest_airssys_wasm.protocol.host_calls import HostCallFailed, HostCallUnanswered, PendingHostCalls
from pytest_airssys_wasm.protocol.session_messages import HostReply
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.execution.run import Run, Stop

SOON_S = 60


@pytest.fixture
def lines():
    return Queue()


@pytest.fixture
def questions(lines):
    return PendingHostCalls(lines.put)


def in_a_thread(ask, *args):
    """Ask, and give a function that waits for what came of it."""
    came = Queue()

    def work():
        try:
            came.put(ask(*args))
        except (HostCallFailed, HostCallUnanswered, ResourceLimitExceeded) as error:
            came.put(error)

    threading.Thread(target=work, daemon=True).start()
    return lambda: came.get(timeout=SOON_S)


def test_a_reply_before_its_question_is_not_kept(questions, lines):
    with questions.within(3) as ask:
        questions.reply(HostReply(asked_for=3, host_return="early"))
        wait = in_a_thread(ask, "f", [1], None)
        assert json.loads(lines.get(timeout=SOON_S)) == {"host_call": "f", "args": [1], "for": 3, "fuel_left": None}
        questions.reply(HostReply(asked_for=4, host_return="of another"))
        for value in ("right", "second"):
            questions.reply(HostReply(asked_for=3, host_return=value))
        assert wait() == "right"
        wait = in_a_thread(ask, "g", [], None)
        assert json.loads(lines.get(timeout=SOON_S))["host_call"] == "g"
        questions.reply(HostReply(asked_for=3, host_return="next"))
        assert wait() == "next"


def test_nothing_is_asked_once_the_request_is_answered(questions, lines):
    with questions.within(3) as ask:
        pass
    assert isinstance(in_a_thread(ask, "f", [], None)(), HostCallUnanswered)
    assert lines.empty()


def test_the_end_of_the_request_ends_the_wait(questions, lines):
    with questions.within(3) as ask:
        wait = in_a_thread(ask, "f", [], None)
        lines.get(timeout=SOON_S)
    assert isinstance(wait(), HostCallUnanswered)


def test_the_end_of_all_replies_ends_every_wait_and_every_later_one(questions, lines):
    with questions.within(3) as ask:
        wait = in_a_thread(ask, "f", [], None)
        lines.get(timeout=SOON_S)
        questions.close()
        assert isinstance(wait(), HostCallUnanswered)
    with questions.within(4) as ask:
        assert isinstance(in_a_thread(ask, "f", [], None)(), HostCallUnanswered)


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_run_that_is_stopped_waits_for_no_reply(questions, lines, is_asked):
    run = Run(ResourceLimits(memory=0), None, GuardRun())
    if not is_asked:
        run.stop = Stop.TIMEOUT
    with questions.within(3) as ask:
        wait = in_a_thread(ask, "f", [], run)
        if is_asked:
            lines.get(timeout=SOON_S)
            assert not run.is_blocked()
            run.stop = Stop.TIMEOUT
            run.cancel_host()
        assert isinstance(wait(), HostCallUnanswered)
        assert run.stop_host is None


def test_what_is_too_long_for_a_line_is_not_asked(questions, lines):
    with questions.within(3) as ask:
        error = in_a_thread(ask, "f", ["x" * 2**24], None)()
    assert (type(error), error.resource) == (ResourceLimitExceeded, "host-transfer")
    assert lines.empty()


def test_the_number_of_a_request_that_is_worked_on_is_taken(questions):
    with questions.within(3), pytest.raises(ValueError, match="request 3 is still open"), questions.within(3):
        pass
    with questions.within(3):
        pass


def test_what_failed_elsewhere_is_raised_here(questions, lines):
    with questions.within(3) as ask:
        wait = in_a_thread(ask, "f", [], None)
        lines.get(timeout=SOON_S)
        questions.reply(HostReply(asked_for=3, host_error="KeyError"))
        assert isinstance(wait(), HostCallFailed)
