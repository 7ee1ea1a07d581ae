"""The frames of plain calls between two processes, and the structs with which the native guard exchanges them."""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_int32, c_int64, c_uint32, c_uint64, c_void_p

NOTHING_READ, NOT_WRITTEN, CALL_FAILED = -1, -2, -3
"""What the guard returns in place of the size of a frame. `NOTHING_READ`: none came, or the pipe is closed.
`NOT_WRITTEN`: the frame was not written as a whole. `CALL_FAILED`: the guest of the call that was read has failed.
"""
FRAME_BYTES = 2_048
"""The maximum size of a frame."""
FRAME_AT = 8
"""The place in `GuardPipes` from which a call is written: `CALL`, and behind it the C values of the arguments."""
CALL = "qi4xQQI4x"
"""The `struct` format of what precedes the arguments: the time in nanoseconds in which the answer is to come, negative
for any; the size of the frame; the number of the call, the number of the session, and the index of the export.
"""
ANSWER = "B7xQQ5q"
"""The `struct` format of what precedes the results: 0, which no line begins with; the number of the call; the fuel that
was left; the times of the beginning and of the end in nanoseconds, the processor time, the peak memory, and the denied
growths.
"""
CALL_BYTES, ANSWER_BYTES = 24, 64
"""The sizes of what precedes the arguments and the results in frames."""


class GuardPipes(ctypes.Structure):
    """The ends of two pipes in which frames are exchanged: `guard_pipes` in `native/guard.h`."""

    to: int
    source: int
    size: int
    """The size of the frame in `written`; 0 for none."""
    is_open: int
    """Whether a call was written and has not been answered."""

    _fields_ = (
        *(("to", c_int32), ("source", c_int32), ("wait_ns", c_int64), ("size", c_int32), ("is_looping", c_int32)),
        *(("written", c_char * FRAME_BYTES), ("read", c_char * FRAME_BYTES)),
        *(("is_open", c_int32), ("reserved", c_int32), ("private", c_int64 * 5)),
    )

    def written_bytes(self) -> bytes:
        """Return the frame that is written."""
        return ctypes.string_at(ctypes.addressof(self) + _WRITTEN_AT, self.size)

    def read_bytes(self, count: int) -> bytes:
        """Return the first bytes of the frame that was read."""
        return ctypes.string_at(ctypes.addressof(self) + READ_AT, count)


_WRITTEN_AT = GuardPipes.written.offset
READ_AT = GuardPipes.read.offset
"""The place in `GuardPipes` of the frame that was read."""


class GuardExport(ctypes.Structure):
    """An export that the guard calls when a frame asks for it: `guard_export` in `native/guard.h`."""

    error: int | None
    """The error of the last call, if it has failed. It must be taken."""

    _fields_ = (
        *(("next", c_void_p), ("session", c_uint64)),
        *((name, c_void_p) for name in ("run", "function", "error")),
        *(("index", c_uint32), ("entry", c_int32), ("arguments", c_uint32), ("results", c_uint32)),
    )
