"""The facts that are read from binaries can be kept, and come back as they were."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
import wasmtime
from msgspec import structs

from pytest_airssys_wasm.runtime.binary.facts import REVISION, GuestFacts, read_facts
from pytest_airssys_wasm.runtime.errors import InvalidComponent, ResourceLimitExceeded

MODULE = """(module
  (rec (type $open (sub (func (param i32)))) (type (struct (field i8))))
  (type $array (array (mut i64)))
  (import "a" "f" (func (param i32 v128 (ref null $array)) (result f64)))
  (import "a" "o" (func (type $open)))
  (import "a" "m" (memory i64 1 9))
  (import "a" "t" (table 1 externref))
  (import "a" "g" (global (mut i32)))
  (import "ä" "x" (tag (param i32)))
  (memory 2) (table 3 4 funcref) (global i32 (i32.const 1))
  (export "f" (func 0)) (export "o" (func 1)) (export "m" (memory 1)) (export "t" (table 1)) (export "g" (global 1))
  (func) (data "abc"))"""
BULK = "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))))"
COMPONENT = '(component (core module $m (func (export "f"))) (core instance (instantiate $m)))'


def facts_of(kind, text):
    return read_facts(kind, bytes(wasmtime.wat2wasm(text)), "guest")


@pytest.mark.parametrize(("kind", "text"), [("module", MODULE), ("module", "(module)"), ("component", COMPONENT)])
def test_facts_come_back_as_they_were(kind, text):
    facts = facts_of(kind, text)
    back = msgspec.json.decode(msgspec.json.encode(facts), type=GuestFacts)
    assert back == facts
    if facts.shape is not None:
        assert [str(one.type) for one in back.shape.imports] == [str(one.type) for one in facts.shape.imports]


def test_a_change_of_the_facts_that_are_read_needs_a_new_revision():
    """Otherwise, facts that an older version kept in a user's cache would be believed."""
    facts = [
        structs.replace(facts_of(*guest), digest="", size_bytes=0)
        for guest in (("module", MODULE), ("component", COMPONENT))
    ]
    kept = b"".join(map(msgspec.json.encode, facts))
    assert (REVISION, hashlib.sha256(kept).hexdigest()[:16]) == (2, "91569c2041e9a51d")


@pytest.mark.slow
def test_guests_without_facts_are_refused():
    with pytest.raises(InvalidComponent, match="malformed module"):
        read_facts("module", b"\0asm\1\0\0\0\1\xff", "guest")
    nested = "(component $c0)"
    for level in range(1, 20):
        instances = f"(instance (instantiate $c{level - 1})) (instance (instantiate $c{level - 1}))"
        nested = f"(component $c{level} {nested} {instances})"
    with pytest.raises(ResourceLimitExceeded, match="guest: the instances of its nested components"):
        facts_of("component", nested)
