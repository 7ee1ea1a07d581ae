"""Options and ini keys: every value is checked at the start, and every setting has an effect."""

from __future__ import annotations

import re

import pytest

from pytest_airssys_wasm.plugin.options import OPTIONS
from pytest_airssys_wasm.plugin.settings import Settings
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

BAD = {
    "wasm_fuel": ["-1", "many", "1.5", "18446744073709551616", ""],
    "wasm_memory": ["-1", "3 potatoes", "1.5 B", ""],
    "wasm_timeout_ms": ["-1", "soon", "nan", "inf", ""],
    "wasm_timeout_scale": ["-1", "0", "nan", "inf", "1e9", "twice", ""],
    "wasm_memory_range": ["4 MiB", "4 MiB..1 MiB", "a..b", ""],
    "wasm_max_fuel": ["-1", "all"],
    "wasm_max_memory": ["-1", "all"],
    "wasm_max_timeout_ms": ["-1", "all"],
    "wasm_cache_dir": [""],
    "wasm_fuel_snapshot": ["always", "Check", ""],
    "wasm_fuel_tolerance": ["-1", "a little", "nan", ""],
    "wasm_profile": [""],
    "wasm_profile_against": [""],
    "wasm_coverage": [""],
    "wasm_suggest_limits": ["limits", "sub/Component.toml", ""],
    "wasm_laws": ["perhaps"],
    "wasm_fuzz": ["always", "CI", ""],
    "wasm_fuzz_seed": ["-1", "many", "1.5", ""],
    "wasm_isolation": ["fork", "Process", ""],
    "wasm_runtime": ["'", "", "  "],
    "wasm_expectations": ["nothing.toml", ""],
    "wasm_patience_ms": ["-1", "soon", "nan", ""],
    "wasm_component": ["nothing.wasm", ""],
    "wasm_report": ["report.txt", "report", ""],
    "wasm_report_against": ["nothing.json", ""],
    "airssys_wasm": ["perhaps"],
    "wasm_summary": ["perhaps"],
    "wasm_init": ["none.wasm", ""],
    "wasm_conformance": ["sometimes", ""],
    "wasm_wasi": ["perhaps"],
    "wasm_cache_clear": ["perhaps"],
    "wasm_expectations_update": ["perhaps"],
    "wasm_require_cpu_limits": ["perhaps"],
}


def test_a_cache_that_cannot_be_used_is_one_warning_and_fails_nothing(guest):
    guest.path("open").mkdir()
    guest.path("open").chmod(0o777)
    guest.write(
        test_it="""
        import pytest
        @pytest.mark.component("kernels.wat")
        @pytest.mark.memory("1 MiB")
        @pytest.mark.parametrize("n", range(3))
        def test_it(component, n): assert component.add(1, n) == n + 1
        """
    )
    ran = guest.run("--wasm-cache-dir=open")  # with -W error
    assert (ran.code, ran.count("passed"), ran.count("warning")) == (0, 3, 1), ran.text
    assert "CacheUnavailable: the compile cache" in ran.text
    assert "empty it" in ran.text


def test_every_setting_is_tried_here():
    assert set(BAD) == {option.key for option in OPTIONS}
    assert set(BAD) | {"flags", "may_run_suite"} == set(Settings.__annotations__)


@pytest.mark.parametrize(("key", "value"), [(one.key, BAD[one.key][0]) for one in OPTIONS if one.has_key])
def test_a_bad_ini_value_is_a_usage_error_even_when_nothing_uses_it(project, key, value):
    project.write(pytest_ini=f"[pytest]\n{key} = {value}\n", test_a="def test_a(): pass")
    ran = project.run()
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert re.search(rf"ERROR: ini value {key}: ", ran.text)
    assert "Traceback" not in ran.text


@pytest.mark.parametrize("key", [option.key for option in OPTIONS if option.has_flag and option.kind])
def test_a_bad_value_on_the_command_line_is_a_usage_error(project, key):
    flag = "--" + key.replace("_", "-")
    ran = project.run(f"{flag}={BAD[key][0]}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {flag}: expected" in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.kind], ids=lambda option: option.key)
def test_no_bad_value_is_read_as_something(option):
    for value in BAD[option.key][option.must_exist :]:  # whether a file is there is seen where its folder is known
        with pytest.raises(InvalidConfiguration, match=r"^here: expected"):
            option.parse(value, "here")


@pytest.mark.parametrize(
    "option", [one for one in OPTIONS if one.kind in ("path", "report", "toml")], ids=lambda one: one.key
)
@pytest.mark.parametrize("given", ["~nobody-of-this-name/{}", "a\0{}"])
def test_a_path_that_cannot_be_is_a_usage_error(option, given):
    value = given.format("report.json" if option.kind == "report" else "limits.toml")
    with pytest.raises(InvalidConfiguration, match=r"^here: expected ") as caught:
        option.parse(value, "here")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "asked", "ceiling"),
    [("fuel", "11", "10"), ("memory", "2 MiB", "1 MiB"), ("timeout_ms", "2 s", "1 s")],
)
def test_a_session_limit_over_its_ceiling_is_a_usage_error(project, limit, asked, ceiling):
    flag = f"--wasm-{limit.replace('_', '-')}={asked}"
    ran = project.run(flag, "-o", f"wasm_max_{limit}={ceiling}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert f"(the ceiling wasm_max_{limit} of the ini file)" in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_marker_over_its_ceiling_is_a_usage_error(project, workers):
    project.write(
        pytest_ini="[pytest]\nwasm_max_fuel = 10\n",
        test_a="""
            import pytest
            @pytest.mark.fuel(1000)
            @pytest.mark.fuel(10)
            def test_closest_is_fine(): pass
            @pytest.mark.fuel(11)
            def test_over(): pass
        """,
    )
    ran = project.run("-n", workers)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "test_a.py::test_over: marker fuel: expected at most 10" in ran.text


@pytest.mark.slow
def test_the_platform_range_and_mandatory_cpu_limits_reach_the_manifest(guest):
    guest.write(
        Component_toml="""
            [component]
            name = "kernels"
            version = "0.1.0"
            [resources.memory]
            max_bytes = 8388608
        """,
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            def test_a(wasm_limits):
                assert wasm_limits.memory == 2**23
        """,
    )
    ran = guest.run()
    assert ran.results == {"test_a.py::test_a": "error"}
    assert "[resources.memory] max_bytes: expected from 512 KiB to 4 MiB" in ran.text
    assert guest.run("-o", "wasm_memory_range=1 MiB..8 MiB").results == {"test_a.py::test_a": "passed"}
    ran = guest.run("-o", "wasm_memory_range=1 MiB..8 MiB", "-o", "wasm_require_cpu_limits=true")
    assert ran.results == {"test_a.py::test_a": "error"}
    assert "[resources.cpu]" in ran.text


@pytest.mark.slow
def test_the_cache_is_where_it_was_asked_for_and_can_be_cleared(guest):
    guest.write(
        test_a="""
            import pytest
            @pytest.mark.component("kernels.wat")
            @pytest.mark.memory("1 MiB")
            @pytest.mark.timeout_ms(20_000)
            def test_a(component):
                assert component.add(1, 2) == 3
        """
    )

    def entries(folder):
        return sorted(path.name for path in folder.glob("*.cwasm"))

    place = guest.folder / "compiled"
    place.mkdir(mode=0o700)
    (place / "stale.00000000.cwasm").write_bytes(b"")
    assert guest.run("--wasm-cache-dir=compiled").code == 0
    assert len(entries(place)) == 2
    guest.write(
        conftest="""
            import pytest
            @pytest.hookimpl(trylast=True)
            def pytest_configure(config):
                if not hasattr(config, "workerinput"):
                    (config.rootpath / "compiled/after-clearing.00000000.cwasm").write_bytes(b"")
        """
    )
    assert guest.run("-o", "wasm_cache_dir=compiled", "--wasm-cache-clear", "-n", "2").code == 0
    assert len(entries(place)) == 2
    assert "after-clearing.00000000.cwasm" in entries(place)


ISOLATION = """
    import pytest
    def test_a(wasm_engine):
        assert type(wasm_engine.isolation).__name__ == "{}"
"""


@pytest.mark.slow
def test_components_are_compiled_where_it_was_asked_for(project):
    project.write(test_a=ISOLATION.format("NoneType"), test_b=ISOLATION.format("ProcessIsolation"))
    for options in ([], ["--wasm-isolation=thread"], ["--wasm-isolation=thread", "-o", "wasm_isolation=process"]):
        assert project.run(*options).results == {"test_a.py::test_a": "passed", "test_b.py::test_a": "failed"}
    for options in (
        ["--wasm-isolation=process"],
        ["-o", "wasm_isolation=process"],
        ["--wasm-isolation=process", "-n2"],
    ):
        ran = project.run(*options)
        assert ran.results == {"test_a.py::test_a": "failed", "test_b.py::test_a": "passed"}
        assert re.search(r"^wasm: .*; isolation process, cache ", ran.text, re.M)


@pytest.mark.slow
def test_a_guest_that_exhausts_the_compiler_is_an_error_that_says_so(project):
    project.path("bomb.wat").write_text(f"(module (func (param i32) {'local.get 0 if ' * 100_000} {'end ' * 100_000}))")
    project.write(
        conftest="""
            import pytest
            from pytest_airssys_wasm import ProcessIsolation, WasmEngine
            @pytest.fixture(scope="session")
            def wasm_engine():
                engine = WasmEngine(isolation=ProcessIsolation(compile_memory_bytes="100 MiB"))
                yield engine
                engine.close()
        """,
        test_a="""
            import pytest
            @pytest.mark.component("bomb.wat")
            @pytest.mark.memory("1 MiB")
            def test_a(component):
                component.f(1)
        """,
    )
    ran = project.run("--wasm-isolation=process")
    assert ran.code == 1
    assert "bomb.wat: compiling it takes more than 104,857,600 bytes of memory" in ran.text
    assert "Traceback" not in ran.text
    assert "--wasm-isolation process" in ran.text


@pytest.mark.slow
def test_a_component_that_exhausts_the_compiler_fails_its_check(project):
    ten = "(instance (instantiate $c)) " * 10
    levels = "".join(f"(component $c{n} (alias outer 1 $c{n - 1} (component $c)) {ten})" for n in range(1, 6))
    innermost = "(component $c0 (core module $m) (core instance (instantiate $m)))"
    project.path("bomb.wat").write_text(f"(component {innermost} {levels} {'(instance (instantiate $c5))' * 10})")
    ran = project.run("--wasm-isolation=process", "--wasm-component=bomb.wat", "--wasm-memory=1 MiB")
    assert ran.results["bomb.wat::loads"] == "failed"
    assert "definitions together" in ran.text
    assert "compile it with --wasm-isolation=thread if you trust it" in ran.text
    assert "Traceback" not in ran.text


def test_a_cache_folder_in_the_ini_file_is_relative_to_it(guest):
    guest.write(
        pytest_ini="[pytest]\nwasm_cache_dir = compiled\n",
        test_a="def test_a(wasm_engine, pytestconfig):\n"
        "    assert wasm_engine.cache.directory == pytestconfig.rootpath / 'compiled'\n",
    )
    below = guest.folder / "below"
    below.mkdir()
    assert guest.run("..", cwd=below).code == 0


@pytest.mark.slow
def test_without_the_plugin_its_options_are_unknown(project):
    project.write(test_a="def test_a(): pass")
    project.plugins = None
    without = ("-p", "no:asyncio", "-p", "no:airssys_wasm")
    assert project.run(*without).code == 0
    assert project.run(*without, "--wasm-fuel=1").code == pytest.ExitCode.USAGE_ERROR


def test_settings_may_stand_in_pyproject(project):
    project.write(
        pyproject_toml="""
            [tool.pytest.ini_options]
            wasm_fuel = 1000
            wasm_memory = "1 MiB"
            wasm_require_cpu_limits = true
        """,
        test_a="""
            def test_a(wasm_limits):
                assert (wasm_limits.memory, wasm_limits.fuel) == (2**20, 1000)
        """,
    )
    assert project.run().code == 0
