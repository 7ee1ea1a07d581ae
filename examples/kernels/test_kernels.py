"""A component under limits, as its author would test it."""

import pytest

from pytest_airssys_wasm import ExecutionTimeout, OutOfFuel, OutOfMemory

pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB")]


def test_it_computes(component):
    assert component.double(21) == 42


@pytest.mark.fuel(10_000)
def test_an_endless_loop_spends_its_fuel(component):
    with pytest.raises(OutOfFuel) as stopped:
        component.spin()
    assert stopped.value.usage.fuel.consumed == 10_000


@pytest.mark.fuel(2**64 - 1)
@pytest.mark.timeout_ms(20)
def test_an_endless_loop_without_a_fuel_limit_runs_out_of_time(component):
    with pytest.raises(ExecutionTimeout):
        component.spin()


def test_hoarding_memory_is_refused_and_blamed(component):
    with pytest.raises(OutOfMemory) as stopped:
        component.hoard()
    assert stopped.value.usage.peak_memory_bytes == 2**20
