"""Components from C, Rust and AssemblyScript under the same limits. Their sources are in `fixtures/guests`."""

import pytest

from pytest_airssys_wasm import ComponentTrapped, Err, Ok, OutOfMemory, Record

GUESTS = "../../fixtures/guests"
pytestmark = [pytest.mark.memory("4 MiB"), pytest.mark.fuel(5_000_000), pytest.mark.timeout_ms(5_000)]


@pytest.mark.component(f"{GUESTS}/text-transform/text-transform.wasm")
class TestC:
    def test_title_cases(self, component):
        assert component.transform("hello world") == Ok("Hello World")

    def test_refuses_the_empty_text(self, component):
        assert isinstance(component.transform(""), Err)

    @pytest.mark.fuel(5_000)
    def test_a_sentence_costs_less_than_five_thousand_fuel(self, component, limited_store):
        component.transform("the quick brown fox jumps over the lazy dog")
        assert not limited_store.usage.fuel.exceeds_threshold(80)


@pytest.mark.component(f"{GUESTS}/as-transform/as-transform.wasm")
class TestAssemblyScript:
    def test_title_cases(self, component):
        assert component.transform("hello world") == Ok("Hello World")

    def test_an_abort_is_a_trap(self, component):
        with pytest.raises(ComponentTrapped):
            component.fail("no")


@pytest.mark.component(f"{GUESTS}/word-count/word-count.wasm")
class TestRust:
    def test_a_record_comes_back(self, component):
        assert component.count("one two three") == Record(words=3, letters=11, longest="three")

    def test_a_panic_names_the_function_that_panicked(self, component):
        with pytest.raises(ComponentTrapped) as caught:
            component.nth("a b", 7)
        assert any("panic" in str(frame) for frame in caught.value.frames)

    @pytest.mark.fuel(100_000_000)
    def test_a_vector_that_grows_over_the_limit_is_out_of_memory(self, component):
        with pytest.raises(OutOfMemory):
            component.hoard(64 * 2**20)
