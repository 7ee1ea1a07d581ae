"""The host library of the suite: functions that a runtime offers to guests, so that cases can reach into the host.

A component imports them as root functions, and a core module from the module `host`, by the same names:

    noop: func()                          returns at once
    echo: func(value: u32) -> u32         returns its argument
    sleep-ms: func(milliseconds: u32)     blocks the guest for that long
    suspend-ms: func(milliseconds: u32)   suspends the guest for that long; only with the capability `async-host`
    fail: func()                          fails in the way of the runtime's host functions
    swallow: func(text: string)           takes a text and ignores it; components only
    recite: func(characters: u32) -> string
                                          returns a text of that many times `a`; components only

A suspended guest blocks nothing: the event loop that awaits the guest continues to run, and so do all other guests. The
deadline of the guest ends the wait itself, whereas a blocked guest can only be abandoned.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.originals import sleep
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

MODULE = "host"
"""The module from which core modules import the functions."""

SUSPENDING = "suspend-ms"
"""The name of the function that is a coroutine."""


class HostLibraryFailure(Exception):
    """The exception that the host function `fail` raises."""


def _noop() -> None:
    pass


def _echo(value: int) -> int:
    return value


def _sleep_ms(milliseconds: int) -> None:
    sleep(milliseconds / 1_000)


async def _suspend_ms(milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1_000)


def _fail() -> None:
    raise HostLibraryFailure("the host library's `fail` was called")


def _swallow(_text: str) -> None:
    pass


def _recite(characters: int) -> str:
    return "a" * characters


HOST_LIBRARY: Mapping[str, Callable[..., Any]] = {
    "noop": _noop,
    "echo": _echo,
    "sleep-ms": _sleep_ms,
    SUSPENDING: _suspend_ms,
    "fail": _fail,
    "swallow": _swallow,
    "recite": _recite,
}


def host_library(names: Iterable[str]) -> HostFunctions:
    """Return the host functions of these names, registered for components and modules.

    Raises `InvalidConfiguration` for a name that is not in the library.
    """
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

    host = HostFunctions()
    for name in names:
        function = HOST_LIBRARY.get(name)
        if function is None:
            raise InvalidConfiguration("imports", name, f"one of {', '.join(HOST_LIBRARY)}")
        host.register(name, function)
        host.register(f"{MODULE}#{name}", function)
    return host
