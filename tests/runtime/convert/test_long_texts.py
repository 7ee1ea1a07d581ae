"""Long texts are passed without copies where they are ASCII, and are the same and cost the same as short ones."""

from __future__ import annotations

import gc

import pytest

from pytest_airssys_wasm import HostFunctions, LimitedStore, ResourceLimitExceeded, ResourceLimits, WasmEngine
from pytest_airssys_wasm.runtime.convert.lowering import _LONG_TEXT

GUEST = """(component
  (import "hear" (func $hear (param "x" string) (result string)))
  (core module $memory (memory (export "memory") 80)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))
  (core func $hear' (canon lower (func $hear) (memory $m) (realloc $realloc)))
  (core module $code (import "host" "hear" (func $hear (param i32 i32 i32))) (import "memory" "memory" (memory 80))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "tell") (param i32 i32) (result i32)
      (call $hear (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
  (core instance $i (instantiate $code (with "host" (instance (export "hear" (func $hear'))))
    (with "memory" (instance (export "memory" (memory $m))))))
  (func (export "echo") (param "x" string) (result string)
    (canon lift (core func $i "echo") (memory $m) (realloc $realloc)))
  (func (export "tell") (param "x" string) (result string)
    (canon lift (core func $i "tell") (memory $m) (realloc $realloc))))"""
ALONE = """(component
  (core module $m (memory (export "memory") 80)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
  (core instance $i (instantiate $m))
  (func (export "echo") (param "x" string) (result string)
    (canon lift (core func $i "echo") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"""
LIMITS = ResourceLimits(memory="8 MiB", transfer="32 MiB", timeout_ms=60_000)
LONG = _LONG_TEXT
TEXTS = {
    "just-short": "x" * (LONG - 1),
    "just-long": "x" * LONG,
    "a-mebibyte": "x" * 2**20,
    "four": "xyz\0" * 2**20,
    "umlauts": "ü" * LONG,
    "an-umlaut-at-the-beginning": "ü" + "x" * LONG,
    "an-umlaut-at-the-end": "x" * LONG + "ü",
    "an-emoji-at-the-end": "x" * LONG + "\U0001f600",
    "latin": "\x7f\x80" * LONG,
}


class Text(str):
    """A string of another class."""

    __slots__ = ()


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


def charge_of(text):
    size = len(text.encode())
    return 64 + size + (size if text.isascii() else 4 * size)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_long_text_comes_back_and_costs_its_bytes(engine, text):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(ALONE))
        for _ in range(3):
            assert instance.echo(text) == text
            assert store.usage.transfer_bytes == charge_of(text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_host_function_hears_a_long_text_and_answers_it(engine, text):
    heard, host = [], HostFunctions()

    def hear(given):
        heard.append(given)
        return Text(given)

    host.register("hear", hear)
    with LimitedStore(engine, LIMITS, host=host) as store:
        instance = store.instantiate(engine.load(GUEST))
        for _ in range(3):
            assert instance.tell(text) == text
            assert store.usage.transfer_bytes == 2 * charge_of(text)
    assert heard == [text] * 3


def test_the_limit_holds_to_the_byte(engine):
    text = "x" * LONG
    for limit, is_enough in ((charge_of(text), True), (charge_of(text) - 1, False)):
        with LimitedStore(engine, ResourceLimits(memory="8 MiB", transfer=limit, timeout_ms=60_000)) as store:
            instance = store.instantiate(engine.load(ALONE))
            assert instance.echo("x") == "x"
            if is_enough:
                assert instance.echo(text) == text
            else:
                with pytest.raises(ResourceLimitExceeded):
                    instance.echo(text)


@pytest.mark.parametrize("bad", ["x" * LONG + "\ud800", "\udfff" + "x" * LONG])
def test_a_long_text_with_a_lone_surrogate_is_refused(engine, bad):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(ALONE))
        instance.echo("x")
        with pytest.raises(ValueError, match="surrogate"):
            instance.echo(bad)


def test_a_text_that_nobody_else_holds_lives_as_long_as_the_call(engine):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(ALONE))
        instance.echo("x")
        gc.collect()
        for number in range(20):
            assert instance.echo(str(number) * LONG) == str(number) * LONG
