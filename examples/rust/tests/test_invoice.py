from pathlib import Path

import pytest

from pytest_airssys_wasm import ComponentTrapped, Err, Ok, OutOfFuel, OutOfMemory, Record, Variant

pytestmark = pytest.mark.component("../invoice.wasm", world="../wit/world.wit#invoice")


def item(name="tea", *, quantity=1, price=450, tax="reduced"):
    return Record(name=name, quantity=quantity, price=price, tax=tax)


def test_an_order_adds_up(component):
    order = [item(quantity=2), item("cup", price=1299, tax="standard")]
    assert component.total_of(order, None) == Ok(Record(net=2199, discount=0, tax=310, gross=2509))


def test_a_coupon_comes_off_before_tax(component):
    order = [item(price=1000, tax="standard")]
    assert component.total_of(order, "WELCOME10") == Ok(Record(net=1000, discount=100, tax=171, gross=1071))


@pytest.mark.parametrize(("price", "tax"), [(7, 0), (8, 1), (107, 7), (108, 8)])
def test_tax_is_rounded_half_up(component, price, tax):
    assert component.total_of([item(price=price)], None).value.tax == tax


@pytest.mark.parametrize(
    ("items", "coupon", "refusal"),
    [
        ([], None, Variant("no-items")),
        ([item("tea", quantity=0)], None, Variant("none-of", "tea")),
        ([item()], "FREE", Variant("unknown-coupon", "FREE")),
    ],
)
def test_what_cannot_be_billed_is_refused(component, items, coupon, refusal):
    assert component.total_of(items, coupon) == Err(refusal)


def test_the_host_refuses_what_the_world_does_not_allow(component):
    with pytest.raises(ValueError, match=r"args\[0\]\[1\].price: expected u64, got -1"):
        component.total_of([item(), item(price=-1)], None)


def test_a_sum_that_overflows_panics_in_the_function_that_multiplied(component):
    with pytest.raises(ComponentTrapped) as caught:
        component.total_of([item(quantity=2, price=2**63)], None)
    assert caught.value.kind == "unreachable"
    assert "invoice::Item::net" in map(str, caught.value.frames)


def test_after_a_panic_the_instance_is_gone_and_a_new_one_is_healthy(wasm_engine, wasm_limits):
    guest = wasm_engine.load(Path(__file__).parents[1] / "invoice.wasm")
    for _ in range(3):
        with pytest.raises(ComponentTrapped):
            wasm_engine.execute(guest, "total-of", [item(quantity=2, price=2**63)], None, limits=wasm_limits)
        assert wasm_engine.execute(guest, "total-of", [item()], None, limits=wasm_limits).value.value.gross == 482


@pytest.mark.fuel(5_000)
def test_an_order_of_two_costs_less_than_five_thousand_fuel(component, limited_store):
    component.total_of([item(), item("cup")], "WELCOME10")
    assert not limited_store.usage.fuel.exceeds_threshold(80)


@pytest.mark.fuel(50_000)
def test_an_order_without_end_runs_out_of_fuel(component):
    with pytest.raises(OutOfFuel):
        component.total_of([item()] * 2_000, None)


def test_an_order_that_does_not_fit_is_out_of_memory(component):
    with pytest.raises(OutOfMemory):
        component.total_of([item("x" * 200)] * 2_000, None)
