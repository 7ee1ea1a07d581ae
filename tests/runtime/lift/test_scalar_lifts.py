"""Scalar lifts: which functions have one, that nobody sees them, and that nothing else changes."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from pytest_airssys_wasm import Err, LimitedStore, Ok, ProcessIsolation, ResourceLimits, Some, WasmEngine
from pytest_airssys_wasm.runtime.errors import InvalidComponent
from pytest_airssys_wasm.runtime.guest.component import UnknownExport
from pytest_airssys_wasm.runtime.lift.names import instance_name
from pytest_airssys_wasm.runtime.lift.sections import with_scalar_lifts
from support.lifted_comparison import PlainEngine, ending

if TYPE_CHECKING:
    from pytest_airssys_wasm import Component

LIMITS = ResourceLimits(memory="2 MiB", fuel=1_000_000, timeout_ms=60_000)
MODULE = """(core module $m
    (memory (export "mem") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $p i32)
      (local.set $p (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $p) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.const 16)))))
      (local.get $p))
    (func (export "f") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "post") (param i32) (global.set $next (i32.const 1024)))
    (func (export "one") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))"""
LIFT = '(canon lift (core func $i "f") (memory (core memory $i "mem")) (realloc (core func $i "realloc")) {})'
ECHO = f"""(component {MODULE}
  (func (export "echo") (param "x" (list u8)) (result (list u8)) {LIFT.format('(post-return (core func $i "post"))')})
  (func (export "text") (param "x" string) (result string) {LIFT.format("")})
  (func (export "as-text") (param "x" (list u8)) (result string) {LIFT.format("")})
  (func (export "floats") (param "x" (list f32)) (result (list u32)) {LIFT.format("")})
  (func (export "chars") (param "x" (list u32)) (result (list char)) {LIFT.format("")})
  (func (export "one") (result u32) (canon lift (core func $i "one"))))"""
IN_AN_INTERFACE = f"""(component {MODULE}
  (type $bytes (func (param "x" (list u8)) (result (list u8))))
  (func $echo (type $bytes) {LIFT.format("")})
  (component $shim
    (type $bytes (func (param "x" (list u8)) (result (list u8))))
    (import "import-func-echo" (func $given (type $bytes)))
    (export "echo" (func $given) (func (type $bytes))))
  (instance $made (instantiate $shim (with "import-func-echo" (func $echo))))
  (export "a:b/c@1.0.0" (instance $made)))"""


@pytest.fixture(scope="module")
def echoes() -> dict[WasmEngine, Component]:
    """Return the guest `ECHO` of two engines, of which the first calls it by its scalar lifts."""
    return {engine: engine.load(ECHO) for engine in (WasmEngine(), PlainEngine())}


def binary_of(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def lifted(binary: bytes) -> bytes:
    return with_scalar_lifts(binary, hashlib.sha256(binary).hexdigest())


def called_by_lift(component: Component, function: str, *args: Any) -> bool:
    store = LimitedStore(component.loaded_by, LIMITS)  # type: ignore[arg-type]
    instance = store.instantiate(component)
    instance.call(function, *args)
    return instance._handle.lifted[function] is not None


def test_a_list_is_passed_by_a_scalar_lift() -> None:
    assert called_by_lift(WasmEngine().load(ECHO), "echo", b"x")


def test_instances_share_all_that_depends_only_on_the_types_of_a_function() -> None:
    engine = WasmEngine()
    component, found = engine.load(ECHO), []
    for _ in range(2):
        instance = LimitedStore(engine, LIMITS).instantiate(component)
        assert instance.call("echo", b"x") == b"x"
        found.append(instance._handle.lifted["echo"])
    assert found[0].export is found[1].export
    assert found[0].struct is not found[1].struct


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("(list string)", ["a", "", "é" * 20]),
        ("(list (tuple u8 string u32))", [(1, "a", 2), (3, "", 4)]),
        ("(list (tuple u8 u32))", [(1, 2), (3, 4)]),
        ("(list (list (list string)))", [[["a"], []], []]),
        ("(list (option (tuple u8 string)))", [None, (1, "a")]),
        ("(list (result string (error u64)))", [Ok("a"), Err(2**64 - 1)]),
    ],
)
def test_lists_of_what_is_not_only_numbers_are_passed_by_a_scalar_lift(type_: str, value: Any) -> None:
    text = f"""(component {MODULE}
      (func (export "f") (param "x" {type_}) (result {type_}) {LIFT.format("")}))"""
    component = WasmEngine().load(text)
    assert called_by_lift(component, "f", value)
    instance = LimitedStore(component.loaded_by, LIMITS).instantiate(component)  # type: ignore[arg-type]
    assert instance.call("f", value) == value


@pytest.mark.parametrize(
    ("type_", "core_types", "values"),
    [
        ("(result string (error string))", "i32 i32 i32", [Ok("é"), Err("b")]),
        ("(result (error string))", "i32 i32 i32", [Ok(), Err("b")]),
        ("(option string)", "i32 i32 i32", ["a", None]),
        ("(option (option u8))", "i32 i32 i32", [None, Some(None), Some(3)]),
        ("(result f32 (error u32))", "i32 i32", [Ok(1.5), Err(2**32 - 1)]),
        ("(result u64 (error f32))", "i32 i64", [Ok(2**64 - 1), Err(-0.0)]),
        ("(result f64 (error s8))", "i32 i64", [Ok(1.5), Err(-1)]),
    ],
)
def test_options_and_results_are_passed_by_a_scalar_lift(type_: str, core_types: str, values: list[Any]) -> None:
    stores = ""
    for number, core_type in enumerate(core_types.split()):
        # The payload has the alignment of the widest case.
        place = 16 + (0 if number == 0 else (8 if "i64" in core_types else 4) + 4 * (number - 1))
        stores += f"({core_type}.store (i32.const {place}) (local.get {number}))"
    if type_ == "(option (option u8))":
        stores = "".join(f"(i32.store8 (i32.const {16 + n}) (local.get {n}))" for n in range(3))
    module = MODULE.replace(
        """(func (export "f") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))""",
        f'(func (export "f") (param {core_types}) (result i32) {stores} (i32.const 16))',
    )
    component = WasmEngine().load(
        f"""(component {module} (func (export "f") (param "x" {type_}) (result {type_}) {LIFT.format("")}))"""
    )
    assert called_by_lift(component, "f", values[0])
    instance = LimitedStore(component.loaded_by, LIMITS).instantiate(component)  # type: ignore[arg-type]
    assert [instance.call("f", value) for value in values] == values


def test_flags_that_can_be_read_only_once_are_not_lost() -> None:
    """An argument behind them that is not of the plainest form leads to the general way, which reads them again."""
    text = f"""(component {MODULE.replace("param i32 i32) (result i32)", "param i32 i32 i32) (result i32)")}
      (type $t (flags "a" "b")) (export $r "r" (type $t))
      (func (export "f") (param "x" $r) (param "y" (list f64)) (result (tuple $r u32)) {LIFT.format("")}))"""
    component = WasmEngine().load(text)
    assert component.lifted("f") is not None
    instance = LimitedStore(component.loaded_by, LIMITS).instantiate(component)  # type: ignore[arg-type]
    assert instance.call("f", iter(["b"]), [1])[0] == {"b"}


def test_an_export_inside_an_interface_is_followed_to_its_lift() -> None:
    assert called_by_lift(WasmEngine().load(IN_AN_INTERFACE), "a:b/c@1.0.0#echo", b"x")


def test_names_for_types_may_be_imported() -> None:
    text = f"""(component
      (type $given (record (field "n" u32)))
      (import "given" (type $named (eq $given)))
      {MODULE}
      (export $exported "exported" (type $named))
      (func (export "f") (param "x" (list $exported)) (result (list $exported)) {LIFT.format("")}))"""
    assert called_by_lift(WasmEngine().load(text), "f", [{"n": 1}])


@pytest.mark.parametrize(
    ("why", "text"),
    {
        "nothing is copied": f"""(component {MODULE}
            (func (export "f") (result u32) (canon lift (core func $i "one"))))""",
        "it is not UTF-8": f"""(component {MODULE}
            (func (export "f") (param "x" string) (result string) {LIFT.format("string-encoding=utf16")}))""",
        "its core code can leave": """(component
            (import "host" (func $h))
            (core func $l (canon lower (func $h)))
            (core module $m (import "" "h" (func)) (memory (export "mem") 1)
              (func (export "f") (result i32) (i32.const 16)))
            (core instance $i (instantiate $m (with "" (instance (export "h" (func $l))))))
            (func (export "f") (result string) (canon lift (core func $i "f") (memory (core memory $i "mem")))))""",
        "its arguments are in memory": f"""(component {MODULE.replace("param i32 i32) (result i32)", "param i32) (result i32)")}
            (func (export "f") (param "x" (tuple {"u32 " * 17})) (result string) {LIFT.format("")}))""",
        "wasmtime charges less than half of the bytes of an element": f"""(component {MODULE}
            (func (export "f") (param "x" (list (option (tuple {"u64 " * 24})))) (result string) {LIFT.format("")}))""",
    }.items(),
)
def test_functions_without_a_scalar_lift_are_left_alone(why: str, text: str) -> None:
    binary = binary_of(text)
    assert lifted(binary) == binary, why


def test_an_instance_with_two_memories_is_called_the_general_way() -> None:
    text = ECHO.replace('(memory (export "mem") 1)', '(memory (export "mem") 1) (memory 1)')
    component = WasmEngine().load(text)
    assert component.lifted("echo") is not None
    assert not called_by_lift(component, "echo", b"x")


def test_an_execution_in_a_store_of_its_own_is_made_by_a_scalar_lift_too(echoes: dict[WasmEngine, Component]) -> None:
    found = []
    for engine, guest in echoes.items():
        assert engine.execute(guest, "echo", b"abc", limits=LIMITS).value == b"abc"
        ((_, direct),) = guest.direct_executions.values()
        found.append(direct is not None)
    assert found == [True, False], "without one, lists may not be converted on the thread of the caller"


def test_an_execution_of_a_guest_with_two_memories_goes_the_general_way_and_costs_the_same() -> None:
    text = ECHO.replace('(memory (export "mem") 1)', '(memory (export "mem") 1) (memory 1)')
    done = []
    for engine in (WasmEngine(), PlainEngine()):
        guest = engine.load(text)
        for _ in range(2):
            executed = engine.execute(guest, "echo", b"abc", limits=LIMITS)
            done.append(
                (executed.value, executed.usage.fuel, executed.usage.peak_memory_bytes, executed.usage.transfer_bytes)
            )
        executed = asyncio.run(engine.execute_async(guest, "echo", b"abc", limits=LIMITS))
        done.append(
            (executed.value, executed.usage.fuel, executed.usage.peak_memory_bytes, executed.usage.transfer_bytes)
        )
    assert done[0][0] == b"abc"
    assert len(set(done)) == 1


def test_nobody_sees_the_scalar_lifts() -> None:
    engine, plain = WasmEngine(), PlainEngine()
    ours, other = engine.load(ECHO), plain.load(ECHO)
    assert ours.lifted("echo") is not None
    assert other.lifted("echo") is None
    assert (str(ours.exports), dict(ours.function_names())) == (str(other.exports), dict(other.function_names()))
    assert ours.digest == other.digest == hashlib.sha256(binary_of(ECHO)).hexdigest()
    hidden = instance_name(ours.digest)
    instance = LimitedStore(engine, LIMITS).instantiate(ours)
    with pytest.raises(UnknownExport) as caught:
        instance.call(f"{hidden}#call-d0")
    assert "lifts" not in str(caught.value).partition("has no export")[2].partition(";")[2]
    assert not any("lift" in name for name in dir(instance))


def test_the_indices_and_offsets_of_the_binary_stay() -> None:
    binary = binary_of(ECHO)
    assert lifted(binary).startswith(binary)
    assert len(lifted(binary)) > len(binary)


def test_a_guest_cannot_name_an_export_like_a_scalar_lift() -> None:
    digest = "0" * 64
    text = ECHO.replace('"one")))', f'"one"))) (instance $x) (export "{instance_name(digest)}" (instance $x)) ')
    text = text.replace("(instance $x)", '(instance $x (export "call-d0" (func $o)))', 1).replace(
        '(func (export "one") (result u32)',
        '(func $o (result u32) (canon lift (core func $i "one"))) (func (export "one") (result u32)',
    )
    component = WasmEngine().load(text)
    assert instance_name(digest) in component.exports, "the name of the guest is its own"
    assert called_by_lift(component, "echo", b"x")


def test_a_component_of_wrong_types_is_refused_with_the_words_about_itself() -> None:
    wrong = ECHO.replace('(core func $i "f")', '(core func $i "one")')
    messages = []
    for engine in (WasmEngine(), PlainEngine()):
        with pytest.raises(InvalidComponent) as caught:
            engine.load(wrong)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_no_binary_makes_the_reader_fail() -> None:
    binary, random = binary_of(IN_AN_INTERFACE), Random(1)
    for size in range(0, len(binary), 3):
        lifted(binary[:size])
    for _ in range(300):
        spoilt = bytearray(binary)
        for _ in range(random.choice([1, 1, 2, 8])):
            spoilt[random.randrange(8, len(spoilt))] = random.getrandbits(8)
        lifted(bytes(spoilt))


def test_types_that_share_parts_are_read_in_no_time() -> None:
    types = ["(type $t0 (tuple u8 u8))"] + [f"(type $t{n} (tuple $t{n - 1} $t{n - 1}))" for n in range(1, 60)]
    text = f'(component {" ".join(types)} (type $f (func (param "x" (list $t59)))) {MODULE})'
    binary = binary_of(text)
    assert lifted(binary) == binary


@pytest.mark.parametrize("seed", range(40))
def test_text_that_is_not_utf_8_is_refused_in_the_words_of_rust(echoes: dict[WasmEngine, Component], seed: int) -> None:
    random = Random(seed)
    text = "".join(random.choice("aé€𝄞\U0010ffff\ud7ff\ue000") for _ in range(random.randint(0, 12))).encode()
    wrong = bytearray(
        text
        + bytes(
            random.choice([0xC0, 0xC1, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0x41])
            for _ in range(random.randint(0, 5))
        )
    )
    if wrong and random.random() < 0.5:
        del wrong[random.randrange(len(wrong))]
    endings = []
    for engine, guest in echoes.items():
        store = LimitedStore(engine, LIMITS)
        instance = store.instantiate(guest)
        endings.append(ending(store, lambda instance=instance: instance.call("as-text", bytes(wrong))))  # type: ignore[misc]
        store.close()
    assert endings[0] == endings[1]


def test_nothing_enters_a_store_after_a_wrong_result(echoes: dict[WasmEngine, Component]) -> None:
    for engine, guest in echoes.items():
        store = LimitedStore(engine, LIMITS)
        one, other = store.instantiate(guest), store.instantiate(guest)
        assert ending(store, lambda one=one: one.call("chars", [0xD800]))[0][2] == "invalid-char"  # type: ignore[misc]
        for instance in (one, other):
            failed, figures = ending(store, lambda instance=instance: instance.call("one"))  # type: ignore[misc]
            assert failed[2] == "cannot-enter-component"
            assert figures[0].consumed == 0


@pytest.mark.slow
def test_a_worker_process_tells_the_same(echoes: dict[WasmEngine, Component]) -> None:
    local, echo = next(iter(echoes.items()))
    engine = WasmEngine(isolation=ProcessIsolation())
    with engine:
        guest = engine.load(ECHO)
        store, here = LimitedStore(engine, LIMITS), LimitedStore(local, LIMITS)
        there, instance = store.instantiate(guest), here.instantiate(echo)
        for name, value in (
            ("echo", bytes(300)),
            ("text", "aé"),
            ("floats", [1.5]),
            ("chars", [65]),
            ("chars", [0xD800]),
        ):
            ends = [
                ending(at, lambda given=given: given.call(name, value))  # type: ignore[misc]  # noqa: B023
                for at, given in ((store, there), (here, instance))
            ]
            assert ends[0] == ends[1]


def test_a_scalar_lift_takes_no_instance_and_no_memory_of_the_limits(echoes: dict[WasmEngine, Component]) -> None:
    engine, guest = next(iter(echoes.items()))
    limits = ResourceLimits(memory=65_536, fuel=1_000, timeout_ms=60_000, instances=1, memories=1, tables=0)
    assert LimitedStore(engine, limits).instantiate(guest).call("echo", b"abc") == b"abc"
