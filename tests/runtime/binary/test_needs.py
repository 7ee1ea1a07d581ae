"""The declarations of a guest are read without running it."""

from __future__ import annotations

import time

import pytest
import wasmtime
from msgspec import structs

from pytest_airssys_wasm.runtime.binary.needs import MisplacedData, Needs, exceeded, read_needs
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from support.exact_limits import exactly, instantiated

KIB = 1_024
PAGE = 64 * KIB
ONE_PAGE = '(core module $m (memory (export "memory") 1) (table 3 funcref))'


def needs_of(text):
    return read_needs(bytes(wasmtime.wat2wasm(text)))


def test_a_module_declares_its_memories_tables_and_data():
    assert needs_of(
        """(module (import "" "m" (memory 100)) (import "" "t" (table 100 funcref))
        (memory 1 5) (memory i64 2) (table 7 funcref) (table i64 3 externref)
        (data (memory 1) (i32.const 65531) "hello") (data "passive") (data (memory 0) (i32.const 999999999) "x"))"""
    ) == Needs(
        memory_bytes=3 * PAGE,
        each_memory_bytes=(PAGE, 2 * PAGE),
        memories=2,
        has_memory64=True,
        tables=2,
        table_elements=7,
        instances=1,
        data_bytes=13,
    )


def test_pages_of_another_size_are_counted_in_bytes():
    needs = needs_of('(module (memory 1000 2000 (pagesize 1)) (data (i32.const 999) "ab"))')
    assert (needs.memory_bytes, needs.misplaced_data[0].end_bytes) == (1_000, 1_001)


@pytest.mark.parametrize(
    ("memory", "offset", "size", "end"),
    [
        ("1", "i32.const 65536", 0, None),
        ("1", "i32.const 65536", 1, 65_537),
        ("1", "i32.const 65537", 0, 65_537),
        ("1", "i32.const -1", 1, 2**32),
        ("i64 1", "i64.const -1", 2, 2**64 + 1),
        ("0", "i32.const 0", 0, None),
        ("1", "i32.add (i32.const 65000) (i32.mul (i32.const 100) (i32.const 10))", 1, 66_001),
        ("1", "i32.sub (i32.const 0) (i32.const 1)", 1, 2**32),
        ("1", "i32.mul (i32.const 65536) (i32.const 65536)", 1, None),
        ("1", "global.get 0", 1, None),
        ("1", "i32.add (global.get 0) (i32.const 65536)", 1, None),
    ],
)
def test_data_outside_of_its_memory_traps_and_is_found(engine, memory, offset, size, end):
    text = f'(module (global i32 (i32.const 5)) (memory {memory}) (data ({offset}) "{"a" * size}"))'
    misplaced = [MisplacedData(number=0, end_bytes=end, memory_bytes=int(memory[-1]) * PAGE)] if end else []
    assert list(needs_of(text).misplaced_data) == misplaced
    outcome = instantiated(engine, engine.load(text), ResourceLimits(memory="1 MiB", timeout_ms=20_000))
    if "global" not in offset:
        assert isinstance(outcome, ComponentTrapped) == bool(end)


@pytest.mark.parametrize(
    ("text", "instances", "is_complete"),
    [
        (f"(component {ONE_PAGE})", 0, True),
        (f"(component {ONE_PAGE} (core instance (instantiate $m)))", 1, True),
        (f"(component {ONE_PAGE} (core instance (instantiate $m)) (core instance (instantiate $m)))", 2, True),
        (f"(component (component $c {ONE_PAGE} (core instance (instantiate $m))))", 0, True),
        (
            f"""(component (component $c {ONE_PAGE} (core instance (instantiate $m)) (core instance (instantiate $m)))
            (instance (instantiate $c)) (instance (instantiate $c)) (instance (instantiate $c)))""",
            6,
            True,
        ),
        # A nested component that takes the module of the one around it.
        (
            f"""(component {ONE_PAGE} (component $c (alias outer 1 $m (core module $n))
            (core instance (instantiate $n))) (instance (instantiate $c)))""",
            1,
            True,
        ),
        # An export takes an index of its own: what is instantiated is `$n`.
        (
            f"""(component (core module $e) (export $x "x" (core module $e)) {ONE_PAGE}
            (core instance (instantiate $m)) (core instance (instantiate $m)))""",
            2,
            True,
        ),
        (f'(component {ONE_PAGE} (export $x "x" (core module $m)) (core instance (instantiate $x)))', 1, True),
        ('(component (import "x" (core module $m)))', 0, True),
        (f'(component (import "x" (core module $n)) {ONE_PAGE} (core instance (instantiate $m)))', 1, True),
        (f'(component (import "x" (core module $n)) {ONE_PAGE} (core instance (instantiate $n)))', 0, False),
        (
            f"""(component (component $c {ONE_PAGE} (export "m" (core module $m))) (instance $i (instantiate $c))
            (alias export $i "m" (core module $n)) (core instance (instantiate $n)))""",
            0,
            False,
        ),
        # Aliases and imports of other sorts take no index of a module or component.
        (
            f"""(component (import "f" (func)) (import "i" (instance $i (export "t" (type (sub resource)))
            (export "g" (func)))) (alias export $i "g" (func)) (alias export $i "t" (type))
            (import "u" (type (sub resource))) (type $v u32) (import "v" (type (eq $v))) {ONE_PAGE}
            (core instance $j (instantiate $m)) (alias core export $j "memory" (core memory $memory))
            (core instance (export "memory" (memory $memory))) (instance (export "z" (core module $m))))""",
            1,
            True,
        ),
    ],
)
def test_a_component_needs_what_its_instances_need(text, instances, is_complete):
    needs = needs_of(text)
    assert (needs.memory_bytes, needs.memories, needs.tables) == (instances * PAGE, instances, instances)
    assert needs.table_elements == (3 if instances else 0)
    assert needs.is_complete == is_complete
    assert needs.instances == instances + (not is_complete)


def test_components_that_instantiate_each_other_twice_are_counted_without_being_walked():
    text = f"(component $c0 {ONE_PAGE} (core instance (instantiate $m)))"
    for level in range(1, 60):
        text = f"(component $c{level} {text} {f'(instance (instantiate $c{level - 1}))' * 2})"
    started = time.thread_time()
    needs = needs_of(text)
    assert (needs.memories, needs.is_complete) == (2**59, True)
    assert len(needs.each_memory_bytes) == 64
    assert time.thread_time() - started < 1
    assert "declares 35,184,372,088,832 GiB of initial memory" in str(exceeded(needs, ResourceLimits(memory=1))[0])


def test_components_nested_deeper_than_any_are_not_followed():
    inner = b"\0asm\x0d\0\x01\0"
    for _ in range(2_000):
        inner = b"\0asm\x0d\0\x01\0\x04" + leb(len(inner)) + inner + b"\x05\x04\x01\0\0\0"
    assert read_needs(inner) == Needs(is_complete=False)


def leb(number):
    out = b""
    while True:
        number, low = number >> 7, number & 0x7F
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def test_each_excess_says_what_is_declared_and_what_the_limit_is():
    needs = needs_of(
        f"""(module (memory 256) (memory 16) {"(table 1 funcref)" * 16} (table 30000 funcref)
        (data (i32.const 16777216) "x"))"""
    )
    limits = ResourceLimits(memory=2**20 - 1, memories=1, instances=0)
    assert [(one.resource, one.needed, one.limit, str(one)) for one in exceeded(needs, limits)] == [
        (
            "memory",
            17 * 2**20,
            2**20 - 1,
            "declares 17 MiB of initial memory (2 memories), the limit is 1,048,575 bytes",
        ),
        ("memories", 2, 1, "declares 2 memories, the limit is 1"),
        ("tables", 17, 16, "declares 17 tables, the limit is 16"),
        ("table-elements", 30_000, 20_000, "declares a table of 30,000 elements, the limit is 20,000"),
        ("instances", 1, 0, "consists of 1 core instance, the limit is 0"),
        (
            "data",
            16_777_217,
            16_777_216,
            "data segment 0 ends at byte 16,777,217 of a memory that begins with 16,777,216 bytes: "
            "instantiation will trap",
        ),
    ]
    lower = structs.replace(needs, is_complete=False, memory_bytes=PAGE, memories=1)
    (excess, *_) = exceeded(lower, ResourceLimits(memory=100))
    assert str(excess) == "declares at least 64 KiB of initial memory (1 memory), the limit is 100 bytes"
    assert str(exceeded(lower, ResourceLimits(memory=1))[0]).endswith("the limit is 1 byte")
    assert exceeded(needs, exactly(needs)) == exceeded(needs, limits)[-1:]


def test_code_is_passed_over():
    code = b"\x0a" + leb(40 * 2**20) + bytes(40 * 2**20)
    module = bytes(wasmtime.wat2wasm("(module (memory 1))")) + code
    component = b"\0asm\x0d\0\x01\0\x01" + leb(len(module)) + module + b"\x02\x04\x01\0\0\0"
    started = time.thread_time()
    assert read_needs(component).memory_bytes == PAGE
    assert time.thread_time() - started < 0.5
