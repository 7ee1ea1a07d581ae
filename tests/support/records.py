"""Records by hand, and strategies for records with any text in them."""

from __future__ import annotations

from hypothesis import strategies as st

from pytest_airssys_wasm.reporting.model import (
    ExecutionRecord,
    Report,
    RequirementRecord,
    SessionInfo,
    TestRecord,
)

SESSION = SessionInfo(
    tool_version="0.1.0",
    runtime="wasmtime-py",
    runtime_version="50.0.1",
    python_version="3.12.1",
    platform="Linux-x86_64",
    started_at="2025-03-14T15:09:26Z",
    duration_s=41.5,
    limits="defaults: memory as each test says, fuel 1,000,000, timeout 100 ms",
)
HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "a\nb\r\tc\u2028d\u2029e",
    "\u202egnp.exe\u2066",
    "</script><script>alert(1)</script><!--",
    '"><img src=x onerror=alert(1)>',
    "a|b`c`*d*_e_[f](http://g)@h #1 www.i.j $k$ ~~l~~ \\| &amp;",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800",
    "",
)

names = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=40),  # lone surrogates among them
    st.text("|`*_[]()<>&@#!\\$~.:/wh\n\"'", max_size=20),
)


def execution(**changes):
    """An execution that ended well, with these changes."""
    fields = dict(
        test="tests/test_a.py::test_a",
        component="guest",
        export="run",
        verdict="ok",
        fuel_consumed=100,
        fuel_is_exact=True,
        fuel_limit=1_000,
        wall_ms=1.0,
        timeout_ms=100.0,
        peak_memory_bytes=65_536,
        memory_limit_bytes=1_048_576,
        denied_growths=0,
        host_calls=0,
        transfer_bytes=0,
        cpu_ms=0.5,
        call=None,
        message=None,
    )
    return ExecutionRecord(**fields | changes)


def outcome(**changes):
    """A test that passed, with these changes."""
    fields = dict(
        test="tests/test_a.py::test_a", kind="test", outcome="passed", duration_s=0.5, reason=None, requirement=None
    )
    if changes.get("outcome") == "known":
        changes |= {"outcome": "skipped", "is_known_failure": True}
    return TestRecord(**fields | changes)


def report(*, tests=(), requirements=(), executions=(), session=SESSION):
    return Report(session=session, tests=tuple(tests), requirements=tuple(requirements), executions=tuple(executions))


counts = st.integers(0, 2**64 - 1)
amounts = st.floats(0, 1e12)
executions = st.builds(
    ExecutionRecord,
    test=names,
    component=names,
    export=st.none() | names,
    verdict=st.sampled_from(["ok", "out-of-fuel", "trap"]),
    fuel_consumed=counts,
    fuel_is_exact=st.booleans(),
    fuel_limit=st.none() | counts,
    wall_ms=amounts,
    timeout_ms=st.none() | amounts,
    peak_memory_bytes=counts,
    memory_limit_bytes=counts,
    denied_growths=counts,
    host_calls=counts,
    transfer_bytes=counts,
    cpu_ms=st.none() | amounts,
    call=st.none() | names,
    message=st.none() | names,
)
requirements = st.builds(RequirementRecord, id=names, chapter=names, sentence=names)
outcomes = st.builds(
    TestRecord,
    test=names,
    kind=st.sampled_from(["test", "check", "case", "law"]),
    outcome=st.sampled_from(["passed", "failed", "skipped"]),
    duration_s=amounts,
    reason=st.none() | names,
    requirement=st.none() | names,
    is_known_failure=st.booleans(),
    overruled=st.lists(names, max_size=2).map(tuple),
    section=st.none() | st.lists(names, min_size=1, max_size=3).map("\n".join),
    is_cut_off=st.booleans(),
)
sessions = st.builds(
    SessionInfo,
    tool_version=names,
    runtime=names,
    runtime_version=names,
    python_version=names,
    platform=names,
    started_at=names,
    duration_s=amounts,
    limits=names,
)
reports = st.builds(
    Report,
    session=sessions,
    tests=st.lists(outcomes, max_size=4).map(tuple),
    requirements=st.lists(requirements, max_size=3).map(tuple),
    executions=st.lists(executions, max_size=6).map(tuple),
)
