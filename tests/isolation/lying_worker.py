"""A worker that can be made to lie: the bundled one, but for what it says in answer to executions."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from pathlib import Path

from pytest_airssys_wasm.isolation.plain_server import PlainServer
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


def lie_in_frames():
    """Make the answers to plain calls lies, too: `frame` is a function of the true one."""
    answer = PlainServer.answer

    def lie(self, frame):
        found = answer(self, frame)
        if LIE.exists():
            told = json.loads(LIE.read_text())
            if "exit" in told:
                os._exit(told["exit"])
            found = eval(told["frame"], {"true": found, "json": json, "struct": struct})
        return found

    PlainServer.answer = lie


if __name__ == "__main__":
    lie_in_frames()
    requests, answers = take_pipes()
    end_process_with(requests)
    sys.exit(serve_sessions(requests, Liar(answers), [*map(int, sys.argv[1:])]))
