"""The data of a report: the tests of a session and every execution of guest code in it.

The types contain the descriptions of fields, which become part of the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

FORMAT = 1
"""The version of the format. It increases when the meaning of a field changes or a field is removed, not when one is
added.
"""

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]


class ExecutionRecord(Struct, frozen=True, kw_only=True):
    """One entry into guest code: an instantiation, or a call of an export."""

    test: Annotated[str, Meta(description="pytest node id of the test that caused the execution")]
    component: Annotated[str, Meta(description="the guest's name")]
    export: Annotated[
        str | None, Meta(description="full name, such as `pkg:iface/name@1.0.0#func`; null: the instantiation")
    ]
    verdict: Annotated[str, Meta(pattern="^[a-z]+(-[a-z]+)*$", description="how it ended: `ok`, `out-of-fuel`, …")]
    fuel_consumed: Annotated[Count, Meta(description="units of fuel")]
    fuel_is_exact: Annotated[bool, Meta(description="false: `fuel_consumed` is a lower bound")]
    fuel_limit: Annotated[Count | None, Meta(description="units of fuel; null: unlimited")]
    wall_ms: Annotated[Amount, Meta(description="milliseconds from the entry into guest code to the verdict")]
    timeout_ms: Annotated[Amount | None, Meta(description="milliseconds; null: unlimited")]
    peak_memory_bytes: Annotated[Count, Meta(description="the largest size of all memories of the store together")]
    memory_limit_bytes: Count
    denied_growths: Annotated[Count, Meta(description="memory growths that the limit refused")]
    host_calls: Annotated[Count, Meta(description="calls from the guest into host functions")]
    transfer_bytes: Annotated[Count, Meta(description="bytes lifted out of and lowered into the guest")]
    cpu_ms: Annotated[
        Amount | None, Meta(description="milliseconds of processor time of the guest's thread; null: not known")
    ] = None
    call: Annotated[str | None, Meta(description="the call in WAVE notation; null: the verdict is `ok`")]
    message: Annotated[str | None, Meta(description="the message of the error; null: the verdict is `ok`")]


class TestRecord(Struct, frozen=True, kw_only=True):
    """The outcome of one test."""

    __test__ = False  # pytest would collect it by its name

    test: Annotated[str, Meta(description="pytest node id")]
    kind: Annotated[
        str,
        Meta(
            pattern="^(test|check|case|law)$",
            description="a Python test, a check of a Component.toml, a conformance case, or a law tried by Hypothesis",
        ),
    ]
    outcome: Annotated[str, Meta(pattern="^(passed|failed|skipped)$")]
    duration_s: Annotated[Amount, Meta(description="seconds")]
    reason: Annotated[
        str | None,
        Meta(description="why it failed or was skipped, in one line; the note of a check that passed"),
    ]
    requirement: Annotated[
        str | None, Meta(description="the requirement that a conformance case proves, such as `FUEL-3`")
    ]
    is_known_failure: Annotated[
        bool,
        Meta(
            description="whether it failed as expected (`xfail`, `--wasm-expectations`); the outcome is `skipped` then"
        ),
    ] = False
    overruled: Annotated[
        tuple[str, ...],
        Meta(description="the limits of its manifest that the command line replaced, one sentence each"),
    ] = ()
    section: Annotated[
        str | None,
        Meta(
            description="of a failure that ran a guest: verdict, call, use of limits, frames, output and the command "
            "that runs it again; of a case behind an adapter: the last requests and answers"
        ),
    ] = None
    is_cut_off: Annotated[
        bool,
        Meta(
            description="whether a check of fuzzing passed because its time was up, before it had tried all that it "
            "was to try"
        ),
    ] = False

    @property
    def category(self) -> str:
        """The outcome of the test; `known` for a known failure, whose outcome is `skipped`."""
        return "known" if self.is_known_failure else self.outcome


class RequirementRecord(Struct, frozen=True, kw_only=True):
    """A requirement of the conformance suite."""

    id: str
    chapter: str
    sentence: str


class SessionInfo(Struct, frozen=True, kw_only=True):
    """The tools, the platform, the time and the limits of a session."""

    tool_version: str
    runtime: Annotated[str, Meta(description="the runtime of the guests, such as `wasmtime-py`")]
    runtime_version: str
    python_version: str
    platform: str
    started_at: Annotated[str, Meta(description="ISO 8601, UTC")]
    duration_s: Annotated[Amount, Meta(description="seconds")]
    limits: Annotated[
        str,
        Meta(description="the limits of the command line, and the defaults of tests and manifests that set no others"),
    ]


class Report(Struct, frozen=True, kw_only=True):
    """The report of a whole session."""

    format: int = FORMAT
    session: SessionInfo
    tests: tuple[TestRecord, ...]
    requirements: tuple[RequirementRecord, ...]
    executions: tuple[ExecutionRecord, ...]
    cost_changes: Annotated[
        tuple[str, ...],
        Meta(
            description="a line for each entry of the fuel snapshot that is not as recorded, beginning with its state"
        ),
    ] = ()
