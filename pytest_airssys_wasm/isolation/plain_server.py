"""The server of plain calls in a worker process: a thread on which the guard reads, makes and answers them.

Python is asked for the first call of an export, and for the verdicts of guests that have failed.
"""

from __future__ import annotations

import struct
from ctypes import addressof
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pytest_airssys_wasm.isolation.plain_frames import arguments_of, plain_frames
from pytest_airssys_wasm.protocol.envelope import fitting
from pytest_airssys_wasm.protocol.messages import Refusal
from pytest_airssys_wasm.protocol.server import refusal_text
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.capi.guard import guard
from pytest_airssys_wasm.runtime.capi.guard_frames import CALL_FAILED, FRAME_BYTES, NOTHING_READ, GuardPipes
from pytest_airssys_wasm.runtime.errors import UnfitHost
from pytest_airssys_wasm.runtime.guest.operations import CallExport

if TYPE_CHECKING:
    from pytest_airssys_wasm.isolation.sessions import ServedStore, Sessions
    from pytest_airssys_wasm.runtime.guest.operations import InstanceHandle

STACK_BYTES = 2 * 2**20
"""The stack of the thread that makes plain calls: twice what entering a guest needs."""
_CALLED = struct.Struct("<QQI")
"""The beginning of a call: its number, the number of its session, and the index of the export."""


class PlainServer:
    """The server of the plain calls of the sessions of one process."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def serve(self, calls: int, answers: int) -> None:
        """Answer calls until the end of the pipe `calls`. Raises `MemoryError` and `UnfitHost`, which end the
        process.
        """
        pipes, serve = GuardPipes(to=answers, source=calls, wait_ns=-1), guard().serve
        address, exports, count = addressof(pipes), self._sessions.plain_exports.address, 0
        while True:
            count = serve(address, exports, count)
            if count == NOTHING_READ:
                return  # the pipe was closed
            has_failed = count == CALL_FAILED
            line = self._answer(pipes.read_bytes(FRAME_BYTES if has_failed else count), has_failed=has_failed)
            if line is not None:
                count = 0
                while line:
                    line = line[system.write(answers, line) :]

    def _answer(self, frame: bytes, *, has_failed: bool) -> bytes | None:
        """Return the answer to a call that the guard cannot give; `None` if it can now."""
        number, session, index = _CALLED.unpack_from(frame)
        try:
            served, instance = self._sessions.session(session)
            if instance is None:
                raise LookupError(f"session {session} has no instance")
            name = [*instance.component.function_names()][index]
            if not has_failed and self._add(session, index, served, instance, name, len(frame)):
                return None
            args = arguments_of(instance.component, name, frame)
            failure = self._sessions.plain_exports.failure(session, index, args) if has_failed else None
            execute = failure or partial(served.store.run, CallExport(instance, name, args))
            return fitting(served.answer_of(number, execute), self._sessions.line_bytes) + b"\n"
        except (MemoryError, UnfitHost):
            raise
        except Exception as error:  # noqa: BLE001 the answer tells it
            return msgspec.json.encode(Refusal(id=number, error=refusal_text(error))) + b"\n"

    def _add(
        self, session: int, index: int, served: ServedStore, instance: InstanceHandle, name: str, frame_bytes: int
    ) -> bool:
        """Let the guard call an export from now on, and return whether it can."""
        component, exports = instance.component, self._sessions.plain_exports
        frames = plain_frames(component, name)
        if frames is None:
            raise TypeError(f"{name} takes or returns something else than numbers")
        if frame_bytes != frames.call_bytes:
            raise ValueError(f"a call of {name} has {frames.call_bytes} bytes, not {frame_bytes}")
        export = served.store.plain_export(instance, name)
        if export is None:
            return False
        exports.add(session, index, export, len(frames.classes), frames.results)
        return True
