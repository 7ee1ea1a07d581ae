"""What Python's garbage collector need not look at while a case runs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def new_garbage_only() -> Iterator[None]:
    """The collector passes over what is there already, for as long as this lasts.

    A test session holds hundreds of thousands of objects, and to go through them again and again took a third of the
    suite's time. What others have left behind is not given back meanwhile either, and counts for nobody.
    """
    if gc.get_freeze_count():  # somebody else's
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
