"""The output: one line in the header, and under a failing test the use of its limits and how to run it again."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from pytest_airssys_wasm.plugin.report import progress

HEAD = """
import pytest
# A time no busy machine takes: these tests are not about it.
pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
"""


def section(ran) -> str:
    return ran.text.partition("- WebAssembly -")[2].partition("\n====")[0]


@pytest.mark.slow
def test_the_header_names_version_limits_and_cache(project):
    line = r"^wasm: wasmtime \d+\.\S+; defaults: memory as each test says, fuel 1,000,000, timeout 100 ms; cache /"
    for flag in ("-v", "--airssys-wasm"):
        assert re.search(line, project.run(flag, "--co").text, re.M)
    assert "wasm:" not in project.run().text
    text = project.run("--wasm-memory=2 MiB", "--wasm-fuel=500", "--wasm-timeout-ms=2 s", "--wasm-cache-dir=c").text
    assert (
        f"memory 2 MiB (--wasm-memory), fuel 500 (--wasm-fuel), timeout 2,000 ms (--wasm-timeout-ms); cache {project.folder}/c"
        in text
    )
    project.write(pytest_ini="[pytest]\nwasm_memory = 1 MiB\n")
    text = project.run("--wasm-fuel=500", "--wasm-timeout-scale=2").text
    line = "; fuel 500 (--wasm-fuel); defaults: memory 1 MiB (wasm_memory), timeout 100 ms; timeouts times 2; cache"
    assert line in text


@pytest.mark.slow
def test_a_limit_failure_shows_limit_use_share_verdict_frames_and_command(guest):
    guest.write(
        test_a=HEAD
        + """
@pytest.mark.fuel(1000)
def test_fuel(component):
    component.count(10**6)
"""
    )
    ran = guest.run("--wasm-memory=3 MiB")
    told = section(ran)
    for line in (
        "verdict  out-of-fuel",
        "call     count(1000000)",
        "fuel     1,000 of 1,000 (100 %)",
        "blame    fuel: the call needs 4,999,997, the limit was 1,000",
        "of 20,000 ms (",
        "memory   peak 64 KiB of 1 MiB (6.2 %)",
        "guest frames, innermost first:",
        "rerun    pytest --wasm-memory '3 MiB' test_a.py::test_fuel",
    ):
        assert line in told
    assert "OutOfFuel: the fuel budget of 1,000 was spent" in ran.text
    assert "component.count(10**6)" in ran.text
    assert "runtime/store/store.py" not in ran.text
    assert "runtime/store/store.py" in guest.run("--full-trace").text


def test_what_the_guest_asked_for_and_was_not_granted_is_told(project):
    project.write(
        test_a=HEAD.replace('"kernels.wat"', '"""(module (import "env" "f" (func $f)) (func (export "g") call $f))"""')
        + """
def test_denied(component, wasm_host):
    from pytest_airssys_wasm import current_execution
    @wasm_host.register("env#f")
    def f():
        for n in range(9):
            current_execution().deny(f"read-file {n}\\x1b")
    component.g()
    assert 0
"""
    )
    told = section(project.run())
    assert [line for line in told.splitlines() if line.startswith("denied")] == [
        rf"denied   read-file {n}\x1b" for n in range(5)
    ]


@pytest.mark.slow
def test_a_refused_growth_is_told(guest):
    guest.write(test_a=HEAD + "\ndef test_memory(component):\n    component.must_grow(100)\n")
    told = section(guest.run())
    assert "verdict  out-of-memory" in told
    assert "1 growth refused" in told


@pytest.mark.slow
def test_the_growths_before_a_refused_one_are_bars(project):
    project.write(
        hoard_wat="""(module (memory 1)
          (func $need (param i32) (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable)))
          (func $run (export "run") (call $need (i32.const 7)) (call $need (i32.const 100))))""",
        test_a=HEAD.replace("kernels", "hoard") + "\ndef test_memory(component):\n    component.run()\n",
    )
    assert re.search(
        r"^growths of memory, up to the limit of 1 MiB:\n  █ +64 KiB at first\n"
        r"  ████████ +512 KiB with \d+ fuel, in need < run\n"
        r"  refused +with \d+ fuel, in need < run\nguest frames",
        section(project.run()),
        re.MULTILINE,
    )


@pytest.mark.slow
def test_a_failed_assertion_shows_the_last_execution_and_what_the_guest_wrote(guest):
    guest.write(
        test_a=HEAD
        + '''
WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\\\10\\\\00\\\\00\\\\00\\\\06\\\\00\\\\00\\\\00")
  (data (i32.const 16) "hello\\\\n")
  (func (export "greet") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"""

@pytest.mark.wasi()
@pytest.mark.component(WAT)
def test_value(component):
    assert component.greet() == 28
'''
    )
    told = section(guest.run())
    assert "verdict" not in told
    assert "of the last execution:" in told
    assert "guest stdout:\n  hello\n" in told
    assert "rerun    pytest test_a.py::test_value" in told


@pytest.mark.slow
def test_a_one_shot_execution_has_its_section_too(guest):
    guest.write(
        test_a="""
import pytest

@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms(20_000)
def test_one_shot(wasm_engine, wasm_limits):
    try:
        wasm_engine.execute(wasm_engine.load("kernels.wat"), "must-grow", 100, limits=wasm_limits)
    except Exception as error:
        raise AssertionError("of another kind") from error
"""
    )
    told = section(guest.run())
    for line in (
        "verdict  out-of-memory",
        "call     must-grow(100)",
        "blame    memory: the call needs 6.312 MiB (6,619,136 bytes), the limit was 1 MiB",
        "::test_one_shot",
    ):
        assert line in told


@pytest.mark.slow
def test_passing_tests_and_tests_without_a_guest_get_no_section(guest):
    guest.write(
        test_a=HEAD
        + """
def test_passes(component):
    component.add(1, 2)

def test_other():
    assert 1 == 2
"""
    )
    assert "WebAssembly" not in guest.run().text


@pytest.mark.slow
def test_wrong_names_and_arguments_are_shown_at_the_line_that_wrote_them(guest):
    guest.write(
        test_a=HEAD
        + """
def test_count(component):
    component.add(1)

def test_type(component):
    component.add(1, "x")

def test_name(component):
    component.ad(1, 2)

def test_own_type_error():
    len(3)
"""
    )
    text = guest.run().text
    for message in ("takes 2 arguments, got 1", "args[1]: expected i32, got 'x'", "did you mean 'add'"):
        assert message in text
    assert "/pytest_airssys_wasm/" not in text
    assert "len(3)" in text


@pytest.mark.slow
def test_the_cause_of_a_host_error_is_shown_from_its_own_line(guest):
    guest.write(
        importing_wat='(module (import "env" "f" (func $f)) (func (export "run") call $f))',
        conftest="""
            import pytest
            @pytest.fixture(autouse=True)
            def imports(wasm_host):
                @wasm_host.register("env#f")
                def serve():
                    raise KeyError("lost")
        """,
        test_a=HEAD
        + """
@pytest.mark.component("importing.wat")
def test_host(component):
    component.run()
""",
    )
    text = guest.run().text
    assert 'raise KeyError("lost")' in text
    assert "verdict  host-error" in text
    assert "/pytest_airssys_wasm/" not in text


@pytest.mark.slow
def test_the_command_that_reproduces_a_test_works_where_pytest_was_started(guest):
    guest.write(pytest_ini="[pytest]\n", test_a=HEAD + "\ndef test_boom(component):\n    component.boom()\n")
    below = guest.folder / "below"
    below.mkdir()
    told = section(guest.run("..", cwd=below))
    assert "rerun    pytest ../test_a.py::test_boom" in told
    assert guest.run("../test_a.py::test_boom", cwd=below).count("failed") == 1
    guest.path("test_a.py").rename(below / "test_a.py")
    guest.path("kernels.wat").rename(below / "kernels.wat")
    guest.write(pytest_ini="[pytest]\n")
    for workers in ("0", "1"):
        assert "rerun    pytest test_a.py::test_boom" in section(guest.run("-n", workers, cwd=below))


@pytest.mark.slow
def test_sections_come_back_from_workers(guest):
    guest.write(test_a=HEAD + "\ndef test_boom(component):\n    component.boom()\n")
    assert "verdict  trap" in section(guest.run("-n", "1"))


class Terminal:
    def __init__(self):
        self.lines = []

    def ensure_newline(self): ...

    def flush(self): ...

    def write_line(self, line):
        self.lines.append(line)


def telling(elapsed, name="app.wasm"):
    return SimpleNamespace(name=name, size_bytes=18_400_000, elapsed_s=elapsed)


def test_a_long_compilation_says_so_and_a_short_one_does_not():
    terminal = Terminal()
    plugins = {"terminalreporter": terminal}
    tell = progress.teller(SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get)))
    for elapsed in (1.0, 2.0, 3.0, 11.9, 12.1, 13.0, 22.3):
        tell(telling(elapsed))
    tell(telling(1.0, "other.wasm"))
    tell(telling(2.5, "app.wasm"))
    assert terminal.lines == [f"wasm: compiling app.wasm (18.4 MB), {seconds} s so far" for seconds in (2, 12, 22, 2)]


@pytest.mark.slow
def test_the_line_gets_past_capture(guest):
    guest.write(
        conftest="""
            from types import SimpleNamespace
            import pytest
            @pytest.fixture
            def slow(wasm_engine):
                wasm_engine.cache.on_progress(SimpleNamespace(name="app.wasm", size_bytes=2600, elapsed_s=3.2))
        """,
        test_a="def test_a(slow): print('captured')\n",
    )
    for arguments in ((), ("-s",), ("-n", "1")):
        ran = guest.run(*arguments)
        assert ran.code == 0, ran.text
        assert "wasm: compiling app.wasm (2.6 kB), 3 s so far" in ran.text.partition("= PASSES =")[0]


@pytest.mark.slow
def test_the_section_of_a_failure_is_in_every_report(guest):
    guest.write(test_a=HEAD + "\n@pytest.mark.fuel(1_000)\ndef test_fuel(component):\n    component.count(10**6)\n")
    for more in ((), ("-n", "1", "--show-capture=no")):
        reports = [f"--wasm-report=r.{suffix}" for suffix in ("json", "md", "html")]
        ran = guest.run("--junitxml=j.xml", *reports, *more)
        text = "blame    fuel: the call needs 4,999,997, the limit was 1,000"
        assert text in ran.text
        assert text in guest.path("j.xml").read_text()
        assert text in guest.path("r.md").read_text()
        assert text in guest.path("r.html").read_text()
        (test,) = json.loads(guest.path("r.json").read_text())["tests"]
        lines = test["section"].splitlines()
        assert lines[0] == "verdict  out-of-fuel"
        assert text in lines
        assert "fuel     1,000 of 1,000 (100 %) from marker fuel" in lines
        assert lines[-1].startswith("rerun    pytest ")


@pytest.mark.slow
def test_growths_that_calls_survive_are_shown(guest):
    guest.write(
        test_a=HEAD
        + """
def test_survives(component):
    for _ in range(5):
        component.grow(100)
def test_fails_later(component):
    component.grow(100)
    component.add(1, 2)
    assert 0
def test_needs_no_more(component):
    component.add(1, 2)
"""
    )
    text = guest.run("--wasm-summary", "--junitxml=j.xml").text
    assert "refused  5 growths of memory, by the memory limit" in text
    assert "refused  1 growth of memory in this test" in text
    assert text.count("refused  ") == 2
    assert re.search(r"^  grow +6 .*6\.2 % +ok 6, refused 6$", text, re.M), text
    assert 'name="wasm_denied_growths" value="5"' in guest.path("j.xml").read_text()


@pytest.mark.slow
def test_a_check_that_is_skipped_leaves_no_row(project):
    project.write(
        guest_wat='(module (func $f unreachable) (start $f) (func (export "f")))',
        Component_toml="""
            [component]
            name = "guest"
            version = "0.1.0"
            wasm = "guest.wat"
            [resources.memory]
            max_bytes = 524288
        """,
    )
    text = project.run("--airssys-wasm", "--wasm-conformance=never", ".", "--wasm-summary").text
    assert re.search(r"^  \(instantiate\) +1 .*trap 1$", text, re.M), text


@pytest.mark.slow
def test_a_timeout_shows_how_little_processor_time_the_guest_had(guest):
    guest.write(
        test_a="""
        import time
        import pytest

        @pytest.mark.component('(module (import "env" "f" (func $f)) (func (export "g") call $f))')
        @pytest.mark.memory("1 MiB")
        @pytest.mark.timeout_ms(50)
        def test_slow_host(component, wasm_host):
            wasm_host.register("env#f", lambda: time.sleep(0.2))
            component.g()
    """,
    )
    text = guest.run("--junitxml=out.xml").text
    shown = re.search(r"^time     ([\d.]+) ms \(([\d.]+) ms of processor time\) of 50 ms", text, re.MULTILINE)
    assert shown, text
    assert float(shown[2]) < float(shown[1])
    assert "ms of processor time" in guest.path("out.xml").read_text()
