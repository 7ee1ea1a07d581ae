"""The conversion of wasmtime's errors and traps to plain data.

A component's error and a module's trap have the same C representation (`Box<Error>`), so the trap code, the message and
the backtrace are read in the same way. The check at the end of this file verifies that on first use.
"""

from __future__ import annotations

import re
from ctypes import byref, c_int, c_size_t, c_uint8, string_at

from msgspec import Struct
from wasmtime._bindings import wasmtime_trap_code_enum

from pytest_airssys_wasm.runtime.base.outcome import Frame
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.backtrace import NamedFrame, demangle

_MESSAGE_BYTES = 4_000
"""The maximum number of bytes of a message that are kept. Names of the guest may make it megabytes long."""
_TEXT_BYTES = 64 * 1024
"""The maximum number of bytes of a message that are searched for names."""
_FRAMES = 64
_CAUSES = "Caused by:\n"
_MOST_CAUSES = 32
_LINKING = (
    r"(?s)component imports \w+(?: \w+)? `(?P<item>[^`]*)`"
    r"|(?:unknown import: |incompatible import type for )`(?P<module>.*?)::(?P<name>.*?)`"
)
"""The beginning of wasmtime's errors about linking. The names in them are the guest's, and may contain anything."""
_NAME_CHARACTERS = 200

_INTERRUPT = wasmtime_trap_code_enum.WASMTIME_TRAP_CODE_INTERRUPT.value

_KINDS = {
    member.value: member.name.removeprefix("WASMTIME_TRAP_CODE_").lower().replace("_", "-")
    for member in wasmtime_trap_code_enum
} | {wasmtime_trap_code_enum.WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED.value: "unreachable"}


class Failure(Struct, frozen=True):
    """An error or a trap of wasmtime, as plain data."""

    kind: str | None
    """The name of the trap code in kebab case; `None` for an error without one."""
    cause: str
    """The innermost cause, in wasmtime's words. It does not contain names of the guest, unless `unlinked` is set."""
    message: str
    """The whole message, cut in the middle when long."""
    unlinked: str | None
    """The name of the import that cannot be linked; `None` for an error that is not about linking."""
    frames: tuple[Frame, ...]
    """The guest's backtrace, innermost frame first."""
    exit_status: int | None
    """The status that the guest passed to WASI's exit; `None` unless the guest called that function."""


def take(error: int) -> Failure:
    """Convert the error or the trap at an address to plain data, and free it."""
    try:
        message, head = _message(error)
        return Failure(
            kind=_kind(error),
            cause=_innermost(message),
            message=message,
            unlinked=_unlinked(message),
            frames=_frames(error, head),
            exit_status=_exit_status(error),
        )
    finally:
        abi.error_delete(error)


def new_error(message: str) -> int:
    """Return the address of a new wasmtime error with this text. wasmtime takes ownership of the error."""
    address: int = abi.error_new(message.encode("utf-8", "replace").replace(b"\0", b""))
    return address


def new_interrupt() -> int:
    """Return the address of a new error with the trap code `interrupt`. wasmtime takes ownership of the error."""
    address: int = abi.trap_new_code(_INTERRUPT)
    return address


def new_trap(message: str) -> int:
    """Return the address of a new trap with this text, for the result of a host function of a module."""
    text = message.encode("utf-8", "replace")
    address: int = abi.trap_new(text, len(text))
    return address


def _unlinked(message: str) -> str | None:
    """Return the name of the import that an error of linking is about.

    Only the beginning of a message is read: it is the outermost error, and names of the guest may follow. The message
    of an error in guest code begins with a backtrace.
    """
    match = re.match(_LINKING, message)
    if match is None:
        return None
    found = match["item"] or f"{match['module']}#{match['name']}"
    return found[:_NAME_CHARACTERS]


def _innermost(message: str) -> str:
    """Return the innermost cause of a message: several causes are numbered, beginning with the outermost."""
    causes = message.rpartition(_CAUSES)[2]
    at = 0
    for number in range(_MOST_CAUSES):
        lead = f"{number:>5}: "
        found = 0 if not number and causes.startswith(lead) else causes.find("\n" + lead, at) + 1
        if not found and (number or not causes.startswith(lead)):
            break
        at = found + len(lead)
    return causes[at:].strip()


def _kind(error: int) -> str | None:
    code = c_uint8()
    if not abi.trap_code(error, byref(code)):
        return None
    return _KINDS.get(code.value, f"trap-code-{code.value}")


def _exit_status(error: int) -> int | None:
    status = c_int()
    return status.value if abi.error_exit_status(error, byref(status)) else None


def _message(error: int) -> tuple[str, bytes]:
    """Return the message, cut in the middle when it is long, and its beginning as bytes."""
    vector = (c_size_t * 2)()
    abi.error_message(error, vector)
    size, data = vector
    try:
        beginning = string_at(data, min(size, _TEXT_BYTES))
        if size <= _MESSAGE_BYTES:
            return beginning.decode("utf-8", "replace"), beginning + b"\n"
        half = _MESSAGE_BYTES // 2
        head, tail = beginning[:half], string_at(data + size - half, half)
        message = head.decode("utf-8", "replace") + "\n…\n" + tail.decode("utf-8", "replace")
        return message, beginning + b"\n" * (size <= _TEXT_BYTES)
    finally:
        abi.byte_vec_delete(vector)


def _frames(error: int, text: bytes) -> tuple[Frame, ...]:
    vector = (c_size_t * 2)()
    abi.error_wasm_trace(error, vector)
    count, data = vector
    try:
        pointers = (c_size_t * min(count, _FRAMES)).from_address(data) if count else ()
        frames = [
            NamedFrame(
                abi.frame_module_offset(frame),
                _name(abi.frame_module_name(frame)),
                _name(abi.frame_func_name(frame)),
                abi.frame_func_index(frame),
            )
            for frame in pointers
        ]
    finally:
        abi.frame_vec_delete(vector)
    return tuple(
        Frame(
            _shown(function) or f"<function {frame.number}>", _shown(frame.module), frame.offset, _shown(frame.symbol)
        )
        for frame, function in zip(frames, demangle(text, frames, is_whole=count <= _FRAMES))
    )


def _name(vector: int | None) -> bytes | None:
    if not vector:
        return None
    size, data = (c_size_t * 2).from_address(vector)
    # One that is longer than all that is read of the message is never compared whole.
    return string_at(data, min(size, _TEXT_BYTES))


def _shown(name: bytes | str | None) -> str | None:
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return name if name is None or len(name) <= _NAME_CHARACTERS else name[:_NAME_CHARACTERS] + "…"


def _check() -> None:
    """Check that a trap can be read with the functions for errors, and an error with the functions for traps."""
    interrupt = take(new_interrupt())
    plain = take(new_error("plain"))
    if interrupt.kind != "interrupt" or plain.kind is not None or plain.cause != "plain":
        raise abi.UnsupportedWasmtime(f"trap codes cannot be read from the errors of wasmtime {abi.WASMTIME_VERSION}")


_check()
