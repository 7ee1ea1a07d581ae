"""The lines `blame` under a failing test: what the call would have needed, or why that is not known."""

from __future__ import annotations

import re

import pytest

HEAD = """
import pytest
# A time no busy machine takes: these tests are not about it.
pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
"""
ASKING = """
ASKING = '''(module (import "env" "f" (func $f (result i32)))
  (func (export "late") (param i32) (loop (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) br_if 0) (drop (call $f)))
  (func (export "ask") (param i32) (drop (call $f))
    (loop (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) br_if 0)))'''
"""


def blamed(ran) -> list[str]:
    return [line.removeprefix("blame    ") for line in ran.text.splitlines() if line.startswith("blame    ")]


@pytest.mark.slow
def test_the_limit_and_what_the_call_needs_are_exact(guest):
    guest.write(
        test_a=HEAD
        + """
@pytest.mark.fuel(1_000)
def test_fuel(component):
    component.count(10**6)

@pytest.mark.fuel(4_999_996)
def test_one_less(component):
    component.count(10**6)

@pytest.mark.fuel(4_999_997)
def test_just_enough(component):
    component.count(10**6)

def test_memory(component):
    component.must_grow(100)
"""
    )
    ran = guest.run()
    assert blamed(ran) == [
        "fuel: the call needs 4,999,997, the limit was 1,000",
        "fuel: the call needs 4,999,997, the limit was 4,999,996",
        "memory: the call needs 6.312 MiB (6,619,136 bytes), the limit was 1 MiB",
    ]
    assert "3 failed, 1 passed" in ran.text


@pytest.mark.slow
def test_limits_without_a_marker_and_refusals_that_the_guest_hides_are_blamed(project):
    project.write(
        test_a=HEAD.replace('"kernels.wat"', "GUEST").replace(
            "# A",
            """GUEST = '''(module (table $t 1 funcref) (memory 1)
  (func (export "elements") (param i32)
    (if (i32.eq (table.grow $t (ref.null func) (local.get 0)) (i32.const -1)) (then unreachable)))
  (func (export "outside") (loop (drop (i32.load (i32.const -4))))))'''
# A""",
        )
        + """
def test_elements(component):
    component.elements(30_000)

def test_memories(component_factory):
    with component_factory("(module (memory 1) (memory 1))", memory="1 MiB", memories=1):
        pass

def test_a_trap_of_which_the_engine_loses_the_fuel(component):
    component.outside()

@pytest.mark.component("(module (func (export \\"f\\") unreachable))")
def test_a_plain_trap(component):
    component.f()
"""
    )
    assert blamed(project.run()) == [
        "table elements: the call needs 30,001, the limit was 20,000",
        "memories: the instantiation needs 2, the limit was 1",
        "the trap is reached with 2 fuel",
    ]


@pytest.mark.slow
def test_runs_again_keep_the_ceilings(guest):
    guest.write(
        pytest_ini="[pytest]\nwasm_max_fuel = 20_000\nwasm_max_memory = 2 MiB\nwasm_max_timeout_ms = 25_000\n",
        test_a=HEAD
        + """
@pytest.mark.fuel(10_000)
def test_fuel(component):
    component.count(1_000_000)

@pytest.mark.fuel(20_000)
def test_fuel_at_the_ceiling(component):
    component.count(1_000_000)

def test_memory(component):
    component.must_grow(25)
""",
    )
    assert blamed(guest.run()) == [
        "fuel: with 20,000, the ceiling of this limit, the call ends with out-of-fuel",
        "fuel: not lifted, because the ceilings of the ini file leave no room for more",
        "memory: the call needs 1.625 MiB (1,703,936 bytes), the limit was 1 MiB",
    ]


@pytest.mark.slow
def test_what_cannot_be_run_again_says_why(guest):
    guest.write(
        test_a=HEAD
        + ASKING
        + """
asking = pytest.mark.component(ASKING)

def test_second(component):
    component.add(1, 2)
    component.count(-1)

@asking
@pytest.mark.fuel(1_000)
def test_host(component, wasm_host):
    wasm_host.register("env#f", lambda: 1)
    component.ask(1_000)

@asking
@pytest.mark.fuel(1_000)
def test_before_the_host(component, wasm_host):
    wasm_host.register("env#f", lambda: print("called"))
    component.late(1_000)

@asking
@pytest.mark.fuel(1_000)
def test_repeatable_host(component, wasm_host):
    wasm_host.register("env#f", lambda: 1, repeatable=True)
    component.ask(1_000)

def test_trap(component):
    component.boom()
"""
    )
    ran = guest.run()
    second, host, before, repeatable = blamed(ran)
    assert second == "unknown: count was not the first call in its store, and only a first call is run again"
    assert host.startswith("unknown: <module <text>> imports env#f: calls of host functions are repeated only if")
    found = re.fullmatch(
        r"fuel: the call uses ([\d,]+) before it calls env#f, and is not repeated from there on", before
    )
    assert found, before
    assert int(found[1].replace(",", "")) > 5_000
    assert re.fullmatch(r"fuel: the call needs [\d,]+, the limit was 1,000", repeatable)
    assert "called" not in ran.text.partition("FAILURES")[2].replace('print("called")', "")


@pytest.mark.slow
def test_the_stubs_of_a_manifest_are_called_again(project):
    project.write(
        guest_wat=ASKING.partition("'''")[2].rpartition("'''")[0],
        Component_toml="""
            [component]
            name = "guest"
            version = "0.1.0"
            wasm = "guest.wat"
            [resources.memory]
            max_bytes = 524288
            [resources.cpu]
            max_fuel = 10_000
            timeout_ms = 20_000
            [[imports]]
            name = "env#f"
            returns = 250
            calls = 1
            [[tests]]
            name = "asks"
            call = "ask"
            args = [5_000]
            verdict = "ok"
        """,
    )
    (line,) = blamed(project.run("--airssys-wasm", "."))
    assert re.fullmatch(r"fuel: the call needs [\d,]+, the limit was 10,000", line)


@pytest.mark.slow
def test_a_timeout_says_what_took_the_time(guest):
    guest.write(
        test_a=HEAD
        + ASKING
        + """
import time
asking = pytest.mark.component(ASKING)

@asking
@pytest.mark.timeout_ms(50)
def test_host(component, wasm_host):
    wasm_host.register("env#f", lambda: time.sleep(0.2) or 1, repeatable=True)
    component.ask(1)
"""
    )
    needed, cause = blamed(guest.run())
    assert re.fullmatch(r"timeout: the call returns after about \d+ ms, the limit was 50 ms", needed)
    assert cause == "host functions or WASI took the time"


@pytest.mark.slow
def test_fuel_that_is_not_known_has_no_share(guest):
    guest.write(
        test_a=HEAD
        + """
@pytest.mark.fuel(10**15)
@pytest.mark.timeout_ms(50)
def test_spins(component):
    component.count(-1)
"""
    )
    assert "\nfuel     unknown of 1,000,000,000,000,000 from marker fuel\n" in guest.run().text


@pytest.mark.slow
def test_runs_again_are_bounded_over_the_session_and_one_failure(guest):
    guest.write(
        conftest="""
            from pytest_airssys_wasm.plugin.report import section
            section._RERUNS_OF_A_FAILURE_S = 0.2
            section._RERUNS_S = 0.3
        """,
        test_a=HEAD
        + """
@pytest.mark.parametrize("number", range(4))
def test_spins(component, number):
    component.count(0)
""",
    )
    ran = guest.run("--wasm-fuel=10")
    first, second, *others = blamed(ran)
    for line, most_s in ((first, 0.2), (second, 0.1)):
        found = re.fullmatch(
            r"fuel: without this limit the call had not returned after ([\d.]+) s; it may never end", line
        )
        assert found, line
        assert 0 < float(found[1]) <= most_s
    assert others == ["unknown: re-runs have taken 0.3 s of this session; run this test alone"] * 2
    assert ran.text.count("\nverdict  out-of-fuel") == 4
