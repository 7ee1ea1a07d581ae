"""Requests that a session refuses change nothing, and say what is wrong."""

from __future__ import annotations

import pytest


@pytest.mark.slow
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
        assert refused["error"].endswith("wait for its answer first")
    client.reply(call, host_return=3)
    assert client.hear(call)["end"]["value"] == 3
    assert client.ask("close", session=beside).keys() == {"id"}
    assert "no session" in client.call(session, "add", 1)["error"]


@pytest.mark.slow
def test_a_number_of_a_request_that_is_open_cannot_be_used_again(client):
    first, second = client.open()["session"], client.open()["session"]
    call = client.say("call", session=first, call="ask", args=[1])
    client.hear(call)
    refused = client.hear(client.say("call", id=call, session=second, call="ask", args=[2]))
    client.reply(call, host_return=5)
    assert client.hear(call)["end"]["value"] == 5
    assert refused["error"] == f"ValueError: id: request {call} is still open"


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_wrong_count_of_arguments_is_refused(client):
    session = client.open()["session"]
    assert "takes 1 argument, got 2" in client.call(session, "add", 1, 2)["error"]
    assert client.call(session, "add", 1)["end"]["value"] == 1


@pytest.mark.slow
def test_what_is_no_component_has_a_verdict_and_no_session(client, tmp_path):
    (tmp_path / "no.wat").write_text("(module oops)")
    answer = client.open(component=str(tmp_path / "no.wat"))
    assert (answer["end"]["verdict"], "session" in answer) == ("invalid-component", False)


@pytest.mark.slow
def test_what_a_request_says_something_was_compiled_to_is_not_believed(client, tmp_path):
    (tmp_path / "code").write_bytes(b"no code at all")
    session = client.open(artefact=str(tmp_path / "code"))["session"]
    assert client.call(session, "add", 3)["end"]["value"] == 3
