"""The expansion of a guest by its instantiation is counted before the guest is compiled."""

from __future__ import annotations

import pytest
import wasmtime

from pytest_airssys_wasm import LimitedStore, ResourceLimitExceeded, ResourceLimits, WasmEngine
from pytest_airssys_wasm.runtime.binary.expansion import MOST_DEFINITIONS, expand
from pytest_airssys_wasm.runtime.errors import InvalidComponent
from pytest_airssys_wasm.runtime.guest import in_process
from support.checkout import ROOT

TWICE = "(instance (instantiate $c)) (instance (instantiate $c))"


def expansion_of(text):
    return expand(bytes(wasmtime.wat2wasm(text)))


def doubling(levels):
    """Return a component that instantiates the innermost component 2**levels times, through outer aliases."""
    nested = "(component $c0 (core module $m) (core instance (instantiate $m)))"
    for level in range(1, levels + 1):
        nested += f"(component $c{level} (alias outer 1 $c{level - 1} (component $c)) {TWICE})"
    return f"(component {nested} (instance (instantiate $c{levels})))"


def doubling_by_arguments(levels):
    """Return a component that hands each component to the next as an argument."""
    nested = "(component $c0 (core module $m) (core instance (instantiate $m)))"
    for level in range(1, levels + 1):
        nested += f"""(component $take{level} (import "c" (component $c)) (component $made (alias outer 1 $c (component $c)) {TWICE})
            (export "c" (component $made)))
          (instance $i{level} (instantiate $take{level} (with "c" (component $c{level - 1}))))
          (alias export $i{level} "c" (component $c{level}))"""
    return f"(component {nested} (instance (instantiate $c{levels})))"


def doubling_by_instances(levels):
    """Return a component that hands each component to the next inside an instance."""
    nested = "(component $c0 (core module $m) (core instance (instantiate $m)))"
    for level in range(1, levels + 1):
        nested += f"""(component $take{level} (import "i" (instance $i (export "c" (component))))
            (alias export $i "c" (component $c)) (component $made (alias outer 1 $c (component $c)) {TWICE})
            (export "c" (component $made)))
          (instance $given{level} (export "c" (component $c{level - 1})))
          (instance $i{level} (instantiate $take{level} (with "i" (instance $given{level}))))
          (alias export $i{level} "c" (component $c{level}))"""
    return f"(component {nested} (instance (instantiate $c{levels})))"


@pytest.mark.slow
@pytest.mark.parametrize("write", [doubling, doubling_by_arguments, doubling_by_instances])
def test_nested_instances_are_counted_however_they_came_in(write):
    few, many = (expansion_of(write(levels)).nested_definitions for levels in (5, 10))
    assert 2**5 <= few < 2**8
    assert 2**10 <= many < 2**13
    assert expansion_of(write(40)).nested_definitions > MOST_DEFINITIONS


@pytest.mark.slow
@pytest.mark.parametrize("write", [doubling, doubling_by_arguments, doubling_by_instances])
def test_a_component_whose_instances_multiply_is_refused_before_it_is_compiled(write):
    engine = WasmEngine()
    engine.load(write(4))
    with pytest.raises(ResourceLimitExceeded, match="more than 100,000 definitions") as caught:
        engine.load(write(40))
    assert caught.value.resource == "instances"


def test_a_component_that_is_nested_deeper_than_can_be_read_is_refused():
    binary = bytes(wasmtime.wat2wasm(doubling(3)))
    for _ in range(120):
        size = bytes([len(binary) & 0x7F | 0x80, len(binary) >> 7])
        binary = b"\0asm\x0d\0\1\0\x04" + size + binary + b"\x05\x04\x01\0\0\0"
    with pytest.raises(ResourceLimitExceeded, match="more than 100 deep"):
        WasmEngine().load(binary)


def test_functions_between_components_count_for_what_their_adapters_take():
    leaf = """(component $leaf (component $a (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f")))) (instance (instantiate $a)))"""
    assert expansion_of(f"(component {leaf} (instance (instantiate $leaf)))").nested_definitions > 100


def test_definitions_outside_of_nested_components_are_not_limited():
    many = "(core instance (instantiate $m))" * 500
    assert expansion_of(f"(component (core module $m) {many})").nested_definitions == 0


def test_a_long_chain_of_components_is_counted():
    chain = "(component $c0)" + "".join(
        f"(component $c{n} (alias outer 1 $c{n - 1} (component $c)) (instance (instantiate $c)))"
        for n in range(1, 2_000)
    )
    assert expansion_of(f"(component {chain} (instance (instantiate $c1999)))").nested_definitions == 3_998


@pytest.mark.parametrize(
    "binary",
    [b"\0asm\x0d\0\1\0\x05\x03\x01\0\x07", b"\0asm\x0d\0\1\0\x06\x05\x01\x04\x02\x05\0", b"\0asm\1\0\0\0\x06\x7f"],
)
def test_malformed_binaries_are_refused(binary):
    with pytest.raises(InvalidComponent):
        expand(binary)


def test_an_instance_takes_bytes_for_globals_and_functions():
    empty = expansion_of("(module)").instance_bytes
    assert expansion_of(f"(module {'(global i64 (i64.const 0))' * 100})").instance_bytes == empty + 1_600
    assert expansion_of(f"(module {'(func)' * 100})").instance_bytes == empty + 3_200
    one = expansion_of("(component (core module $m (func)) (core instance (instantiate $m)))").instance_bytes
    ten = expansion_of(f"(component (core module $m (func)) {'(core instance (instantiate $m))' * 10})").instance_bytes
    assert ten == 10 * one == 10 * (empty + 32)


@pytest.mark.parametrize("kind", ["(global i64 (i64.const 0))", "(func (export {0}))"])
def test_globals_and_functions_of_a_store_are_bounded(monkeypatch, kind):
    monkeypatch.setattr(in_process, "MOST_INSTANCE_BYTES", 50_000)
    module = "".join(kind.replace("{0}", f'"{n}"') for n in range(1_000))
    engine = WasmEngine()
    guest = engine.load(f"(module {module})")
    with LimitedStore(engine, ResourceLimits(memory=0, timeout_ms=10_000)) as store:
        with pytest.raises(ResourceLimitExceeded, match="for globals, functions and tables") as caught:
            for _ in range(5):
                store.instantiate(guest)
        assert caught.value.resource == "instances"
        assert caught.value.usage is not None
        assert caught.value.usage.fuel.consumed == 0


@pytest.mark.slow
def test_three_hundred_thousand_globals_in_sixty_instances_are_refused_before_they_are_made():
    instances = "(core instance (instantiate $m))" * 60
    engine = WasmEngine()
    guest = engine.load(f"(component (core module $m {'(global i32 (i32.const 0))' * 300_000}) {instances})")
    with (
        LimitedStore(engine, ResourceLimits(memory=0, timeout_ms=10_000)) as store,
        pytest.raises(ResourceLimitExceeded, match="274 MiB") as caught,
    ):
        store.instantiate(guest)
    assert caught.value.resource == "instances"


@pytest.mark.parametrize("path", sorted((ROOT / "fixtures" / "guests").glob("*/*.wasm")), ids=lambda path: path.name)
def test_real_guests_are_far_from_the_bounds(path):
    expansion = expand(path.read_bytes())
    assert expansion.nested_definitions < MOST_DEFINITIONS / 5
    assert expansion.instance_bytes < in_process.MOST_INSTANCE_BYTES / 10
