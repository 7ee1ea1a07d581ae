"""Whatever an adapter does, its case fails with what it wrote, the next one has a new process, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from textwrap import dedent

import pytest

from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.protocol.group import session_members
from pytest_airssys_wasm.protocol.messages import ConfigureRequest, RunRequest, StepRequest
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied, Verdict

PRELUDE = """
import json, os, signal, sys, threading, time

def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)

def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def say(id, **fields):
    write(json.dumps({"id": id, **fields}) + "\\n")

def hello(*capabilities):
    say(read()["id"], runtime="a script", version="1", capabilities=["module", *capabilities])

def fine(request, **fields):
    say(request["id"], steps=[{"verdict": "ok", **fields} for _ in request.get("steps", [0])])
"""

HEALTHY = "hello()\nwhile True: fine(read(), value=1)"
FIRST = """
first = not os.path.exists("was-here")
open("was-here", "w").close()
"""
"""The beginning of an adapter that misbehaves only in its first process."""


@pytest.fixture
def start(tmp_path):
    """Adapters from scripts, closed at the end."""
    started = []

    def make(script, **known):
        known.setdefault("patience", Patience(start_s=10.0, grace_s=0.5, unlimited_s=10.0))
        code = PRELUDE + dedent(script)
        started.append(AdapterRuntime([sys.executable, "-c", code], folder=tmp_path, **known))
        return started[-1]

    yield make
    for one in started:
        one.close()


def run(adapter, steps=1, timeout_ms=0, identifier=1):
    """One request; its answers."""
    request = RunRequest(
        id=identifier,
        component="x.wat",
        limits={"memory_bytes": 2**20, "timeout_ms": timeout_ms},
        steps=[StepRequest(call="f")] * steps,
    )
    answer = adapter.run(request)
    assert answer.id == identifier
    return answer.steps


def died(steps):
    (step,) = steps
    assert step.verdict is Verdict.RUNTIME_DIED
    assert step.message.isprintable()
    assert len(step.message) <= 2_000
    return step.message


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_healthy_adapter_answers_everything_from_one_process(start):
    adapter = start("hello()\nwhile True: fine(read(), value=os.getpid())")
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
    "writes garbage": ("write('\\x1b[2Jhello\\n')", "garbage: it wrote what is no answer"),
    "writes no object": ("write('[1]\\n')", "garbage: it wrote what is no answer"),
    "writes an empty line": ("write('\\n')", "garbage: it wrote what is no answer"),
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
    "answers true": ("say(True, steps=[])", "garbage: it wrote what is no answer"),
    "answers too many steps": ("say(request['id'], steps=[{'verdict': 'ok'}] * 2)", "2 answers to 1 steps"),
    "answers no step": ("say(request['id'], steps=[])", "0 answers to 1 steps"),
    "answers no steps": ("say(request['id'])", "missing required field `steps`"),
    "invents a verdict": ("fine(request, verdict='great')", "Invalid enum value 'great'"),
    "tells fuel as text": ("fine(request, fuel_consumed='12')", "Expected `int | null`, got `str`"),
    "tells fuel as a fraction": ("fine(request, fuel_consumed=1.5)", "Expected `int | null`, got `float`"),
    "tells NaN": ("fine(request, elapsed_ms=float('nan'))", "garbage: it wrote what is no answer"),
    "tells infinity": ("fine(request, elapsed_ms=float('inf'))", "garbage: it wrote what is no answer"),
    "tells more than a float holds": (
        'write(\'{"id": %d, "steps": [{"verdict": "ok", "elapsed_ms": 1e999}]}\\n\' % request[\'id\'])',
        "Number out of range",
    ),
    "tells more than 64 bits": ("fine(request, fuel_consumed=2**64 + 1)", "a number beyond 64 bits"),
    "returns more than 64 bits": ("fine(request, value=[{'a': -10**300}])", "a number beyond 64 bits"),
    "nests too deep": (
        "value = 1\nfor _ in range(300): value = [value]\nfine(request, value=value)",
        "nested deeper than 200",
    ),
    "nests much too deep": (
        "write('{\"id\": %d, \"x\": %s}\\n' % (request['id'], '[' * 99999))",
        "garbage: it wrote what is no answer",
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
    "closes its output": ("os.close(1); time.sleep(60)", "silence: it closed its output and lives on"),
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
    adapter = start(
        f"{FIRST}hello()\nrequest = read()\nif first:\n{lines}\nelse:\n    fine(request)\nwhile True: fine(read())",
        line_bytes=1_000_000,
    )
    adapter.hello()
    pid = adapter.process_ids()[0]
    before, started = open_descriptors(), time.monotonic()
    assert told in died(run(adapter))
    assert time.monotonic() - started < 30  # far from the 60 s that it would sleep
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]
    if name != "refuses":
        assert adapter.process_ids() != (pid,)
        assert session_members(pid) == ()
    assert open_descriptors() == before


def test_what_it_wrote_to_stderr_is_told(start):
    adapter = start("hello()\nread()\nsys.stderr.write('first\\nsecond \\x1b[31m\\n'); sys.exit(1)")
    assert died(run(adapter)).endswith("its stderr ends with: first / second \\x1b[31m")
    assert adapter.diary.stderr[-1] == "second \\x1b[31m"


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
    assert [step.verdict for step in run(adapter, timeout_ms=10_000)] == [Verdict.OK]
    assert died(run(adapter)).endswith("the end")
    assert sum(map(len, adapter.diary.stderr)) <= 4_096


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
    answer = adapter.run(RunRequest(id=1, component="x", limits={"timeout_ms": 2_000}, steps=steps))
    assert answer.steps[0].value == 3_000_000


def test_an_adapter_that_does_not_read_does_not_block(start):
    adapter = start("hello()\ntime.sleep(60)")
    steps = [StepRequest(call="f", args=["x" * 3_000_000])]
    answer = adapter.run(RunRequest(id=1, component="x", limits={"timeout_ms": 0}, steps=steps))
    assert "silence" in died(answer.steps)


def test_what_comes_unasked_is_told_to_the_next_request_and_then_it_is_healthy_again(start):
    adapter = start(
        f"{FIRST}hello()\nfine(read())\nif first: time.sleep(0.2); write('late\\n'); time.sleep(60)\nwhile True: fine(read())"
    )
    run(adapter)
    wait_until(lambda: adapter._processes[-1].is_over)
    assert "before this request: it wrote what is no answer" in died(run(adapter))
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


def test_a_death_between_requests_is_told_to_the_next_one(start):
    adapter = start(f"{FIRST}hello()\nfine(read())\nif first: os.abort()\nwhile True: fine(read())")
    run(adapter)
    wait_until(lambda: adapter._processes[-1].is_over)
    assert adapter.process_ids() == ()  # measuring does not hide it
    assert "before this request: it was killed by SIGABRT" in died(run(adapter))
    assert [step.verdict for step in run(adapter)] == [Verdict.OK]


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
    adapter = start("hello()\nwhile True:\n    request = read()\n    time.sleep(1.0)\n    fine(request)")
    assert len(run(adapter, steps=2, timeout_ms=400)) == 2
    assert "no answer in 0.9 s" in died(run(adapter, steps=1, timeout_ms=200))


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
            RunRequest(id=5, component=str(number), limits={"timeout_ms": 5_000}, steps=[StepRequest(call="f")])
        ),
    )
    assert [answer.steps[0].value for answer in answers] == [str(number) for number in range(8)]
    assert {answer.id for answer in answers} == {5}


def test_all_requests_at_once_fail_with_their_process(start):
    adapter = start(
        f"{FIRST}hello('concurrent')\nif first:\n    for _ in range(8): read()\n    os.abort()\nwhile True: fine(read())"
    )
    for steps in together(8, lambda _number: run(adapter, timeout_ms=5_000)):
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
    assert {steps[0].value for steps in together(8, lambda _number: run(adapter, timeout_ms=5_000))} == {1}


def test_the_patience_for_one_request_can_be_less_than_its_timeouts(start):
    adapter = start("hello()\nread()\ntime.sleep(60)", patience=Patience(most_s=0.4))
    assert "silence: no answer in 0.4 s" in died(run(adapter, timeout_ms=60_000))


BAD_HELLOS = {
    "an unknown capability": ("hello('telepathy')", "capabilities: 'telepathy' is none of component, module, wat"),
    "a missing field": ("say(read()['id'], runtime='x', capabilities=[])", "missing required field `version`"),
    "no name": (
        "say(read()['id'], runtime=' ', version='1', capabilities=[])",
        "runtime: expected a short printable text",
    ),
    "a name for the terminal": (
        "say(read()['id'], runtime='x', version='\\x1b', capabilities=[])",
        "version: expected",
    ),
    "another protocol": (
        "say(read()['id'], runtime='x', version='1', capabilities=[], protocol=2)",
        "protocol: expected 1, got 2",
    ),
    "a refusal": ("say(read()['id'], error='I speak protocol 2')", "it refused the request: I speak protocol 2"),
    "an end": ("sys.exit(7)", "it ended with status 7"),
    "silence": ("time.sleep(60)", "no answer in 0.6 s"),
    "a banner": ("write('Welcome!\\n')\nhello()", "it wrote what is no answer"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_hello_that_is_none_is_an_error_that_says_so(start, name):
    script, told = BAD_HELLOS[name]
    adapter = start(script + "\ntime.sleep(60)", patience=Patience(start_s=0.6))
    with pytest.raises(RuntimeDied) as caught:
        adapter.hello()
    assert told in str(caught.value)
    assert "did not start as it should" in str(caught.value)


@pytest.mark.parametrize("command", [["/nonexistent/adapter"], ["/"], ["a\0b"]])
def test_a_command_that_cannot_be_run_is_an_error(command):
    with pytest.raises(InvalidConfiguration, match="a command that can be run"):
        AdapterRuntime(command).hello()


def test_starting_is_not_tried_for_ever(start, tmp_path):
    adapter = start("open('starts', 'a').write('x')\nsys.exit(1)")
    for _ in range(9):
        assert "did not start as it should" in died(run(adapter))
    assert (tmp_path / "starts").read_text() == "xxx"


def test_a_restarted_adapter_must_be_the_same_one(start):
    adapter = start(f"{FIRST}hello(*([] if first else ['fuel']))\nread()\nsys.exit(1)")
    died(run(adapter))
    assert "another name, version or capabilities" in died(run(adapter))


def test_hello_is_said_once_in_each_process(start, tmp_path):
    adapter = start("""
        for line in sys.stdin:
            request = json.loads(line)
            open("asked", "a").write(request["op"] + " ")
            if request["op"] == "hello": say(request["id"], runtime="x", version="1", capabilities=[])
            else: fine(request)
    """)
    for _ in range(3):
        adapter.hello()
        run(adapter)
    assert (tmp_path / "asked").read_text() == "hello run run run "


def test_closing_lets_it_end_by_itself(start, tmp_path):
    adapter = start("hello()\nfor line in sys.stdin: pass\nopen('ended', 'w').close()")
    adapter.hello()
    adapter.close()
    assert (tmp_path / "ended").exists()


def test_closing_ends_it_and_its_children_whatever_they_ignore(start):
    adapter = start("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        hello()
        time.sleep(60)
    """)
    adapter.hello()
    members = adapter.process_ids()
    assert len(members) == 2
    started = time.monotonic()
    adapter.close()
    assert time.monotonic() - started < 3
    wait_until(lambda: session_members(members[0]) == ())


def test_after_closing_a_request_starts_it_again(start):
    adapter = start(HEALTHY)
    assert run(adapter)[0].verdict is Verdict.OK
    adapter.close()
    adapter.close()
    assert run(adapter)[0].verdict is Verdict.OK


@pytest.mark.parametrize("end", ["pass", "del adapter", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGINT)"])
def test_an_interpreter_that_ends_leaves_nothing_running(end):
    script = f"""
import os, signal, sys
from pytest_airssys_wasm.conformance.adapter import AdapterRuntime
adapter = AdapterRuntime([sys.executable, "-c", {PRELUDE + "hello()" + chr(10) + "time.sleep(60)"!r}])
print(adapter.process_ids()[0] if adapter.hello() else None, flush=True)
{end}
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    wait_until(lambda: session_members(int(done.stdout)) == ())


def test_a_killed_driver_closes_the_pipes_of_its_adapter():
    script = f"""
import sys, time
from pytest_airssys_wasm.conformance.adapter import AdapterRuntime
adapter = AdapterRuntime([sys.executable, "-c", {PRELUDE + HEALTHY!r}])
print(adapter.hello() and adapter.process_ids()[0], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as driver:
        process_id = int(driver.stdout.readline())
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    wait_until(lambda: session_members(process_id) == ())


def test_the_diary_holds_both_directions_of_this_case_only(start):
    adapter = start("hello()\nwhile True: fine(read(), value='\\x1b' * 2000)")
    run(adapter)
    adapter.diary.clear()
    run(adapter)
    asked, answered = adapter.diary.lines
    assert asked.startswith('> {"op":"run","id":3')
    assert answered.startswith('< {"id": 3')
    assert len(answered) < 600
    for _ in range(50):
        run(adapter)
    assert len(adapter.diary.lines) == 8


def wait_until(condition, seconds=10):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def together(count, act):
    """What `act` returns in so many threads at once."""
    results = [None] * count
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        results[number] = act(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
