"""The names of a guest's functions in its source code.

wasmtime demangles names of Rust and C++ only in the text of a backtrace. That text contains names that the guest chose,
so it is compared with the frames themselves: a line is used only if it matches its frame, and from the first difference
on all names remain mangled.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = b"error while executing at wasm backtrace:\n"
_MANGLED = rb"_{1,4}[ZR]"
_LEGACY_HASH = r"::h[0-9a-f]{16}$"
_CRATE_HASH = r"(?<=\w)\[[0-9a-f]{1,16}\]"


class NamedFrame(Struct, frozen=True):
    """The parts of the line of a frame in the text of a backtrace."""

    offset: int
    module: bytes | None
    symbol: bytes | None
    number: int
    """The index of the function in its module."""


def demangle(text: bytes, frames: Sequence[NamedFrame], *, is_whole: bool) -> list[str | None]:
    """Return the demangled name of each frame's function, without the hashes that Rust adds; `None` for a function
    without a name.

    `text` is wasmtime's message or its beginning, and `frames` is the whole backtrace or its beginning.
    """
    printed = _printed(text, frames, is_whole)
    printed += [None] * (len(frames) - len(printed))
    return [None if frame.symbol is None else _readable(frame.symbol, name) for frame, name in zip(frames, printed)]


def _readable(symbol: bytes, printed: bytes | None) -> str:
    # Every short name is a mangled type to wasmtime: `a` would be called `signed char`.
    name = printed if printed is not None and re.match(_MANGLED, symbol) else symbol
    return _without_hashes(_decoded(name), _decoded(symbol))


def _printed(text: bytes, frames: Sequence[NamedFrame], is_whole: bool) -> list[bytes | None]:
    if not text.startswith(_HEAD):
        return []
    names: list[bytes | None] = []
    at = len(_HEAD)
    for level, frame in enumerate(frames):
        lead = b"%5d: %#8x - %s!" % (level, frame.offset, frame.module or b"<unknown>")
        if not text.startswith(lead, at):
            return names[:-1]  # the name before this went on where it seemed to end
        at += len(lead)
        symbol = b"<wasm function %d>" % frame.number if frame.symbol is None else frame.symbol
        if text.startswith(symbol + b"\n", at):
            end = at + len(symbol)
        else:
            # Demangled. A symbol with a line break would decide where its line ends, and what the next one is.
            end = text.find(b"\n", at)
            if b"\n" in symbol or end < 0:
                return names
        names.append(text[at:end])
        at = end + 1
    ends_here = not is_whole or text.startswith((b"\n", b"note: "), at) or at >= len(text)
    return names if ends_here else names[:-1]


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _without_hashes(name: str, symbol: str) -> str:
    if symbol.startswith(("_R", "__R")) and name != symbol:
        return re.sub(_CRATE_HASH, "", name)
    return re.sub(_LEGACY_HASH, "", name)
