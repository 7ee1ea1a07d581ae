"""WIT types read from compiled components, and printed.

Laws: one text for one world, in which every name is defined once; a hostile type is read in linear time or refused.
"""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidComponent
from pytest_airssys_wasm.runtime.wit.types import (
    FlagsType,
    FunctionType,
    FutureType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
    without_python_value,
)

U8, U32, STRING = Primitive("u8"), Primitive("u32"), Primitive("string")
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (ListType(TupleType((U8, STRING))), "list<tuple<u8, string>>"),
        (OptionType(OptionType(U32)), "option<option<u32>>"),
        (ResultType(None, None), "result"),
        (ResultType(U8, None), "result<u8>"),
        (ResultType(None, STRING), "result<_, string>"),
        (ResultType(U8, STRING), "result<u8, string>"),
        (RecordType((("from", U8), ("unit-price", U32))), "record { %from: u8, unit-price: u32 }"),
        (VariantType((("fresh", None), ("until", U32))), "variant { fresh, until(u32) }"),
        (FlagsType(("read", "static")), "flags { read, %static }"),
        (StreamType(U8), "stream<u8>"),
        (FutureType(None), "future"),
        (FunctionType((("n", U8),), None), "func(n: u8)"),
        (FunctionType((), ListType(U8), is_async=True), "async func() -> list<u8>"),
    ],
)
def test_a_type_is_spelled_as_wit(type_, text):
    assert str(type_) == text


def test_equal_types_of_different_components_are_equal_and_hash_equal(engine):
    source = '(component (type $r (record (field "a" u8))) (import "t" (type $t (eq $r))) (import "f" (func (param "x" $t))))'
    one, other = (engine.load(source + comment).imports["f"] for comment in ("", " ;; another"))
    assert one == other == FunctionType((("x", RecordType((("a", U8),))),), None)
    assert len({one, other}) == 1


WORLD = """
(component
  (import "test:pkg/base@1.0.0" (instance $base
    (export "handle" (type $handle (sub resource)))
    (type $kind' (enum "small" "large"))
    (export "kind" (type $kind (eq $kind')))
    (export "[constructor]handle" (func (param "kind" $kind) (result (own $handle))))
    (export "[method]handle.size" (func (param "self" (borrow $handle)) (result u64)))
    (export "[static]handle.count" (func (result u32)))))
  (alias export $base "handle" (type $handle))
  (alias export $base "kind" (type $kind))
  (import "test:pkg/near@1.0.0" (instance
    (alias outer 1 $handle (type $outer))
    (export "handle" (type $h (eq $outer)))
    (export "take" (func (param "it" (own $h))))))
  (import "other:pkg/far" (instance
    (alias outer 1 $handle (type $outer))
    (alias outer 1 $kind (type $outer-kind))
    (export "grip" (type $h (eq $outer)))
    (export "kind-of" (func (param "it" (borrow $h)) (result $outer-kind)))
    (export "try" (type $try (sub resource)))
    (export "[constructor]try" (func (result (result (own $try) (error string)))))))
  (import "log" (func (param "list" (list string)))))
"""

WORLD_TEXT = """\
package root:component;

world root {
  import test:pkg/base@1.0.0;
  import test:pkg/near@1.0.0;
  import other:pkg/far;
  import log: func(%list: list<string>);
}

package test:pkg@1.0.0 {
  interface base {
    resource handle {
      constructor(kind: kind);
      size: func() -> u64;
      count: static func() -> u32;
    }
    enum kind { small, large }
  }
  interface near {
    use base.{handle};
    take: func(it: handle);
  }
}

package other:pkg {
  interface far {
    use test:pkg/base@1.0.0.{handle as grip};
    use test:pkg/base@1.0.0.{kind};
    resource try {
      constructor() -> result<try, string>;
    }
    kind-of: func(it: borrow<grip>) -> kind;
  }
}
"""


def test_a_world_is_printed_with_each_package_once_and_each_name_used_from_its_home(engine):
    assert str(engine.load(WORLD).world) == WORLD_TEXT


def test_imports_and_exports_are_mappings_that_print_as_text(engine):
    guest = engine.load("""(component (import "log" (func (param "text" string)))
        (core module $m (func (export "f") (result i32) i32.const 42)) (core instance $i (instantiate $m))
        (func (export "answer") (result u32) (canon lift (core func $i "f"))))""")
    assert [*guest.exports] == ["answer"]
    assert str(guest.exports) == "package root:component;\n\nworld root {\n  export answer: func() -> u32;\n}\n"
    assert "  import log: func(text: string);\n" in str(guest.imports)
    module = engine.load('(module (import "env" "log" (func (param i32))) (memory (export "memory") 1))')
    assert str(module.imports) == '(import "env" "log" (func (param i32)))\n'
    assert str(module.exports) == '(export "memory" (memory 1))\n'


def test_an_interface_that_is_imported_and_exported_is_printed_once(engine):
    text = str(
        engine.load("""
        (component
          (import "test:pkg/api" (instance $in (export "get" (func (result u32)))))
          (core module $m (func (export "again")))
          (core instance $i (instantiate $m))
          (func $again (canon lift (core func $i "again")))
          (instance $out (export "again" (func $again)))
          (export "test:pkg/api" (instance $out)))
        """).world
    )
    assert text.count("interface api {") == 1
    assert "    get: func() -> u32;\n    again: func();\n" in text


def test_a_type_without_a_name_is_printed_where_it_stands(engine):
    types = '(type $r (record (field "a" u8))) (import "r" (type $n (eq $r)))'
    world = engine.load(f'(component {types} (import "f" (func (param "x" (list $n)))))').world
    assert "import f: func(x: list<" in str(world)


def nested(depth, outer, inner):
    yield f"(type $t0 ({inner}))"
    for level in range(1, depth):
        yield f"(type $t{level} ({outer.format(level - 1)}))"


def test_options_nested_ninety_deep_are_read_and_converted(engine):
    types = " ".join(nested(90, "option $t{}", "option u32"))
    component = engine.load(f'(component {types} (import "f" (func (param "x" $t89))))')
    type_ = component.imports["f"].params[0][1]
    for _ in range(90):
        type_ = type_.payload
    assert type_ == U32


@pytest.mark.slow
def test_a_type_that_repeats_its_parts_beyond_measure_is_refused(engine):
    types = " ".join(nested(18, "tuple $t{0} $t{0}", "tuple u8 u8"))
    component = engine.load(f'(component {types} (import "f" (func (param "x" $t17))))')
    with pytest.raises(InvalidComponent, match="more than 100,000 parts"):
        _ = component.world


@pytest.mark.parametrize(
    "text",
    [
        "".join(f'(import "f{number}" (func))' for number in range(5_001)),
        '(import "a:b/c" (instance ' + "".join(f'(export "f{number}" (func))' for number in range(5_000)) + "))",
    ],
    ids=["in the world", "in an interface"],
)
def test_a_world_of_more_names_than_can_be_listed_in_time_is_refused(engine, text):
    component = engine.load(f"(component {text})")
    with pytest.raises(InvalidComponent, match="more than 5,000 imports and exports"):
        _ = component.world


@pytest.mark.slow
def test_a_world_of_more_resources_than_can_be_told_apart_in_time_is_refused(engine):
    text = "".join(f'(export "r{number}" (type (sub resource)))' for number in range(1_001))
    component = engine.load(f'(component (import "a:b/c" (instance {text})))')
    with pytest.raises(InvalidComponent, match="more than 1,000 resources"):
        _ = component.world


def test_values_without_a_python_counterpart_are_found_wherever_they_are():
    deep = ListType(VariantType((("none", None), ("some", RecordType((("body", StreamType(U8)),))))))
    assert without_python_value(FunctionType((("x", deep),), U8)) == StreamType(U8)
    assert without_python_value(FunctionType((), OptionType(FutureType(None)))) == FutureType(None)
    assert without_python_value(FunctionType((), Primitive("error-context"))) == Primitive("error-context")
    assert without_python_value(FunctionType((("x", ListType(U8)),), STRING)) is None
