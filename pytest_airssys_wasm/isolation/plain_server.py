"""The server of plain calls in a worker process, which makes them on a thread that only reads and answers them."""

from __future__ import annotations

from ctypes import addressof
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.isolation.plain_frames import (
    CALLED,
    CALLED_PACE,
    CALLED_PLACE,
    plain_frames,
)
from pytest_airssys_wasm.protocol.envelope import fitting
from pytest_airssys_wasm.protocol.messages import Refusal
from pytest_airssys_wasm.protocol.server import refusal_text
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.capi.guard import FRAME_AT, FRAME_BYTES, WRITE_EXCHANGE, GuardPipes, guard
from pytest_airssys_wasm.runtime.errors import UnfitHost
from pytest_airssys_wasm.runtime.guest.operations import CallExport

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.sessions import ServedStore, Sessions

STACK_BYTES = 2 * 2**20
"""The stack of the thread that makes plain calls: twice what entering a guest needs."""


class PlainServer:
    """The server of the plain calls of the sessions of one process."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def serve(self, calls: int, answers: int) -> None:
        """Answer calls until the end of the pipe `calls`. Raises `MemoryError` and `UnfitHost`, which end the
        process.
        """
        shared, exchange, write = GuardPipes(to=answers, source=calls), guard().exchange, WRITE_EXCHANGE
        address, read, answer, is_looping = addressof(shared), shared.read_bytes(), b"", False
        while True:
            write(shared, FRAME_AT, -1, len(answer), is_looping, answer)
            count = exchange(address)
            if count <= 0:
                return  # the pipe was closed
            frame: bytes = read[:count]
            answer, is_looping = self.answer(frame), bool(frame[CALLED_PACE])
            while len(answer) > FRAME_BYTES:
                answer = answer[system.write(answers, answer) :]

    def answer(self, frame: bytes) -> bytes:
        """Return the answer to a call: a frame, or a line of the protocol."""
        try:
            call = self._sessions.plain_calls.get(frame[CALLED_PLACE]) or self._prepare(frame)
            return call(frame)
        except (MemoryError, UnfitHost):
            raise
        except Exception as error:  # noqa: BLE001 the answer tells it
            number = CALLED.unpack_from(frame)[0]
            return msgspec.json.encode(Refusal(id=number, error=refusal_text(error))) + b"\n"

    def _prepare(self, frame: bytes) -> Callable[[bytes], bytes]:
        """Return the function that answers the calls of the same export, and keep it until a session closes."""
        _, session, index, _ = CALLED.unpack_from(frame)
        served, instance = self._sessions.session(session)
        if instance is None:
            raise LookupError(f"session {session} has no instance")
        component, store = instance.component, served.store
        name = [*component.function_names()][index]
        frames = plain_frames(component, name)
        if frames is None:
            raise TypeError(f"{name} takes or returns something else than numbers")
        noted: list[tuple[Any, int, int]] = []

        def general(*args: Any) -> Any:
            return store.run(CallExport(instance, name, args))

        direct = store.direct_call(instance, name, general, noted.append) or general
        unpack, pack, results = frames.unpack_call, frames.pack_answer, frames.results

        def call(frame: bytes) -> bytes:
            number, _, _, _, *args = unpack(frame)
            try:
                value = direct(*args)
            except Exception as error:  # noqa: BLE001 it is raised again where errors of guests are told
                return self._line(number, served, partial(_raise, error))
            if not noted:  # it went the general way
                return self._line(number, served, partial(_same, value))
            (_, _, left, started, ended, _, cpu, peak, denied), _, _ = noted.pop()
            values = (value,) if results == 1 else value or ()
            return pack(0, number, left, started, ended, cpu, peak, denied, *values)

        self._sessions.plain_calls[frame[CALLED_PLACE]] = call
        return call

    def _line(self, number: int, served: ServedStore, end: Callable[[], Any]) -> bytes:
        """Return the answer to a call as a line; `end` returns its value, or raises its error."""
        return fitting(served.answer_of(number, end), self._sessions.line_bytes) + b"\n"


def _raise(error: Exception) -> Any:
    raise error


def _same(value: Any) -> Any:
    return value
