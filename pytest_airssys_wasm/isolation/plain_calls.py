"""Plain calls in a worker process, made on the thread of the caller with as little as possible around them.

The function that makes such a call packs its arguments into a frame, waits for the answer with the deadline of the
execution and the grace of the process, and checks the figures and the values in it. All other endings are judged as
those of other executions are: guests that failed, processes that died, and signal handlers that raised.
"""

from __future__ import annotations

import struct
from functools import partial
from itertools import chain
from os import getpid
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.host_side import protocol_broken
from pytest_airssys_wasm.isolation.plain_pipe import LOOK_MS
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.budget.units import MAX_U64
from pytest_airssys_wasm.runtime.capi.guard_frames import FRAME_AT, READ_AT

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
    classes, write, call_bytes, answer_bytes = frames.classes, frames.write_call, frames.call_bytes, frames.answer_bytes
    numbers, pipe, owner_id, (session, index) = worker.numbers, worker.pipe, getpid(), place
    shared, ask, address, kinds, flat = pipe.shared, pipe.ask, pipe.address, frames.kinds, chain.from_iterable
    most_ms = None if limits.timeout_ms is None else limits.timeout_ms + 1_000 * grace_s
    first_ms = LOOK_MS if most_ms is None else min(LOOK_MS, most_ms)
    wait_ns, read = int(first_ms * 1e6), _reader(frames, limits)

    def rest(count: int, began_at: float) -> bytes:
        left_ms = None if most_ms is None else max(0.0, most_ms - 1_000 * (monotonic() - began_at))
        return worker.rest(count, left_ms, most_ms)

    def read_frame(answer: bytes, number: int) -> tuple[Any, Any]:
        found = read(answer, 0, number) if len(answer) == answer_bytes else None
        if found is None:
            raise protocol_broken(f"the answer to call {number}: {answer[:_SHOWN_BYTES].hex()}")
        pipe.note_answer()
        return found

    def call(*args: Any) -> Any:
        if is_watched() or tuple(map(type, args)) != classes or getpid() != owner_id:
            return general(*args)
        finished, claim = None, object()
        try:
            claims.append(claim)
            if claims[0] is claim:
                number = next(numbers)
                try:
                    values = args if kinds is None else flat(zip(kinds, args))
                    write(shared, FRAME_AT, wait_ns, call_bytes, number, session, index, *values)
                except struct.error:  # out of the range of its type
                    pass
                else:
                    end: bytes | BaseException
                    began_at = monotonic()
                    try:
                        count = ask(address)
                        done = read(shared, READ_AT, number) if count == answer_bytes else None
                        if done is None:
                            end = rest(count, began_at)
                            done = None if end[0] else read_frame(end, number)
                        if done is not None:
                            entry, value = done
                            note(entry)
                            return value
                    except BaseException as raised:  # noqa: BLE001 judged with all other ends, or raised there
                        end = raised
                    finished = finish(name, args, began_at, partial(settle, number, end))
        finally:
            if claim in claims:
                claims.remove(claim)
        return general(*args) if finished is None else finished()

    return call


def _reader(frames: PlainFrames, limits: ResourceLimits) -> Callable[[Any, int, int], tuple[Any, Any] | None]:
    """Return the function that reads the answer to a call from a buffer and a place in it: its figures, and its value.

    It takes the number of the call, too, and returns `None` for something that is not the answer of a correct process.
    """
    read_answer, moved_bytes = frames.read_answer, frames.moved_bytes
    fuel, limit_bytes = MAX_U64 if limits.fuel is None else limits.fuel, limits.memory
    is_single, has_none = frames.results == 1, not frames.results

    def read(buffer: Any, place: int, number: int) -> tuple[Any, Any] | None:
        kind, answered, left, started, ended, cpu, peak, denied, *values = read_answer(buffer, place)
        if kind or answered != number or left > fuel or started > ended or cpu < 0 or peak < 0 or denied < 0:
            return None
        # The fields of `Figures`.
        entry = (0, fuel, left, started, ended, limit_bytes, cpu, peak, denied), moved_bytes, 0
        return entry, values[0] if is_single else None if has_none else tuple(values)

    return read
