"""Guests whose data are mapped behave as if wasmtime copied them: value by value and figure by figure."""

from __future__ import annotations

import random
import threading

import pytest

from pytest_airssys_wasm import CompileCache, HostFunctions, LimitedStore, ResourceLimits, WasmEngine
from pytest_airssys_wasm.runtime.binary.data_images import LEAST_BYTES
from pytest_airssys_wasm.runtime.compile import artefacts, compiler
from pytest_airssys_wasm.runtime.errors import (
    ExecutionTimeout,
    InvalidComponent,
    OutOfFuel,
    ResourceLimitExceeded,
    WasmError,
)

MUCH = "abcdefgh" * (LEAST_BYTES // 8)
DATA = f'(data (i32.const 70000) "{MUCH}") (data (i32.const 70003) "XY") (data (i32.const 8) "end")'
HASH = """(func (export "hash") (result i64) (local $at i32) (local $sum i64)
    (loop $next
      (local.set $sum (i64.xor (i64.mul (local.get $sum) (i64.const 31)) (i64.load (local.get $at))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 524288))))
    (local.get $sum))"""
GUEST = f"""(module (memory (export "memory") 8) {DATA} {HASH}
  (table 40 funcref) (elem (i32.const 3) func $grow) (global (mut i32) (i32.const 7))
  (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "init") (param i32) (result i32)
    (memory.init 0 (i32.const 0) (i32.const 0) (local.get 0)) (i32.const 1))
  (func (export "init-last") (param i32) (result i32)
    (data.drop 1) (memory.init 2 (i32.const 0) (i32.const 0) (local.get 0)) (i32.const 1))
  (func (export "write") (i64.store (i32.const 70000) (i64.const -1)))
  (func (export "trap") unreachable))"""
STARTS = f"""(module (import "m" "see" (func $see)) (memory 8) {DATA} {HASH}
  (func $start (if (i32.ne (i32.load8_u (i32.const 70003)) (i32.const 88)) (then unreachable)) (call $see))
  (start $start))"""
COMPONENT = f"""(component
  (core module $first (func $count (local $n i32) (local.set $n (i32.const 9))
    (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))) (start $count))
  (core module $m (memory 8) {DATA} {HASH})
  (core module $last (memory 1) (func $touch (i32.store (i32.const 0) (i32.const 1))) (start $touch))
  (core instance (instantiate $first)) (core instance $i (instantiate $m)) (core instance (instantiate $last))
  (func (export "hash") (result s64) (canon lift (core func $i "hash"))))"""
LAST_TRAPS = COMPONENT.replace("(i32.store (i32.const 0) (i32.const 1))", "unreachable")
FIRST_TRAPS = COMPONENT.replace("(start $count)", "(func $end unreachable) (start $end)")

COLLECTED = f"""(module (type $pair (struct (field i32) (field i32))) (type $list (array (mut i64)))
  (global $kept (mut (ref null $list)) (ref.null $list)) (memory 8) {DATA} {HASH}
  (func $start (global.set $kept (array.new_default $list (i32.const 2000)))) (start $start)
  (func (export "allocate") (result i32)
    (struct.get $pair 1 (struct.new $pair (i32.const 1) (array.len (global.get $kept))))))"""


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


def both(engine, monkeypatch, guest):
    """Load a guest with an image, and without."""
    mapped = engine.load(guest)
    assert mapped.image is not None
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "find_image", lambda _: None)
        copied = engine.load(guest)
    assert copied.image is None
    return mapped, copied


def figures(usage):
    return usage and (usage.fuel, usage.peak_memory_bytes, usage.denied_growths, usage.transfer_bytes, usage.host_calls)


def executed(engine, guest, function="hash", *args, host=None, **limits):
    """Execute a function in a fresh store, and return its value or its error, with all figures but times."""
    limits = {"fuel": 10**8, "memory": "1 MiB", "timeout_ms": 60_000, **limits}
    try:
        done = engine.execute(guest, function, *args, limits=ResourceLimits(**limits), host=host)
    except WasmError as error:
        frames = [(one.function, one.offset) for one in error.frames]
        return type(error), str(error), frames, figures(error.usage)
    return done.value, figures(done.usage)


def test_a_guest_is_the_same_with_its_data_mapped(engine, monkeypatch):
    mapped, copied = both(engine, monkeypatch, GUEST)
    calls = [("hash",), ("grow", 3), ("grow", 8), ("grow", 9), ("write",), ("trap",)]
    calls += [(name, count) for name in ("init", "init-last") for count in (0, 1, 100)]
    for call in calls:
        found = executed(engine, mapped, *call)
        assert found == executed(engine, copied, *call), call
    assert executed(engine, mapped)[0] == executed(engine, copied)[0] != 0
    for memory in ("512 KiB", 524287):
        assert executed(engine, mapped, memory=memory) == executed(engine, copied, memory=memory)


@pytest.mark.parametrize("source", [COMPONENT, LAST_TRAPS, FIRST_TRAPS])
def test_a_component_is_the_same_with_its_data_mapped(engine, monkeypatch, source):
    mapped, copied = both(engine, monkeypatch, source)
    for fuel in (1, 30, 60, 10**4, LEAST_BYTES, LEAST_BYTES + 40, LEAST_BYTES + 60, 10**8):
        assert executed(engine, mapped, fuel=fuel) == executed(engine, copied, fuel=fuel), fuel
    for limit in ("instances", "memories"):
        for count in (1, 2, 3):
            limits = {limit: count}
            assert executed(engine, mapped, **limits) == executed(engine, copied, **limits), limits


def test_the_heap_of_the_garbage_collector_is_not_taken_for_the_memory(engine, monkeypatch):
    mapped, copied = both(engine, monkeypatch, COLLECTED)
    for memory in ("512 KiB", 600_000, "1 MiB"):
        for call in ("hash", "allocate"):
            assert executed(engine, mapped, call, memory=memory) == executed(engine, copied, call, memory=memory)
    assert executed(engine, mapped, "allocate")[0] == 2000


def test_every_budget_around_the_data_ends_in_the_same_way(engine, monkeypatch):
    seen = []
    host = HostFunctions()
    host.register("m#see", lambda: seen.append(1))
    mapped, copied = both(engine, monkeypatch, STARTS)
    kinds = set()
    for fuel in [0, 1, 2, 3, 4, 5, 1_000, *range(LEAST_BYTES - 8, LEAST_BYTES + 32)]:
        found = executed(engine, mapped, fuel=fuel, host=host)
        calls = len(seen)
        assert found == executed(engine, copied, fuel=fuel, host=host), fuel
        assert len(seen) == 2 * calls
        seen.clear()
        kinds.add((found[0], calls))
    assert kinds == {(OutOfFuel, 0), (OutOfFuel, 1)}


def test_an_instance_that_is_not_completed_costs_nothing(engine, monkeypatch):
    mapped, copied = both(engine, monkeypatch, GUEST)
    found = executed(engine, mapped, table_elements=39)
    assert found == executed(engine, copied, table_elements=39)
    assert issubclass(found[0], ResourceLimitExceeded)
    assert found[-1][0].consumed == 0


def test_a_run_without_time_pays_nothing(engine, monkeypatch):
    mapped, copied = both(engine, monkeypatch, GUEST)
    ends = [executed(engine, guest, timeout_ms=0) for guest in (mapped, copied)]
    # The text tells how busy the machine was.
    assert ends[0][0] == ends[1][0] == ExecutionTimeout
    assert ends[0][2:] == ends[1][2:]


def test_instances_do_not_see_what_others_write(engine, monkeypatch):
    mapped, _ = both(engine, monkeypatch, GUEST)
    fresh = executed(engine, mapped)[0]
    limits = ResourceLimits(fuel=10**8, memory="2 MiB", timeout_ms=60_000)
    with LimitedStore(engine, limits) as store:
        one, two = store.instantiate(mapped), store.instantiate(mapped)
        one.call("write")
        assert one.call("hash") != two.call("hash") == fresh
        assert store.instantiate(mapped).call("hash") == fresh
    assert executed(engine, mapped)[0] == fresh


def test_many_threads_get_the_image_of_their_own_guest(engine, monkeypatch):
    guests = [both(engine, monkeypatch, GUEST.replace('"end"', f'"{name}"'))[0] for name in ("one", "two", "six")]
    expected = [executed(engine, guest)[0] for guest in guests]
    wrong = []

    def run(number):
        for _ in range(5):
            if executed(engine, guests[number])[0] != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number % 3,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(expected)) == 3
    assert not wrong


def random_guest(seed):
    chance = random.Random(seed)
    data = [f'(data (i32.const {chance.randrange(60_000, 70_000)}) "{MUCH}")']
    for _ in range(chance.randrange(12)):
        size = chance.choice([0, 1, 7, 200, 5_000])
        text = "".join(chance.choices("abcdefghij", k=size))
        offset = f"(i32.const {chance.choice([0, 4_000, 65_536, 300_000, 524_288 - size])})"
        data.append(f'(data {offset if chance.random() < 0.8 else ""} "{text}")')
    chance.shuffle(data)
    start = "(func $start (i32.store (i32.const 9) (i32.const 1))) (start $start)" if chance.random() < 0.5 else ""
    none = '(func (export "none") (result i64) (i64.const 0))'
    body = f"(memory 8) {' '.join(data)} {HASH} {none} {start}"
    if chance.random() < 0.5:
        return f"(module {body})"
    lifts = (f'(func (export "{name}") (result s64) (canon lift (core func $i "{name}")))' for name in ("hash", "none"))
    return f"(component (core module $m {body}) (core instance $i (instantiate $m)) {' '.join(lifts)})"


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 60))])
def test_random_data_are_the_same_with_an_image(engine, monkeypatch, seed):
    mapped, copied = both(engine, monkeypatch, random_guest(seed))
    assert executed(engine, mapped) == executed(engine, copied)
    value, (fuel, *_) = executed(engine, mapped, "none")
    assert value == 0
    for budget in (1, LEAST_BYTES, *range(fuel.consumed - 12, fuel.consumed + 3)):
        assert executed(engine, mapped, "none", fuel=budget) == executed(engine, copied, "none", fuel=budget), budget


def test_a_guest_from_the_cache_has_its_image(tmp_path):
    cold = WasmEngine(CompileCache(tmp_path)).load(GUEST)
    engine = WasmEngine(CompileCache(tmp_path))
    warm = engine.load(GUEST)
    assert cold.was_compiled
    assert not warm.was_compiled
    assert warm.image is not None
    with WasmEngine() as plain:
        assert executed(engine, warm) == executed(plain, plain.load(GUEST))
    for entry in tmp_path.glob("*.cwasm"):
        entry.unlink()
    assert executed(engine, warm)[0]  # the file is gone, its content is not


def test_a_file_that_ends_within_its_image_is_not_an_artefact(engine, tmp_path):
    WasmEngine(CompileCache(tmp_path)).load(GUEST)
    (entry,) = tmp_path.glob("*.cwasm")
    content = entry.read_bytes()
    part = tmp_path / "part"
    for size in (len(content) - 1, len(content) - LEAST_BYTES, len(content) - 6 * 65_536):
        part.write_bytes(content[:size])
        with pytest.raises(ValueError, match="not an image"):
            artefacts.load_artefact("module", engine.raw, part)


def test_the_error_of_an_invalid_guest_is_about_the_guest_as_it_was_given(engine, monkeypatch):
    valid = engine.to_binary(f"(module (memory 8) {DATA} (func (result i32) i32.const 5))".encode(), "guest")[1]
    invalid = valid.replace(b"\x41\x05\x0b", b"\x42\x05\x0b")  # an i64
    assert invalid != valid
    texts = []
    for find in (compiler.find_image, lambda _: None):
        monkeypatch.setattr(compiler, "find_image", find)
        with pytest.raises(InvalidComponent) as caught:
            engine.load(invalid)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
