"""The refusal of the network for this process: from a call on, the kernel refuses to make sockets.

A seccomp filter needs no privileges and no namespaces. Pairs of sockets stay possible: they lead nowhere else.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's name of the calling convention, and the number of `socket` in it, by machine."""
_IO_URING_SETUP = 425
"""The number of the call that makes rings, which make sockets without `socket`; it is the same on all machines."""
_X32 = 0x40000000
"""The first number that means a call of another convention of x86-64."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _CONVENTION_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_network() -> bool:
    """Refuse sockets to this process for ever, and return whether that worked: on Linux, on the machines known here."""
    known = _SOCKET.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    code = _program(*known)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    # Unprivileged processes may only filter what can never gain privileges.
    failed = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program))
    return not failed


def _program(convention: int, socket: int) -> bytes:
    # Each jump counts the instructions that it passes over.
    return b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _CONVENTION_AT),
            (_IF_EQUAL, 0, 5, convention),
            (_LOAD, 0, 0, _NUMBER_AT),
            (_IF_AT_LEAST, 3, 0, _X32),
            (_IF_EQUAL, 2, 0, socket),
            (_IF_EQUAL, 1, 0, _IO_URING_SETUP),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        )
    )
