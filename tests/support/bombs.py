"""Small guests that exhaust a compiler, and a look at the compilers that are at work."""

from __future__ import annotations

import time
from pathlib import Path

MODULE = '(module (func (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0))))'


def nested_instances():
    """Six levels of components, each of which makes ten of the level below."""
    ten = "(instance (instantiate $c)) " * 10
    levels = "".join(f"(component $c{n} (alias outer 1 $c{n - 1} (component $c)) {ten})" for n in range(1, 6))
    innermost = "(component $c0 (core module $m (memory 0)) (core instance (instantiate $m)))"
    return f"(component {innermost} {levels} {'(instance (instantiate $c5)) ' * 10})".encode()


def many_locals():
    """A thousand functions of 50,000 locals each, in eight kilobytes."""
    sections = b"\1\4\1\x60\0\0" + b"\3\xea\7\xe8\7" + b"\0" * 1_000
    return b"\0asm\1\0\0\0" + sections + b"\x0a\xda\x36\xe8\7" + b"\6\1\xd0\x86\3\x7e\x0b" * 1_000


def nested_ifs():
    """Each within the other. As text it is large enough to be translated in isolation too."""
    opened, closed = "local.get 0 if " * 100_000, "end " * 100_000
    return f'(module (func (export "f") (param i32) {opened} {closed}))'.encode()


def children():
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return [int(one) for one in found if "compile_worker" in Path(f"/proc/{one}/cmdline").read_text()]


def wait_for(what, seconds=60):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
    return found
