"""An adapter says who it is, is started as often as needed, and ends with everything it started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience
from pytest_airssys_wasm.protocol.process_group import session_members
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied
from support.adapter_scripts import FIRST, HEALTHY, PRELUDE, died, run, wait_until

BAD_HELLOS = {
    "an unknown capability": ("hello('telepathy')", "capabilities: 'telepathy' is not one of component, module, wat"),
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
    "a banner": ("write('Welcome!\\n')\nhello()", "it wrote a line that is not an answer"),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_hello_that_is_none_is_an_error_that_says_so(start, name):
    script, told = BAD_HELLOS[name]
    adapter = start(script + "\ntime.sleep(60)", patience=Patience(start_s=0.6 if name == "silence" else 30.0))
    with pytest.raises(RuntimeDied) as caught:
        adapter.hello()
    assert told in str(caught.value)
    assert "did not start correctly" in str(caught.value)


@pytest.mark.parametrize("command", [["/nonexistent/adapter"], ["/"], ["a\0b"]])
def test_a_command_that_cannot_be_run_is_an_error(command):
    with pytest.raises(InvalidConfiguration, match="a command that can be run"):
        AdapterRuntime(command).hello()


def test_starting_is_not_tried_for_ever(start, tmp_path):
    adapter = start("open('starts', 'a').write('x')\nsys.exit(1)")
    for _ in range(9):
        assert "did not start correctly" in died(run(adapter))
    assert (tmp_path / "starts").read_text() == "xxx"


def test_a_restarted_adapter_must_be_the_same_one(start):
    adapter = start(f"{FIRST}hello(*([] if first else ['fuel']))\nread()\nsys.exit(1)")
    died(run(adapter))
    assert "name, version or capabilities differ" in died(run(adapter))


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


def test_closing_lets_it_end_by_itself(start, tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_airssys_wasm.protocol.process._LAST_WORDS_S", 30.0)
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
    assert time.monotonic() - started < 30  # far from the 60 s that they would sleep
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
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
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


def test_an_adapter_has_a_temporary_folder_of_its_own_that_goes_with_it(start):
    adapter = start("""
        import tempfile
        hello()
        while True:
            request = read()
            file = tempfile.NamedTemporaryFile(delete=False)
            fine(request, value=file.name)
    """)
    with adapter.temporary_folder() as folder:
        (answer,) = run(adapter)
        assert answer.value in map(str, folder.rglob("*"))
    adapter.close()
    assert not folder.exists()
    with adapter.temporary_folder() as other:
        assert other.exists()
