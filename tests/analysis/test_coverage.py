"""`analysis.coverage`: the functions and blocks that calls reach."""

from __future__ import annotations

import pickle

import pytest

from pytest_airssys_wasm import (
    ComponentTrapped,
    HostFunctions,
    InvalidConfiguration,
    ResourceLimits,
    WasmEngine,
    analysis,
)

LIMITS = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=20_000)
GUEST = """(module (import "env" "ask" (func $ask (result i32)))
  (func $never (drop (i32.const 9)))
  (func $inner (param i32) (if (local.get 0) (then (drop (i32.const 1))) (else (drop (i32.const 2)))))
  (func (export "f") (param i32) (call $inner (local.get 0)) (if (i32.eq (local.get 0) (i32.const 7)) (then unreachable)))
  (func (export "ask") (result i32) (call $ask)))"""
ALONE = GUEST.replace('(import "env" "ask" (func $ask (result i32)))', "(func $ask (result i32) (i32.const 3))")


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as made:
        yield made


def missed(found):
    return {one.name: len(one.missed) for one in found.functions}


def test_the_blocks_of_all_calls_are_put_together(engine):
    component = engine.load(ALONE)
    found = analysis.coverage(component, [("f", 0)], limits=LIMITS)
    assert missed(found) == {"ask": 1, "never": 1, "inner": 1, "f": 1}
    assert (found.reached_functions, len(found.functions)) == (2, 5)
    assert (found.reached_blocks, found.blocks) == (3, 8)
    assert (found.executions, found.unmeasured, found.cut, found.guest) == (1, (), 0, "<text>")
    more = analysis.coverage(component, [("f", 0), ("f", 7), ("ask",)], limits=LIMITS)
    assert {one.name for one in more.functions if not one.is_reached} == {"never"}
    assert more.reached_blocks == 7
    assert pickle.loads(pickle.dumps(more)) == more


def test_offsets_are_those_of_frames(engine):
    component = engine.load(ALONE)
    found = analysis.coverage(component, [("f", 7)], limits=LIMITS)
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(component, "f", 7, limits=LIMITS)
    offset = caught.value.frames[0].offset
    function = next(one for one in found.functions if one.offset <= offset < one.end)
    assert function.name == "f"
    assert offset in function.reached


def test_imports_need_repeatable_host_functions(engine):
    component = engine.load(GUEST)
    host = HostFunctions()
    host.register("env#ask", lambda: 4)
    with pytest.raises(analysis.CannotRepeat, match="env#ask"):
        analysis.coverage(component, [("ask",)], limits=LIMITS, host=host)
    again = HostFunctions()
    again.register("env#ask", lambda: 4, repeatable=True)
    found = analysis.coverage(component, [("ask",)], limits=LIMITS, host=again)
    assert found.executions == 1
    assert found.reached_functions == 1


def test_a_host_function_that_varies_is_told(engine):
    growing = GUEST.replace("(call $ask))", "(memory.grow (call $ask)))").replace("(func $n", "(memory 1) (func $n")
    component = engine.load(growing)
    answers = iter(range(100))
    host = HostFunctions()
    host.register("env#ask", lambda: next(answers), repeatable=True)
    found = analysis.coverage(component, [("ask",)], limits=LIMITS, host=host)
    assert found.executions == 0
    (one,) = found.unmeasured
    assert one.executions == 1
    assert "ask took 65,536 bytes of memory, and when it was run again" in one.reason


def test_a_call_that_runs_out_of_fuel_reaches_what_it_reaches(engine):
    functions = '(func (export "f") (loop (br 0))) (func (export "g") (drop (i32.const 1)) (loop (br 0)))'
    component = engine.load(f"(module {functions})")
    found = analysis.coverage(component, [("g",)], limits=LIMITS)
    assert missed(found) == {"f": 1, "g": 0}
    assert (found.executions, found.cut) == (1, 0)


def test_calls_for_which_there_is_no_time_are_told(engine):
    component = engine.load(ALONE)
    found = analysis.coverage(component, [("f", 0)] * 3, limits=LIMITS, time_s=1e-9)
    assert (found.executions, found.is_complete) == (0, False)
    assert [(one.reason, one.executions) for one in found.unmeasured] == [("the time was over", 3)]
    assert analysis.coverage(component, [("f", 0)], limits=LIMITS, time_s=60).is_complete


@pytest.mark.parametrize("calls", [[], ["f"], [()]])
def test_calls_are_tuples_of_an_export_and_its_arguments(engine, calls):
    with pytest.raises(InvalidConfiguration, match="calls"):
        analysis.coverage(engine.load(ALONE), calls, limits=LIMITS)


def test_a_guest_is_read_from_its_file(engine, tmp_path):
    path = tmp_path / "guest.wat"
    path.write_text(ALONE)
    component = engine.load(path)
    assert analysis.coverage(component, [("f", 1)], limits=LIMITS).guest == "guest.wat"
    path.write_text(ALONE.replace("i32.const 9", "i32.const 8"))
    with pytest.raises(analysis.CannotRepeat, match="cannot be instrumented: its file has changed since it was loaded"):
        analysis.coverage(component, [("f", 1)], limits=LIMITS)
    path.unlink()
    with pytest.raises(analysis.CannotRepeat, match="cannot be instrumented: its file cannot be read"):
        analysis.coverage(component, [("f", 1)], limits=LIMITS)


@pytest.mark.parametrize("name", ["as-transform", "text-transform"])
def test_real_guests_are_covered(engine, request, name):
    component = engine.load(request.config.rootpath / "fixtures" / "guests" / name / f"{name}.wasm")
    exports = [one for one in component.function_names() if [*map(str, component.parameter_types(one))] == ["string"]]
    limits = ResourceLimits(memory="32 MiB", fuel=10_000_000, timeout_ms=20_000)
    found = analysis.coverage(component, [(export, "Hello") for export in exports], limits=limits)
    assert (found.executions, found.unmeasured) == (len(exports), ())
    assert 0 < found.reached_blocks < found.blocks
