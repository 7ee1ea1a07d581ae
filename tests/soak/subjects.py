"""The subjects of a soak: the suite's cases, and further ways into the API. Each reports its ending."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, structs

from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime, LoopThread
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.model import WholeExpect
from pytest_airssys_wasm.conformance.runner import CaseRunner, missing_capabilities
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_airssys_wasm.conformance.model import Case
    from pytest_airssys_wasm.protocol.messages import StepAnswer
    from pytest_airssys_wasm.runtime.engine import WasmEngine

Outcome = tuple[Any, ...]
"""The outcome of an execution: its verdict, the kind of trap, and all else that is the same in every run."""

_PLENTY_MS = 120_000
"""The timeout of guests that no clock should end, because beside seven others even a short one takes long."""

_GUEST = """(component
  (import "pause" (func $pause (param "ms" u32)))
  (import "fail" (func $fail))
  (core func $pause' (canon lower (func $pause)))
  (core func $fail' (canon lower (func $fail)))
  (core module $m
    (import "host" "pause" (func $pause (param i32)))
    (import "host" "fail" (func $fail))
    (memory 1)
    (func (export "count") (param i32) (result i32) (local $n i32)
      (loop $again (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get 0))))
      (local.get $n))
    (func (export "spin") (loop br 0))
    (func (export "trap") (i32.store (i32.const -1) (i32.const 0)))
    (func (export "hoard") (if (i32.eq (memory.grow (i32.const 999)) (i32.const -1)) (then unreachable)))
    (func (export "fail") (call $pause (i32.const 1)) (call $fail))
    (func (export "pauses") (param $times i32) (param $ms i32)
      (loop (call $pause (local.get $ms)) (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
  (core instance $i (instantiate $m
    (with "host" (instance (export "pause" (func $pause')) (export "fail" (func $fail'))))))
  (func (export "count") (param "to" u32) (result u32) (canon lift (core func $i "count")))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "hoard") (canon lift (core func $i "hoard")))
  (func (export "fail") (canon lift (core func $i "fail")))
  (func (export "pauses") (param "times" u32) (param "ms" u32) (canon lift (core func $i "pauses"))))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Something to execute, over and over."""

    name: str
    act: Callable[[], Outcome]


def all_subjects(engine: WasmEngine, scratch: Path, *, each: int = 1) -> Iterator[Subject]:
    """Return the subjects for this engine: of the suite one case in `each`. `scratch` is an existing folder."""
    loop = LoopThread()
    ways = {"plain": InProcessRuntime(engine), "loop": InProcessRuntime(engine, loop=loop)}
    for number, (name, case) in enumerate(islice(_cases(ways["plain"]), 0, None, each)):
        way = ("plain", "loop")[number % 2]
        yield Subject(name=f"{name} ({way})", act=partial(_run_case, case, CaseRunner(ways[way], scratch)))
    yield from _api_subjects(engine, loop)


def _cases(runtime: InProcessRuntime) -> Iterator[tuple[str, Case]]:
    for chapter in find_chapters():
        for file in chapter.cases():
            case = file.load()
            is_sure = all(len(step.expect.verdicts) == 1 for step in case.steps)
            if is_sure and not case.actors and chapter.name != "hostile" and not missing_capabilities(case, runtime):
                yield f"{chapter.name}/{file.name}", _once(case)


def _once(case: Case) -> Case:
    """The case for one store at a time, without what is measured of a process that others share; without a clock, where
    its first step is not there to be ended by it.
    """
    first = case.steps[0].expect.verdicts
    limits = case.limits
    if Verdict.TIMEOUT not in first and (limits.timeout_ms is UNSET or _is_positive(limits.timeout_ms)):
        limits = structs.replace(limits, timeout_ms=_PLENTY_MS)
    return structs.replace(case, repeat=1, concurrency=1, limits=limits, expect=WholeExpect())


def _is_positive(timeout_ms: Any) -> bool:
    return isinstance(timeout_ms, (int, float)) and timeout_ms > 0


def _run_case(case: Case, runner: CaseRunner) -> Outcome:
    (seen,) = runner.run(case).passes
    return tuple(_answered(answer) for answer in seen.answers if answer is not None)


def _answered(answer: StepAnswer) -> Outcome:
    known = (answer.verdict, answer.trap, answer.resource, answer.code, repr(answer.value))
    # A clock and a reader of output end a guest from outside: how far it has come is another matter each time.
    if answer.verdict is Verdict.TIMEOUT:
        return known  # beside seven others it may not even have been instantiated
    if answer.resource == "output":
        return (*known, answer.phase)
    return (*known, answer.phase, answer.fuel_consumed, answer.peak_memory_bytes, answer.denied_growths)


def _api_subjects(engine: WasmEngine, loop: LoopThread) -> Iterator[Subject]:
    host, blocking = HostFunctions(), HostFunctions()
    host.register("pause", lambda ms: asyncio.sleep(ms / 1_000))
    blocking.register("pause", lambda ms: time.sleep(ms / 1_000))
    for one in (host, blocking):
        one.register("fail", _fail)
    guest = engine.load(_GUEST)

    def limits(fuel: int | None = None, timeout_ms: float = _PLENTY_MS) -> ResourceLimits:
        return ResourceLimits(memory="1 MiB", fuel=fuel, timeout_ms=timeout_ms)

    asked: dict[str, tuple[str, tuple[int, ...], ResourceLimits, HostFunctions]] = {
        "count": ("count", (20_000,), limits(), host),
        "out of fuel": ("spin", (), limits(fuel=5_000), host),
        "trap": ("trap", (), limits(), host),
        "out of memory": ("hoard", (), limits(), host),
        "late": ("spin", (), limits(timeout_ms=3), host),
        "suspended": ("pauses", (2, 1), limits(), host),
        "late and suspended": ("pauses", (1, 3_600_000), limits(timeout_ms=3), host),
        "late and blocked": ("pauses", (1, 20), limits(timeout_ms=3), blocking),
        "failing": ("fail", (), limits(), host),
    }
    for name, (function, args, limited, served) in asked.items():
        execute = partial(engine.execute, guest, function, *args, limits=limited, host=served)
        begin = partial(engine.execute_async, guest, function, *args, limits=limited, host=served)
        yield Subject(name=f"{name} (execute)", act=partial(_ended, execute))
        yield Subject(name=f"{name} (execute_async)", act=partial(_ended, lambda begin=begin: loop.run(begin())))
    for name, function, args in (("at work", "spin", ()), ("suspended", "pauses", (1, 3_600_000))):
        begin = partial(engine.execute_async, guest, function, *args, limits=limits(), host=host)
        yield Subject(name=f"cancelled {name}", act=lambda begin=begin: loop.run(_cancelled(begin)))


def _fail() -> None:
    raise KeyError("this host function always fails")


def _ended(execute: Callable[[], Any]) -> Outcome:
    try:
        done = execute()
    except WasmError as error:
        if error.verdict is Verdict.TIMEOUT:
            return ((error.verdict,),)
        usage = error.usage
        fuel = usage.fuel.consumed if usage.fuel.is_exact else None
        return (
            (error.verdict, getattr(error, "kind", None), str(error), repr(error.__cause__), fuel, usage.host_calls),
        )
    return ((Verdict.OK, None, repr(done.value), done.usage.fuel.consumed, done.usage.host_calls),)


async def _cancelled(begin: Callable[[], Any]) -> Outcome:
    task = asyncio.ensure_future(begin())
    await asyncio.sleep(0.002)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return (("cancelled",),)
    return (("not cancelled",),)
