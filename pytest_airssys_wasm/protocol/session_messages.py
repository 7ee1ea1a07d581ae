"""The messages of the capability `session`: instances that live on between requests, and host functions of the driver.

While a request is open, the runtime may call host functions of the driver, one at a time, in a line with `for` and
without `id`. The driver replies with `host_return` or `host_error`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, field

from pytest_airssys_wasm.runtime.base.outcome import Verdict  # noqa: TC001 msgspec looks it up at run time


class LoadRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="load"):
    """The request to load a component before its first execution, so that loading does not count as time of the
    execution.
    """

    id: int
    component: str
    """The path of a binary or WAT file."""
    artefact: str | None = None
    """The path of the artefact to which the same version of the same runtime compiled the component."""


class OpenRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", tag="open"):
    """The request to instantiate a component, and to make the `call` in the same execution if one is given."""

    id: int
    component: str
    artefact: str | None = None
    limits: dict[str, Any] = {}
    """The limits of a new store, as in a `RunRequest`."""
    wasi: dict[str, Any] | None = None
    """The WASI grants of a new store, as in a `RunRequest`, and `preopen`: from a guest directory to a list of a host
    directory and `ro` or `rw`."""
    imports: list[str] = []
    """The full names of the functions that the driver serves."""
    resources: list[str] = []
    """The full names of the resources that the driver implements."""
    fuel_per: Literal["step", "run"] = "step"
    """The scope of the fuel limit in a new store: each execution, or all executions together."""
    beside: int | None = field(name="in", default=None)
    """The session in whose store the instance is created; `None` creates a new store."""
    forget: list[int] = []
    """The guest resources that the driver no longer holds, without having dropped them."""
    call: str | None = None
    args: list[Any] = []
    probes: tuple[str, int, int] | None = None
    """The file in which the probes of an instrumented component are found, with the two sizes of its memory, as in a
    `ProbeFile`. Only workers take it.
    """


class CallRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="call"):
    """The request to call an export of an open session."""

    id: int
    session: int
    call: str
    args: list[Any] = []
    forget: list[int] = []
    """The guest resources that the driver no longer holds, without having dropped them."""


class DropRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="drop"):
    """The request to drop a guest's resource, whose destructor runs."""

    id: int
    session: int
    resource: int


class CloseRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="close"):
    """The request to release the store of a session, with all instances in it."""

    id: int
    session: int


SessionRequest: TypeAlias = LoadRequest | OpenRequest | CallRequest | DropRequest | CloseRequest


class UsageAnswer(Struct, frozen=True, kw_only=True):
    """The usage of an execution, with the fields of `Usage`."""

    fuel_consumed: int
    is_exact: bool
    wall_ms: float
    peak_memory_bytes: int
    denied_growths: int
    host_calls: int
    host_transfer_bytes: int
    cpu_ms: float | None = None
    """The milliseconds of processor time of the guest's thread; `None` where the runtime does not know them."""
    host_ms: float = 0.0
    """The milliseconds in host functions."""


class EndAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of an execution in a session, with the fields of `Outcome`."""

    verdict: Verdict
    value: Any = UNSET
    trap: str | None = None
    resource: str | None = None
    code: int | None = None
    message: str | None = None
    cause: str | None = None
    """The message of the trap, whose kind is in `trap`, for an `out-of-memory` that a trap ended."""
    imports: list[str] = []
    """The full names of the imports that cannot be linked, for the verdict `link-error`."""
    frames: list[tuple[str | None, str | None, int, str | None]] = []
    """The guest's backtrace, innermost frame first: function, module, offset and symbol of each."""
    usage: UsageAnswer | None = None
    """The usage of the execution; `None` if no guest code has run."""
    stdout: bytes = b""
    """The bytes that the guest wrote to stdout since the last answer."""
    stderr: bytes = b""
    """The bytes that the guest wrote to stderr since the last answer."""
    is_over: bool = False
    """Whether the store cannot be used any more, because its guest was abandoned."""


class SessionAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to every request of a session."""

    id: int
    session: int | None = None
    """The number of the new session, in the answer to `open`. It identifies the store even if the instantiation
    failed.
    """
    end: EndAnswer | None = None
    """The outcome of the execution, in the answer to a request that executes something."""


class HostCall(Struct, frozen=True, kw_only=True):
    """The call of a function that the driver serves, made by a guest."""

    host_call: str
    args: list[Any]
    asked_for: int = field(name="for")
    fuel_left: int | None = None


class HostReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reply to a host call, with either a return or an error."""

    asked_for: int = field(name="for")
    host_return: Any = UNSET
    host_error: str | None = None
