"""Guests that compilers of four languages built: text, output, host imports and resources, panics."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Variant
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    ExecutionTimeout,
    GuestExit,
    HostFunctionError,
    InvalidConfiguration,
    LinkError,
    OutOfFuel,
    OutOfMemory,
)
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.checkout import GUESTS

LIMITS = ResourceLimits(memory="4 MiB", fuel=100_000_000, timeout_ms=30_000)
HOST = "demo:hosted/host@1.0.0"


@pytest.mark.parametrize("name", ["text-transform", "as-transform"])
def test_a_transform_in_c_and_in_assemblyscript(engine, name):
    guest = engine.load(GUESTS / name / f"{name}.wasm")
    assert engine.execute(guest, "transform", "hello world", limits=LIMITS).value == Ok("Hello World")
    assert isinstance(engine.execute(guest, "transform", "", limits=LIMITS).value, Err)
    costs = {engine.execute(guest, "transform", "a b c", limits=LIMITS).usage.fuel.consumed for _ in range(3)}
    assert len(costs) == 1


class Counter:
    """Serves the guest's `counter`."""

    alive = 0

    def __init__(self, start):
        self.count = start
        Counter.alive += 1

    def add(self, n):
        self.count += n
        return self.count

    def value(self):
        return self.count

    def fork(self):
        return Counter(self.count)

    @staticmethod
    def total(counters):
        return sum(counter.count for counter in counters)

    def drop(self):
        Counter.alive -= 1


def hosted():
    host, logged = HostFunctions(), []
    host.register_resource(f"{HOST}#counter", Counter)
    host.register(f"{HOST}#log", lambda level, message: logged.append((level, message)))
    host.register(f"{HOST}#now", lambda: 42)
    host.register(f"{HOST}#lookup", lambda key: Ok(f"<{key}>") if key == "greeting" else Err(f"no {key}"))
    host.register(f"{HOST}#settings", lambda keys: [(key, Variant("text", key)) for key in keys])
    host.register(f"{HOST}#publish", lambda events: Ok(len(events)))
    return host, logged


@pytest.fixture(scope="module")
def guest(engine):
    return engine.load(GUESTS / "hosted" / "hosted.wasm")


def test_host_functions_and_a_host_resource_serve_a_guest(engine, guest):
    Counter.alive = 0
    host, logged = hosted()
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(guest)
        assert isinstance(instance.run(3), Ok)
        assert logged
        assert store.usage.host_calls > 3
        assert instance.relay("greeting") == Ok("<greeting>")
        assert instance.relay("x") == Err("no x")
        assert isinstance(instance.announce(5), Ok)
        assert (instance.accumulate(3), instance.accumulate(4)) == (3, 7)
        assert instance.describe(["a"]) == ["a=a"]
    assert Counter.alive == 1  # `accumulate` keeps one for the life of the store


def test_missing_imports_are_named_with_their_wit_types(engine, guest):
    host, _ = hosted()
    incomplete = HostFunctions()
    incomplete.register(f"{HOST}#nowe", lambda: 1)
    with pytest.raises(LinkError) as caught:
        engine.execute(guest, "run", 1, limits=LIMITS, host=incomplete)
    assert f"{HOST}#lookup: func(key: string) -> result<string, string>" in str(caught.value)
    assert f"a similar name is registered: {HOST}#nowe" in str(caught.value)
    assert f"{HOST}#counter" in caught.value.imports
    assert engine.execute(guest, "run", 1, limits=LIMITS, host=host)


def test_a_host_function_that_returns_the_wrong_type_says_where(engine, guest):
    host, _ = hosted()
    host.register(f"{HOST}#lookup", lambda key: Ok(1))
    with pytest.raises(HostFunctionError, match=r"lookup raised WrongType: result.ok: expected string, got 1"):
        engine.execute(guest, "relay", "x", limits=LIMITS, host=host)


@pytest.fixture(scope="module")
def words(engine):
    return engine.load(GUESTS / "word-count" / "word-count.wasm")


def test_rust_panics_and_names_its_frames(engine, words):
    tally = engine.execute(words, "count", "one two three", limits=LIMITS).value
    assert (tally.words, tally.letters, tally.longest) == (3, 11, "three")
    assert engine.execute(words, "frequencies", "a b a", limits=LIMITS).value == [("a", 2), ("b", 1)]
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(words, "nth", "a b", 7, limits=LIMITS)
    assert caught.value.kind == "unreachable"
    assert any("panic" in (frame.function or "") for frame in caught.value.frames)


def test_rust_out_of_memory_is_out_of_memory_though_it_traps(engine, words):
    with pytest.raises(OutOfMemory) as caught:
        engine.execute(words, "hoard", 64 * 2**20, limits=LIMITS)
    assert isinstance(caught.value.__cause__, ComponentTrapped)
    assert caught.value.usage.denied_growths >= 1


def test_rust_recursion_ends_in_a_trap(engine, words):
    unmetered = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=30_000)
    with pytest.raises(ComponentTrapped, match="call stack exhausted"):
        engine.execute(words, "recurse", 2**31, limits=unmetered)


def test_assemblyscript_aborts_and_hoards(engine):
    guest = engine.load(GUESTS / "as-transform" / "as-transform.wasm")
    with pytest.raises(ComponentTrapped):
        engine.execute(guest, "fail", "no", limits=LIMITS)
    with pytest.raises(OutOfMemory):
        engine.execute(guest, "hoard", 65_536, 2**31, limits=LIMITS)


RUN = "wasi:cli/run@0.2.12#run"


@pytest.fixture(scope="module")
def greeter(engine):
    return engine.load(GUESTS / "greeter" / "greeter.wasm")


@pytest.mark.slow
def test_a_command_sees_what_it_is_granted_and_prints(engine, greeter, tmp_path):
    (tmp_path / "note.txt").write_text("from a file")
    wasi = Wasi(
        args=["greeter", "Ada", "--env", "--cat=/in/note.txt"], env={"COLOUR": "red"}, preopen={"/in": (tmp_path, "ro")}
    )
    with LimitedStore(engine, LIMITS, wasi=wasi) as store:
        assert store.instantiate(greeter).call(RUN) == Ok()
        assert b"Ada" in store.stdout
        assert b"COLOUR=red" in store.stdout
        assert b"from a file" in store.stdout


def test_nothing_is_granted_by_default(engine, greeter, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    with LimitedStore(engine, LIMITS, wasi=Wasi(args=["greeter", "--env"])) as store:
        store.instantiate(greeter).call(RUN)
        assert b"hidden" not in store.stdout


def test_a_read_only_directory_cannot_be_written(engine, greeter, tmp_path):
    wasi = Wasi(args=["greeter", "--save=/in/new.txt"], preopen={"/in": (tmp_path, "ro")})
    with LimitedStore(engine, LIMITS, wasi=wasi) as store:
        instance = store.instantiate(greeter)
        with pytest.raises(GuestExit):
            instance.call(RUN)
    assert list(tmp_path.iterdir()) == []


def test_the_exit_status_of_a_module_is_passed_on(engine):
    module = engine.load(GUESTS / "greeter" / "greeter-module.wasm")
    with pytest.raises(GuestExit) as caught:
        engine.execute(module, "_start", limits=LIMITS, wasi=Wasi(args=["greeter", "--exit=7"]))
    assert caught.value.code == 7


@pytest.mark.parametrize("binary", ["greeter.wasm", "greeter-module.wasm"])
def test_a_guest_asleep_in_wasi_ends_at_the_deadline(engine, binary):
    guest = engine.load(GUESTS / "greeter" / binary)
    limits = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=100)
    with pytest.raises(ExecutionTimeout) as caught:
        function = RUN if guest.kind == "component" else "_start"
        engine.execute(guest, function, limits=limits, wasi=Wasi(args=["greeter", "--sleep=3000"]))
    assert 100 <= caught.value.usage.wall_ms < 3_000  # before it would have woken up


def test_stdin_is_what_was_given(engine, greeter):
    with LimitedStore(engine, LIMITS, wasi=Wasi(args=["greeter"], stdin="Grace\n")) as store:
        assert store.instantiate(greeter).call(RUN) == Ok()


def test_limits_come_from_the_manifest_beside_the_component(engine, tmp_path):
    binary = (GUESTS / "text-transform" / "text-transform.wasm").read_bytes()
    (tmp_path / "text-transform.wasm").write_bytes(binary)
    (tmp_path / "Component.toml").write_text(
        '[component]\nname = "text-transform"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'
        "[resources.cpu]\nmax_fuel = 500\n"
    )
    guest = engine.load(tmp_path / "text-transform.wasm")
    with pytest.raises(OutOfFuel, match="500"):
        engine.execute(guest, "transform", "a long text that costs more")
    with pytest.raises(InvalidConfiguration, match="limits: expected ResourceLimits"):
        engine.execute(engine.load(GUESTS / "text-transform" / "text-transform.wasm"), "transform", "x")
