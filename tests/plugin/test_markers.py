"""Markers are read into data, or refused with what was written and what would be right."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

mark = pytest.mark


@pytest.mark.parametrize(
    ("written", "data"),
    [
        (mark.component("a.wasm"), markers.ComponentMark(source="a.wasm", manifest=None, world=None)),
        (mark.fuel(10), markers.FuelMark(fuel=10, per="call")),
        (mark.fuel("10_000", per="test"), markers.FuelMark(fuel=10_000, per="test")),
        (mark.fuel(None), markers.FuelMark(fuel=None, per="call")),
        (mark.fuel_snapshot(tolerance="2 %"), Fraction(1, 50)),
        (mark.memory("1 MiB"), 2**20),
        (mark.memory(65536), 65536),
        (mark.timeout_ms("2 s"), 2_000),
        (mark.timeout_ms(None), None),
        (mark.wasm_limits(tables=3, transfer="1 KiB"), {"tables": 3, "transfer": 1024}),
        (
            mark.wasi(args=["a"], preopen={"/d": ("here", "ro")}),
            markers.WasiMark(
                grants={"args": ["a"], "env": {}, "stdin": "", "inherit": False},
                preopen={"/d": ("here", "ro")},
            ),
        ),
    ],
    ids=lambda value: repr(markers.Written(value.mark)) if isinstance(value, pytest.MarkDecorator) else "",
)
def test_a_right_marker_is_data(written, data):
    assert markers.read(written.mark) == data


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (mark.component(), "missing a required argument: 'source'"),
        (mark.component(3), "marker component: source: expected a path, WebAssembly text or bytes, got 3"),
        (mark.component(""), "marker component: source: expected a path"),
        (
            mark.component("a", manifest=1),
            "marker component: manifest: expected the path of a Component.toml, got 1",
        ),
        (
            mark.component("a", world=["x"]),
            "marker component: world: expected the path of a WIT file, got ['x']",
        ),
        (mark.component("a", wrld="w"), "unexpected keyword argument 'wrld'"),
        (
            mark.fuel(10, pre="call"),
            "unexpected keyword argument 'pre': expected fuel(n, *, per='call'), got fuel(",
        ),
        (mark.fuel(10, per="session"), "marker fuel: per: expected 'call' or 'test', got 'session'"),
        (mark.fuel(-1), "marker fuel: n: expected a whole number from 0 to 18446744073709551615, got -1"),
        (mark.fuel(2**64), "got 18446744073709551616"),
        (mark.fuel(1.5), "marker fuel: n: expected a whole number"),
        (mark.fuel(True), "marker fuel: n: expected a whole number"),
        (mark.fuel("10 MiB"), "marker fuel: n: expected a whole number"),
        (mark.memory("3 potatoes"), "marker memory: size: expected a size such as 1048576, 512 KiB or 1 MiB"),
        (mark.memory(None), "marker memory: size"),
        (mark.memory("1 MiB", "2 MiB"), "too many positional arguments: expected memory(size)"),
        (mark.timeout_ms("1 fortnight"), "marker timeout_ms: n: expected a finite, non-negative number"),
        (mark.timeout_ms(float("inf")), "got inf"),
        (mark.timeout_ms(-0.5), "got -0.5"),
        (mark.wasm_limits(table=3), "marker wasm_limits: expected one of tables, table_elements,"),
        (mark.wasm_limits(fuel=3), "use the marker fuel"),
        (mark.wasm_limits(3), "too many positional arguments: expected wasm_limits(tables=…"),
        (mark.wasm_limits(tables="many"), "marker wasm_limits: tables: expected a whole number"),
        (mark.fuel_snapshot(), "argument: 'tolerance'"),
        (mark.fuel_snapshot("2 %"), "too many positional arguments: expected fuel_snapshot(*, tolerance)"),
        (mark.fuel_snapshot(tolerance="-2 %"), "marker fuel_snapshot: tolerance: expected a share in percent"),
        (mark.wasi(network=True), "unexpected keyword argument 'network'"),
        (mark.wasi(args="text"), "marker wasi: wasi.args: expected a sequence of strings"),
        (mark.wasi(env={"A": 1}), "marker wasi: wasi.env"),
        (mark.wasi(stdin=3), "marker wasi: wasi.stdin"),
        (mark.wasi(preopen=["/d"]), "marker wasi: preopen: expected {guest directory:"),
        (
            mark.wasi(preopen={"/d": "here"}),
            "marker wasi: preopen['/d']: expected (host directory, 'ro' or 'rw')",
        ),
        (mark.wasi(preopen={"/d": ("here", "rx")}), "marker wasi: preopen['/d']"),
    ],
    ids=lambda value: repr(markers.Written(value.mark)) if isinstance(value, pytest.MarkDecorator) else "",
)
def test_a_wrong_marker_says_what_would_be_right(written, says):
    with pytest.raises(InvalidConfiguration) as caught:
        markers.read(written.mark)
    assert says in str(caught.value)


@pytest.mark.slow
def test_a_wrong_marker_is_a_collection_error_that_names_the_test(project):
    project.write(
        test_a="""
            import pytest
            @pytest.mark.fuel(10, pre="call")
            def test_here(): pass
            class TestIn:
                @pytest.mark.memory("3 potatoes")
                def test_class(self): pass
        """,
        test_b="""
            import pytest
            class TestB:
                @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.timeout_ms("x"))])
                def test_param(self, n): pass
            def test_fine(): pass
        """,
    )
    ran = project.run()
    assert ran.code == pytest.ExitCode.INTERRUPTED
    assert "test_a.py::test_here: marker fuel: got an unexpected keyword argument 'pre'" in ran.text
    assert "test_b.py::TestB::test_param[1]: marker timeout_ms: n: expected" in ran.text
    assert "Traceback" not in ran.text
    assert "plugin/checks.py" not in ran.text
    assert project.run("--continue-on-collection-errors").results["test_b.py::test_fine"] == "passed"


@pytest.mark.slow
def test_every_marker_is_registered(guest):
    guest.write(
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.fuel(10)
            @pytest.mark.memory("1 MiB")
            @pytest.mark.timeout_ms(20_000)
            @pytest.mark.wasm_limits(tables=1)
            @pytest.mark.wasi()
            @pytest.mark.conformance
            def test_a(component):
                assert component.add(1, 2) == 3
        """
    )
    assert guest.run("--strict-markers", "--strict-config").code == 0
    listed = guest.run("--markers").text
    for name in ("component", "fuel", "memory", "timeout_ms", "wasm_limits", "wasi", "conformance"):
        assert f"@pytest.mark.{name}" in listed


def test_a_bare_marker_of_the_same_name_is_left_to_its_owner(project):
    project.write(
        pytest_ini="[pytest]\nmarkers = component: tests of one component\n",
        test_a="""
            import pytest
            pytestmark = pytest.mark.component
            def test_foreign(): pass
        """,
        test_b="""
            import pytest
            @pytest.mark.component
            def test_ours(component): pass
        """,
    )
    ran = project.run("--continue-on-collection-errors", "--strict-markers")
    assert ran.results["test_a.py::test_foreign"] == "passed"
    assert "test_b.py::test_ours: marker component: missing a required argument: 'source'" in ran.text
