import pytest

from pytest_airssys_wasm import Ok

pytestmark = [pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
INVOICE = "../../examples/rust/invoice.wasm"


@pytest.mark.component("kernels.wat")
@pytest.mark.fuel(10_000)
def test_fuel_runs_out(component):
    component.count(100_000)


@pytest.mark.component("kernels.wat")
@pytest.mark.fuel(None)
@pytest.mark.timeout_ms(50)
def test_it_never_ends(component):
    component.spin()


@pytest.mark.component("kernels.wat")
def test_memory_runs_out(component):
    component.load_image(40)


@pytest.mark.component(INVOICE)
def test_a_panic(component):
    component.total_of([{"name": "yacht", "quantity": 2, "price": 2**63, "tax": "standard"}], None)


@pytest.mark.component(INVOICE)
def test_a_value_that_does_not_fit(component):
    component.total_of([{"name": "pen", "quantity": 2, "price": -1, "tax": "standard"}], None)


@pytest.mark.component("clock.wat")
def test_a_host_function_fails(component):
    component.uptime()


@pytest.mark.component("exits.wat")
@pytest.mark.wasi
def test_it_gives_up(component):
    component.run()


@pytest.mark.component("../../fixtures/guests/text-transform/text-transform.wasm")
def test_another_answer(component):
    assert component.transform("hello world") == Ok("Hello world")
