"""The bundled adapter keeps sessions: many at once, each with its state, its limits and its own questions."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_airssys_wasm.adapter import _MOST_OPEN

GUEST = """(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $sum (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (global.set $sum (i32.add (global.get $sum) (local.get 0)))
    global.get $sum)
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "ask-twice") (result i32) (i32.sub (call $ask (i32.const 1)) (call $ask (i32.const 2))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "spin") (loop (br 0))))"""
LIMITS = {"memory_bytes": 2**20, "fuel": "unlimited", "timeout_ms": 30_000}
SOON_S = 60
"""Beside a busy processor, too."""


class Client:
    """A driver that says and hears what a test wants."""

    def __init__(self, guest, program=("-m", "pytest_airssys_wasm.adapter")):
        self.adapter = subprocess.Popen([sys.executable, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.guest = str(guest)
        self._last = 0
        self._kill = threading.Timer(SOON_S, self.adapter.kill)
        self._kill.start()
        self._heard = []

    def write(self, line):
        self.adapter.stdin.write(line + b"\n")
        self.adapter.stdin.flush()

    def say(self, op, **fields):
        self._last += 1
        request = {"op": op, "id": self._last, **fields}
        self.write(json.dumps(request).encode())
        return request["id"]

    def hear(self, identifier):
        """The next line about this request; others are kept for whoever wants them."""
        while True:
            for line in self._heard:
                if line.get("id", line.get("for")) == identifier:
                    self._heard.remove(line)
                    return line
            self._heard.append(json.loads(self.adapter.stdout.readline()))

    def ask(self, op, **fields):
        return self.hear(self.say(op, **fields))

    def open(self, **fields):
        known = {"component": self.guest, "limits": LIMITS, "imports": ["env#ask"]}
        return self.ask("open", **{**known, **fields})

    def call(self, session, name, *args):
        return self.ask("call", session=session, call=name, args=args)

    def reply(self, identifier, **fields):
        self.write(json.dumps({"for": identifier, **fields}).encode())

    def end(self):
        """Close its input; the lines that nobody has heard, when it has ended."""
        rest, _ = self.adapter.communicate(timeout=SOON_S)
        self._kill.cancel()
        return [*self._heard, *map(json.loads, rest.splitlines())]


@pytest.fixture
def client(tmp_path):
    guest = tmp_path / "guest.wat"
    guest.write_text(GUEST)
    client = Client(guest)
    yield client
    assert client.end() == []
    assert client.adapter.returncode == 0


def test_a_session_keeps_its_state_until_it_is_closed(client):
    first, second = client.open()["session"], client.open()["session"]
    values = [client.call(session, "add", 5)["end"]["value"] for session in (first, first, second)]
    assert values == [5, 10, 5]
    assert client.ask("close", session=first).keys() == {"id"}
    assert client.call(first, "add", 5)["error"] == f"LookupError: no session {first} is open"
    assert client.call(second, "add", 5)["end"]["value"] == 10


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


def test_an_endless_guest_ends_at_its_deadline_while_others_go_on(client):
    hostile = client.open(limits={**LIMITS, "timeout_ms": 2_000})["session"]
    other = client.open()["session"]
    spinning = client.say("call", session=hostile, call="spin")
    done = [client.call(other, "add", 1)["end"]["value"] for _ in range(3)]
    answer = client.hear(spinning)["end"]
    assert (done, answer["verdict"]) == ([1, 2, 3], "timeout")
    assert answer["usage"]["wall_ms"] >= 2_000
    assert client.call(other, "add", 1)["end"]["value"] == 4


def test_limits_are_each_sessions_own(client):
    small = client.open(limits={**LIMITS, "memory_bytes": 65_536, "fuel": 1_000})["session"]
    large = client.open()["session"]
    assert client.call(small, "grow", 1)["end"]["value"] == -1
    assert client.call(large, "grow", 1)["end"]["value"] == 1
    assert client.call(small, "spin")["end"]["verdict"] == "out-of-fuel"


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


def test_what_is_no_reply_is_answered_and_the_guest_waits_on(client):
    session = client.open()["session"]
    call = client.say("call", session=session, call="ask", args=[1])
    client.hear(call)
    client.reply(call, host_error=5)
    assert "Expected `str | null`" in client.hear(None)["error"]
    client.reply(call, host_return="no number")
    assert client.hear(call)["end"]["verdict"] == "host-error"


def test_one_request_of_a_session_at_a_time(client):
    session = client.open()["session"]
    beside = client.open(**{"in": session})["session"]
    call = client.say("call", session=session, call="ask", args=[1])
    client.hear(call)
    for refused in (
        client.call(session, "add", 1),
        client.call(beside, "add", 1),
        client.ask("close", session=session),
    ):
        assert refused["error"].startswith("StoreUnusable: another request of this session")
    client.reply(call, host_return=3)
    assert client.hear(call)["end"]["value"] == 3
    assert client.ask("close", session=beside).keys() == {"id"}
    assert "no session" in client.call(session, "add", 1)["error"]


def test_a_number_of_a_request_that_is_open_cannot_be_used_again(client):
    first, second = client.open()["session"], client.open()["session"]
    call = client.say("call", session=first, call="ask", args=[1])
    client.hear(call)
    refused = client.hear(client.say("call", id=call, session=second, call="ask", args=[2]))
    client.reply(call, host_return=5)
    assert client.hear(call)["end"]["value"] == 5
    assert refused["error"] == f"ValueError: id: request {call} is still worked on"


def test_so_many_sessions_are_open_at_most(client):
    sessions = [client.open()["session"] for _ in range(_MOST_OPEN)]
    assert client.open()["error"] == f"StoreUnusable: {_MOST_OPEN} sessions are open already: close some"
    client.ask("close", session=sessions[0])
    assert client.open(call="nothing")["error"].startswith("UnknownExport")  # and takes no place
    assert "session" in client.open()


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


HOSTED = Path(__file__).parents[2] / "fixtures" / "guests" / "hosted" / "hosted.wasm"
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
SLEEPER = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sleep")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3_000_000_000))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"component": "/nothing/here.wat"}, None),
        ({"limits": {"memory_bytes": -1}}, "invalid-config"),
        ({"limits": {}}, "invalid-config"),
        ({"imports": []}, "link-error"),
        ({"call": "add", "args": [1, 2]}, None),
        ({"in": 77}, None),
    ],
)
def test_what_cannot_be_opened_is_told_and_not_open(client, fields, verdict):
    answer = client.open(**fields)
    assert answer.get("end", {}).get("verdict") == verdict
    assert ("error" in answer) == (verdict is None)


def test_a_wrong_count_of_arguments_is_refused(client):
    session = client.open()["session"]
    assert "takes 1 argument(s), got 2" in client.call(session, "add", 1, 2)["error"]
    assert client.call(session, "add", 1)["end"]["value"] == 1


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
    assert "no resource 2" in dropped[1]["error"]


def test_what_is_no_component_has_a_verdict_and_no_session(client, tmp_path):
    (tmp_path / "no.wat").write_text("(module oops)")
    answer = client.open(component=str(tmp_path / "no.wat"))
    assert (answer["end"]["verdict"], "session" in answer) == ("invalid-component", False)


def test_what_a_request_says_something_was_compiled_to_is_not_believed(client, tmp_path):
    (tmp_path / "code").write_bytes(b"no code at all")
    session = client.open(artefact=str(tmp_path / "code"))["session"]
    assert client.call(session, "add", 3)["end"]["value"] == 3


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


def test_endless_guests_end_some_time_after_their_driver(tmp_path):
    guest = tmp_path / "guest.wat"
    guest.write_text(GUEST)
    client = Client(guest, ["-c", "from pytest_airssys_wasm import adapter; adapter._LAST_S = 1.0; adapter.main()"])
    session = client.open(limits={**LIMITS, "timeout_ms": "unlimited"})["session"]
    client.say("call", session=session, call="spin")
    assert client.end() == []
    assert client.adapter.returncode == 0
