"""Observers of an engine are told of every execution; an error knows the call that it ended."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, LinkError, OutOfFuel
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=20_000)
GUEST = """(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "spin") (loop br 0)))
  (core instance $i (instantiate $m))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "spin-it") (canon lift (core func $i "spin"))))"""


@pytest.fixture
def watched():
    """An engine, and what its watcher was told."""
    told = []
    engine = WasmEngine(on_execution=told.append)
    yield engine, told
    engine.close()


def test_each_execution_is_told_with_its_call_verdict_and_usage(watched):
    engine, told = watched
    guest = engine.load(GUEST)
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(guest)
        instance.add(1, 2)
        with pytest.raises(OutOfFuel):
            instance.spin_it()
    engine.execute(guest, "add", 3, 4, limits=LIMITS)
    assert [(one.call.text, str(one.outcome.verdict), one.call.nth) for one in told] == [
        ("instantiate <text>", "ok", 0),
        ("add(1, 2)", "ok", 1),
        ("spin-it()", "out-of-fuel", 2),
        ("add(3, 4)", "ok", 0),
    ]
    assert told[2].outcome.usage.fuel.consumed == 10_000
    assert told[2].outcome.message == "the fuel budget of 10,000 was spent"


def test_what_never_started_is_no_execution(watched):
    engine, told = watched
    guest = engine.load('(module (import "env" "f" (func)))')
    with LimitedStore(engine, LIMITS) as store, pytest.raises(LinkError) as caught:
        store.instantiate(guest)
    assert told == []
    assert caught.value.call is None
    with LimitedStore(engine, LIMITS) as store, pytest.raises(TypeError):
        store.instantiate(engine.load(GUEST)).add("x", 1)
    assert [one.call.export for one in told] == [None]


def test_what_is_no_exception_is_told_as_a_host_error(watched):
    engine, told = watched
    host = HostFunctions()

    @host.register("env#f")
    def leave():
        raise KeyboardInterrupt

    guest = engine.load('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(guest)
        with pytest.raises(KeyboardInterrupt):
            instance.g()
        assert store.usage.host_calls == 1
    assert told[-1].outcome.verdict is Verdict.HOST_ERROR


def test_what_a_guest_wrote_is_on_the_execution_and_on_the_error(engine):
    guest = engine.load(
        r"""(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
          (func $say (export "say") (param i32)
            (drop (call $write (local.get 0) (i32.const 0) (i32.const 1) (i32.const 100))))
          (func (export "fail") (call $say (i32.const 2)) unreachable))"""
    )
    said = engine.execute(guest, "say", 1, limits=LIMITS, wasi=Wasi())
    assert (said.stdout, said.stderr) == (b"hello\n", b"")
    with pytest.raises(Exception, match="unreachable") as caught:
        engine.execute(guest, "fail", limits=LIMITS, wasi=Wasi())
    assert (caught.value.stdout, caught.value.stderr) == (b"", b"hello\n")


def test_a_name_that_the_guest_chose_sends_a_terminal_no_commands_and_makes_no_lines(engine):
    guest = engine.load(r'(module (import "en\1b[31mv" "f\0ag" (func)) (func (export "x\1b[2J\0ay")))')
    with pytest.raises(LinkError) as caught:
        engine.execute(guest, "x", limits=LIMITS)
    assert str(caught.value).splitlines()[1:] == [r"  en\x1b[31mv#f\ng: (func)"]
    with pytest.raises(LinkError) as caught:
        guest.parameter_types("z")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", [1, None, b"add", ["add"]])
def test_a_name_that_is_no_text_is_refused_by_name(engine, name):
    guest = engine.load(GUEST)
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(guest)
        for use in (instance.call, instance.__getitem__, lambda name: store.execute(guest, name)):
            with pytest.raises(TypeError, match="the name of an export must be a string, got "):
                use(name)
        assert instance.add(1, 2) == 3


def test_what_a_store_cannot_be_made_of_is_named(engine):
    guest = engine.load(GUEST)
    for name, wrong in (("limits", 5), ("host", {}), ("wasi", True)):
        with pytest.raises(InvalidConfiguration, match=f"^{name}: expected "):
            engine.execute(guest, "add", 1, 2, **{"limits": LIMITS, name: wrong})


def test_what_no_engine_or_another_has_loaded_is_refused(engine, watched):
    with LimitedStore(engine, LIMITS) as store:
        for wrong in ("guest.wat", None):
            for use in (store.instantiate, lambda wrong: store.execute(wrong, "add", 1, 2)):
                with pytest.raises(TypeError, match=r"^component: expected the result of the engine's load\(\), got "):
                    use(wrong)
        with pytest.raises(ValueError, match="was loaded by another engine"):
            store.instantiate(watched[0].load(GUEST))
        assert store.instantiate(engine.load(GUEST)).add(1, 2) == 3
    with pytest.raises(TypeError, match=r"^component: expected "):
        engine.execute("guest.wat", "add", 1, 2)


def test_without_an_asyncio_loop_awaiting_says_what_it_needs(engine):
    with LimitedStore(engine, LIMITS) as store:
        coroutine = store.execute_async(engine.load(GUEST), "add", 1, 2)
        with pytest.raises(RuntimeError, match="guests can be awaited only with asyncio"):
            coroutine.send(None)
        assert store.is_usable
