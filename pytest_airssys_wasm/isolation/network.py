"""The seccomp filter that denies this process the network: once it is installed, the kernel refuses to create sockets.

It needs neither privileges nor namespaces. Socket pairs remain possible, because they do not reach other processes.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's number of the calling convention, and the number of the system call `socket`, by machine."""
_IO_URING_SETUP = 425
"""The number of the system call `io_uring_setup`, the same on all machines. Rings can create sockets without
`socket`.
"""
_X32 = 0x40000000
"""The first system call number of the x32 calling convention on x86-64."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _CONVENTION_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse_network() -> bool:
    """Permanently deny this process the creation of sockets, and return whether that worked.

    Only Linux on known machines is supported.
    """
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
