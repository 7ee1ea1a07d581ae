"""The frames of plain calls, in which a worker process gets a call of numbers and answers it.

A call is plain if its guest cannot call out, and its export takes and returns only numbers and bools. Plain calls have
two pipes of their own. A frame is small, so it is written and read as a whole, and holds the C values of the arguments
or of the results. All other answers, such as those about guests that failed, are lines of the protocol.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard_frames import ANSWER, ANSWER_BYTES, CALL, CALL_BYTES, FRAME_BYTES
from pytest_airssys_wasm.runtime.guest.plain_exports import layout_of, moved_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component


class PlainFrames(Struct, frozen=True, kw_only=True):
    """The frames of the calls of one export, of which `struct` also checks that numbers are in the range of their
    types.
    """

    classes: tuple[type, ...]
    """The classes of the arguments. Only instances of exactly these can be packed."""
    kinds: tuple[int, ...] | None
    """The kinds of the C values of the arguments; `None` for a module, whose values have none."""
    write_call: Callable[..., None]
    """A function that takes `GuardPipes`, `FRAME_AT`, the fields of `CALL`, and the arguments, each behind its kind.

    Raises `struct.error` for one out of range.
    """
    call_bytes: int
    """The size of a call."""
    read_answer: Callable[[Any, int], tuple[Any, ...]]
    """A function that takes `GuardPipes` and `READ_AT`, and returns the fields of `ANSWER` and the results."""
    answer_bytes: int
    """The size of an answer."""
    results: int
    """The number of results."""
    moved_bytes: int
    """The bytes that a call transfers."""


def plain_frames(component: Component, function: str) -> PlainFrames | None:
    """Return the frames of the calls of an export; `None` if it takes or returns something else than numbers, or too
    many of them.
    """
    layout = layout_of(component, function)
    if layout is None:
        return None
    answer = struct.Struct(f"<{ANSWER}{layout.results}")
    argument_bytes = struct.calcsize(f"<{layout.arguments}")
    # The guard copies the arguments of a module to where its results will be, behind the longer head of an answer.
    if max(ANSWER_BYTES + argument_bytes, answer.size) > FRAME_BYTES:
        return None
    return PlainFrames(
        classes=layout.classes,
        kinds=layout.kinds,
        write_call=struct.Struct(f"<{CALL}{layout.arguments}").pack_into,
        call_bytes=CALL_BYTES + argument_bytes,
        read_answer=answer.unpack_from,
        answer_bytes=answer.size,
        results=len(component.result_types(function)),
        moved_bytes=moved_bytes(component, function),
    )


def arguments_of(component: Component, function: str, frame: bytes) -> tuple[Any, ...]:
    """Return the arguments in the frame of a call."""
    layout = layout_of(component, function)
    assert layout is not None
    values = struct.unpack_from(f"<{layout.arguments}", frame, CALL_BYTES)
    return values if layout.kinds is None else values[1::2]
