"""Guests as binaries, for runtimes that do not read WebAssembly text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.binary.formats import translate
from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from pathlib import Path


def translated(text: Path, folder: Path) -> Path:
    """The binary in `folder` that `text` stands for, written once.

    Text that is none is handed on as it is: it is no binary either, and any runtime can refuse it.
    """
    source = text.read_bytes()
    # By content: files of one name may stand in two folders.
    binary = folder / f"{hashlib.sha256(source).hexdigest()[:16]}.wasm"
    if not binary.exists():
        try:
            content = translate(source, text.name)
        except InvalidComponent:
            return text
        binary.write_bytes(content)
    return binary
