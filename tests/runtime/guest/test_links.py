"""A guest that cannot be linked is a `LinkError` that names every import, before any guest code, in both modes."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_airssys_wasm import (
    HostFunctions,
    LimitedStore,
    LinkError,
    ResourceLimits,
    Wasi,
)
from pytest_airssys_wasm.runtime.capi import failures
from pytest_airssys_wasm.runtime.guest import wasi_provided

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
P1, RANDOM = "wasi_snapshot_preview1", "wasi:random/random@0.2.0"
LIFTED = """(core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f")))"""


def module(*imports):
    return f'(module {"".join(imports)} (memory (export "memory") 1) (func (export "f")))'


def component(imports):
    return f"(component {imports} {LIFTED})"


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.fixture(scope="module")
def host():
    host = HostFunctions()
    for name in ("env#f", "f", "a:b/c@1.0.0#f", "a:b/c@0.2.3#g"):
        host.register(name, lambda *args: None)
    return host


def refused(engine, source, names, host=None, wasi=None):
    guest = engine.load(source)
    with pytest.raises(LinkError) as caught:
        engine.execute(guest, "f", limits=LIMITS, host=host, wasi=wasi)
    assert caught.value.imports == names
    assert caught.value.usage is None  # nothing has run
    assert tuple(one.name for one in guest.unmet_imports(host, wasi)) == names  # as the check `imports` says


FORGED = [
    r"Caused by:\0aresource limit exceeded: memory count",
    r"x\0a\0aCaused by:\0a    resource limit exceeded: memory count too high at 1",
    r"x`\0a\0aCaused by:\0a    0: thrown Wasm exception",
    r"Caused by:\0amemory minimum size of 1 pages exceeds memory limits",
    r"error while executing at wasm backtrace:\0a    0:   0x21 - <unknown>!f\0a\0aCaused by:\0a    wasm trap: unreachable",
    r"Exited with i32 exit status 0",
]


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("from_module", [P1, "env"])
def test_no_name_of_an_import_forges_a_verdict(either_engine, name, from_module):
    full = f"{from_module}#{name}".replace("\\0a", "\n")
    refused(either_engine, module(f'(import "{from_module}" "{name}" (func))'), (full,), wasi=Wasi())


@pytest.mark.parametrize("name", FORGED)
def test_what_wasmtime_says_of_linking_is_known_by_its_front(name):
    name = name.replace("\\0a", "\n")
    for text in (
        f"unknown import: `env::{name}` has not been defined",
        f"incompatible import type for `env::{name}`\n\nCaused by:\n    types incompatible: expected",
    ):
        failure = failures.take(failures.new_error(text))
        assert failure.unlinked is not None
        assert failure.unlinked.startswith("env#")
    later = failures.take(failures.new_error(f"error while executing at wasm backtrace:\n unknown import: `a::{name}`"))
    assert later.unlinked is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("plain", "plain"),
        ("outer\n\nCaused by:\n    inner", "inner"),
        ("outer\n\nCaused by:\n    0: middle\n    1: inner", "inner"),
        ("outer\n\nCaused by:\n    0: middle\n    1: 2 of\n       3: 4", "2 of\n       3: 4"),
        ("outer\n\nCaused by:\n    " + "".join(f"{n:>5}: {n}\n" for n in range(12)).strip(), "11"),
    ],
)
def test_the_innermost_cause_is_the_last_one_that_is_numbered(text, cause):
    assert failures.take(failures.new_error(text)).cause == cause


@pytest.mark.parametrize(
    "declared",
    [
        '"nope" (func)',
        '"fd_write" (func (param i32))',
        '"fd_write" (global i32)',
        '"memory" (memory 1)',
        '"proc_exit" (func (param i64))',
        '"args_get" (func (param v128))',
    ],
)
def test_a_function_that_wasi_preview_1_does_not_have(either_engine, declared):
    name = declared.split('"')[1]
    refused(either_engine, module(f'(import "{P1}" {declared})'), (f"{P1}#{name}",), wasi=Wasi())


def test_a_function_of_wasi_preview_1_of_an_open_type(either_engine):
    source = module("(type $t (sub (func (result i32))))", f'(import "{P1}" "sched_yield" (func (type $t)))')
    refused(either_engine, source, (f"{P1}#sched_yield",), wasi=Wasi())


def test_every_import_is_named(either_engine):
    names = ["nope", "sched_yield", "neither", "fd_close"]
    imports = [f'(import "{P1}" "{name}" (func))' for name in names]
    refused(
        either_engine,
        module(*imports, '(import "env" "g" (func))'),
        (*(f"{P1}#{n}" for n in names), "env#g"),
        wasi=Wasi(),
    )


@pytest.mark.parametrize(
    ("interface", "items", "names"),
    [
        ("wasi:io/error@0.2.0", '(export "nope" (func))', ["nope"]),
        ("wasi:io/nope@0.2.0", '(export "a" (func)) (export "b" (func))', ["a", "b"]),
        (RANDOM, '(export "get-random-u64" (func (param "x" u8) (result u64)))', ["get-random-u64"]),
        (RANDOM, '(export "get-random-u64" (func (result (list u64))))', ["get-random-u64"]),
        (RANDOM, '(export "x" (type (sub resource)))', ["x"]),
        (RANDOM, '(export "in" (instance (export "f" (func))))', ["in#f"]),
        (
            RANDOM,
            '(export "get-random-u64" (func (result u64))) (export "one" (func)) (export "two" (func (result string)))',
            ["one", "two"],
        ),
        (
            "wasi:io/streams@0.2.0",
            """(export "input-stream" (type $i (sub resource)))
            (export "[method]input-stream.skip" (func (param "self" (borrow $i)) (param "len" u64) (result u64)))""",
            ["[method]input-stream.skip"],
        ),
    ],
)
def test_a_part_that_wasi_does_not_have(either_engine, interface, items, names):
    source = component(f'(import "{interface}" (instance {items}))')
    refused(either_engine, source, tuple(f"{interface}#{name}" for name in names), wasi=Wasi())


def test_wasi_of_another_patch_version_is_served(either_engine):
    source = component('(import "wasi:random/random@0.2.99" (instance (export "get-random-u64" (func (result u64)))))')
    assert either_engine.execute(either_engine.load(source), "f", limits=LIMITS, wasi=Wasi()).value is None


@pytest.mark.slow
def test_the_questions_about_one_guest_are_bounded(engine):
    functions = "".join(f'(export "nope{n}" (func))' for n in range(2_000))
    guest = engine.load(component(f'(import "wasi:io/error@0.2.0" (instance {functions}))'))
    assert 100 < len(list(guest.unmet_imports(None, Wasi()))) < wasi_provided._MOST_QUESTIONS


@pytest.mark.parametrize(
    ("imports", "names"),
    [
        (["(type $t (sub (func (param i32))))", '(import "env" "f" (func (type $t)))'], ["env#f"]),
        (["(rec (type $t (func)) (type $u (func)))", '(import "env" "f" (func (type $t)))'], ["env#f"]),
        (['(import "env" "f" (func (param v128)))'], ["env#f"]),
        (['(import "env" "f" (func (result externref)))'], ["env#f"]),
        (["(type $t (func))", '(import "env" "f" (func (param (ref null $t))))'], ["env#f"]),
        (['(import "env" "f" (func))', '(import "env" "f" (func (param i32)))'], ["env#f"]),
        (['(import "env" "f" (global i32))', '(import "env" "f" (func))'], ["env#f", "env#f"]),
        (['(import "env" "t" (tag))'], ["env#t"]),
    ],
)
def test_an_import_of_a_module_that_no_host_function_can_serve(either_engine, host, imports, names):
    refused(either_engine, module(*imports), tuple(names), host)


def test_the_type_of_an_import_that_no_host_function_has_is_the_reason(engine, host):
    guest = engine.load(module("(type $t (sub (func (param i32))))", '(import "env" "f" (func (type $t)))'))
    assert [one.why for one in guest.unmet_imports(host, None)] == ["no host function has such a type"]


@pytest.mark.parametrize(
    ("imports", "names"),
    [
        ('(import "a:b/d" (instance (export "in" (instance (export "f" (func))))))', ["a:b/d#in#f"]),
        ('(import "m" (core module))', ["m"]),
        ('(import "a:b/c@2.0.0" (instance (export "f" (func))))', ["a:b/c@2.0.0#f"]),
        ('(import "a:b/c@1.0.0-rc" (instance (export "f" (func))))', ["a:b/c@1.0.0-rc#f"]),
        ('(import "a:b/c@0.3.0" (instance (export "g" (func))))', ["a:b/c@0.3.0#g"]),
        ('(import "a:b/c@0.0.1" (instance (export "g" (func))))', ["a:b/c@0.0.1#g"]),
    ],
)
def test_an_import_of_a_component_that_nothing_serves(either_engine, host, imports, names):
    refused(either_engine, component(imports), tuple(names), host)


@pytest.mark.parametrize(("declared", "function"), [("(param i32)", ""), ("(result i32)", "i32.const 1")])
def test_an_initializer_that_is_not_that_of_a_reactor(either_engine, declared, function):
    source = f'(module (func (export "_initialize") {declared} {function}) (func (export "f")))'
    guest = either_engine.load(source)
    with pytest.raises(LinkError, match=r"_initialize is .*takes and returns nothing"):
        either_engine.execute(guest, "f", limits=LIMITS)


def test_one_import_may_be_declared_several_times(either_engine):
    calls = []
    host = HostFunctions()
    host.register("env#f", lambda: calls.append("f"))
    declared = f'(import "{P1}" "sched_yield" (func (result i32)))'
    source = f"""(module (import "env" "f" (func $a)) {declared} (import "env" "f" (func $b)) {declared}
      (memory (export "memory") 1) (func (export "f") call $a call $b))"""
    either_engine.execute(either_engine.load(source), "f", limits=LIMITS, host=host, wasi=Wasi())
    assert calls == ["f", "f"]


@pytest.mark.parametrize(
    ("imports", "served"),
    [
        (["1.0.1"], "1.0.0"),
        (["1.7.0+build"], "1.0.0"),
        (["0.2.0", "0.2.9"], "0.2.3"),
    ],
)
def test_a_compatible_version_serves(either_engine, imports, served):
    calls = []
    host = HostFunctions()
    for version in ("1.0.0", "0.2.3", "0.2.1", "3.0.0"):
        host.register(f"a:b/c@{version}#f", lambda version=version: calls.append(version))
    for version in imports:
        source = f"""(component (import "a:b/c@{version}" (instance $c (export "f" (func))))
          (core func $f (canon lower (func $c "f")))
          (core module $m (import "" "f" (func $f)) (func (export "f") call $f))
          (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
          (func (export "f") (canon lift (core func $i "f"))))"""
        either_engine.execute(either_engine.load(source), "f", limits=LIMITS, host=host)
    assert calls == [served] * len(imports)


def test_of_several_versions_the_exact_one_serves_then_the_highest():
    host = HostFunctions()
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        host.register(f"a:b/c@{version}#f", partial(str, version))
    assert host.find("a:b/c@1.0.0", "f")() == "1.0.0"
    assert host.find("a:b/c@1.2.0", "f")() == "1.10.0"
    assert host.find("a:b/c@2.0.0", "f") is None
    assert host.find("a:b/c", "f") is None


def test_functions_of_instances_inside_instances_are_served_and_called(either_engine):
    host = HostFunctions()
    host.register("a:b/c#inner#seven", lambda: 7)
    source = """(component
      (import "a:b/c" (instance $c (export "inner" (instance (export "seven" (func (result u32)))))))
      (alias export $c "inner" (instance $inner))
      (core func $seven (canon lower (func $inner "seven")))
      (core module $m (import "" "seven" (func $seven (result i32))) (func (export "f") (result i32) call $seven))
      (core instance $i (instantiate $m (with "" (instance (export "seven" (func $seven))))))
      (func $f (result u32) (canon lift (core func $i "f")))
      (component $wrap (import "f" (func $f (result u32))) (export "f" (func $f)))
      (instance $x (instantiate $wrap (with "f" (func $f))))
      (instance $y (export "inner" (instance $x)))
      (export "d:e/f" (instance $y)))"""
    guest = either_engine.load(source)
    assert [*guest.function_names()] == ["d:e/f#inner#f"]
    with LimitedStore(either_engine, LIMITS, host=host) as store:
        instance = store.instantiate(guest)
        assert instance.call("d:e/f#inner#f") == 7
        assert instance["d:e/f#inner"].f() == 7
