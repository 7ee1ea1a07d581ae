"""The files of compiled guests: what wasmtime has compiled, and behind it the image of a memory if the guest has one.

What wasmtime has compiled is an ELF file, which tells where it ends. wasmtime ignores what is behind it.
"""

from __future__ import annotations

import mmap
import struct
from os import O_CLOEXEC, O_RDONLY
from typing import TYPE_CHECKING, Any

import wasmtime
from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.binary.data_images import ALIGNMENT
from pytest_airssys_wasm.runtime.capi.memory_images import ImagePlace, MemoryImage

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.data_images import DataImage
    from pytest_airssys_wasm.runtime.binary.formats import Kind

_ELF = struct.Struct("<4s36xQ10xHH2x")
"""The header of an ELF file: its magic number, and the position, the size and the number of its section headers, which
wasmtime writes last.
"""
_PLACE = struct.Struct("<4Q")
"""The fields of an `ImagePlace`, which follow the ELF file. The image itself begins at the next multiple of
`ALIGNMENT`.
"""


class CompiledGuest(Struct, frozen=True, kw_only=True):
    """A compiled guest: wasmtime's object, and the image of its memory."""

    raw: Any
    image: MemoryImage | None = None
    """The image, without which the guest would lack its data; `None` if wasmtime copies them."""


def class_of(kind: Kind) -> Any:
    """Return the class of wasmtime for a component or a module."""
    if kind == "component":
        from wasmtime.component import Component  # processes that compile modules do without it

        return Component
    return wasmtime.Module


def place_of(data: DataImage) -> ImagePlace:
    """Return the place of an image in its memory."""
    return ImagePlace(
        size_bytes=len(data.content), offset=data.offset, memory_bytes=data.memory_bytes, units=data.units
    )


def write_artefact(compiled: CompiledGuest, artefact: Path) -> None:
    """Write a guest that was compiled in this process to a file. Raises `OSError`."""
    artefact.write_bytes(compiled.raw.serialize())
    if compiled.image is not None:
        add_image(artefact, compiled.image.content, compiled.image.place)


def add_image(artefact: Path, content: bytes, place: ImagePlace) -> None:
    """Write the image of a guest behind that which wasmtime has compiled. Raises `OSError`."""
    with system.io.open(artefact, "r+b") as file:
        end = file.seek(0, 2)
        file.write(_PLACE.pack(place.size_bytes, place.offset, place.memory_bytes, place.units))
        file.seek(_position(end))
        file.write(content)


def load_artefact(kind: Kind, engine: wasmtime.Engine, artefact: Path) -> CompiledGuest:
    """Return the compiled guest in a file.

    Raises `ValueError` if the file is not an artefact, and `UnfitHost` if the machine has no memory for its image.
    """
    try:
        try:
            raw = class_of(kind).deserialize_file(engine, str(artefact))
        except wasmtime.WasmtimeError:
            if can_be_executed(artefact):
                raise
            with system.io.open(artefact, "rb") as file:
                raw = class_of(kind).deserialize(engine, file.read())
    except wasmtime.WasmtimeError as error:
        raise ValueError(str(error)) from None
    return CompiledGuest(raw=raw, image=_load_image(artefact))


def _load_image(artefact: Path) -> MemoryImage | None:
    descriptor = system.os.open(artefact, O_RDONLY | O_CLOEXEC)
    try:
        header = system.os.pread(descriptor, _ELF.size, 0)
        magic, headers_at, header_bytes, headers = _ELF.unpack(header)
        end, size_bytes = headers_at + header_bytes * headers, system.os.fstat(descriptor).st_size
        if magic != b"\x7fELF" or size_bytes < end:
            raise ValueError("not an ELF file")
        if size_bytes == end:
            return None
        found = system.os.pread(descriptor, _PLACE.size, end)
        if len(found) < _PLACE.size:
            raise ValueError("not an image")
        place = ImagePlace(**dict(zip(("size_bytes", "offset", "memory_bytes", "units"), _PLACE.unpack(found))))
        if _position(end) + place.size_bytes != size_bytes or place.offset + place.size_bytes > place.memory_bytes:
            raise ValueError("not an image")
        return MemoryImage.of_file(descriptor, _position(end), place)
    finally:
        system.os.close(descriptor)


def _position(end: int) -> int:
    """Return the position of an image in a file, in which wasmtime's part ends at `end`."""
    return -(-(end + _PLACE.size) // ALIGNMENT) * ALIGNMENT


def can_be_executed(file: Path) -> bool:
    """Return whether a file may be mapped as code, which a file system that is mounted `noexec` refuses."""
    with system.io.open(file, "rb") as opened:
        try:
            mmap.mmap(opened.fileno(), 1, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
        except PermissionError:
            return False
        except (OSError, ValueError):  # it is empty, or the machine has no memory: not a matter of permission
            pass
    return True
