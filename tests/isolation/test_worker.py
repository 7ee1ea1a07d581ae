"""The worker by hand: whatever a driver writes is answered by its number, and costs no guest its session."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

GUEST = """(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))"""
SOON_S = 60


@pytest.fixture
def worker():
    command = [sys.executable, "-m", "pytest_airssys_wasm.isolation.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        kill = threading.Timer(SOON_S, process.kill)
        kill.start()
        yield process
        process.stdin.close()
        assert process.wait(SOON_S) == 0
        kill.cancel()


@pytest.fixture
def say(worker):
    def write(line):
        worker.stdin.write(line + "\n")

    return write


@pytest.fixture
def hear(worker):
    return lambda: json.loads(worker.stdout.readline())


@pytest.fixture
def session(say, hear, tmp_path):
    (tmp_path / "guest.wat").write_text(GUEST)
    request = {
        "component": str(tmp_path / "guest.wat"),
        "limits": {"memory_bytes": 65_536, "timeout_ms": 30_000},
        "imports": ["env#ask"],
    }
    say(json.dumps({"op": "open", "id": 1, **request}))
    return hear()["session"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "identifier", "told"),
    [
        ("hello", None, "JSON is malformed"),
        ("[]", None, "Expected `object`, got `array`"),
        ('{"id": "one"}', None, "Expected `int | null`"),
        ('{"id": 5}', 5, "missing required field `op`"),
        ('{"id": 5, "op": "dance"}', 5, "Invalid value 'dance'"),
        ('{"id": 5, "op": "call", "session": 77, "call": "f"}', 5, "no session 77 is open"),
        ('{"id": 5, "op": "drop", "session": 1, "resource": 4}', 5, "resource 4 was never given out"),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(say, hear, session, line, identifier, told):
    say(line)
    refusal = hear()
    assert refusal["id"] == identifier
    assert told in refusal["error"]
    say(json.dumps({"op": "close", "id": 9, "session": session}))
    assert hear() == {"id": 9}


@pytest.mark.slow
def test_only_its_reply_answers_a_question(say, hear, session):
    say('{"for": 3, "host_return": 1}')  # before it is asked
    say(json.dumps({"op": "call", "id": 3, "session": session, "call": "ask", "args": [8]}))
    assert hear()["args"] == [8]
    say('{"for": 2, "host_return": 2}')
    say(json.dumps({"op": "close", "id": 4, "session": session}))
    assert hear() == {"id": 4, "error": "request 3 is still open"}
    say('{"for": 3, "host_return": 42}')
    answer = hear()
    assert (answer["id"], answer["end"]["value"]) == (3, 42)


@pytest.mark.slow
def test_garbage_during_a_host_call_is_answered_and_the_guest_waits_on(say, hear, session):
    say(json.dumps({"op": "call", "id": 3, "session": session, "call": "ask", "args": [8]}))
    assert hear()["args"] == [8]
    for line in ("hello", '{"for": 3, "host_error": 5}'):
        say(line)
        refusal = hear()
        assert (refusal["id"], refusal["error"].partition(":")[0] in ("DecodeError", "ValidationError")) == (None, True)
    say('{"for": 3, "host_return": 42}')
    assert hear()["end"]["value"] == 42


@pytest.mark.slow
def test_what_cannot_be_opened_has_a_verdict_and_no_session(say, hear, tmp_path):
    for name, text, memory_bytes in (("yes", "(module)", -1), ("no", "(module oops)", 65_536)):
        (tmp_path / f"{name}.wat").write_text(text)
        fields = {"component": str(tmp_path / f"{name}.wat"), "limits": {"memory_bytes": memory_bytes}}
        say(json.dumps({"op": "open", "id": 1, **fields}))
    verdicts = [hear()["end"]["verdict"] for _ in range(2)]
    assert verdicts == ["invalid-config", "invalid-component"]
