"""Keeping Python's garbage collector from old objects while a case runs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def new_garbage_only() -> Iterator[None]:
    """Let the collector pass over all objects that exist already, for as long as the context lasts.

    A test session holds hundreds of thousands of objects, and going through them again and again took a third of the
    suite's time. Garbage that others left behind is not collected meanwhile either.
    """
    if gc.get_freeze_count():  # somebody else has frozen objects, and unfreezing would undo it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
