"""A misbehaving adapter fails its case and shows its output; the next case has a new process, and nothing is left."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from pytest_airssys_wasm.conformance.adapter import Patience
from pytest_airssys_wasm.protocol.messages import ConfigureRequest, RunRequest, StepRequest
from pytest_airssys_wasm.protocol.pending import PendingRequests
from pytest_airssys_wasm.protocol.process_group import session_members
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from support.adapter_scripts import FIRST, died, run, wait_until
from support.descriptors import no_file_stays_open


def test_a_healthy_adapter_answers_everything_from_one_process(start):
    adapter = start("hello()\nwhile True: fine(read(), value=os.getpid())", patience=Patience(grace_s=20.0))
    assert (adapter.hello().runtime, adapter.hello().version) == ("a script", "1")
    values = {step.value for number in range(5) for step in run(adapter, steps=3, identifier=number)}
    assert len(values) == 1
    (step,) = adapter.configure(ConfigureRequest(id=9, manifest="")).steps
    assert values == {step.value} == set(adapter.process_ids())


MISBEHAVIOURS = {
    "ends": ("sys.exit(3)", "status: it ended with status 3"),
    "is killed": ("os.kill(os.getpid(), signal.SIGSEGV)", "signal: it was killed by SIGSEGV"),
    "is silent": ("time.sleep(60)", "silence: no answer in 0.5 s"),
    "is silent and ignores SIGTERM": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
        "silence: no answer in 0.5 s",
    ),
    "writes garbage": ("write('\\x1b[2Jhello\\n')", "garbage: it wrote a line that is not an answer"),
    "writes no object": ("write('[1]\\n')", "garbage: it wrote a line that is not an answer"),
    "writes an empty line": ("write('\\n')", "garbage: it wrote a line that is not an answer"),
    "writes no UTF-8": (
        'sys.stdout.buffer.write(b\'{"id": 2, "x": "\\xff"}\\n\'); sys.stdout.flush()',
        "garbage: it",
    ),
    "writes half a line and ends": ("write('{\"id\":'); sys.exit(0)", 'having written {"id": without a newline'),
    "answers another request": ("fine({'id': request['id'] + 1})", "garbage: it answered request"),
    "answers nobody": ("say(None, steps=[])", "garbage: it answered request None"),
    "answers twice": (
        "text = json.dumps({'id': request['id'], 'steps': [{'verdict': 'ok'}]}) + '\\n'; write(text * 2)",
        "garbage: it answered request",
    ),
    "answers true": ("say(True, steps=[])", "garbage: it wrote a line that is not an answer"),
    "answers too many steps": ("say(request['id'], steps=[{'verdict': 'ok'}] * 2)", "2 answers to 1 steps"),
    "answers no step": ("say(request['id'], steps=[])", "0 answers to 1 steps"),
    "answers no steps": ("say(request['id'])", "missing required field `steps`"),
    "invents a verdict": ("fine(request, verdict='great')", "Invalid enum value 'great'"),
    "tells fuel as text": ("fine(request, fuel_consumed='12')", "Expected `int | null`, got `str`"),
    "tells fuel as a fraction": ("fine(request, fuel_consumed=1.5)", "Expected `int | null`, got `float`"),
    "tells NaN": ("fine(request, elapsed_ms=float('nan'))", "garbage: it wrote a line that is not an answer"),
    "tells infinity": ("fine(request, elapsed_ms=float('inf'))", "garbage: it wrote a line that is not an answer"),
    "tells more than a float holds": (
        'write(\'{"id": %d, "steps": [{"verdict": "ok", "elapsed_ms": 1e999}]}\\n\' % request[\'id\'])',
        "Number out of range",
    ),
    "tells more than 64 bits": ("fine(request, fuel_consumed=2**64 + 1)", "a number beyond 64 bits"),
    "has a clock that was set back": ("fine(request, elapsed_ms=-0.5)", "elapsed_ms: expected at least 0, got -0.5"),
    "gives fuel back": ("fine(request, fuel_consumed=-1)", "fuel_consumed: expected at least 0, got -1"),
    "returns more than 64 bits": ("fine(request, value=[{'a': -10**300}])", "a number beyond 64 bits"),
    "nests too deep": (
        "value = 1\nfor _ in range(300): value = [value]\nfine(request, value=value)",
        "nested deeper than 200",
    ),
    "nests much too deep": (
        "write('{\"id\": %d, \"x\": %s}\\n' % (request['id'], '[' * 99999))",
        "garbage: it wrote a line that is not an answer",
    ),
    "writes a line without end": (
        "while True: write('x' * 65536)",
        "garbage: it wrote a line of more than 1,000,000 bytes",
    ),
    "writes a huge line": (
        "fine(request, value='x' * 2_000_000)",
        "garbage: it wrote a line of more than 1,000,000 bytes",
    ),
    "floods its output": ("while True: write('{\"id\": 77}\\n')", "garbage: it answered request 77"),
    "closes its output": ("os.close(1); time.sleep(60)", "silence: it closed its output but did not end"),
    "refuses": ("say(request['id'], error='not\\ntoday')", "refusal: it refused the request: not\\ntoday"),
    "leaves a child with its pipes": (
        "import subprocess; subprocess.Popen(['sleep', '60']); os._exit(4)",
        "status: it ended with status 4",
    ),
    "leaves a daemon with its pipes": (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '5'], start_new_session=True)\n"
        "child.returncode = 0; os._exit(4)",
        "status: it ended with status 4",
    ),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_what_it_does_fails_its_case_and_the_next_one_is_healthy(start, name):
    act, told = MISBEHAVIOURS[name]
    lines = "\n".join("    " + line for line in act.splitlines())
    script = f"{FIRST}hello()\nrequest = read()\nif first:\n{lines}\nelse:\n    fine(request)\nwhile True: fine(read())"
    with no_file_stays_open(), closing(start(script, line_bytes=1_000_000)) as adapter:
        adapter.hello()
        pid = adapter.process_ids()[0]
        started = time.monotonic()
        timeout_ms = 0 if "no answer" in told else 10_000
        assert told in died(run(adapter, timeout_ms=timeout_ms))
        assert time.monotonic() - started < 30  # far from the 60 s that it would sleep
        assert [step.verdict for step in run(adapter)] == [Verdict.OK]
        if name != "refuses":
            assert adapter.process_ids() != (pid,)
            assert session_members(pid) == ()


def test_who_is_told_of_an_end_finds_it_over_and_may_start_another(start, monkeypatch):
    adapter, seen = start(f"{FIRST}hello()\nif first: read(); os.abort()\nwhile True: fine(read())"), []
    give_up = PendingRequests.give_up

    def watched(pending, failure):
        seen.append(adapter._processes[-1].is_over)
        give_up(pending, failure)

    monkeypatch.setattr(PendingRequests, "give_up", watched)
    assert "SIGABRT" in died(run(adapter))
    assert seen == [True]
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


def test_what_it_wrote_to_stderr_is_told(start):
    adapter = start("hello()\nread()\nsys.stderr.write('first\\nsecond \\x1b[31m\\n'); sys.exit(1)")
    assert died(run(adapter)).endswith("its stderr ends with: first / second \\x1b[31m")
    assert adapter.transcript.stderr[-1] == "second \\x1b[31m"


def test_a_flood_on_stderr_is_read_and_only_its_end_is_kept(start):
    adapter = start("""
        hello()
        request = read()
        for _ in range(200): sys.stderr.write("x" * 99_999 + "\\n")
        sys.stderr.write("the end\\n")
        fine(request)
        read()
        sys.exit(1)
    """)
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]
    assert died(run(adapter)).endswith("the end")
    assert sum(map(len, adapter.transcript.stderr)) <= 4_096


def test_an_answer_may_come_byte_by_byte(start):
    adapter = start("""
        hello()
        while True:
            request = read()
            for character in json.dumps({"id": request["id"], "steps": [{"verdict": "ok", "value": "\u00e9"}]}, ensure_ascii=False) + "\\n":
                for byte in character.encode():
                    os.write(1, bytes([byte]))
                    time.sleep(0.002)
    """)
    assert [step.value for step in run(adapter)] == ["\u00e9"]


def test_a_large_request_is_sent_whole_while_the_adapter_writes(start):
    adapter = start("""
        hello()
        while True:
            request = read()
            fine(request, value=len(request["steps"][0]["args"][0]))
    """)
    steps = [StepRequest(call="f", args=["x" * 3_000_000])]
    answer = adapter.run(RunRequest(id=1, component="x", limits={"timeout_ms": 10_000}, steps=steps))
    assert answer.steps[0].value == 3_000_000


def test_an_adapter_that_does_not_read_does_not_block(start):
    adapter = start("hello()\ntime.sleep(60)")
    steps = [StepRequest(call="f", args=["x" * 3_000_000])]
    answer = adapter.run(RunRequest(id=1, component="x", limits={"timeout_ms": 0}, steps=steps))
    assert "silence" in died(answer.steps)


def test_what_comes_unasked_is_told_to_the_next_request_and_then_it_is_healthy_again(start, tmp_path):
    script = f"""{FIRST}
hello()
fine(read())
if first:
    while not os.path.exists("answered"): time.sleep(0.01)
    write("late\\n")
    time.sleep(60)
while True: fine(read())
"""
    adapter = start(script)
    run(adapter)
    (tmp_path / "answered").touch()
    wait_until(lambda: adapter._processes[-1].is_over)
    assert "before this request: it wrote a line that is not an answer" in died(run(adapter))
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


def test_a_death_between_requests_is_told_to_the_next_one(start):
    adapter = start(f"{FIRST}hello()\nfine(read())\nif first: os.abort()\nwhile True: fine(read())")
    run(adapter)
    wait_until(lambda: adapter._processes[-1].is_over)
    assert adapter.process_ids() == ()  # measuring does not hide it
    assert "before this request: it was killed by SIGABRT" in died(run(adapter))
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


def test_the_transcript_holds_both_directions_of_this_case_only(start):
    adapter = start("hello()\nwhile True: fine(read(), value='\\x1b' * 2000)")
    run(adapter)
    adapter.transcript.clear()
    run(adapter)
    asked, answered = adapter.transcript.lines
    assert asked.startswith('> {"op":"run","id":3')
    assert answered.startswith('< {"id": 3')
    assert len(answered) < 600
    for _ in range(50):
        run(adapter)
    assert len(adapter.transcript.lines) == 8
