"""The adapter protocol's messages: what a runtime is asked and how it answers.

One JSON object a line. The in-process runtime takes and gives the same objects, so that all are compared alike.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from msgspec import UNSET, Struct

from pytest_airssys_wasm.runtime.base.outcome import Verdict  # noqa: TC001 msgspec looks it up at run time

PROTOCOL = 1

MESSAGE_CHARACTERS = 2_000

CAPABILITIES: dict[str, str] = {
    "component": "loads Component Model binaries",
    "module": "loads core modules",
    "wat": "reads WebAssembly text; without it the driver translates",
    "fuel": "limits and counts fuel, at about one unit an instruction",
    "fuel-as-wasmtime": "counts fuel exactly as wasmtime does",
    "timeout": "limits wall-clock time",
    "memory": "limits memory and tells its peak",
    "counts": "limits tables, table elements, instances and memories",
    "imports": "offers the host library",
    "wasi-p1": "links WASI preview 1 to modules",
    "wasi-p2": "links WASI preview 2 to components",
    "manifest": "reads Component.toml (`configure`)",
    "concurrent": "runs several requests at once",
    "session": "keeps an instance alive between requests",
    "async-host": "host functions can suspend the guest",
    "bulk-memory": "memory.fill, memory.copy, table.fill …",
    "multi-memory": "several memories in one module",
    "memory64": "memories with 64-bit addresses",
    "tail-call": "return_call and its kin",
    "exceptions": "throw and try_table",
    "function-references": "call_ref and typed references",
    "gc": "structs and arrays",
    "simd": "vectors of 128 bits",
    "relaxed-simd": "vector operations that may differ between machines",
    "isolated-compile": "loads guests where loading is bounded in time and memory: in a process of its own, say",
    "host-rss": "its resident memory can be measured from outside (named by the driver, not by the runtime)",
}
"""What a case can need. A runtime names those it has in its answer to `hello`."""


class HelloRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="hello"):
    """Who are you, and what can you do?"""

    id: int
    protocol: int = PROTOCOL


class StepRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution. Without `call` it only instantiates."""

    call: str | None = None
    args: list[Any] = []


class RunRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", tag="run"):
    """Run these steps in one new store. The first implies an instantiation, which has a budget of its own.

    `limits` holds `memory_bytes`, `fuel`, `timeout_ms`, `tables`, `table_elements`, `instances`, `memories`,
    `transfer_bytes`, `output_bytes`. What is absent has the runtime's defaults; fuel and timeout may be
    `"unlimited"`; a value that makes no sense is to be answered with `invalid-config`.
    """

    id: int
    component: str
    """Path of a binary, or of WebAssembly text for a runtime with the capability `wat`."""
    limits: dict[str, Any]
    steps: list[StepRequest]
    wasi: dict[str, Any] | None = None
    """`args`, `env` and `stdin` that are granted; `null`: WASI is not linked."""
    imports: list[str] = []
    """The names of functions of the host library that are granted."""
    fuel_per: Literal["step", "run"] = "step"
    """Whether each step has the fuel limit to itself, or all share it."""


class ConfigureRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="configure"):
    """Read this `Component.toml`; answer with one step, whose `limits` are those it means."""

    id: int
    manifest: str


Request: TypeAlias = HelloRequest | RunRequest | ConfigureRequest


class HelloAnswer(Struct, frozen=True, kw_only=True):
    """What a runtime says of itself."""

    id: int
    runtime: str
    version: str
    capabilities: list[str]


class Refusal(Struct, frozen=True, kw_only=True):
    """The answer to a line that is not a request, or to a request that is wrong."""

    id: int | None = None
    """The number of the request; `None` where it could not be read."""
    error: str


class StepAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one execution ended and what it cost. A figure that cannot be known is null, never a guess."""

    verdict: Verdict
    value: Any = UNSET
    """What the call returned, in the protocol's encoding; only beside `ok`."""
    trap: str | None = None
    resource: str | None = None
    code: int | None = None
    message: str | None = None
    fuel_consumed: int | None = None
    elapsed_ms: float | None = None
    peak_memory_bytes: int | None = None
    denied_growths: int | None = None
    phase: Literal["instantiate"] | None = None
    """Set when it was the instantiation that ended like this."""
    limits: dict[str, Any] | None = None
    """Only of `configure`: `memory_bytes`, `fuel`, `timeout_ms`."""


class RunAnswer(Struct, frozen=True, kw_only=True):
    """One answer a step, in order. After one that is not `ok` the store is gone: nothing more is answered."""

    id: int
    steps: list[StepAnswer]


class Runtime(Protocol):
    """Whatever runs requests: this package's runtime in this process, or an adapter's process."""

    def hello(self) -> HelloAnswer:
        """Name, version and capabilities."""

    def run(self, request: RunRequest) -> RunAnswer:
        """Run the steps. Called from several threads at once if the runtime is `concurrent`."""

    def configure(self, request: ConfigureRequest) -> RunAnswer:
        """Read a manifest."""

    def process_ids(self) -> tuple[int, ...]:
        """The processes whose memory and files count as the runtime's."""
