"""Every export, import and method can be reached, whatever its name is; no name stands for two things without a word."""

from __future__ import annotations

import sys

import pytest

from pytest_airssys_wasm import (
    HostFunctions,
    InvalidConfiguration,
    LimitedStore,
    ResourceLimits,
)

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
NAMES = [
    "foo-bar",
    "foo_bar",
    "a-b-c",
    "a_b-c",
    "call",
    "call_async",
    "store",
    "component",
    "class",
    "a#b",
    "",
    "x.y",
    "_z",
]


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.fixture
def instance(either_engine):
    functions = "".join(f'(func (export "{name}") (result i32) i32.const {n})' for n, name in enumerate(NAMES))
    with LimitedStore(either_engine, LIMITS) as store:
        yield store.instantiate(either_engine.load(f"(module {functions})"))


@pytest.mark.parametrize("name", NAMES)
def test_every_export_can_be_called_by_its_exact_name(instance, name):
    assert instance.call(name) == NAMES.index(name)


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("foo_bar", "foo_bar"),
        ("call_", "call"),
        ("call_async_", "call_async"),
        ("store_", "store"),
        ("component_", "component"),
        ("class_", "class"),
        ("_z", "_z"),
    ],
)
def test_an_attribute_is_the_export_of_exactly_that_name_or_the_only_similar_one(instance, attribute, name):
    assert getattr(instance, attribute)() == NAMES.index(name)
    assert attribute in dir(instance)


def test_several_similar_names_are_an_error_that_lists_them(instance):
    with pytest.raises(AttributeError, match="may be 'a-b-c' or 'a_b-c': call it by its exact name"):
        _ = instance.a_b_c


def test_a_similar_name_is_suggested_once(instance, capsys):
    with pytest.raises(AttributeError) as caught:
        _ = instance.foo_baz
    sys.__excepthook__(caught.type, caught.value, caught.tb)
    assert capsys.readouterr().err.lower().count("did you mean") == 1
    assert caught.value.name == "foo_baz"


@pytest.mark.parametrize(
    ("module", "name", "registered"),
    [
        ("", "", "#"),
        ("", "x", "#x"),
        ("env", "", "env#"),
        ("a#b", "c#d", "a#b#c#d"),
        ("#", "#", "###"),
        ("", "#x", "##x"),
    ],
)
def test_every_import_can_be_served(either_engine, module, name, registered):
    host, calls = HostFunctions(), []
    host.register(registered, lambda: calls.append(1))
    guest = either_engine.load(f'(module (import "{module}" "{name}" (func $f)) (func (export "f") call $f))')
    either_engine.execute(guest, "f", limits=LIMITS, host=host)
    assert calls == [1]


def test_a_name_of_nothing_at_all_is_refused():
    with pytest.raises(InvalidConfiguration):
        HostFunctions().register("", print)


METHODS = ["class", "drop", "mro", "import"]
USES = (
    '(component (import "desk" (instance $desk (export "r" (type $r (sub resource)))'
    + "".join(f'(export "[method]r.{name}" (func (param "self" (borrow $r)) (result u32)))' for name in METHODS)
    + '(export "[constructor]r" (func (result (own $r))))))'
    + """
  (alias export $desk "r" (type $r)) (core func $drop (canon resource.drop $r))
  (core func $new (canon lower (func $desk "[constructor]r")))"""
    + "".join(f'(core func ${name}\' (canon lower (func $desk "[method]r.{name}")))' for name in METHODS)
    + """
  (core module $m (import "" "free" (func $free (param i32))) (import "" "new" (func $new (result i32)))"""
    + "".join(f'(import "" "{name}" (func ${name} (param i32) (result i32)))' for name in METHODS)
    + """(func (export "f") (result i32) (local i32)
      (local.set 0 (call $new))"""
    + "".join(f"(call ${name} (local.get 0))" for name in METHODS)
    + """
      i32.add i32.add i32.add (call $free (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance (export "free" (func $drop)) (export "new" (func $new))"""
    + "".join(f'(export "{name}" (func ${name}\'))' for name in METHODS)
    + """))))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))"""
)


def test_methods_of_host_resources_may_have_any_name(either_engine):
    calls = []

    class R:
        def class_(self):
            return 1

        def drop_(self):
            return 10

        def mro(self):
            return 100

        def import_(self):
            return 1_000

        def drop(self):
            calls.append("drop")

    host = HostFunctions()
    host.register_resource("desk#r", R)
    assert either_engine.execute(either_engine.load(USES), "f", limits=LIMITS, host=host).value == 1_111
    assert calls == ["drop"]


def test_what_every_class_has_does_not_serve_a_method(either_engine):
    class R:
        def class_(self): ...
        def drop_(self): ...
        def import_(self): ...

    host = HostFunctions()
    host.register_resource("desk#r", R)
    (unmet,) = either_engine.load(USES).unmet_imports(host, None)
    assert unmet.name == "desk#[method]r.mro"


GIVES = """(component (type $r' (resource (rep i32)))
  (core func $new (canon resource.new $r'))
  (core module $m (import "" "new" (func $new (param i32) (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 1)))
    (func (export "two") (param i32) (result i32) (i32.const 2)))
  (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
  (func $make (result (own $r')) (canon lift (core func $i "make")))
  (func $two (param "self" (borrow $r')) (result u32) (canon lift (core func $i "two")))
  (component $c (import "r" (type $r (sub resource)))
    (import "make" (func $make (result (own $r)))) (import "two" (func $two (param "self" (borrow $r)) (result u32)))
    (export $x "r" (type $r)) (export "make" (func $make) (func (result (own $x))))
    (export "[method]r.drop" (func $two) (func (param "self" (borrow $x)) (result u32)))
    (export "[method]r.class" (func $two) (func (param "self" (borrow $x)) (result u32))))
  (instance $e (instantiate $c (with "r" (type $r')) (with "make" (func $make)) (with "two" (func $two))))
  (export "e" (instance $e)))"""


def test_methods_of_guest_resources_may_have_any_name(either_engine):
    with LimitedStore(either_engine, LIMITS) as store:
        resource = store.instantiate(either_engine.load(GIVES))["e"].make()
        assert resource.drop_() == 2
        assert resource.class_() == 2
        resource.drop()
        assert "dropped" in repr(resource)


@pytest.mark.parametrize("name", ["(copy) add.wat", ";x.wat", "(module).wasm", " (1) add.wat"])
def test_a_file_whose_name_begins_like_text_is_a_file(engine, tmp_path, monkeypatch, name):
    (tmp_path / name).write_text('(module (func (export "f") (result i32) i32.const 5))')
    monkeypatch.chdir(tmp_path)
    assert engine.execute(engine.load(name), "f", limits=LIMITS).value == 5
    with pytest.raises(FileNotFoundError):
        engine.load(f"({name}")


@pytest.mark.parametrize("text", ["(module)", ";; add.wat\n(module)", "(module) ;; as in add.wat", " (module)\n;;.wat"])
def test_text_is_text_even_if_it_mentions_a_file(engine, text):
    assert engine.load(text).kind == "module"
