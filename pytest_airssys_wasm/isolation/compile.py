"""Compilation in a separate process: the request, its limits, and the interpretation of the result."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING

import msgspec

from pytest_airssys_wasm.isolation.spawn import ChildLimits, cannot_start, lack_told, spawn, was_out_of_memory
from pytest_airssys_wasm.protocol.transcript import Transcript, line_text
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, UnfitFile, read_regular, write_new
from pytest_airssys_wasm.runtime.binary.formats import refusal
from pytest_airssys_wasm.runtime.budget.limit_text import limit_text
from pytest_airssys_wasm.runtime.budget.machine import is_short_of_addresses, no_memory
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder, explained, unfit
from pytest_airssys_wasm.runtime.errors import InvalidComponent, ResourceLimitExceeded, RuntimeDied

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.formats import Kind

_MODULE = "pytest_airssys_wasm.isolation.compile_worker"
_LINE_BYTES = 2**16
_GREETING = b'{"id": 0}'
_START_S = 60.0
"""The maximum time in seconds until the greeting is answered. It does not count as compilation time."""
_MOST_MAPPED_BYTES = 64 * 2**20
"""The bytes of memory that an artefact may take in addition to its mapped file.

Real guests need almost none, because code is mapped; but nested instances are expanded one by one.
"""


class _Answer(msgspec.Struct, frozen=True):
    id: int
    invalid: str | None = None
    """The reason why wasmtime refuses the guest."""
    unwritable: str | None = None
    """The reason why the result cannot be written."""
    mapped_bytes: int | None = None
    """The bytes of memory that loading the artefact takes in addition to its mapped file; `None` if unknown."""


# Made here and not by the first to need it: two threads at once would crash msgspec.
_ANSWER = msgspec.json.Decoder(_Answer)


def translate(text: bytes, name: str, *, timeout_ms: float, memory_bytes: int) -> bytes:
    """Translate WebAssembly text to a binary and return it. Raises the same errors as `compile_`."""
    with ScratchFolder("compile") as folder:
        result = folder / "binary"
        _make("text", text, name, result, timeout_ms, memory_bytes)
        try:
            return read_regular(result, GUEST_BYTES)
        except UnfitFile as error:
            raise InvalidComponent(f"{name}: its binary is {error.strerror}") from None


def compile_(kind: Kind, binary: bytes, name: str, artefact: Path, *, timeout_ms: float, memory_bytes: int) -> None:
    """Compile a binary into the file `artefact`.

    Raises `InvalidComponent` for a binary that wasmtime refuses, `ResourceLimitExceeded` for one that takes the
    compiler more time or memory than it may have, and `RuntimeDied` if the compiler fails.
    """
    _make(kind, binary, name, artefact, timeout_ms, memory_bytes)


def _make(what: str, source: bytes, name: str, result: Path, timeout_ms: float, memory_bytes: int) -> None:
    with ScratchFolder("compile") as folder:
        path = folder / "source"
        with explained():
            write_new(path, source)
        order = json.dumps({"id": 1, "what": what, "source": str(path), "result": str(result)})
        line = _ask(order.encode(), name, timeout_ms, memory_bytes)
    try:
        answer = _ANSWER.decode(line)
    except msgspec.DecodeError as error:
        raise RuntimeDied(
            f"{name}: the compiler's process wrote a line that is not an answer ({error}): {line_text(line, 200)}",
            "garbage",
        ) from None
    if answer.unwritable is not None:
        raise unfit(f"a folder that can be written to ({answer.unwritable})")
    if answer.invalid is not None:
        raise refusal(name, answer.invalid)
    if (answer.mapped_bytes or 0) > _MOST_MAPPED_BYTES:
        text = f"{name}: once compiled, it takes {answer.mapped_bytes:,} bytes of memory in each process that loads it"
        raise ResourceLimitExceeded(f"{text}; the limit is {_MOST_MAPPED_BYTES:,}", "compile-memory")


def _ask(order: bytes, name: str, timeout_ms: float, memory_bytes: int) -> bytes:
    transcript = Transcript()
    child = spawn(_MODULE, _limits(timeout_ms, memory_bytes), line_bytes=_LINE_BYTES, transcript=transcript)
    due = math.inf
    try:
        child.ask(0, _GREETING, _START_S)
        due = monotonic() + timeout_ms / 1_000
        return child.ask(1, order, timeout_ms / 1_000)
    except RuntimeDied as died:
        if monotonic() >= due and died.reason == "silence":
            text = f"{name}: compiling it takes longer than {limit_text('timeout_ms', timeout_ms)}"
            raise ResourceLimitExceeded(text, "compile-time") from None
        if died.reason in ("signal", "status") and (lack := lack_told(transcript)) is not None:
            raise lack from None
        if due == math.inf:
            raise cannot_start(died, transcript) from None
        if was_out_of_memory(transcript):
            if is_short_of_addresses(memory_bytes):
                raise no_memory() from None
            text = f"{name}: compiling it takes more than {memory_bytes:,} bytes of memory"
            raise ResourceLimitExceeded(text, "compile-memory") from None
        stderr = "; ".join(transcript.stderr[-3:])
        text = f"{name}: the compiler failed: {died}" + (f" ({stderr})" if stderr else "")
        raise RuntimeDied(text, died.reason) from None
    finally:
        child.kill()


def _limits(timeout_ms: float, memory_bytes: int) -> ChildLimits:
    # The clock ends it before; this limit is for the case that the process which watches the clock is gone.
    cpu_s = math.ceil(timeout_ms / 1_000 * (os.cpu_count() or 1)) + 1
    return ChildLimits(data_bytes=memory_bytes, cpu_s=cpu_s)
