import json

import pytest

from pytest_airssys_wasm import ComponentTrapped, Err, Ok, OutOfFuel, OutOfMemory, Record

pytestmark = pytest.mark.component("../json-minify.wasm", world="../wit/world.wit#json-minify")


@pytest.mark.parametrize(
    ("document", "minified"),
    [
        ('{ "a" : [ 1, -2.5e+3 ],\n\t"b" : null, "c": {} }', '{"a":[1,-2.5e+3],"b":null,"c":{}}'),
        (" [ true , false , [ ] ] ", "[true,false,[]]"),
        (' "x  y \\u00e9 \\" \\\\" ', '"x  y \\u00e9 \\" \\\\"'),
        (' "é" ', '"é"'),
        (" 0 ", "0"),
    ],
)
def test_white_space_goes_and_everything_else_stays(component, document, minified):
    assert component.minify(document) == Ok(minified)
    assert json.loads(minified) == json.loads(document)


@pytest.mark.parametrize(
    ("document", "line", "column", "reason"),
    [
        ("", 1, 1, "expected a value"),
        ("{\n  'a': 1}", 2, 3, "expected a string"),
        ('["a\n"]', 1, 4, "a control character in a string"),
        ("[1] 2", 1, 5, "expected the end"),
        ('"\\x"', 1, 3, "no such escape"),
        ("01", 1, 2, "expected the end"),
    ],
)
def test_a_problem_is_reported_with_its_place(component, document, line, column, reason):
    assert component.minify(document) == Err(Record(line=line, column=column, reason=reason))


def test_the_cost_is_linear(component, limited_store):
    def cost(count):
        component.minify("[" + "1, " * count + "1]")
        return limited_store.usage.fuel.consumed

    assert cost(20_000) < 11 * cost(2_000)


def test_what_one_call_allocates_is_free_for_the_next(component, limited_store):
    document = "[" + "1, " * 10_000 + "1]"
    component.minify(document)
    peak = limited_store.usage.peak_memory_bytes
    for _ in range(20):
        component.minify(document)
    assert limited_store.usage.peak_memory_bytes == peak


def test_a_document_larger_than_the_memory_is_out_of_memory(component):
    with pytest.raises(OutOfMemory) as caught:
        component.minify('"' + "x" * 1_000_000 + '"')
    assert "cabi_realloc" in str(caught.value.frames[0])


def test_nesting_too_deeply_is_a_trap_not_overwritten_memory(component):
    assert component.minify("[" * 1_000 + "]" * 1_000) == Ok("[" * 1_000 + "]" * 1_000)
    with pytest.raises(ComponentTrapped) as caught:
        component.minify("[" * 100_000)
    assert caught.value.kind == "stack-overflow"
    assert any(name in str(caught.value.frames) for name in ("members", "value"))


@pytest.mark.fuel(2_000)
def test_a_budget_too_small_for_the_document_stops_it(component):
    with pytest.raises(OutOfFuel) as stopped:
        component.minify("[" + "1, " * 1_000 + "1]")
    assert stopped.value.usage.fuel.is_exhausted
