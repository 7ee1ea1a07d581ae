"""The bundled adapter keeps sessions: many at once, each with its state, its limits and its own end."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.adapter import _MOST_OPEN
from support.session_client import GUEST, LIMITS, Client

SLEEPER = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3_000_000_000))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""


@pytest.mark.slow
def test_a_session_keeps_its_state_until_it_is_closed(client):
    first, second = client.open()["session"], client.open()["session"]
    values = [client.call(session, "add", 5)["end"]["value"] for session in (first, first, second)]
    assert values == [5, 10, 5]
    assert client.ask("close", session=first).keys() == {"id"}
    assert client.call(first, "add", 5)["error"] == f"LookupError: no session {first} is open"
    assert client.call(second, "add", 5)["end"]["value"] == 10


@pytest.mark.slow
def test_limits_are_each_sessions_own(client):
    small = client.open(limits={**LIMITS, "memory_bytes": 65_536, "fuel": 1_000})["session"]
    large = client.open()["session"]
    assert client.call(small, "grow", 1)["end"]["value"] == -1
    assert client.call(large, "grow", 1)["end"]["value"] == 1
    assert client.call(small, "spin")["end"]["verdict"] == "out-of-fuel"


@pytest.mark.slow
def test_so_many_sessions_are_open_at_most(client):
    sessions = [client.open()["session"] for _ in range(_MOST_OPEN)]
    assert client.open()["error"] == f"StoreUnusable: {_MOST_OPEN} sessions are open already: close some"
    client.ask("close", session=sessions[0])
    assert client.open(call="nothing")["error"].startswith("UnknownExport")  # and takes no place
    assert "session" in client.open()


@pytest.mark.slow
def test_an_endless_guest_ends_at_its_deadline_while_others_go_on(client):
    hostile = client.open(limits={**LIMITS, "timeout_ms": 2_000})["session"]
    other = client.open()["session"]
    spinning = client.say("call", session=hostile, call="spin")
    done = [client.call(other, "add", 1)["end"]["value"] for _ in range(3)]
    answer = client.hear(spinning)["end"]
    assert (done, answer["verdict"]) == ([1, 2, 3], "timeout")
    assert answer["usage"]["wall_ms"] >= 2_000
    assert client.call(other, "add", 1)["end"]["value"] == 4


@pytest.mark.slow
def test_a_guest_that_was_given_up_leaves_a_session_that_says_so(client, tmp_path):
    guest = tmp_path / "sleeper.wat"
    guest.write_text(SLEEPER)
    limits = {**LIMITS, "timeout_ms": 200}
    opened = client.open(component=str(guest), limits=limits, imports=[], wasi={})
    session = opened["session"]
    answer = client.call(session, "sleep")["end"]
    assert (answer["verdict"], answer["is_over"]) == ("timeout", True)
    assert "cannot be used any more: its guest was blocked" in client.call(session, "sleep")["error"]
    assert client.ask("close", session=session).keys() == {"id"}


@pytest.mark.slow
def test_guests_that_wait_for_a_driver_that_is_gone_end_at_once(tmp_path):
    guest = tmp_path / "guest.wat"
    guest.write_text(GUEST)
    client = Client(guest)
    session = client.open(limits={**LIMITS, "timeout_ms": "unlimited"})["session"]
    call = client.say("call", session=session, call="ask", args=[1])
    client.hear(call)
    (answer,) = client.end()
    assert (answer["id"], answer["end"]["verdict"]) == (call, "host-error")
    assert client.adapter.returncode == 0


@pytest.mark.slow
def test_endless_guests_end_some_time_after_their_driver(tmp_path):
    guest = tmp_path / "guest.wat"
    guest.write_text(GUEST)
    client = Client(guest, ["-c", "from pytest_airssys_wasm import adapter; adapter._LAST_S = 1.0; adapter.main()"])
    session = client.open(limits={**LIMITS, "timeout_ms": "unlimited"})["session"]
    client.say("call", session=session, call="spin")
    assert client.end() == []
    assert client.adapter.returncode == 0
