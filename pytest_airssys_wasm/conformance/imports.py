"""The reference imports: what a runtime offers its guests so that cases can reach into the host.

A component imports them as root functions, a core module from the module `host`, with the same names:

    noop: func()                          returns at once
    echo: func(value: u32) -> u32         returns what it got
    sleep-ms: func(milliseconds: u32)     blocks the guest for that long
    suspend-ms: func(milliseconds: u32)   suspends the guest for that long; only with the capability `async-host`
    fail: func()                          fails, in whatever way a host function of the runtime can
    swallow: func(text: string)           takes a text and does nothing with it; components only
    recite: func(characters: u32) -> string
                                          returns a text of that many `a`; components only

A guest that is suspended holds up nobody: an event loop that waits for it goes on, as do all other guests. Its
deadline ends the wait itself; a blocked guest can only be given up.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

MODULE = "host"
"""The import module from which core modules take them."""


SUSPENDING = "suspend-ms"
"""The import that is a coroutine."""


class ReferenceFailure(Exception):
    """What `fail` raises."""


def _noop() -> None:
    pass


def _echo(value: int) -> int:
    return value


def _sleep_ms(milliseconds: int) -> None:
    time.sleep(milliseconds / 1_000)


async def _suspend_ms(milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1_000)


def _fail() -> None:
    raise ReferenceFailure("the reference import `fail` was called")


def _swallow(_text: str) -> None:
    pass


def _recite(characters: int) -> str:
    return "a" * characters


REFERENCE_IMPORTS: Mapping[str, Callable[..., Any]] = {
    "noop": _noop,
    "echo": _echo,
    "sleep-ms": _sleep_ms,
    SUSPENDING: _suspend_ms,
    "fail": _fail,
    "swallow": _swallow,
    "recite": _recite,
}


def reference_host(names: Iterable[str]) -> HostFunctions:
    """The host functions with these names, for components and modules alike.

    Raises `InvalidConfiguration` for a name that is none of them.
    """
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions

    host = HostFunctions()
    for name in names:
        function = REFERENCE_IMPORTS.get(name)
        if function is None:
            raise InvalidConfiguration("imports", name, f"one of {', '.join(REFERENCE_IMPORTS)}")
        host.register(name, function)
        host.register(f"{MODULE}#{name}", function)
    return host
