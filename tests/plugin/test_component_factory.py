"""`component_factory` gives instances for fixtures of any scope, under the limits of the session, and in its reports."""

from __future__ import annotations

import json

import pytest

from support.passing import passes

FIXTURE = """
import pytest
from pytest_airssys_wasm import *

@pytest.fixture(scope="module")
def kernels(component_factory):
    with component_factory("kernels.wat", memory="1 MiB", timeout_ms=20_000) as instance:
        yield instance
"""
LIMIT = '[component]\nname = "k"\nversion = "1"\n[resources.memory]\nmax_bytes = "2 MiB"\n[resources.cpu]\nmax_fuel = 5_000\ntimeout_ms = 20_000\n'


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_one_instance_serves_all_tests_of_a_scope(guest, scope):
    passes(
        guest,
        conftest=FIXTURE.replace("module", scope),
        test_a="""
class TestState:
    def test_a(self, kernels):
        assert [kernels.calls(), kernels.call("calls")] == [1, 2]
    def test_b(self, kernels):
        assert kernels.calls() == 3
""",
    )


def test_the_store_is_closed_with_the_fixture_and_after_a_failure(guest):
    passes(
        guest,
        trap_wat="(module (func $f unreachable) (start $f))",
        test_a=FIXTURE
        + """
def test_closed(component_factory):
    context = component_factory("kernels.wat", memory="1 MiB", timeout_ms=20_000)
    with context as instance:
        assert instance.store.is_usable
        with pytest.raises(RuntimeError, match="in use already"):
            context.__enter__()
        assert instance.add(1, 2) == 3
    assert not instance.store.is_usable
    with context as another:
        assert another.calls() == 1

def test_failure(component_factory):
    context = component_factory("trap.wat", memory="1 MiB", timeout_ms=20_000)
    for _ in range(2):
        with pytest.raises(ComponentTrapped), context:
            pass

def test_text_and_bytes(component_factory):
    with component_factory('(module (func (export "f")))', memory=0, timeout_ms=20_000) as instance:
        assert instance.f() is None

def test_async(component_factory):
    import asyncio
    async def main():
        async with component_factory("kernels.wat", memory="1 MiB", timeout_ms=20_000) as instance:
            assert await instance.add.call_async(1, 2) == 3
        assert not instance.store.is_usable
    asyncio.run(main())

def test_host_and_wasi(component_factory):
    host = HostFunctions()
    host.register("env#n", lambda: 7)
    text = '(module (import "env" "n" (func $n (result i32))) (func (export "n") (result i32) call $n))'
    with component_factory(text, host=host, memory=0, timeout_ms=20_000) as instance:
        assert instance.n() == 7
    with pytest.raises(InvalidConfiguration, match="wasi: .*Wasi"):
        component_factory(text, wasi=True, memory=0)
""",
    )


@pytest.mark.slow
def test_the_weaker_limit_gives_way(guest):
    guest.write(Component_toml=LIMIT, pytest_ini="[pytest]\nwasm_fuel = 7\nwasm_max_fuel = 9_000\n")
    guest.write(
        test_a="""
import pytest
from pytest_airssys_wasm import *

def test_manifest(component_factory, request):
    wanted = request.config.getoption("--wasm-fuel") or 5_000
    with component_factory("kernels.wat") as instance:
        assert (instance.store.limits.fuel, instance.store.limits.memory) == (int(wanted), 2 * 2**20)

def test_own(component_factory):
    with component_factory("kernels.wat", fuel=100, tables=3) as instance:
        assert (instance.store.limits.fuel, instance.store.limits.tables) == (100, 3)

def test_ini(component_factory):
    with component_factory('(module (memory 1))', memory="64 KiB", timeout_ms=20_000) as instance:
        pass

def test_ceiling(component_factory):
    with pytest.raises(InvalidConfiguration, match="fuel of component_factory.*at most 9,000.*wasm_max_fuel"):
        component_factory("kernels.wat", fuel=9_001)
    with pytest.raises(InvalidConfiguration, match="unlimited"):
        component_factory("kernels.wat", fuel=None)
"""
    )
    ran = guest.run()
    assert ran.code == 0, ran.text
    ran = guest.run("--wasm-fuel", "6_000", "-rA", "-k", "not own")
    assert ran.code == 0, ran.text
    assert "limit    fuel 6,000 from --wasm-fuel, the manifest says 5,000" in ran.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'nothing.wat', memory=1", "component_factory: source: expected an existing file: .*nothing.wat"),
        ("'kernels.wat'", r"component_factory\(kernels.wat\): memory.*component_factory\(…, memory='1 MiB'\)"),
        ("'kernels.wat', memory='lots'", "component_factory: memory.*lots"),
        ("'kernels.wat', feul=3", "component_factory: expected one of memory, fuel, timeout_ms, tables.*feul"),
        ("'kernels.wat', manifest='no.toml', memory=1", "component_factory: manifest: .*no.toml"),
        ("None, memory=1", "component_factory: source: .*None"),
        ("'', memory=1", "component_factory: source: "),
        ("'kernels.wat', host=3, memory=1", "host: .*3"),
    ],
)
def test_wrong_arguments_are_named(guest, call, message):
    passes(
        guest,
        test_a=f"""
import pytest
from pytest_airssys_wasm import InvalidConfiguration

def test_a(component_factory):
    with pytest.raises(InvalidConfiguration, match={message!r}):
        component_factory({call})
""",
    )


@pytest.mark.slow
def test_its_executions_are_in_the_report_and_failures_name_the_limit(guest):
    guest.write(
        test_a=FIXTURE
        + """
def test_a(kernels):
    kernels.add(1, 2)

def test_b(component_factory):
    with component_factory("kernels.wat", memory="1 MiB", fuel=100, timeout_ms=20_000) as instance:
        instance.count(1_000)
"""
    )
    ran = guest.run("--wasm-report", "r.json")
    assert ran.code == 1
    assert "of 100 (100 %) from fuel of component_factory" in ran.text
    assert "blame    fuel: the call needs " in ran.text
    records = json.loads(guest.path("r.json").read_text())["executions"]
    assert [(one["test"], one["export"]) for one in records] == [
        ("test_a.py::test_a", None),
        ("test_a.py::test_a", "add"),
        ("test_a.py::test_b", None),
        ("test_a.py::test_b", "count"),
    ]
