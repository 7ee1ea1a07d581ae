"""A guest built by a C compiler: its possible mistakes, the account of its values, the life of its resources."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.base.values import Err, Variant
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, ResourceLimitExceeded
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from support.checkout import GUESTS
from support.inventory_guest import BROKEN, ECHO, ITEM, LIMITS, STOCK


@pytest.fixture(scope="module")
def inventory(engine):
    return engine.load(GUESTS / "inventory" / "inventory.wasm")


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("surrogate", "invalid-char"),
        ("bad-utf8", "invalid-string-encoding"),
        ("unknown-unit", "invalid-discriminant"),
        ("unknown-condition", "invalid-discriminant"),
        ("outside-memory", "string-out-of-bounds"),
        ("misaligned", "unaligned-pointer"),
    ],
)
def test_a_guest_that_breaks_the_canonical_abi_traps(engine, inventory, function, kind):
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(inventory, f"{BROKEN}#{function}", limits=LIMITS)
    assert caught.value.kind == kind


def test_overlapping_strings_are_stopped_by_the_transfer_limit(engine, inventory):
    limits = ResourceLimits(memory="4 MiB", fuel=None, timeout_ms=60_000, transfer="2 MiB")
    with pytest.raises(ResourceLimitExceeded) as caught:
        engine.execute(inventory, f"{BROKEN}#same-string", 20, limits=limits)
    assert caught.value.resource == "host-transfer"
    assert caught.value.usage.transfer_bytes <= 2 * 2**20
    with pytest.raises(ResourceLimitExceeded) as caught:
        engine.execute(inventory, f"{BROKEN}#same-string", 1_000, limits=LIMITS)
    assert caught.value.resource == "host-transfer"


def test_what_is_passed_in_counts_too(engine, inventory):
    limits = ResourceLimits(memory="4 MiB", transfer=1_000, timeout_ms=20_000)
    with pytest.raises(ResourceLimitExceeded):
        engine.execute(inventory, f"{ECHO}#echo-bytes", bytes(1_001), limits=limits)


def test_a_resource_lives_until_it_is_dropped(engine, inventory):
    with LimitedStore(engine, LIMITS) as store:
        instance = store.instantiate(inventory)
        stock = instance[STOCK]
        with stock.open("top").value as shelf:
            assert shelf.label() == "top"
            assert shelf.put({**ITEM, "sku": "a", "quantity": 2}) == 1
            assert shelf.take("a", 3) == Err(Variant("too-few", (3, 2)))
            assert shelf.standing() == 1
        assert instance.call(f"{STOCK}#[static]shelf.standing") == 0
        with pytest.raises(ValueError, match="dropped"):
            shelf.label()


def test_a_resource_given_away_is_the_guests(engine, inventory):
    with LimitedStore(engine, LIMITS) as store:
        stock = store.instantiate(inventory)[STOCK]
        one, other = stock.pair("one", "other")
        both = one.merge(one, other)
        assert stock.total_value([both]) == 0.0
        with pytest.raises(ValueError, match="given away"):
            other.label()


def test_a_resource_of_another_store_is_refused(engine, inventory):
    with LimitedStore(engine, LIMITS) as one, LimitedStore(engine, LIMITS) as other:
        shelf = one.instantiate(inventory)[STOCK].open("x").value
        stock = other.instantiate(inventory)[STOCK]
        with pytest.raises(ValueError, match="another store"):
            stock.total_value([shelf])
        with pytest.raises(TypeError, match=r"args\[0\]\[0\]: expected borrow<shelf>"):
            stock.total_value(["shelf"])
