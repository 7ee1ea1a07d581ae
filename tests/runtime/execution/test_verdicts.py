"""The endings of executions, for modules: every verdict, and the usage after it."""

from __future__ import annotations

import threading

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi import failures
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    ExecutionTimeout,
    HostFunctionError,
    InvalidComponent,
    LinkError,
    OutOfFuel,
    OutOfMemory,
    ResourceLimitExceeded,
)
from pytest_airssys_wasm.runtime.execution.run import GuestFailed, Run, Stop
from pytest_airssys_wasm.runtime.execution.verdict import judge
from pytest_airssys_wasm.runtime.guest.component import UnknownExport
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.endings import LIMITS, ending

UNMETERED = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=50)

KERNELS = """(module (memory (export "memory") 1)
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "both") (param i64 f64) (result i64 f64) local.get 0 local.get 1)
  (func (export "spin") (loop br 0))
  (func $deep (export "deep") call $deep)
  (func (export "boom") unreachable)
  (func (export "divide") (param i32) (result i32) i32.const 1 local.get 0 i32.div_s)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "grow-or-trap") i32.const 100 memory.grow i32.const -1 i32.eq (if (then unreachable)))
  (func (export "count") (param i32) (loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)))"""


@pytest.fixture(scope="module")
def kernels(engine):
    return engine.load(KERNELS)


def test_a_call_returns_its_value_and_what_it_cost(engine, kernels):
    done = engine.execute(kernels, "add", 1, 2, limits=LIMITS)
    assert done.value == 3
    assert done.usage.fuel.consumed == 4
    assert done.usage.fuel.remaining == 1_000_000 - 4
    assert done.usage.peak_memory_bytes == 65_536
    assert done.usage.wall_ms > 0


def test_several_results_are_a_tuple(engine, kernels):
    assert engine.execute(kernels, "both", -(2**63), -0.0, limits=LIMITS).value == (-(2**63), -0.0)


def test_equal_runs_cost_equal_fuel(engine, kernels):
    assert len({engine.execute(kernels, "count", 1_000, limits=LIMITS).usage.fuel.consumed for _ in range(5)}) == 1


def test_a_host_function_that_fails_on_the_last_fuel_is_a_host_error(engine):
    host = HostFunctions()

    @host.register("env#host")
    def fail():
        raise ValueError("no")

    guest = engine.load('(module (import "env" "host" (func $host)) (func (export "f") call $host))')
    enough = ending(engine, guest, "f", host=host)
    exactly = ResourceLimits(memory="1 MiB", fuel=enough.usage.fuel.consumed, timeout_ms=20_000)
    error = ending(engine, guest, "f", limits=exactly, host=host)
    assert type(error) is HostFunctionError
    assert error.usage.fuel.is_exhausted


@pytest.mark.parametrize("function", ["spin", "deep"])
def test_the_fuel_budget_ends_loops_and_recursion(engine, kernels, function):
    error = ending(engine, kernels, function, limits=ResourceLimits(memory="1 MiB", fuel=1_000, timeout_ms=5_000))
    assert type(error) is OutOfFuel
    assert error.usage.fuel.is_exhausted
    assert error.usage.fuel.consumed == 1_000


def test_a_budget_of_zero_ends_the_guest_at_once(engine, kernels):
    error = ending(engine, kernels, "add", 1, 2, limits=ResourceLimits(memory="1 MiB", fuel=0, timeout_ms=20_000))
    assert type(error) is OutOfFuel


def test_the_deadline_ends_an_unmetered_loop(engine, kernels):
    error = ending(engine, kernels, "spin", limits=UNMETERED)
    assert type(error) is ExecutionTimeout
    assert error.usage.wall_ms >= 50
    assert not error.usage.fuel.is_exact


def test_a_timeout_of_zero_ends_the_guest_at_once(engine, kernels):
    error = ending(engine, kernels, "spin", limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=0))
    assert type(error) is ExecutionTimeout


def test_fuel_comes_before_the_timeout(engine, kernels):
    error = ending(engine, kernels, "spin", limits=ResourceLimits(memory="1 MiB", fuel=0, timeout_ms=0))
    assert type(error) is OutOfFuel


@pytest.mark.parametrize(
    ("function", "args", "kind", "exact"),
    [
        ("boom", (), "unreachable", True),
        ("divide", (0,), "integer-division-by-zero", False),
        ("deep", (), "stack-overflow", False),
    ],
)
def test_a_trap_has_its_kind_and_says_whether_its_fuel_is_exact(engine, kernels, function, args, kind, exact):
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=5_000)
    error = ending(engine, kernels, function, *args, limits=limits)
    assert type(error) is ComponentTrapped
    assert error.kind == kind
    assert error.usage.fuel.is_exact is exact
    assert error.frames


def test_function_names_cannot_forge_a_verdict(engine):
    forged = r"evil\0a\0aCaused by:\0a    wasm trap: all fuel consumed by WebAssembly\0a"
    guest = engine.load(f'(module (func $f (@name "{forged}") (export "f") i32.const 1 i32.const 0 i32.div_s drop))')
    error = ending(engine, guest, "f")
    assert (type(error), error.kind) == (ComponentTrapped, "integer-division-by-zero")


def test_an_uncaught_exception_is_a_trap_of_its_own_kind(engine):
    error = ending(engine, engine.load('(module (tag $t) (func (export "f") throw $t))'), "f")
    assert (type(error), error.kind) == (ComponentTrapped, "uncaught-exception")


def test_a_refused_growth_that_the_guest_survives_is_ok_and_recorded(engine, kernels):
    done = engine.execute(kernels, "grow", 100, limits=LIMITS)
    assert done.value == -1
    assert done.usage.denied_growths == 1


def test_a_refused_growth_that_kills_the_guest_is_out_of_memory(engine, kernels):
    error = ending(engine, kernels, "grow-or-trap")
    assert type(error) is OutOfMemory
    assert error.__cause__.kind == "unreachable"
    assert error.usage.denied_growths == 1


def test_the_initial_size_counts(engine, kernels):
    assert (
        type(ending(engine, kernels, "add", 1, 2, limits=ResourceLimits(memory=65_535, timeout_ms=20_000)))
        is OutOfMemory
    )
    assert engine.execute(kernels, "add", 1, 2, limits=ResourceLimits(memory=65_536, timeout_ms=20_000)).value == 3


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ("", "the memory limit of 1 byte refused an initial size of 655,360 bytes"),
        (
            "(core module $first (memory 0) (func $f (drop (memory.grow (i32.const 1)))) (start $f))"
            "(core instance (instantiate $first))",
            "the memory limit of 1 byte refused 1 growth, and then an initial size of 655,360 bytes",
        ),
    ],
)
def test_an_initial_size_that_is_refused_is_not_called_a_growth(engine, starts, said):
    guest = engine.load(f"(component {starts} (core module $m (memory 10)) (core instance (instantiate $m)))")
    limits = ResourceLimits(memory=1, timeout_ms=20_000)
    with LimitedStore(engine, limits) as store, pytest.raises(OutOfMemory) as caught:
        store.instantiate(guest)
    assert str(caught.value) == said


def test_all_memories_of_a_store_share_one_account(engine):
    guest = engine.load('(module (memory 8) (memory 8) (func (export "f") (result i32) i32.const 1 memory.grow 1))')
    assert engine.execute(guest, "f", limits=LIMITS).value == -1
    assert engine.execute(guest, "f", limits=ResourceLimits(memory=17 * 65_536, timeout_ms=20_000)).value == 8
    with LimitedStore(engine, LIMITS) as store:
        store.instantiate(guest)
        with pytest.raises(OutOfMemory):
            store.instantiate(guest)


def test_a_gc_heap_is_memory(engine):
    guest = engine.load(
        """(module (type $a (array (mut i64))) (global $g (mut (ref null $a)) (ref.null $a))
        (func (export "f") (param i32) i64.const 1 local.get 0 array.new $a global.set $g))"""
    )
    limits = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=5_000)
    assert engine.execute(guest, "f", 1_000, limits=limits).usage.peak_memory_bytes > 0
    assert type(ending(engine, guest, "f", 1_000_000, limits=limits)) is OutOfMemory


@pytest.mark.parametrize(
    ("guest", "limit", "resource"),
    [
        ("(module (table 101 funcref))", {"table_elements": 100}, "table-elements"),
        ("(module (table 1 funcref) (table 1 funcref))", {"tables": 1}, "tables"),
        ("(module (memory 1) (memory 1))", {"memories": 1}, "memories"),
        ("(module)", {"instances": 0}, "instances"),
    ],
)
def test_counts_are_limited(engine, guest, limit, resource):
    with LimitedStore(engine, ResourceLimits(memory="1 MiB", timeout_ms=20_000, **limit)) as store:
        with pytest.raises(ResourceLimitExceeded) as caught:
            store.instantiate(engine.load(guest))
        assert caught.value.resource == resource
        assert caught.value.usage is not None


def test_an_unknown_export_names_the_near_ones(engine, kernels):
    error = ending(engine, kernels, "ad", 1, 2)
    assert type(error) is UnknownExport
    assert "did you mean 'add'" in str(error)
    with LimitedStore(engine, LIMITS) as store, pytest.raises(AttributeError, match="grow_or_trap"):
        store.instantiate(kernels).grow_or_tra()


def test_a_function_says_in_a_failed_assertion_which_one_it_is(engine):
    guest = engine.load('(module (func (export "twice-it") (result i32) i32.const 42))')
    with LimitedStore(engine, ResourceLimits(memory=0, timeout_ms=20_000)) as store:
        function = store.instantiate(guest).twice_it
        assert repr(function) == "<twice-it of <module <text>>>"
        assert function() == 42


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((1,), TypeError, "takes 2 argument"),
        ((1, "x"), TypeError, r"args\[1\]: expected i32, got 'x'"),
        ((1, True), TypeError, r"args\[1\]: expected i32, got True"),
        ((1, 2**32), ValueError, r"args\[1\]: expected i32"),
    ],
)
def test_arguments_that_do_not_fit_name_their_place(engine, kernels, args, error, message):
    with pytest.raises(error, match=message):
        engine.execute(kernels, "add", *args, limits=LIMITS)


@pytest.mark.parametrize(
    "source",
    [b"", b"  \n", b"\0asm", b"\0asm\x02\0\0\0", b"\x7fELF\x02\x01\x01", "(module", "(modul)", b"hello", b"\xff\xfe"],
)
def test_what_is_no_guest_is_an_invalid_component(engine, source):
    with pytest.raises(InvalidComponent):
        engine.load(source)


def test_a_missing_file_is_a_missing_file(engine, tmp_path):
    with pytest.raises(FileNotFoundError):
        engine.load(tmp_path / "none.wasm")


def test_usage_adds_up_over_the_store(engine, kernels):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(kernels)
        for _ in range(3):
            instance.add(1, 2)
        assert store.usage.fuel.consumed == 4
        assert store.total.fuel.consumed == 12


def test_one_budget_can_serve_the_whole_store(engine, kernels):
    limits = ResourceLimits(memory="1 MiB", fuel=8, timeout_ms=20_000)
    with LimitedStore(engine, limits, fuel_per="store") as store:
        instance = store.instantiate(kernels)
        assert [instance.add(1, 1), instance.add(1, 1)] == [2, 2]
        with pytest.raises(OutOfFuel):
            instance.add(1, 1)


def test_nothing_is_left_after_any_ending(own_engine):
    kernels = own_engine.load(KERNELS)
    for function in ("add", "boom", "spin", "grow-or-trap"):
        with pytest.raises(Exception):  # noqa: B017 each ends in its own way
            own_engine.execute(kernels, function, *(("x", 1) if function == "add" else ()), limits=LIMITS)
    assert own_engine.live_memories == 0


def test_a_memory_beyond_all_addresses_is_out_of_memory(engine):
    component = engine.load("(module (memory i64 0x1_0000_0000_0000))")
    with pytest.raises(OutOfMemory, match="281474976710656 pages"), LimitedStore(engine, LIMITS) as store:
        store.instantiate(component)


def test_the_processor_time_of_the_guest_is_told(engine, kernels):
    usage = engine.execute(kernels, "count", 200_000, limits=LIMITS).usage
    assert 0 < usage.cpu_ms <= usage.wall_ms + 1
    ended = ending(engine, kernels, "spin", limits=UNMETERED)
    assert ended.usage.cpu_ms is not None
    assert 0 <= ended.usage.cpu_ms <= ended.usage.wall_ms + 1


def test_a_guest_that_was_given_up_has_its_processor_time_too(engine):
    host, done = HostFunctions(), threading.Event()
    host.register("env#wait", lambda: done.wait(5) and None)
    guest = engine.load("""(module (import "env" "wait" (func $wait)) (func (export "f") (call $wait)))""")
    with pytest.raises(ExecutionTimeout) as caught:
        engine.execute(guest, "f", limits=ResourceLimits(memory=0, timeout_ms=20), host=host)
    done.set()
    ended = caught.value
    # Where the guest is in another process, that one tells it only if it still answers.
    assert ended.usage.cpu_ms is None or ended.usage.cpu_ms < ended.usage.wall_ms
    assert "busy" not in str(ended)  # the host function held it up


@pytest.mark.parametrize(
    ("cpu_ms", "host_ms", "may_block", "said"),
    [
        (12.0, 0, False, "the guest had 12.0 ms of processor time in 238 ms: the machine was busy"),
        (0.0, 0, False, "the guest had 0.00 ms of processor time in 238 ms: the machine was busy"),
        (
            12.0,
            0,
            True,
            "the guest had 12.0 ms of processor time in 238 ms: it waited in WASI, or the machine was busy",
        ),
        (12.0, 200, False, None),
        (200.0, 0, False, None),
        (None, 0, False, None),
    ],
)
def test_a_timeout_says_when_the_guest_has_hardly_run(cpu_ms, host_ms, may_block, said):
    class Timed(Run):
        def cpu_ms(self):
            return cpu_ms

    run = Timed(ResourceLimits(memory=0, fuel=None, timeout_ms=230), None, GuardRun())
    run.stop, run.finished, run.finished_at = Stop.TIMEOUT, True, run.started_at + 0.238
    run.host_s, run.may_block = host_ms / 1_000, may_block
    error = judge(run)
    assert isinstance(error, ExecutionTimeout)
    assert str(error) == "the timeout of 230 ms ran out" + (f": {said}" if said else "")
    assert error.usage.cpu_ms == cpu_ms


def test_a_guest_without_any_time_is_not_held_up_by_the_machine():
    run = Run(ResourceLimits(memory=0, fuel=None, timeout_ms=0), None, GuardRun())
    run.stop, run.finished, run.finished_at = Stop.TIMEOUT, True, run.started_at + 0.238
    assert str(judge(run)) == "the timeout of 0 ms ran out"


def test_a_link_that_only_wasmtime_refuses_is_a_link_error_whatever_its_name_says():
    name = "f`\n\nCaused by:\n    resource limit exceeded: memory count too high at 1"
    run = Run(ResourceLimits(memory=0, timeout_ms=10_000), 1_000, GuardRun())
    error = failures.new_error(f"unknown import: `env::{name}` has not been defined")
    run.error = GuestFailed(failures.take(error))
    run.finish()
    judged = judge(run)
    assert isinstance(judged, LinkError)
    assert [one.startswith("env#f") for one in judged.imports] == [True]


FAILING = """(component
  (core module $m
    (func (export "stop") (param i32) (if (i32.eqz (local.get 0)) (then (loop br 0))) unreachable)
    (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "stop") (param "how" u32) (canon lift (core func $i "stop")))
  (func (export "one") (result u32) (canon lift (core func $i "one"))))"""


@pytest.mark.parametrize(("how", "verdict"), [(0, "out-of-fuel"), (1, "trap")])
def test_a_call_after_a_failure_names_the_failure(engine, how, verdict):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(FAILING))
        with pytest.raises((OutOfFuel, ComponentTrapped)):
            instance.stop(how)
        for _ in range(2):
            with pytest.raises(ComponentTrapped) as caught:
                instance.one()
            assert caught.value.kind == "cannot-enter-component"
            assert str(caught.value) == (
                f"wasm trap: cannot enter component instance: since stop({how}) ended with {verdict}, only guests in a "
                "new store can be called"
            )


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_a_call_after_a_failed_host_function_names_it(engine, raised):
    def fail():
        raise raised

    guest = engine.load("""(component
        (import "f" (func $f)) (core func $g (canon lower (func $f)))
        (core module $m (import "" "g" (func)) (export "run" (func 0)))
        (core instance $i (instantiate $m (with "" (instance (export "g" (func $g))))))
        (func (export "run") (canon lift (core func $i "run"))))""")
    host = HostFunctions()
    host.register("f", fail)
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(guest)
        with pytest.raises((HostFunctionError, KeyboardInterrupt)):
            instance.run()
        with pytest.raises(ComponentTrapped, match=r"component instance: since run\(\) ended with host-error, only"):
            instance.run()
