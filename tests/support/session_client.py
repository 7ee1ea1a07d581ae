"""A driver of the bundled adapter's sessions, and the guest that it opens."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

GUEST = """(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $sum (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (global.set $sum (i32.add (global.get $sum) (local.get 0)))
    global.get $sum)
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "ask-twice") (result i32) (i32.sub (call $ask (i32.const 1)) (call $ask (i32.const 2))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "spin") (loop (br 0))))"""
LIMITS = {"memory_bytes": 2**20, "fuel": "unlimited", "timeout_ms": 30_000}
SOON_S = 60
"""Beside a busy processor, too."""


class Client:
    """A driver that says and hears what a test wants."""

    def __init__(self, guest, program=("-m", "pytest_airssys_wasm.adapter")):
        self.adapter = subprocess.Popen([sys.executable, *program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.guest = str(guest)
        self._last = 0
        self._kill = threading.Timer(SOON_S, self.adapter.kill)
        self._kill.start()
        self._heard = []

    def write(self, line):
        self.adapter.stdin.write(line + b"\n")
        self.adapter.stdin.flush()

    def say(self, op, **fields):
        self._last += 1
        request = {"op": op, "id": self._last, **fields}
        self.write(json.dumps(request).encode())
        return request["id"]

    def hear(self, identifier):
        """The next line about this request; others are kept for whoever wants them."""
        while True:
            for line in self._heard:
                if line.get("id", line.get("for")) == identifier:
                    self._heard.remove(line)
                    return line
            self._heard.append(json.loads(self.adapter.stdout.readline()))

    def ask(self, op, **fields):
        return self.hear(self.say(op, **fields))

    def open(self, **fields):
        known = {"component": self.guest, "limits": LIMITS, "imports": ["env#ask"]}
        return self.ask("open", **{**known, **fields})

    def call(self, session, name, *args):
        return self.ask("call", session=session, call=name, args=args)

    def reply(self, identifier, **fields):
        self.write(json.dumps({"for": identifier, **fields}).encode())

    def end(self):
        """Close its input; the lines that nobody has heard, when it has ended."""
        rest, _ = self.adapter.communicate(timeout=SOON_S)
        self._kill.cancel()
        return [*self._heard, *map(json.loads, rest.splitlines())]
