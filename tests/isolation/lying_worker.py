"""A worker that can be made to lie: the bundled one, but for what it says in answer to executions."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pytest_airssys_wasm.isolation.worker import Worker, end_with
from pytest_airssys_wasm.protocol.pipes import take_pipes

LIE = Path(__file__).with_name("lie.json")
"""Where the test says which: beside this file, for a worker has no environment."""


class Liar(Worker):
    def _write(self, line):
        answer = json.loads(line)
        if "end" in answer and LIE.exists():
            lie = json.loads(LIE.read_text())
            if "exit" in lie:
                os._exit(lie["exit"])
            if "raw" in lie:
                line = lie["raw"].encode("latin-1") * lie.get("times", 1)
            if "sleep" in lie:
                time.sleep(lie["sleep"])
            if "host_call" in lie:
                line = json.dumps(
                    {"host_call": lie["host_call"], "args": lie["args"], "for": answer["id"], **lie.get("more", {})}
                ).encode()
            if "answer" in lie:
                line = json.dumps({**answer, **lie["answer"]}).encode()
            if "end" in lie:
                line = json.dumps({**answer, "end": {**answer["end"], **lie["end"]}}).encode()
            if "usage" in lie:
                end = answer["end"]
                line = json.dumps({**answer, "end": {**end, "usage": {**end["usage"], **lie["usage"]}}}).encode()
        super()._write(line)


if __name__ == "__main__":
    pipes = take_pipes()
    end_with(pipes[0])
    sys.exit(Liar(*pipes).serve())
