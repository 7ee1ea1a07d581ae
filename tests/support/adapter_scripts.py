"""Adapters from a few lines of Python, and what they are asked."""

from __future__ import annotations

import threading
import time

from pytest_airssys_wasm.protocol.messages import RunRequest, StepRequest
from pytest_airssys_wasm.runtime.base.outcome import Verdict

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


def run(adapter, steps=1, timeout_ms=10_000, identifier=1):
    """One request; its answers. Who waits for silence says how long, others have the time that a busy machine takes."""
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


def wait_until(condition, seconds=30):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def together(count, act):
    """Return the results of `act` in so many threads at once."""
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
