"""The bundled runtime answers the protocol's requests, and what it answers can be written as JSON."""

from __future__ import annotations

import os
import sys

import msgspec
import pytest
from msgspec import structs

from pytest_airssys_wasm.conformance import measure
from pytest_airssys_wasm.conformance.host_library import HOST_LIBRARY, host_library
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.protocol.messages import (
    CAPABILITIES,
    ConfigureRequest,
    Request,
    RunAnswer,
    RunRequest,
    StepRequest,
)
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

COMPONENT = """
(component
  (import "echo" (func $echo (param "value" u32) (result u32)))
  (core func $echo' (canon lower (func $echo)))
  (core module $m
    (import "" "echo" (func $echo (param i32) (result i32)))
    (memory 1)
    (func (export "ask") (param i32) (result i32) (call $echo (local.get 0)))
    (func (export "trap") unreachable)
    (func (export "loop") (loop $again (br $again))))
  (core instance $i (instantiate $m (with "" (instance (export "echo" (func $echo'))))))
  (func (export "ask") (param "value" u32) (result u32) (canon lift (core func $i "ask")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "loop") (canon lift (core func $i "loop"))))
"""


@pytest.fixture
def runtime(engine):
    """The bundled runtime."""
    return InProcessRuntime(engine)


@pytest.fixture
def ask(runtime, tmp_path):
    """Run steps (name and arguments, or `None` for an instantiation) in one store; every answer goes over JSON."""

    def run(*steps, wat=COMPONENT, imports=("echo",), fuel_per="step", **limits):
        path = tmp_path / "guest.wat"
        path.write_text(wat, encoding="utf-8")
        request = RunRequest(
            id=7,
            component=str(path),
            limits={"memory_bytes": 2**20, "timeout_ms": 10_000, **limits},
            steps=[StepRequest() if step is None else StepRequest(call=step[0], args=[*step[1:]]) for step in steps],
            imports=[*imports],
            fuel_per=fuel_per,
        )
        asked = msgspec.json.decode(msgspec.json.encode(request), type=Request)
        answered = msgspec.json.decode(msgspec.json.encode(runtime.run(asked)), type=RunAnswer)
        assert answered.id == 7
        return answered.steps

    return run


def test_steps_are_answered_one_by_one_with_what_they_cost(ask):
    first, second = ask(("ask", 5), ("ask", "6"))
    assert (first.verdict, first.value, second.value) == ("ok", 5, 6)
    assert first.fuel_consumed == second.fuel_consumed > 0
    assert (first.peak_memory_bytes, first.denied_growths) == (65_536, 0)
    assert first.elapsed_ms > 0


def test_after_a_failure_nothing_more_is_answered(ask):
    _, second = ask(("ask", 1), ("trap",), ("ask", 2))
    assert (second.verdict, second.trap) == ("trap", "unreachable")
    assert second.message


def test_steps_share_one_budget_where_the_request_says_so(ask):
    (once,) = ask(("ask", 1))
    alone = ask(*[("ask", 1)] * 3, fuel=2 * once.fuel_consumed)
    shared = ask(*[("ask", 1)] * 3, fuel=2 * once.fuel_consumed, fuel_per="run")
    assert [answer.verdict for answer in alone] == ["ok"] * 3
    assert shared[-1].verdict == "out-of-fuel"


def test_a_step_without_a_call_answers_for_the_instantiation(ask):
    (answer,) = ask(None)
    assert (answer.verdict, answer.phase) == ("ok", "instantiate")


def test_a_failing_instantiation_is_the_answer_of_the_first_step(ask):
    (answer,) = ask(("ask", 1), memory_bytes=1)
    assert (answer.verdict, answer.phase) == ("out-of-memory", "instantiate")


def test_an_import_that_is_not_granted_is_a_link_error(ask):
    (answer,) = ask(("ask", 1), imports=())
    assert (answer.verdict, answer.phase) == ("link-error", "instantiate")
    assert "echo" in answer.message


def test_limits_that_make_no_sense_are_answered_before_anything_runs(ask):
    (answer,) = ask(("loop",), fuel=-1)
    assert (answer.verdict, answer.fuel_consumed) == ("invalid-config", None)


def test_a_file_that_is_no_component_is_answered_as_such(ask):
    (answer,) = ask(("f",), wat="(module")
    assert (answer.verdict, answer.phase) == ("invalid-component", "instantiate")


def test_a_count_that_is_not_exact_is_not_told(ask):
    (answer,) = ask(("loop",), fuel="unlimited", timeout_ms=100)
    assert (answer.verdict, answer.fuel_consumed) == ("timeout", None)


def test_a_manifest_is_answered_with_the_limits_that_it_means(runtime):
    text = '[component]\nname = "a"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'
    (answer,) = runtime.configure(ConfigureRequest(id=1, manifest=text)).steps
    assert answer.limits == {"memory_bytes": 1_048_576, "fuel": 1_000_000, "timeout_ms": 100}


def test_a_wrong_manifest_is_answered_with_its_place(runtime):
    (answer,) = runtime.configure(ConfigureRequest(id=1, manifest="[component]\n")).steps
    assert answer.verdict == "invalid-config"
    assert "Component.toml" in answer.message


def test_the_runtime_says_who_it_is(runtime):
    hello = runtime.hello()
    assert "wasmtime" in hello.runtime
    assert {"component", "module", "fuel", "timeout", "memory"} <= set(hello.capabilities) <= set(CAPABILITIES)
    assert runtime.process_ids() == (os.getpid(),)


def test_the_host_library_serves_components_and_modules():
    host = host_library(HOST_LIBRARY)
    for name, function in HOST_LIBRARY.items():
        assert host.find("", name) is host.find("host", name) is function


def test_a_function_that_is_not_in_the_host_library_is_refused():
    with pytest.raises(InvalidConfiguration, match="teleport"):
        host_library(["teleport"])


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not tell")
def test_memory_and_files_of_a_process_are_seen_from_outside(tmp_path):
    assert measure.can_measure()
    own = (os.getpid(),)
    size, files = measure.resident_mib(own), measure.open_files(own)
    kept = bytearray(os.urandom(32 * 2**20))
    with (tmp_path / "file").open("w", encoding="utf-8"):
        assert measure.open_files(own) == files + 1
    assert measure.resident_mib(own) > size + 16
    assert len(kept) == 32 * 2**20


WRITER = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4) (data (i32.const 64) "hey\ff")
  (func $say (export "say") (param i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (local.get 0))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $start (call $say (i32.const 2))) (start $start))"""


def test_each_answer_has_what_was_written_since_the_one_before(engine, tmp_path):
    (tmp_path / "writer.wat").write_text(WRITER)
    steps = [StepRequest(call="say", args=[size]) for size in (4, 0, 65_536, 65_537, 1)]
    limits = {"memory_bytes": 2**20, "timeout_ms": 10_000}
    request = RunRequest(id=1, component=str(tmp_path / "writer.wat"), limits=limits, steps=steps, wasi={})
    told = [(one.stdout, one.stderr) for one in InProcessRuntime(engine).run(request).steps]
    assert told[0] == (b"hehey\xff", b"")
    assert told[1] == (b"", b"")
    assert told[2][0] is not None
    assert len(told[2][0]) == 65_536
    assert told[3] == (None, b"")  # too long for an answer
    assert told[4] == (b"h", b"")
    without = structs.replace(request, wasi=None, steps=[StepRequest()])
    assert [one.stdout for one in InProcessRuntime(engine).run(without).steps] == [None]
