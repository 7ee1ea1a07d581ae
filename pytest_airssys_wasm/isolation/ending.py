"""The end of a worker or compiler process in which an error was raised."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.isolation.unfit import tell_unfit
from pytest_airssys_wasm.runtime.errors import UnfitHost

if TYPE_CHECKING:
    from collections.abc import Callable


def ending_on_error(work: Callable[..., object], *args: Any) -> None:
    """Call a function, and end this process with a text on stderr if it raises an error.

    An orderly end may take memory, threads or time that there are not, while the driver sees only that nobody answers.
    """
    try:
        work(*args)
    except UnfitHost as error:
        tell_unfit(error)
        os._exit(1)
    except MemoryError:
        # Its name on stderr tells why.
        sys.stderr.write("MemoryError\n")
        sys.stderr.flush()
        os._exit(1)
    except Exception:  # noqa: BLE001 on a thread, it would end only that, and nobody would answer any more
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
