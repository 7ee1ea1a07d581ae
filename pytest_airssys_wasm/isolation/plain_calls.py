"""Plain calls in a worker process, made on the thread of the caller with as little as possible around them.

The function that makes such a call packs its arguments into a frame, waits for the answer with the deadline of the
execution and the grace of the process, and checks the figures and the values in it. All other endings are judged as
those of other executions are: guests that failed, processes that died, and signal handlers that raised.
"""

from __future__ import annotations

import struct
from functools import partial
from os import getpid
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.host_side import protocol_broken
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.budget.units import MAX_U64

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.isolation.plain_frames import PlainFrames
    from pytest_airssys_wasm.isolation.pool import WorkerProcess
    from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
    from pytest_airssys_wasm.runtime.guest.direct_calls import Call, DirectUse

_SHOWN_BYTES = 200


def compile_plain_call(
    name: str,
    frames: PlainFrames,
    place: tuple[int, int],
    worker: WorkerProcess,
    limits: ResourceLimits,
    grace_s: float,
    use: DirectUse,
    general: Call,
    settle: Callable[..., object],
) -> Call:
    """Return the function that makes a plain call.

    `place` is the session and the index of the export. `settle` takes the number of the call, the end of it (the
    beginning of a line of the protocol, or an exception), and the operation and its run, in which it stores the end.
    """
    claims, is_watched, note, finish = use.claims, use.is_watched, use.note, use.finish
    classes, pack, numbers, ask, owner_id = frames.classes, frames.pack_call, worker.numbers, worker.call, getpid()
    (session, index), pace = place, worker.pace
    most_ms = None if limits.timeout_ms is None else limits.timeout_ms + 1_000 * grace_s
    read = _reader(frames, limits)

    def call(*args: Any) -> Any:
        if is_watched() or tuple(map(type, args)) != classes or getpid() != owner_id:
            return general(*args)
        finished, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                number = next(numbers)
                try:
                    frame = pack(number, session, index, pace.is_looping, *args)
                except struct.error:  # out of the range of its type
                    pass
                else:
                    end: bytes | BaseException
                    began_at = monotonic()
                    try:
                        end = ask(frame, most_ms)
                        if not end[0]:
                            entry, value = read(end, number)
                            note(entry)
                            pace.note(began_at, entry[0][4] - entry[0][3])
                            return value
                    except BaseException as raised:  # noqa: BLE001 judged with all other ends, or raised there
                        end = raised
                    finished = finish(name, args, began_at, partial(settle, number, end))
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if finished is None else finished()

    return call


def _reader(frames: PlainFrames, limits: ResourceLimits) -> Callable[[bytes, int], tuple[Any, Any]]:
    """Return the function that reads the answer to a call with a number: its figures, and its value.

    It raises `RuntimeDied` for an answer that a correct process cannot give.
    """
    unpack, answer_bytes, moved_bytes = frames.unpack_answer, frames.answer_bytes, frames.moved_bytes
    fuel, limit_bytes = MAX_U64 if limits.fuel is None else limits.fuel, limits.memory
    is_single, has_none = frames.results == 1, not frames.results

    def read(answer: bytes, number: int) -> tuple[Any, Any]:
        if len(answer) == answer_bytes:
            _, answered, left, started, ended, cpu, peak, denied, *values = unpack(answer)
            if answered == number and left <= fuel and started <= ended and cpu >= 0 <= peak and denied >= 0:
                # The fields of `Figures`.
                entry = (0, fuel, left, started, ended, limit_bytes, cpu, peak, denied), moved_bytes, 0
                return entry, values[0] if is_single else None if has_none else tuple(values)
        raise protocol_broken(f"the answer to call {number}: {answer[:_SHOWN_BYTES].hex()}")

    return read
