"""The detection of the kind of a guest from its bytes, before wasmtime reads them: component, module, text, or
something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytest_airssys_wasm.runtime.base.printable import printable_lines
from pytest_airssys_wasm.runtime.base.regular_files import decoded
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["component", "module"]

_MAGIC = b"\0asm"
_VERSIONS: dict[bytes, Kind] = {b"\x01\0\0\0": "module", b"\x0d\0\x01\0": "component"}
_MOST_CHARACTERS = 4_000
_MOST_COLUMNS = 200
_FOREIGN = {
    b"\x7fELF": "an ELF binary of this machine, not WebAssembly",
    b"!<arch>": "a static library, not WebAssembly",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"BC\xc0\xde": "LLVM bitcode",
}


def is_text(source: object) -> bool:
    """Return whether a string is WebAssembly text, and not the name of a file such as `(copy) add.wat`."""
    if not isinstance(source, str) or not source.lstrip().startswith(("(", ";;")):
        return False
    return "\n" in source or ";;" in source or not source.rstrip().endswith((".wat", ".wasm"))


def translate(text: bytes, name: str) -> bytes:
    """Return the binary of WebAssembly text.

    Raises `InvalidComponent`, which names `name`, for text that is not valid.
    """
    import wasmtime

    try:
        return bytes(wasmtime.wat2wasm(decoded(text)))
    except wasmtime.WasmtimeError as error:
        raise refusal(name, f"not valid WebAssembly text: {brief(error)}") from None


def to_binary(source: bytes, name: str, translate: Callable[[bytes, str], bytes] = translate) -> tuple[Kind, bytes]:
    """Return the kind of a guest and its binary; WebAssembly text is translated by `translate`.

    Raises `InvalidComponent`, which describes what `source` contains instead, and the errors of `translate`.
    """
    if source[:4] == _MAGIC:
        return _kind(source, name), source
    if not source.strip():
        raise InvalidComponent(f"{name}: empty")
    for magic, what in _FOREIGN.items():
        if source.startswith(magic):
            raise InvalidComponent(f"{name}: {what}")
    _check_text(source, name)
    binary = translate(source, name)
    if binary[:4] != _MAGIC:  # text may hold any bytes as they are: (module binary "…")
        raise InvalidComponent(f"{name}: WebAssembly text that does not produce a WebAssembly binary")
    return _kind(binary, name), binary


def refusal(name: str, reason: str) -> InvalidComponent:
    """Return the error for a guest that wasmtime refuses for this reason, in which wasmtime calls a text `<anon>`."""
    return InvalidComponent(f"{name}: {reason.replace('--> <anon>:', f'--> {name}:', 1)}")


def brief(error: Exception) -> str:
    """Return the message of an error, bounded in length and printable.

    wasmtime quotes lines and names of guests, which may be megabytes long.
    """
    lines = str(error)[:_MOST_CHARACTERS].rstrip().split("\n")
    shown = (line if len(line) <= _MOST_COLUMNS else line[:_MOST_COLUMNS] + "…" for line in lines)
    return printable_lines("\n".join(shown))


def _kind(binary: bytes, name: str) -> Kind:
    if len(binary) < 8:
        raise InvalidComponent(f"{name}: truncated: {len(binary)} bytes are not even a WebAssembly preamble (8 bytes)")
    kind = _VERSIONS.get(binary[4:8])
    if kind is None:
        raise InvalidComponent(f"{name}: unknown WebAssembly version and layer {binary[4:8].hex(' ')}")
    return kind


def _check_text(source: bytes, name: str) -> None:
    try:
        text = decoded(source)
    except UnicodeDecodeError:
        raise InvalidComponent(
            f"{name}: neither a WebAssembly binary (it would begin with 00 61 73 6d) nor text"
        ) from None
    if not text.lstrip().startswith(("(", ";;")):
        raise InvalidComponent(f"{name}: neither a WebAssembly binary nor WebAssembly text (it would begin with '(')")
