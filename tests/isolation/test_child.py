"""A process of ours inherits nothing, keeps its limits, and can import what this package needs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

import pytest_airssys_wasm
from pytest_airssys_wasm.isolation.spawn import ChildLimits, spawn
from pytest_airssys_wasm.protocol.transcript import Transcript
from pytest_airssys_wasm.runtime.errors import RuntimeDied

LIMITS = ChildLimits(data_bytes=512 * 2**20, cpu_s=30)
PROLOGUE = """
import json
from pytest_airssys_wasm.protocol.pipes import take_pipes

requests, answers = take_pipes()
identifier = json.loads(requests.readline())["id"]

def say(found):
    answers.write(json.dumps({"id": identifier, "found": found}).encode() + b"\\n")
    answers.flush()
    requests.read()
"""


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Return the output of a module that runs in a child; each child is ended at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    children = []

    def run(body, limits=LIMITS):
        name = f"probe_{len(children)}"
        (tmp_path / f"{name}.py").write_text(PROLOGUE + dedent(body), encoding="utf-8")
        children.append(spawn(name, limits, line_bytes=2**20, transcript=Transcript()))
        return json.loads(children[-1].ask(1, b'{"id": 1}', 60))["found"]

    yield run
    for child in children:
        child.kill()


def test_a_child_inherits_no_environment(ask, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    # What Python itself sets for the locale where there is none.
    assert set(ask("import os; say(dict(os.environ))")) <= {"LC_CTYPE"}


def test_a_child_has_three_pipes_and_nothing_else(ask):
    with Path(os.devnull).open() as file, socket.socket() as listening:
        for descriptor in (file.fileno(), listening.fileno()):
            os.set_inheritable(descriptor, True)
        found = ask("""
            import os
            with os.scandir("/proc/self/fd") as listing:
                say({one.name: os.readlink(one.path).partition(":")[0] for one in listing})
        """)
    listing = [name for name, target in found.items() if target.startswith("/proc/")]
    # Nothing comes from stdin any more; the protocol has its two pipes, stdout and stderr are the third.
    assert sorted(target for name, target in found.items() if name not in listing) == ["/dev/null", *["pipe"] * 4]


def test_a_child_has_a_session_of_its_own_and_stands_in_the_root(ask):
    sid, pid, cwd = ask("import os; say([os.getsid(0), os.getpid(), os.getcwd()])")
    assert sid == pid != os.getsid(0)
    assert cwd == "/"


def test_a_child_sets_its_limits_and_leaves_address_space_alone(ask):
    found = ask("""
        import resource
        names = ("RLIMIT_DATA", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_AS")
        say({name: resource.getrlimit(getattr(resource, name)) for name in names})
    """)
    assert found == {
        "RLIMIT_DATA": [512 * 2**20] * 2,
        "RLIMIT_CORE": [0, 0],
        "RLIMIT_NOFILE": [64, 64],
        "RLIMIT_CPU": [30, 30],
        "RLIMIT_AS": [-1, -1],
    }


def test_a_limit_that_this_process_has_itself_is_kept(ask):
    """Asking for more than one has would be an error."""
    found = ask("""
        import resource
        say(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    """, ChildLimits(data_bytes=2**30, open_files=2**40))  # fmt: skip
    assert 64 < found < 2**40


def test_memory_over_the_limit_cannot_be_had(ask):
    assert ask("""
        try:
            kept = bytearray(600 * 2**20)
            say("had")
        except MemoryError:
            say("refused")
    """) == "refused"  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_a_child_cannot_make_a_socket(ask):
    found = ask("""
        import errno, socket
        said = []
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            try:
                socket.socket(family)
                said.append("made")
            except OSError as error:
                said.append(errno.errorcode[error.errno])
        pair = socket.socketpair()
        say(said)
    """)
    assert found == ["EACCES"] * 3


def test_the_standard_library_comes_before_what_this_process_put_in_front(ask, tmp_path):
    (tmp_path / "random.py").write_text("raise RuntimeError('a test folder of somebody')")
    assert ask("import random; say(random.__file__)") != str(tmp_path / "random.py")


@pytest.mark.slow
def test_a_child_can_import_the_runtime_where_nothing_says_where_it_is(tmp_path):
    """Try a child as from a wheel: no PYTHONPATH, another folder, and a package that only `sys.path` knows."""
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(pytest_airssys_wasm.__file__).parents[1])!r})
        from pytest_airssys_wasm.isolation.spawn import ChildLimits, spawn
        from pytest_airssys_wasm.protocol.transcript import Transcript
        transcript = Transcript()
        child = spawn("pytest_airssys_wasm.adapter", ChildLimits(data_bytes=2**30), line_bytes=2**20, transcript=transcript)
        print(child.ask(1, b'{{"id": 1, "op": "hello", "protocol": 1}}', 60).decode())
        child.close()
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", dedent(code)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "wasmtime-py" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_child_that_uses_up_its_processor_time_is_ended(ask):
    with pytest.raises(RuntimeDied, match=r"SIGKILL|SIGXCPU") as caught:
        ask("while True: pass", ChildLimits(data_bytes=2**29, cpu_s=1))
    assert caught.value.reason == "signal"


@pytest.mark.slow
def test_children_can_be_started_from_threads_at_once(ask):
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask("import os; say(os.getpid())"))) for _ in range(4)]
    for thread in threads:
        thread.start()
        thread.join(0.01)
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4
