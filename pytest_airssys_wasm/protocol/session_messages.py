"""The messages of the capability `session`: instances that live on between requests, and host functions of the driver.

While a request is worked on, the runtime may ask the driver for a host function, one at a time: a line with `for`,
and no `id`. The driver replies with `host_return` or `host_error`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, field

from pytest_airssys_wasm.runtime.base.outcome import Verdict  # noqa: TC001 msgspec looks it up at run time


class LoadRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="load"):
    """Have this component ready: what takes long before an execution, and is none of its time."""

    id: int
    component: str
    """Path of a binary or WAT file."""
    artefact: str | None = None
    """Path of what the same version of the same runtime compiled it to."""


class OpenRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", tag="open"):
    """Instantiate, in a new store or beside an instance that there is. With `call`, call it in the same execution."""

    id: int
    component: str
    artefact: str | None = None
    limits: dict[str, Any] = {}
    """As of `run`. Of a new store."""
    wasi: dict[str, Any] | None = None
    """As of `run`, and `preopen`: guest directory -> [host directory, `ro` or `rw`]. Of a new store."""
    imports: list[str] = []
    """Full names of the functions that the driver serves."""
    resources: list[str] = []
    """Full names of the resources whose objects the driver has."""
    fuel_per: Literal["step", "run"] = "step"
    beside: int | None = field(name="in", default=None)
    """A session: this is another instance in its store."""
    forget: list[int] = []
    call: str | None = None
    args: list[Any] = []


class CallRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="call"):
    """Call an export of an open session."""

    id: int
    session: int
    call: str
    args: list[Any] = []
    forget: list[int] = []
    """Guest resources that the driver holds no longer, without dropping them."""


class DropRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="drop"):
    """Give a guest's resource back: its destructor runs."""

    id: int
    session: int
    resource: int


class CloseRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="close"):
    """Release the store of a session, with all instances in it."""

    id: int
    session: int


SessionRequest: TypeAlias = LoadRequest | OpenRequest | CallRequest | DropRequest | CloseRequest


class FrameAnswer(Struct, frozen=True, array_like=True):
    """One frame of the guest's backtrace."""

    function: str | None
    module: str | None
    offset: int
    symbol: str | None


class UsageAnswer(Struct, frozen=True, kw_only=True):
    """What an execution used. As `Usage`."""

    fuel_consumed: int
    is_exact: bool
    wall_ms: float
    peak_memory_bytes: int
    denied_growths: int
    host_calls: int
    host_transfer_bytes: int


class EndAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an execution in a session ended, with all that an error of this package knows."""

    verdict: Verdict
    value: Any = UNSET
    trap: str | None = None
    resource: str | None = None
    code: int | None = None
    message: str | None = None
    cause: str | None = None
    """Of `out-of-memory`: what the trap said that it ended with; `trap` is its kind then."""
    imports: list[str] = []
    """Of `link-error`: which."""
    frames: list[FrameAnswer] = []
    usage: UsageAnswer | None = None
    """`null` when no guest code has run."""
    stdout: bytes = b""
    """What the guest wrote since the last answer."""
    stderr: bytes = b""
    is_over: bool = False
    """Whether nothing can be run in the store any more: its guest was given up."""


class SessionAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to every request of a session."""

    id: int
    session: int | None = None
    """Of `open`. It stands for the store also where the instantiation failed."""
    end: EndAnswer | None = None
    """Of what executes."""


class HostCall(Struct, frozen=True, kw_only=True):
    """The guest calls a function that the driver serves."""

    host_call: str
    args: list[Any]
    asked_for: int = field(name="for")
    fuel_left: int | None = None


class HostReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it: one of both."""

    asked_for: int = field(name="for")
    host_return: Any = UNSET
    host_error: str | None = None
