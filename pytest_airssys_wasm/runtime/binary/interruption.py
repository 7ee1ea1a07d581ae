"""Whether a guest can be interrupted soon, wherever it is.

wasmtime looks at its epoch where functions and loops begin. It does not look within one bulk operation, which takes
about 1.5 ms for each MiB of memory, nor while it collects garbage or copies text from one component to another. A guest
that has none of these reaches the next look within microseconds.
"""

from __future__ import annotations

import re

from pytest_airssys_wasm.runtime.binary.data_images import find_image

_MOST_BYTES = 4 * 2**20
"""The size of a binary, without the data that is mapped, from which on it is not searched, because its data segments
are copied in one piece.
"""
_MOST_MAPPED_BYTES = 16 * 2**20
"""The bytes of data that are mapped, which are copied in one piece if the machine refuses that."""
# `memory.init`, `.copy` and `.fill`, and their like for tables; and all instructions for garbage-collected objects. The
# second byte of an instruction may be written with more bytes than it needs: then its highest bit is set.
_LONG_INSTRUCTION = re.compile(rb"\xfc[\x08\x0a-\x0c\x0e\x0f\x11\x88\x8a-\x8c\x8e\x8f\x91]|\xfb[\x00-\x1e\x80-\x9e]")
_COMPONENT = b"\0asm\x0d\0\x01\0"


def is_soon_interrupted(binary: bytes) -> bool:
    """Return whether the code of a guest can be interrupted within microseconds.

    The binary is searched, not decoded: `False` is also returned if a constant, a name or data look like such an
    instruction.
    """
    if len(binary) > _MOST_BYTES:
        image = find_image(binary)
        if image is None or image.units > _MOST_MAPPED_BYTES or len(binary) - image.units > _MOST_BYTES:
            return False
        binary = image.binary
    return _LONG_INSTRUCTION.search(binary) is None and binary.find(_COMPONENT, len(_COMPONENT)) < 0
