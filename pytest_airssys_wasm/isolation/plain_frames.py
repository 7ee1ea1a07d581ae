"""The frames of plain calls, in which a worker process gets a call of numbers and answers it.

A call is plain if its export takes and returns only numbers and bools, of a guest that cannot call out. It has two
pipes of its own beside the lines of the protocol: a frame is one small piece of bytes, which is written and read at
once. All other answers, such as those of guests that failed, are lines of the protocol.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard import EXCHANGE, FRAME_BYTES
from pytest_airssys_wasm.runtime.convert.plain_layout import CORE_FORMATS, FORMATS
from pytest_airssys_wasm.runtime.wit.types import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.guest.component import Component

CALLED = struct.Struct("<QQI?")
"""The beginning of a call: its number, the number of its session, the index of its export, and whether the worker looks
for the next call in a loop.
"""
CALLED_PLACE = slice(8, 20)
"""The bytes of a call that name its session and its export."""
CALLED_PACE = 20
"""The place of the byte of a call that says whether to look for the next one in a loop."""
_ANSWERED = "<B7xQQ5q"
"""The beginning of an answer: 0, which no line begins with; the number of the call; the fuel that was left; the times
of the beginning and of the end in nanoseconds, the processor time, the peak memory, and the denied growths.
"""


class PlainFrames(Struct, frozen=True, kw_only=True):
    """The frames of the calls of one export, of which `struct` also checks that numbers are in the range of their
    types.
    """

    classes: tuple[type, ...]
    """The classes of the arguments. Only instances of exactly these can be packed."""
    write_call: Callable[..., None]
    """A function that takes `GuardPipes`, `FRAME_AT`, the fields of `EXCHANGE` and `CALLED`, and the arguments.

    Raises `struct.error` for one out of range.
    """
    call_bytes: int
    """The size of a call."""
    unpack_call: Callable[[bytes], tuple[Any, ...]]
    pack_answer: Callable[..., bytes]
    """A function that takes the fields of an answer's beginning and the results."""
    read_answer: Callable[[Any, int], tuple[Any, ...]]
    """A function that takes `GuardPipes` and `READ_AT`, and returns the fields of an answer and the results."""
    answer_bytes: int
    """The size of an answer."""
    results: int
    """The number of results."""
    moved_bytes: int
    """The bytes that a call transfers."""


def plain_frames(component: Component, function: str) -> PlainFrames | None:
    """Return the frames of the calls of an export; `None` if it takes or returns something else than numbers."""
    params, results = component.parameter_types(function), component.result_types(function)
    found = component.check_call(function, len(params))
    arguments, values = [[_format_of(type_) for type_ in types] for types in (params, results)]
    if None in arguments or None in values:
        return None
    call = struct.Struct(CALLED.format + "".join(one[1] for one in arguments if one))
    answer = struct.Struct(_ANSWERED + "".join(one[1] for one in values if one))
    if max(call.size, answer.size) > FRAME_BYTES:
        return None
    is_module = component.kind == "module"
    return PlainFrames(
        classes=tuple(one[0] for one in arguments if one),
        write_call=struct.Struct(f"<{EXCHANGE}{call.format[1:]}").pack_into,
        call_bytes=call.size,
        unpack_call=call.unpack,
        pack_answer=answer.pack,
        read_answer=answer.unpack_from,
        answer_bytes=answer.size,
        results=len(results),
        moved_bytes=8 * (len(params) + len(results)) if is_module else found.fixed_bytes,
    )


def _format_of(type_: Any) -> tuple[type, str] | None:
    """Return the class and the `struct` format of the values of a type; `None` if they are not numbers."""
    if isinstance(type_, str):
        found: Any = CORE_FORMATS.get(type_)
    else:
        found = FORMATS.get(type_.name) if isinstance(type_, Primitive) else None
    return None if found is None else found[:2]
