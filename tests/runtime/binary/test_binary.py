"""The bytes of a guest are read, and no bytes bring the loader down."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import wasmtime

from pytest_airssys_wasm.runtime.binary.formats import to_binary
from pytest_airssys_wasm.runtime.binary.needs import read_needs
from pytest_airssys_wasm.runtime.binary.sections import read_module
from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.errors import InvalidComponent

RICH = """(module
  (type $array (array (mut i64)))
  (rec (type $node (struct (field (ref null $node)) (field (mut i8)))))
  (import "env" "f" (func (param i32 v128) (result externref)))
  (import "env" "m" (memory 1 2)) (import "env" "t" (table 1 funcref)) (import "env" "g" (global (mut i64)))
  (memory 3) (table 5 10 externref) (tag $tag)
  (func (export "refs") (param (ref null $array)) (result funcref) ref.null func)
  (func (export "many") (result i32 i64 f32 f64) i32.const 1 i64.const 2 f32.const 3 f64.const 4)
  (memory $big (export "memory") 2) (global (export "global") i32 (i32.const 7)))"""


def test_the_types_of_imports_and_exports_are_read():
    shape = read_module(wasmtime.wat2wasm(RICH))
    assert [(one.module, one.name, str(one.type)) for one in shape.imports] == [
        ("env", "f", "(func (param i32 v128) (result externref))"),
        ("env", "m", "(memory 1 2)"),
        ("env", "t", "(table 1)"),
        ("env", "g", "(global i64)"),
    ]
    types = {one.name: one.type for one in shape.exports}
    assert types["many"] == CoreFunction((), ("i32", "i64", "f32", "f64"))
    assert str(types["refs"]) == "(func (param (ref null 0)) (result funcref))"
    assert str(types["memory"]) == "(memory 2)"
    assert [memory.minimum for memory in shape.memories] == [1, 3, 2]


def test_text_and_binaries_are_told_apart():
    assert to_binary(b"(module)", "t")[0] == "module"
    assert to_binary(b"  ;; comment\n(component)", "t")[0] == "component"
    assert to_binary(bytes(wasmtime.wat2wasm("(component)")), "t")[0] == "component"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "empty"),
        (b"\0asm\1", "truncated"),
        (b"\0asm\x02\0\0\0", "version"),
        (b"\x7fELF\x02", "ELF"),
        (b"PK\x03\x04", "zip"),
        (b"(module", "guest.wasm: not valid WebAssembly text"),
        (b"(module", "--> guest.wasm:1:8\n"),
        (b"fn main() {}", "begin with"),
        (b"\xff\xfe\x00", "neither"),
        (b'(module binary "foo")', "does not produce a WebAssembly binary"),
        (b'(module binary "")', "does not produce a WebAssembly binary"),
        (rb'(module binary "\00asm\01")', "truncated"),
        (rb'(component binary "\00asm\09\00\01\00")', "version"),
    ],
)
def test_what_is_no_guest_is_refused_with_the_reason(source, reason):
    with pytest.raises(InvalidComponent, match=reason):
        to_binary(source, "guest.wasm")


@pytest.mark.parametrize(
    "source",
    [
        "(module " + "x" * 10**6,
        '(module (export "\x1b[2J' + "y" * 50_000 + '" (func 0)))',
        f'(module (import "{"z" * 50_000}" "" (func (type 9))))',
        "(module " + '(func (export "a"))' * 2 + ")",
    ],
)
def test_what_is_refused_is_quoted_in_brief_and_safe_to_show(engine, source):
    with pytest.raises(InvalidComponent) as caught:
        engine.load(source)
    text = str(caught.value)
    assert 20 < len(text) < 5_000
    assert text.replace("\n", "").isprintable()
    assert max(map(len, text.split("\n"))) < 300


def test_counts_that_wasmtime_would_not_accept_are_not_counted():
    types = b"\xc1\x84\x3d" + b"\x60\0\0" * 1_000_001
    length = b"".join(bytes([(len(types) >> shift) & 0x7F | (0x80 if shift < 21 else 0)]) for shift in (0, 7, 14, 21))
    with pytest.raises(InvalidComponent, match="1,000,001"):
        read_module(b"\0asm\1\0\0\0\1" + length + types)


FORMS = """(module
  (rec (type $a (sub (struct (field i8)))) (type $b (sub final $a (struct (field i8) (field (mut i16))))) (type $f (func)))
  (rec) (type $c (array (mut f64))) (type $d (func (param exnref (ref exn) (ref null noexn) nullexnref)))
  (type $e (func (param nullref nullexternref nullfuncref (ref i31) (ref eq) (ref null any) (ref struct) (ref array))))
  (type $g (func (param (ref null none) (ref nofunc) (ref noextern) (ref $f) (ref null $a)) (result v128 anyref)))
  (import "" "e" (func (type $e))) (import "" "g" (func (type $g))) (import "" "d" (func (type $d)))
  (import "" "t" (table i64 1 2 (ref null $f))) (import "" "m" (memory i64 1 2)) (import "" "tag" (tag (param i32)))
  (import "" "global" (global (mut (ref null $a))))
  (memory $own i64 3 4) (table $first 4 (ref $f) (ref.func $nop)) (table $second i64 5 6 funcref)
  (table $third 7 (ref null $c) (array.new_fixed $c 2 (f64.const 1) (f64.const 2)))
  (table $fourth 8 externref (extern.convert_any (ref.i31 (i32.add (i32.const 1) (i32.const 2)))))
  (table $fifth 9 (ref null $a) (struct.new $a (i32.const -1)))
  (tag $tag (param i64)) (func $nop (type $f)) (global $v v128 (v128.const i64x2 1 2))
  (export "own" (memory $own)) (export "second" (table $second)) (export "fifth" (table $fifth))
  (export "tag" (tag $tag)) (export "v" (global $v)) (export "nop" (func $nop)) (export "e" (func 0)))"""


def test_more_declarations_than_can_be_read_in_time_are_refused():
    names = b"".join(b"\x84\x40" + b"%08196d" % number + b"\0\0" for number in range(513))
    size, count = len(names) + 2, 513
    leb = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    module = b"\0asm\1\0\0\0" + b"\7" + leb + bytes([count & 0x7F | 0x80, count >> 7]) + names
    with pytest.raises(InvalidComponent, match="its declarations take more than 4 MiB"):
        read_module(module)


def test_a_constant_expression_longer_than_any_is_refused():
    text = f"(module (memory 1) (data (offset i32.const 0 {'i32.const 1 i32.add ' * 500}) ))"
    with pytest.raises(InvalidComponent, match="constant expression of more than 1,000 instructions"):
        read_needs(wasmtime.wat2wasm(text))


def test_every_form_that_wasmtime_accepts_is_read(engine):
    guest = engine.load(FORMS)
    assert {name: str(type_) for name, type_ in guest.exports.items()} == {
        "own": "(memory i64 3 4)",
        "second": "(table i64 5 6)",
        "fifth": "(table 9)",
        "tag": "(tag)",
        "v": "(global)",
        "nop": "(func)",
        "e": "(func (param nullref nullexternref nullfuncref (ref i31) (ref eq) anyref (ref struct) (ref array)))",
    }
    assert str(guest.imports["#g"]) == (
        "(func (param nullref (ref nofunc) (ref noextern) (ref 2) (ref null 0)) (result v128 anyref))"
    )
    assert str(guest.imports["#d"]) == "(func (param exnref (ref exn) nullexnref nullexnref))"


def mutations(seed, count):
    """Damaged copies of valid binaries, and random bytes behind a valid preamble."""
    chance = random.Random(seed)
    component = """(component (core module $m (func (export "f") (result i32) i32.const 42))
      (core instance $i (instantiate $m)) (func (export "f") (result u32) (canon lift (core func $i "f"))))"""
    originals = [bytes(wasmtime.wat2wasm(text)) for text in (RICH, component)]
    for _ in range(count):
        binary = bytearray(chance.choice(originals))
        way = chance.randrange(4)
        if way == 0:
            for _ in range(chance.randint(1, 8)):
                binary[chance.randrange(len(binary))] = chance.randrange(256)
        elif way == 1:
            del binary[chance.randrange(len(binary)) :]
        elif way == 2:
            at = chance.randrange(len(binary))
            binary[at:at] = chance.randbytes(chance.randint(1, 20))
        else:
            binary = bytearray(binary[:8] + chance.randbytes(chance.randint(0, 200)))
        yield bytes(binary)


@pytest.mark.slow
def test_two_thousand_damaged_binaries_load_or_are_invalid_components(engine):
    outcomes = {"loaded": 0, "refused": 0}
    for binary in mutations(seed=1, count=2_000):
        try:
            guest = engine.load(binary)
            list(guest.exports), list(guest.imports), guest.function_names()
            outcomes["loaded"] += 1
        except InvalidComponent:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 1_000
    assert outcomes["loaded"] > 10


@pytest.mark.slow
def test_damaged_modules_that_load_also_run_to_a_verdict():
    # In a process of its own: what is tried here is that it survives.
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from test_binary import mutations
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
engine = WasmEngine()
ran = 0
for binary in mutations(seed=2, count=600):
    try:
        guest = engine.load(binary)
    except WasmError:
        continue
    for name in guest.function_names():
        try:
            engine.execute(guest, name, limits=ResourceLimits(memory="1 MiB", fuel=1_000, timeout_ms=20_000))
        except (WasmError, TypeError):
            pass
        ran += 1
print("ran", ran > 0)
"""
    from pathlib import Path

    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "ran True\n"), done.stderr[-2_000:]
