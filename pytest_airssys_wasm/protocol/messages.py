"""The messages of the adapter protocol: the requests to a runtime, and its answers.

Each message is one JSON object on one line. The in-process runtime takes and returns the same objects, so that all
runtimes are compared in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import UNSET, Struct

from pytest_airssys_wasm.runtime.base.outcome import Verdict  # noqa: TC001 msgspec looks it up at run time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

PROTOCOL = 1

OUTPUT_BYTES = 65_536
"""The number of bytes of stdout or stderr beyond which an answer may leave them out."""

MESSAGE_CHARACTERS = 2_000

CAPABILITIES: dict[str, str] = {
    "component": "loads Component Model binaries",
    "module": "loads core modules",
    "wat": "reads WebAssembly text; without it the driver translates",
    "fuel": "`fuel-limit` and `fuel-count`",
    "fuel-limit": "ends guests that have spent their fuel, of about one unit an instruction",
    "fuel-count": "tells how much fuel was consumed",
    "fuel-of-bulk-operations": "charges bulk operations for what they touch",
    "fuel-as-wasmtime": "counts fuel exactly as wasmtime does",
    "timeout": "`timeout-limit`, `timeout-in-host` and `timeout-10ms`",
    "timeout-limit": "ends guests within a second of their deadline",
    "timeout-in-host": "ends guests that are blocked in host functions and in WASI for their callers",
    "timeout-10ms": "ends guests within 10 ms of their deadline",
    "memory": "`memory-limit`, `store-memory-limit`, `gc-heap-limit`, `memory-peak` and `memory-denials`",
    "memory-limit": "limits each linear memory",
    "store-memory-limit": "limits all memories of a store together",
    "gc-heap-limit": "counts garbage-collected heaps as memory",
    "memory-peak": "tells the peak of memory",
    "memory-denials": "tells which growths were refused, and which traps follow from that",
    "counts": "`tables-limit`, `table-elements-limit`, `instances-limit` and `memories-limit`",
    "tables-limit": "limits the tables of a store",
    "table-elements-limit": "limits the elements of a table",
    "instances-limit": "limits the core instances of a store",
    "memories-limit": "limits the memories of a store",
    "handles-limit": "limits the handles of a store",
    "open-files-limit": "grants a folder, and limits the files that the guests of a store hold open in it",
    "transfer-limit": "limits what is lifted out of a guest and lowered into it",
    "output-limit": "limits what a guest writes",
    "output": "tells what a guest writes",
    "trap-kinds": "tells each trap by its kind",
    "deterministic-nans": "gives new NaNs the canonical bits",
    "no-threads": "refuses shared memory and threads",
    "web-limits": "loads guests as large as the JavaScript interface of WebAssembly allows, and refuses larger ones",
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
    "tail-call": "return_call and similar instructions",
    "exceptions": "throw and try_table",
    "function-references": "call_ref and typed references",
    "gc": "structs and arrays",
    "simd": "vectors of 128 bits",
    "relaxed-simd": "vector operations that may differ between machines",
    "isolated-compile": "loads guests within limits on time and memory, for example in a separate process",
    "host-rss": "its resident memory can be measured from outside (named by the driver, not by the runtime)",
}
"""The capabilities that a runtime can name in its answer to `hello`, with a description."""

PARTS: dict[str, tuple[str, ...]] = {
    "fuel": ("fuel-limit", "fuel-count"),
    "timeout": ("timeout-limit", "timeout-in-host", "timeout-10ms"),
    "memory": ("memory-limit", "store-memory-limit", "gc-heap-limit", "memory-peak", "memory-denials"),
    "counts": ("tables-limit", "table-elements-limit", "instances-limit", "memories-limit"),
}
"""The capabilities that stand for several others, which a runtime can also name one by one. Cases need only parts."""

TRAP_KINDS = frozenset(
    {
        "unreachable",
        "stack-overflow",
        "memory-out-of-bounds",
        "table-out-of-bounds",
        "array-out-of-bounds",
        "indirect-call-to-null",
        "bad-signature",
        "integer-overflow",
        "integer-division-by-zero",
        "bad-conversion-to-integer",
        "null-reference",
        "cast-failure",
        "allocation-too-large",
        "uncaught-exception",
        "string-out-of-bounds",
        "list-out-of-bounds",
        "invalid-char",
        "invalid-discriminant",
        "invalid-string-encoding",
        "unaligned-pointer",
        "unknown-handle",
        "borrow-not-returned",
        "resource-lent",
        "cannot-leave-component",
        "cannot-enter-component",
    }
)
"""The kinds of traps whose names mean the same for every runtime. A runtime may have further kinds."""


def promised(named: Iterable[str]) -> frozenset[str]:
    """Return the capabilities of a runtime that names these, including their parts, and those whose parts are all
    named.
    """
    present = set(named)
    for name in tuple(present):
        present.update(PARTS.get(name, ()))
    present.update(name for name, parts in PARTS.items() if present.issuperset(parts))
    return frozenset(present)


class HelloRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="hello"):
    """The request for the name, version and capabilities of a runtime."""

    id: int
    protocol: int = PROTOCOL


class StepRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a run: one execution. A step without `call` only instantiates the component."""

    call: str | None = None
    args: list[Any] = []


class RunRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", tag="run"):
    """The request to run steps in one new store. The first implies an instantiation, which has a separate budget."""

    id: int
    component: str
    """The path of a binary, or of WebAssembly text for a runtime with the capability `wat`."""
    limits: dict[str, Any]
    """The limits `memory_bytes`, `fuel`, `timeout_ms`, `tables`, `table_elements`, `instances`, `memories`,
    `transfer_bytes` and `output_bytes`. Absent limits have the runtime's defaults, fuel and timeout may be
    `"unlimited"`, and the answer to an invalid value is `invalid-config`.
    """
    steps: list[StepRequest]
    wasi: dict[str, Any] | None = None
    """The WASI grants `args`, `env` and `stdin`; with `None` WASI is not linked. `folder` is only sent to runtimes with
    the capability `open-files-limit`: the path of an empty folder that the guest has as `/`.
    """
    imports: list[str] = []
    """The names of functions of the host library that are granted."""
    fuel_per: Literal["step", "run"] = "step"
    """The scope of the fuel limit: each step, or all steps together."""


class ConfigureRequest(Struct, frozen=True, kw_only=True, tag_field="op", tag="configure"):
    """The request to read the text of a `Component.toml`.

    Its answer has one step, with the `limits` that the manifest declares.
    """

    id: int
    manifest: str


Request: TypeAlias = HelloRequest | RunRequest | ConfigureRequest


class HelloAnswer(Struct, frozen=True, kw_only=True):
    """The name, version and capabilities of a runtime."""

    id: int
    runtime: str
    version: str
    capabilities: list[str]


class Refusal(Struct, frozen=True, kw_only=True):
    """The answer to a line that is not a request, or to an invalid request."""

    id: int | None = None
    """The number of the request; `None` if it could not be read."""
    error: str


class StepAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome and the cost of one execution. A figure that is not known is `None`, never an estimate."""

    verdict: Verdict
    value: Any = UNSET
    """The result of the call in the protocol's encoding; only with the verdict `ok`."""
    trap: str | None = None
    resource: str | None = None
    code: int | None = None
    message: str | None = None
    fuel_consumed: int | None = None
    elapsed_ms: float | None = None
    peak_memory_bytes: int | None = None
    denied_growths: int | None = None
    stdout: bytes | None = None
    """The bytes that the guest wrote to stdout since the previous answer, in base64. `None` if they are not known."""
    stderr: bytes | None = None
    """The bytes that the guest wrote to stderr since the previous answer."""
    phase: Literal["instantiate"] | None = None
    """The phase `instantiate` if the answer is about the instantiation; `None` for a call."""
    limits: dict[str, Any] | None = None
    """The limits `memory_bytes`, `fuel` and `timeout_ms` that a manifest declares; only in answers to `configure`."""


class RunAnswer(Struct, frozen=True, kw_only=True):
    """The answers to the steps, in order.

    The answers end with the first one that is not `ok`, because its store cannot be used any more.
    """

    id: int
    steps: list[StepAnswer]


class Runtime(Protocol):
    """A runtime that executes requests, in this process or in an adapter process."""

    def hello(self) -> HelloAnswer:
        """Return the name, version and capabilities of the runtime."""

    def run(self, request: RunRequest) -> RunAnswer:
        """Run the steps and return their answers.

        A runtime with the capability `concurrent` is called from several threads at once.
        """

    def configure(self, request: ConfigureRequest) -> RunAnswer:
        """Read a manifest, and return an answer with one step."""

    def temporary_folder(self) -> AbstractContextManager[Path]:
        """Return a context manager of the folder in which the runtime creates its temporary files until the context
        ends.
        """

    def process_ids(self) -> tuple[int, ...]:
        """Return the ids of the processes whose memory and files belong to the runtime."""
