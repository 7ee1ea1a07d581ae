"""Host calls of guests in sessions: each gets its own reply, and none waits for that of another."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.adapter import _MOST_OPEN
from support.checkout import GUESTS
from support.session_client import LIMITS

HOSTED = GUESTS / "hosted" / "hosted.wasm"
METHODS = ("[constructor]counter", "[method]counter.add", "[method]counter.value", "[method]counter.fork")
FUNCTIONS = ("log", "now", "lookup", "settings", "publish", *METHODS, "[static]counter.total")
THING = """(component
  (type $thing' (resource (rep i32)))
  (export $thing "thing" (type $thing'))
  (core func $new (canon resource.new $thing'))
  (core module $m (import "" "new" (func $new (param i32) (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 7))))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
  (func (export "make") (result (own $thing)) (canon lift (core func $i "make"))))"""


@pytest.mark.slow
def test_calls_of_many_sessions_wait_at_once_and_each_gets_its_own_reply(client):
    sessions = [client.open()["session"] for _ in range(8)]
    calls = [client.say("call", session=session, call="ask", args=[session]) for session in sessions]
    asked = {call: client.hear(call)["args"] for call in calls}
    assert asked == {call: [session] for call, session in zip(calls, sessions)}
    run = client.ask("run", component=client.guest, limits=LIMITS, steps=[{}])
    assert run["steps"][0]["verdict"] == "link-error"
    for call in reversed(calls):
        client.reply(call, host_return=call * 100)
    assert [client.hear(call)["end"]["value"] for call in calls] == [call * 100 for call in calls]


@pytest.mark.slow
def test_beside_as_many_guests_that_wait_as_there_may_be_others_are_answered(client):
    sessions = [client.open()["session"] for _ in range(_MOST_OPEN)]
    calls = [client.say("call", session=session, call="ask", args=[1]) for session in sessions]
    for call in calls:
        client.hear(call)
    late = client.say("hello")
    assert "session" in client.hear(late)["capabilities"]
    for call in calls:
        client.reply(call, host_return=0)
    assert {client.hear(call)["end"]["verdict"] for call in calls} == {"ok"}


@pytest.mark.slow
def test_a_driver_that_does_not_reply_costs_the_guest_its_time_and_nobody_else_anything(client):
    session = client.open(limits={**LIMITS, "timeout_ms": 300})["session"]
    call = client.say("call", session=session, call="ask", args=[1])
    assert client.hear(call)["host_call"] == "env#ask"
    answer = client.hear(call)["end"]
    assert (answer["verdict"], answer.get("is_over", False)) == ("timeout", False)
    client.reply(call, host_return=7)  # too late: it is for nobody
    again = client.say("call", session=session, call="ask", args=[2])
    assert client.hear(again)["args"] == [2]
    client.reply(again, host_return=8)
    assert client.hear(again)["end"]["value"] == 8


@pytest.mark.slow
def test_what_is_no_reply_is_answered_and_the_guest_waits_on(client):
    session = client.open()["session"]
    call = client.say("call", session=session, call="ask", args=[1])
    client.hear(call)
    client.reply(call, host_error=5)
    assert "Expected `str | null`" in client.hear(None)["error"]
    client.reply(call, host_return="no number")
    assert client.hear(call)["end"]["verdict"] == "host-error"


@pytest.mark.slow
def test_objects_of_the_driver_and_of_guests_go_by_their_numbers(client, tmp_path):
    host = "demo:hosted/host@1.0.0"
    names = [f"{host}#{name}" for name in FUNCTIONS]
    opened = client.open(component=str(HOSTED), imports=names, resources=[f"{host}#counter"])
    call = client.say("call", session=opened["session"], call="run", args=[3])
    values, asked = {}, []
    while "end" not in (line := client.hear(call)):
        name, args = line["host_call"].partition("#")[2] or line["host_call"], line["args"]
        asked.append(name)
        value = {"lookup": {"ok": "hello"}}.get(name)
        if name == "[constructor]counter":
            values[70], value = args[0], {"host_resource": 70}
        elif name.startswith("[method]counter"):
            values[args[0]["host_resource"]] += sum(args[1:])
            value = values[args[0]["host_resource"]]
        elif name == "[drop]":
            del values[args[0]["host_resource"]]
        client.reply(call, host_return=value)
    assert line["end"]["value"] == {"ok": "hello: 6"}
    assert (asked.count("[method]counter.add"), asked.count("[drop]"), values) == (3, 1, {})

    (tmp_path / "thing.wat").write_text(THING)
    first, second = (client.open(component=str(tmp_path / "thing.wat"), imports=[])["session"] for _ in range(2))
    things = [client.call(session, "make")["end"]["value"] for session in (first, second, second)]
    assert things == [{"resource": 1}, {"resource": 1}, {"resource": 2}]
    dropped = [client.ask("drop", session=first, resource=number) for number in (1, 2)]
    assert dropped[0]["end"]["verdict"] == "ok"
    assert "resource 2 was never given out" in dropped[1]["error"]
