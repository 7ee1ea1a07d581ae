"""What kind of guest some bytes are, before wasmtime sees them: component, module, text, or what else they are."""

from __future__ import annotations

from typing import Literal

from pytest_airssys_wasm.runtime.errors import InvalidComponent

Kind = Literal["component", "module"]

_MAGIC = b"\0asm"
_VERSIONS: dict[bytes, Kind] = {b"\x01\0\0\0": "module", b"\x0d\0\x01\0": "component"}
_FOREIGN = {
    b"\x7fELF": "an ELF binary of this machine, not WebAssembly",
    b"!<arch>": "a static library, not WebAssembly",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"BC\xc0\xde": "LLVM bitcode",
}


def to_binary(source: bytes, name: str) -> tuple[Kind, bytes]:
    """The kind of a guest and its binary; WebAssembly text is translated.

    Raises `InvalidComponent` saying what `source` is instead.
    """
    if source[:4] == _MAGIC:
        if len(source) < 8:
            raise InvalidComponent(
                f"{name}: truncated: {len(source)} bytes are not even a WebAssembly preamble (8 bytes)"
            )
        kind = _VERSIONS.get(source[4:8])
        if kind is None:
            raise InvalidComponent(f"{name}: unknown WebAssembly version and layer {source[4:8].hex(' ')}")
        return kind, source
    if not source.strip():
        raise InvalidComponent(f"{name}: empty")
    for magic, what in _FOREIGN.items():
        if source.startswith(magic):
            raise InvalidComponent(f"{name}: {what}")
    return _from_text(source, name)


def _from_text(source: bytes, name: str) -> tuple[Kind, bytes]:
    import wasmtime

    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidComponent(
            f"{name}: neither a WebAssembly binary (it would begin with 00 61 73 6d) nor text"
        ) from None
    if not text.lstrip().startswith(("(", ";;")):
        raise InvalidComponent(f"{name}: neither a WebAssembly binary nor WebAssembly text (it would begin with '(')")
    try:
        binary = bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise InvalidComponent(f"{name}: not valid WebAssembly text: {error}") from None
    return _VERSIONS[binary[4:8]], binary
