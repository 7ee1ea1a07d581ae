"""The images of memories, as the native guard maps them into the memories of guests."""

from __future__ import annotations

import weakref
from ctypes import c_void_p, string_at
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.budget.machine import no_memory
from pytest_airssys_wasm.runtime.capi.guard import guard

if TYPE_CHECKING:
    from typing_extensions import Self


class ImagePlace(Struct, frozen=True, kw_only=True):
    """The memory that an image belongs to, and its place in there."""

    size_bytes: int
    """The size of the image, in bytes."""
    offset: int
    """The address in the memory at which the image begins."""
    memory_bytes: int
    """The initial size of the memory, in bytes. No other memory of the guest has this size."""
    units: int
    """The units of fuel that the execution pays which gets the image."""


class MemoryImage:
    """The first content of one memory of a guest. It must live as long as the guest may be instantiated."""

    def __init__(self, address: int | None, place: ImagePlace) -> None:
        if not address:
            raise no_memory()
        self.address: int = address
        """The address of the `guard_image`."""
        self.place = place
        weakref.finalize(self, guard().image_delete, address).atexit = False

    @classmethod
    def of_bytes(cls, content: bytes, place: ImagePlace) -> Self:
        """Return an image with this content. Raises `UnfitHost` if the machine refuses it."""
        return cls(guard().image_new(-1, 0, content, place.size_bytes, *_where(place)), place)

    @classmethod
    def of_file(cls, descriptor: int, position: int, place: ImagePlace) -> Self:
        """Return an image with the content of an open file from `position` on, which may be closed afterwards.

        Raises `UnfitHost` if the machine refuses it.
        """
        return cls(guard().image_new(descriptor, position, None, place.size_bytes, *_where(place)), place)

    @property
    def content(self) -> bytes:
        """The bytes of the image."""
        # The first field of a `guard_image` is the address of its bytes.
        return string_at(c_void_p.from_address(self.address).value or 0, self.place.size_bytes)


def image_address(image: MemoryImage | None) -> int | None:
    """Return the address that a run has to have when a guest with this image is instantiated."""
    return None if image is None else image.address


def _where(place: ImagePlace) -> tuple[int, int, int]:
    return place.offset, place.memory_bytes, place.units
