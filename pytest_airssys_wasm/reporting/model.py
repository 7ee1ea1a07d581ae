"""What a report holds: the tests of a session and every execution of guest code in it.

Descriptions stand in the types, because the JSON schema shows them too.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

FORMAT = 1
"""Version of the data. It grows when a field changes its meaning or goes, not when one is added."""

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]


class ExecutionRecord(Struct, frozen=True, kw_only=True):
    """One entry into guest code: an instantiation, or a call of an export."""

    test: Annotated[str, Meta(description="pytest node id of the test that caused it")]
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
    peak_memory_bytes: Annotated[Count, Meta(description="the most that all memories of the store held together")]
    memory_limit_bytes: Count
    denied_growths: Annotated[Count, Meta(description="memory growths that the limit refused")]
    host_calls: Annotated[Count, Meta(description="calls from the guest into host functions")]
    transfer_bytes: Annotated[Count, Meta(description="bytes lifted out of and lowered into the guest")]
    call: Annotated[str | None, Meta(description="the call in WAVE notation, where the verdict is not `ok`")]
    message: Annotated[str | None, Meta(description="what went wrong, where the verdict is not `ok`")]


class TestRecord(Struct, frozen=True, kw_only=True):
    """How one test ended."""

    __test__ = False  # no test itself, whatever pytest makes of the name

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
        Meta(description="why it failed or was skipped, in one line; of a check that passed, what it found"),
    ]
    requirement: Annotated[str | None, Meta(description="what a conformance case proves, such as `FUEL-3`")]
    is_known_failure: Annotated[
        bool,
        Meta(description="whether it failed as was expected: `xfail`, `--wasm-expectations`; it is `skipped` then"),
    ] = False

    @property
    def ending(self) -> str:
        """The outcome, with known failures told from what was not run."""
        return "known" if self.is_known_failure else self.outcome


class RequirementRecord(Struct, frozen=True, kw_only=True):
    """One thing that the conformance suite demands of a runtime."""

    id: str
    chapter: str
    sentence: str


class SessionInfo(Struct, frozen=True, kw_only=True):
    """Which tools ran, where, when, and under which limits."""

    tool_version: str
    runtime: Annotated[str, Meta(description="what ran the guests, such as `wasmtime-py`")]
    runtime_version: str
    python_version: str
    platform: str
    started_at: Annotated[str, Meta(description="ISO 8601, UTC")]
    duration_s: Annotated[Amount, Meta(description="seconds")]
    limits: Annotated[str, Meta(description="the limits in force where no test says otherwise")]


class Report(Struct, frozen=True, kw_only=True):
    """A whole session."""

    format: int = FORMAT
    session: SessionInfo
    tests: tuple[TestRecord, ...]
    requirements: tuple[RequirementRecord, ...]
    executions: tuple[ExecutionRecord, ...]
