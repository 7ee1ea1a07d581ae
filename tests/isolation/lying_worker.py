"""A worker that can be made to lie: the bundled one, but for what it says in answer to executions."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from pathlib import Path

from pytest_airssys_wasm.isolation.worker import serve_sessions
from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes

LIE = Path(__file__).with_name("lie.json")
"""The file with the lie, beside this one, because a worker has no environment."""


def as_line(message):
    return json.dumps(message).encode() + b"\n"


class Liar:
    """A pipe in which answers become lies."""

    def __init__(self, answers):
        self._answers = answers

    def write(self, line):
        answer = json.loads(line)
        if "end" in answer and LIE.exists():
            lie = json.loads(LIE.read_text())
            if "exit" in lie:
                os._exit(lie["exit"])
            if "raw" in lie:
                line = lie["raw"].encode("latin-1") * lie.get("times", 1) + b"\n"
            if "sleep" in lie:
                time.sleep(lie["sleep"])
            if "host_call" in lie:
                line = as_line(
                    {"host_call": lie["host_call"], "args": lie["args"], "for": answer["id"], **lie.get("more", {})}
                )
            if "answer" in lie:
                line = as_line({**answer, **lie["answer"]})
            if "end" in lie:
                line = as_line({**answer, "end": {**answer["end"], **lie["end"]}})
            if "usage" in lie:
                end = answer["end"]
                line = as_line({**answer, "end": {**end, "usage": {**end["usage"], **lie["usage"]}}})
        self._answers.write(line)

    def flush(self):
        self._answers.flush()


def lie_in_frames(calls, answers):
    """Return the pipes for a server of plain calls whose answers become lies: `frame` is a function of the true one."""
    (served_calls, to_server), (from_server, served_answers) = os.pipe(), os.pipe()

    def relay():
        while call := os.read(calls, 2_048):
            os.write(to_server, call)
            found = os.read(from_server, 65_536)
            if LIE.exists():
                told = json.loads(LIE.read_text())
                if "exit" in told:
                    os._exit(told["exit"])
                found = eval(told["frame"], {"true": found, "json": json, "struct": struct})
                for at in range(told.get("pauses", 0)):
                    os.write(answers, found[at : at + 1])
                    time.sleep(0.1)
            os.write(answers, found)

    threading.Thread(target=relay, daemon=True).start()
    return served_calls, served_answers


if __name__ == "__main__":
    requests, answers = take_pipes()
    end_process_with(requests)
    sys.exit(serve_sessions(requests, Liar(answers), lie_in_frames(*map(int, sys.argv[1:]))))
