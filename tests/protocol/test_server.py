"""The bundled runtime behind the protocol answers every line, whatever it says, and lives until its input ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from msgspec import structs

from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.matching import mismatches
from pytest_airssys_wasm.conformance.runner import CaseRunner
from pytest_airssys_wasm.protocol.envelope import LINE_BYTES
from pytest_airssys_wasm.protocol.messages import CAPABILITIES, StepAnswer
from pytest_airssys_wasm.protocol.server import serve
from pytest_airssys_wasm.runtime.errors import Verdict
from support.scripted_runtime import ScriptedRuntime

COMMAND = [sys.executable, "-m", "pytest_airssys_wasm.adapter"]
HELLO = '{"id": 99, "op": "hello", "protocol": 1}'


def bytes_of(lines):
    return b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines)


def answers_in(output):
    """Answers by id."""
    answers = [json.loads(line) for line in output.splitlines()]
    return {answer["id"]: answer for answer in answers}


@pytest.fixture
def tell(engine):
    """Send lines to the bundled runtime behind the protocol, in this process."""

    def send(*lines):
        answers = io.BytesIO()
        serve(InProcessRuntime(engine), io.BytesIO(bytes_of(lines)), answers)
        return answers_in(answers.getvalue())

    return send


@pytest.fixture
def tell_process():
    """Send lines to a new adapter, which has to end well and say nothing on stderr."""

    def send(*lines):
        done = subprocess.run(COMMAND, input=bytes_of(lines), capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        return answers_in(done.stdout)

    return send


@pytest.mark.slow
def test_it_says_who_it_is(tell_process):
    (answer,) = tell_process(HELLO).values()
    assert answer["runtime"] == "pytest-airssys-wasm on wasmtime-py"
    assert set(answer["capabilities"]) == set(CAPABILITIES) - {"isolated-compile", "host-rss"}


@pytest.mark.slow
def test_with_an_isolation_it_says_that_loading_is_bounded():
    done = subprocess.run([*COMMAND, "--isolation=process"], input=HELLO.encode(), capture_output=True, timeout=60)
    capabilities = json.loads(done.stdout)["capabilities"]
    assert "isolated-compile" in capabilities
    assert "session" not in capabilities


@pytest.mark.slow
def test_input_that_ends_at_once_causes_no_error(tell_process):
    assert tell_process() == {}


@pytest.mark.parametrize(
    ("line", "identifier", "told"),
    [
        ("hello", None, "JSON is malformed"),
        ("[]", None, "Expected `object`, got `array`"),
        ('{"id": 1, "x": ' + "[" * 99_999, None, "RecursionError"),
        (b'{"id": 1, "op": "\xff"}\n', 1, "UTF-8"),
        ('{"id": "one", "op": "hello"}', None, "Expected `int | null`, got `str`"),
        ('{"op": "hello"}', None, "missing required field `id`"),
        ('{"id": 1}', 1, "missing required field `op`"),
        ('{"id": 1, "op": "dance"}', 1, "Invalid value 'dance'"),
        ('{"id": 1, "op": "hello", "protocol": 2}', 1, "this adapter speaks 1"),
        ('{"id": 1, "op": "run"}', 1, "missing required field `component`"),
        ('{"id": 1, "op": "run", "component": "x", "limits": 5, "steps": []}', 1, "Expected `object`, got `int`"),
        ('{"id": 1, "op": "run", "component": "x", "limits": {"memory_bytes": 65536}, "steps": [], "wasi": {"x": 1}}', 1, ""),
        ('{"id": 1, "op": "configure"}', 1, "missing required field `manifest`"),
        ('{"id": 1, "op": "hello"', None, "Input data was truncated"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_with_an_error(tell, line, identifier, told):
    answers = tell(line, HELLO)
    assert set(answers) == {identifier, 99}
    refusal = answers[identifier]
    assert told.casefold() in refusal["error"].casefold()  # "utf-8" or "UTF-8", by the version of msgspec


def test_an_answer_that_cannot_be_written_is_an_error_of_its_request():
    request, answers = {"id": 5, "op": "run", "component": "x", "limits": {}, "steps": [{"call": "f"}]}, io.BytesIO()
    runtime = ScriptedRuntime(StepAnswer(verdict=Verdict.OK, value=object()))
    serve(runtime, io.BytesIO(json.dumps(request).encode() + b"\n"), answers)
    refusal = json.loads(answers.getvalue())
    assert refusal["id"] == 5
    assert refusal["error"].startswith("the answer cannot be written: TypeError: ")


def test_a_line_too_long_is_skipped_whole(tell):
    answers = tell(" " * LINE_BYTES + HELLO.replace("99", "5"), HELLO)
    assert set(answers) == {None, 99}
    assert answers[None]["error"] == "a line of more than 16,777,216 bytes"


def test_empty_lines_are_nothing(tell):
    assert set(tell("", "  ", HELLO)) == {99}


@pytest.mark.slow
def test_it_lives_on_after_every_verdict(tell_process, tmp_path):
    wat = tmp_path / "guest.wat"
    wat.write_text('(module (func (export "boom") unreachable) (func (export "spin") (loop br 0)))')

    def request(number, **fields):
        known = {"component": str(wat), "limits": {"memory_bytes": 2**20, "timeout_ms": 10_000}, "op": "run"}
        return json.dumps({"id": number, "steps": [{"call": "boom"}], **known, **fields})

    answers = tell_process(
        request(1),
        request(2, steps=[{"call": "spin"}]),
        request(3, component=str(tmp_path / "nothing.wat")),
        request(4, limits={}),
        request(5, steps=[{"call": "nothing"}]),
        request(6, imports=["nothing"]),
        HELLO,
    )
    verdicts = {number: answer["steps"][0]["verdict"] for number, answer in answers.items() if "steps" in answer}
    assert verdicts.items() >= {1: "trap", 2: "out-of-fuel", 4: "invalid-config", 6: "invalid-config"}.items()
    assert set(answers) == {1, 2, 3, 4, 5, 6, 99}


def test_nobody_else_writes_into_the_protocol_or_reads_of_it():
    script = """
import os, sys
from pytest_airssys_wasm.protocol.pipes import take_pipes
requests, answers = take_pipes()
print("from Python", flush=True)
os.system("echo from a child; cat")
answers.write(requests.read())
answers.flush()
"""
    done = subprocess.run([sys.executable, "-c", script], input=b"ours", capture_output=True, timeout=60)
    assert done.stdout == b"ours"
    assert done.stderr.split(b"\n") == [b"from Python", b"from a child", b""]


@pytest.mark.slow
def test_a_driver_that_goes_away_ends_it_quietly():
    read, write = os.pipe()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE) as adapter:
        os.close(write)
        os.close(read)
        _, stderr = adapter.communicate((HELLO + "\n").encode(), timeout=60)
    assert (adapter.returncode, stderr) == (0, b"")


# A sample: every kind of ending, several at once, values, and what is measured from outside.
SAMPLE = [
    case
    for chapter in find_chapters()
    for case in chapter.cases()
    if chapter.name in ("isolation", "config") or case.name.startswith("the-")
]


@pytest.mark.slow
def test_through_the_protocol_every_case_of_a_sample_passes(tmp_path):
    adapter = AdapterRuntime(COMMAND, patience=Patience(grace_s=10.0))
    try:
        runner, found = CaseRunner(adapter, tmp_path), {}
        for file in SAMPLE:
            case = file.load()
            # `nox -s suite` makes all of the repetitions through this adapter.
            case = structs.replace(case, repeat=min(case.repeat, 100))
            found[file.node_id] = mismatches(case, runner.run(case))
    finally:
        adapter.close()
    assert {node_id: findings for node_id, findings in found.items() if findings} == {}
    assert len(found) > 30
