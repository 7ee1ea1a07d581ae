"""The fixtures: a lazy component in a store of its own, under the test's limits, released after the test."""

from __future__ import annotations

import pytest

from support.passing import HEAD, passes


@pytest.mark.slow
def test_a_component_is_called_in_every_way(guest):
    guest.write(test_a=HEAD)
    with guest.path("test_a.py").open("a") as file:
        file.write(
            """
def test_call(component, limited_store):
    assert repr(component) == "<kernels.wat, not instantiated yet>"
    assert "must_grow" in dir(component) and "store" in dir(component)
    assert limited_store.usage is None
    assert component.call("add", 1, 2) == 3
    assert component.add(3, 4) == 7
    assert limited_store.usage.fuel.consumed == 4
    assert "must_grow" in dir(component)
    assert not hasattr(component, "nothing")
    assert repr(component) == "<instance of <module kernels.wat>>"
    with pytest.raises(UnknownExport, match="did you mean 'add'"):
        component.call("ad")
"""
        )
    assert guest.run().code == 0


@pytest.mark.slow
def test_a_test_can_expect_any_ending(guest):
    passes(
        guest,
        trap_at_start_wat='(module (func $f unreachable) (start $f) (func (export "run")))',
        broken_wat="(module (func (export 3)))",
        importing_wat='(module (import "env" "log" (func (param i32))))',
        test_a=HEAD
        + """
@pytest.mark.component("trap_at_start.wat")
def test_instantiation(component):
    with pytest.raises(ComponentTrapped) as caught:
        component.run()
    assert caught.value.kind == "unreachable"
    with pytest.raises(ComponentTrapped) as again:
        component.run()
    assert again.value is caught.value

@pytest.mark.component("broken.wat")
def test_loading(component):
    assert "call" in dir(component)
    with pytest.raises(InvalidComponent, match="broken.wat"):
        component.call("run")

@pytest.mark.component("importing.wat")
def test_linking(component):
    with pytest.raises(LinkError, match="env#log"):
        component["x"]

@pytest.mark.fuel(1000)
def test_fuel(component):
    with pytest.raises(OutOfFuel) as caught:
        component.count(10**6)
    assert caught.value.usage.fuel.max_fuel == 1000

@pytest.mark.fuel(None)
@pytest.mark.timeout_ms(20)
def test_timeout(component):
    with pytest.raises(ExecutionTimeout):
        component.count(0)

def test_memory(component, limited_store):
    with pytest.raises(OutOfMemory):
        component.must_grow(100)
    assert limited_store.usage.denied_growths == 1

@pytest.mark.wasm_limits(memories=0)
def test_counts(component):
    with pytest.raises(ResourceLimitExceeded) as caught:
        component.add(1, 2)
    assert caught.value.resource == "memories"

@pytest.mark.xfail(raises=OutOfFuel, strict=True)
@pytest.mark.fuel(0)
def test_xfail(component):
    component.count(1)
""",
    )


def test_fuel_is_for_each_call_or_for_the_whole_test(guest):
    passes(
        guest,
        test_a=HEAD
        + """
@pytest.mark.fuel(1000)
def test_per_call(component):
    for _ in range(10):
        component.count(100)

@pytest.mark.fuel(1000, per="test")
def test_per_test(component, limited_store):
    with pytest.raises(OutOfFuel):
        for _ in range(10):
            component.count(100)
    assert limited_store.total.fuel.consumed <= 1000
""",
    )


def test_two_tests_do_not_share_a_store_and_each_is_closed_after_its_test(guest):
    passes(
        guest,
        "-p",
        "no:randomly",
        test_a=HEAD
        + """
STORES = []

@pytest.mark.parametrize("n", [1, 2])
def test_fresh(component, limited_store, n):
    assert [component.calls() for _ in range(3)] == [1, 2, 3]
    STORES.append(limited_store)

def test_closed(wasm_engine):
    assert len({id(store) for store in STORES}) == 2
    assert not any(store.is_usable for store in STORES)
    assert wasm_engine.live_memories == 0
    with pytest.raises(StoreUnusable):
        STORES[0].instantiate(wasm_engine.load("kernels.wat"))
""",
    )


def test_no_store_stays_in_memory_after_its_test(guest):
    """Items stay until the session ends, and there may be thousands of them."""
    passes(
        guest,
        test_a=HEAD
        + """
import gc, weakref

STORES = []

@pytest.mark.parametrize("n", [1, 2, 3])
def test_used(component, limited_store, n):
    assert component.add(n, 1) == n + 1
    STORES.append(weakref.ref(limited_store))

def test_gone():
    gc.collect()
    assert [store() for store in STORES] == [None] * 3
""",
    )


def test_the_engine_is_one_for_the_session(guest):
    passes(
        guest,
        test_a=HEAD
        + """
ENGINES = set()

@pytest.fixture(scope="session")
def loaded(wasm_engine):
    return wasm_engine.load("kernels.wat")

@pytest.mark.parametrize("n", [1, 2])
def test_engine(wasm_engine, loaded, limited_store, n):
    ENGINES.add(id(wasm_engine))
    assert len(ENGINES) == 1
    assert limited_store.instantiate(loaded).add(1, 2) == 3
""",
    )


def test_host_functions_are_registered_before_the_first_use(guest):
    passes(
        guest,
        importing_wat="""(module (import "env" "twice" (func $twice (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) local.get 0 call $twice))""",
        conftest="""
            import pytest
            @pytest.fixture(autouse=True)
            def imports(wasm_host):
                wasm_host.register("env#twice", lambda n: 2 * n)
        """,
        test_a=HEAD
        + """
@pytest.mark.component("importing.wat")
def test_conftest(component):
    assert component.run(4) == 8

@pytest.mark.component("importing.wat")
def test_own(component, wasm_host):
    wasm_host.register("env#twice", lambda n: -n)
    assert component.run(4) == -4
""",
    )


def test_a_fixture_can_be_overridden(guest):
    passes(
        guest,
        conftest="""
            import pytest
            from pytest_airssys_wasm import ResourceLimits
            @pytest.fixture
            def wasm_limits():
                return ResourceLimits(memory="64 KiB", fuel=77, timeout_ms=20_000)
        """,
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.timeout_ms(20_000)
            def test_a(component, limited_store):
                assert limited_store.limits.fuel == 77
                assert component.grow(1) == -1
        """,
    )


PRINTER = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "hello\\n")
  (func (export "greet") (param $to i32) (drop (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def test_wasi_is_granted_by_the_marker_and_by_nothing_else(guest):
    guest.path("below/seen").mkdir(parents=True)
    passes(
        guest,
        printer_wat=PRINTER,
        test_a=HEAD
        + """
@pytest.mark.component("printer.wat")
@pytest.mark.wasi()
def test_granted(component, limited_store):
    component.greet(1)
    component.greet(2)
    assert (limited_store.stdout, limited_store.stderr) == (b"hello\\n", b"hello\\n")

@pytest.mark.component("printer.wat")
def test_not_granted(component):
    with pytest.raises(LinkError, match="wasi_snapshot_preview1: fd_write.*WASI is not granted") as refused:
        component.greet(1)
    assert refused.value.imports == ("wasi_snapshot_preview1#fd_write",)

@pytest.mark.wasi(args=["a", "b"], env={"K": "V"}, stdin="in", preopen={"/seen": ("below/seen", "ro")})
def test_grants(limited_store, pytestconfig):
    wasi = limited_store.wasi
    assert (wasi.args, wasi.env, wasi.stdin) == (["a", "b"], {"K": "V"}, "in")
    assert wasi.preopen == {"/seen": (pytestconfig.rootpath / "below/seen", "ro")}
""",
    )


@pytest.mark.slow
def test_a_grant_of_a_missing_directory_is_a_set_up_error(guest):
    guest.write(
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.memory("1 MiB")
            @pytest.mark.wasi(preopen={"/d": ("nowhere", "ro")})
            def test_a(component): pass
        """
    )
    ran = guest.run()
    assert ran.results == {"test_a.py::test_a": "error"}
    assert "wasi.preopen['/d']: expected an existing directory of the host" in ran.text


@pytest.mark.slow
def test_two_workers_give_the_same_outcomes_and_share_the_cache(guest):
    guest.write(
        test_a=HEAD
        + """
@pytest.mark.parametrize("n", range(8))
def test_many(component, n):
    assert component.add(n, n) == 2 * n if n % 2 else component.boom()
"""
    )
    alone, together = guest.run(), guest.run("-n", "2")
    assert alone.results == together.results
    assert sorted(alone.results.values()) == ["failed"] * 4 + ["passed"] * 4


def test_a_component_is_awaited_in_a_test_of_its_own_event_loop(guest):
    guest.write(
        test_a="""
import asyncio
import pytest

@pytest.mark.component("kernels.wat")
@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms(20_000)
def test_async(component, limited_store):
    async def calls():
        return [await component.call_async("add", n, n) for n in range(3)]

    assert asyncio.run(calls()) == [0, 2, 4]
    assert limited_store.total.host_calls == 0
    assert component.calls() == 1

@pytest.mark.component("kernels.wat")
@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms(20_000)
def test_a_use_that_came_too_early_does_not_spoil_the_later_ones(component):
    async def together():
        return await asyncio.gather(*(component.call_async("add", n, n) for n in range(2)), return_exceptions=True)

    first, refused = asyncio.run(together())
    assert (first, type(refused).__name__) == (0, "StoreUnusable")
    assert component.add(1, 2) == 3

@pytest.mark.component("(module (func (export \\"f\\")) (start 0) (func unreachable) )")
@pytest.mark.memory("1 MiB")
def test_an_instantiation_that_fails_does_so_where_it_is_awaited(component):
    for _ in range(2):
        with pytest.raises(Exception):
            asyncio.run(component.call_async("nothing"))
"""
    )
    assert guest.run().count("passed") == 3
