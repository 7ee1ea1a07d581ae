"""Resources are made as in any Python binding, arguments go by name, and `dir` knows what there is, in both modes."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import LimitedStore, ResourceLimits
from pytest_airssys_wasm.runtime.guest.class_names import by_class_name, class_name
from support.checkout import GUESTS
from support.inventory_guest import ECHO, ITEM, LIMITS, STOCK
from support.planted_guests import DROPPED_TWICE


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.fixture
def instance(either_engine):
    with LimitedStore(either_engine, LIMITS) as store:
        yield store.instantiate(either_engine.load(GUESTS / "inventory" / "inventory.wasm"))


@pytest.fixture
def stock(instance):
    return instance[STOCK]


@pytest.mark.parametrize("name", ["Shelf", "shelf"])
def test_a_resource_is_made_by_calling_its_class(stock, name):
    with getattr(stock, name)("top") as shelf:
        assert shelf.label() == "top"
        assert getattr(stock, name).standing() == 1
    assert getattr(stock, name).standing() == 0


def test_static_functions_are_on_the_class(stock):
    one, other = stock.Shelf("one"), stock.Shelf(label="other")
    assert stock.Shelf.merge(one, second=other).label() == "one"
    with pytest.raises(AttributeError, match="the resource 'shelf' has no static function 'label'"):
        _ = stock.Shelf.label


def test_a_resource_at_the_root_is_an_attribute_of_the_instance(either_engine):
    with LimitedStore(either_engine, ResourceLimits(memory="1 MiB", timeout_ms=20_000)) as store:
        instance = store.instantiate(either_engine.load(DROPPED_TWICE))
        assert instance.Bucket().peek() == 7
        assert {"Bucket", "bucket"} <= {*dir(instance)}
        assert repr(instance.Bucket) == "<resource bucket of <component <text>>>"


async def awaited(stock):
    with await stock.Shelf.call_async(label="top") as shelf:
        assert await shelf.put.call_async(item={**ITEM, "sku": "a", "quantity": 2}) == 1
        return await stock.Shelf.standing.call_async()


def test_constructors_and_methods_can_be_awaited(stock):
    import asyncio

    assert asyncio.run(awaited(stock)) == 1


RESOURCE = """(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m (func (export "seven") (param i32) (result i32) i32.const 7) (func (export "four") (result i32) i32.const 4))
  (core instance $i (instantiate $m))
  (export $r' "{name}" (type $r))
  (func (export "{static}") (result u32) (canon lift (core func $i "four")))
  (func (export "[method]{name}.peek") (param "self" (borrow $r')) (result u32) (canon lift (core func $i "seven"))))"""


def test_a_resource_without_a_constructor_says_so(engine):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(
            engine.load(RESOURCE.format(name="pipe-end", static="[static]pipe-end.call-async"))
        )
        with pytest.raises(TypeError, match="the resource 'pipe-end' has no constructor"):
            instance.PipeEnd()
        assert instance.pipe_end.call_async_() == 4


@pytest.mark.parametrize("name", ["store", "none"])
def test_names_that_are_taken_get_an_underscore(engine, name):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(RESOURCE.format(name=name, static="four")))
        attribute = {"store": "store_", "none": "None_"}[name]
        assert "resource" in repr(getattr(instance, attribute))
        assert instance.store is store


def test_names_of_classes():
    assert [*map(class_name, ["bucket", "HTTP-fields", "a-b", "none", "x1-y2"])] == [
        "Bucket",
        "HttpFields",
        "AB",
        "None_",
        "X1Y2",
    ]
    found = by_class_name(["[method]a-1.x", "[static]a1.y", "plain"])
    assert found["A1"] == ("a-1", "a1")


def test_arguments_go_by_their_names(instance, stock):
    echo = instance[ECHO]
    assert echo.echo_u8(value=7) == 7
    assert echo.call("echo-u8", value=7) == 7
    assert instance.call(f"{ECHO}#echo-u8", value=7) == 7
    with stock.Shelf("a") as shelf:
        shelf.put({**ITEM, "sku": "x", "quantity": 5})
        assert shelf.take("x", quantity=5).value.sku == "x"
        assert instance.call(f"{STOCK}#[method]shelf.label", self=shelf) == "a"


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {"valeu": 1}, r"echo-u8\(value\) has no parameter 'valeu'"),
        ((1,), {"value": 1}, r"echo-u8\(value\) got several values for the parameter 'value'"),
        ((1,), {"self": 1}, r"has no parameter 'self'"),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(instance, args, named, message):
    with pytest.raises(TypeError, match=message):
        instance[ECHO].echo_u8(*args, **named)


def test_missing_and_hyphenated_parameters(engine):
    text = """(component
      (core module $m (func (export "f") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1))))
      (core instance $i (instantiate $m))
      (func (export "f") (param "from-here" u32) (param "class" u32) (result u32) (canon lift (core func $i "f"))))"""
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load(text))
        assert (
            instance.f(class_=2, from_here=5)
            == instance.f(5, **{"class": 2})
            == instance.f(**{"from-here": 5, "class": 2})
            == 3
        )
        with pytest.raises(TypeError, match=r"f\(from-here, class\) takes 'from-here', too"):
            instance.f(class_=2)


def test_parameters_of_modules_have_no_names(engine):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(engine.load('(module (func (export "f") (param i32)))'))
        with pytest.raises(TypeError, match="f: the parameters of a module's function have no names"):
            instance.f(x=1)


def test_dir_lists_what_can_be_written(instance, stock):
    assert instance._ipython_key_completions_() == ["demo:inventory/broken@1.0.0", ECHO, STOCK]
    known = dir(stock)
    assert {"Shelf", "shelf", "open", "pair", "total_value", "call"} <= {*known}
    assert all(map(str.isidentifier, known))
    assert {"merge", "standing", "call_async"} <= {*dir(stock.Shelf)}
    with stock.Shelf("a") as shelf:
        assert {"label", "put", "take", "merge", "drop"} <= {*dir(shelf)}
