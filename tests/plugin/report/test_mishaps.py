"""An error while a failure is shown is added to the report, and the session goes on."""

from __future__ import annotations

import json

import pytest

FAILING = """
    import pytest

    pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.fuel(10_000)]

    def test_fails(component):
        component.count(1_000_000)

    def test_passes(component):
        assert component.add(1, 2) == 3
"""


def went_on(ran, failed=1, passed=1):
    assert "INTERNALERROR" not in ran.text
    assert (ran.count("failed"), ran.count("passed")) == (failed, passed), ran.text
    return ran.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "raising", "told"),
    [
        ("analysis.blaming:blame", "OSError(24, 'Too many open files')", "Too many open files"),
        ("analysis.blaming:blame", "RecursionError()", "could not be run again: RecursionError"),
        ("analysis.blaming:blame", "MemoryError()", "could not be run again: MemoryError"),
        ("analysis.blaming:blame", "pytest.fail.Exception('Timeout >1.0s')", "Failed: Timeout >1.0s"),
        ("plugin.report.section:_usage_lines", "ValueError('no usage')", "could not be written: ValueError: no usage"),
        ("plugin.report.section:_usage_lines", "Unspeakable()", "could not be written: Unspeakable"),
        (
            "plugin.report.section:_rerun_command",
            "FileNotFoundError('no folder')",
            "unknown: FileNotFoundError: no folder",
        ),
        ("plugin.report.section:add_section", "KeyError('x')", "KeyError: 'x'"),
        ("plugin.report.tracebacks:hide_package", "AttributeError('tb')", "AttributeError: tb"),
        ("plugin.report.records:_record", "UnicodeEncodeError('utf-8', '\\ud800', 0, 1, 'lone')", "not recorded"),
        ("reporting.table:render", "ZeroDivisionError()", "executions cannot be shown: ZeroDivisionError"),
        ("plugin.report.records:_reason", "ValueError('of what')", "is not in the reports: ValueError: of what"),
    ],
)
def test_a_mishap_is_told(guest, place, raising, told):
    module, _, name = place.partition(":")
    guest.write(
        test_a=FAILING,
        conftest=f"""
            import pytest
            from pytest_airssys_wasm.{module.rpartition(".")[0]} import {module.rpartition(".")[2]} as place

            class Unspeakable(Exception):
                def __str__(self):
                    raise RuntimeError

            def fail(*args, **named):
                raise {raising}

            place.{name} = fail
        """,
    )
    assert told in went_on(guest.run("--wasm-summary"))


def test_what_was_written_before_a_mishap_is_kept(guest):
    guest.write(
        test_a=FAILING,
        conftest="""
            from pytest_airssys_wasm.plugin.report import section

            def fail(name):
                raise ValueError

            section._cut = fail
        """,
    )
    text = went_on(guest.run())
    assert "verdict  out-of-fuel" in text
    assert "could not be written: ValueError" in text
    assert "rerun    pytest" in text


@pytest.mark.slow
def test_exit_and_interruptions_still_end_the_session(guest):
    guest.write(
        test_a=FAILING,
        conftest="""
            import pytest
            from pytest_airssys_wasm.plugin.report import section

            def leave(*_):
                pytest.exit("enough is enough", returncode=7)

            section._blame = leave
        """,
    )
    ran = guest.run("-W", "ignore::pluggy.PluggyTeardownRaisedWarning")  # of old hook wrappers of other plugins
    assert ran.code == 7
    assert "enough is enough" in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["json", "md", "html"])
def test_a_report_that_cannot_be_rendered_is_told(guest, suffix):
    guest.write(
        test_a=FAILING,
        conftest="""
            from pytest_airssys_wasm.reporting import write

            def fail(*_):
                raise UnicodeEncodeError("utf-8", "\\ud800", 0, 1, "surrogates not allowed")

            write._render = fail
        """,
    )
    ran = guest.run(f"--wasm-report=report.{suffix}")
    text = went_on(ran)
    assert f"report.{suffix} could not be written: UnicodeEncodeError" in text
    assert ran.code == pytest.ExitCode.USAGE_ERROR


@pytest.mark.slow
def test_a_check_whose_failure_cannot_be_put_into_words_is_shown_all_the_same(project):
    project.write(
        Component_toml="""
            [component]
            wasm = 3
        """,
        conftest="""
            from pytest_airssys_wasm.plugin.components import validation

            def fail(*_):
                raise ValueError("no words")

            validation.failure_text = fail
        """,
    )
    ran = project.run("--airssys-wasm", "Component.toml::manifest")
    assert "INTERNALERROR" not in ran.text
    assert "ValueError: no words" in ran.text
    assert "Unfit" in ran.text


EXHAUSTED = """
    import os, resource, pytest

    pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.fuel(10_000)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
    held = []

    @pytest.fixture(autouse=True)
    def released():
        yield
        while held:
            os.close(held.pop())

    def test_fails(component):
        component.add(1, 2)
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.dup(2))
        component.count(1_000_000)

    def test_passes(component):
        assert component.add(1, 2) == 3
"""


@pytest.mark.slow
def test_a_failure_is_shown_when_no_descriptor_is_left(guest):
    guest.write(test_a=EXHAUSTED)
    text = went_on(guest.run("-p", "no:cacheprovider"))
    assert "verdict  out-of-fuel" in text
    assert "not shown" not in text


FAKE = """
    import os, pytest

    pytestmark = [pytest.mark.component("kernels.wat"), pytest.mark.memory("1 MiB"), pytest.mark.fuel(10_000)]

    def test_fails_there({fixtures}):
        fs.create_file("/fake/file")
        assert os.path.exists("/fake/file")
        component.count(1_000_000)

    def test_fails_here(component):
        component.count(1_000_000)

    def test_passes(component):
        assert component.add(1, 2) == 3
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "fixtures"), [("thread", "component, fs"), ("process", "component, fs"), ("thread", "fs, component")]
)
def test_another_file_system_under_os_is_not_seen(guest, mode, fixtures):
    guest.plugins = (*guest.plugins, "fakefs")
    guest.write(test_a=FAKE.format(fixtures=fixtures))
    text = went_on(guest.run(f"--wasm-isolation={mode}", "--wasm-summary"), failed=2)
    assert text.count("verdict  out-of-fuel") == 2
    assert text.count("blame    ") == 2


@pytest.mark.slow
def test_no_duration_is_of_a_clock_that_a_test_has_set(guest):
    guest.write(
        test_a=FAILING.replace(
            "def test_fails",
            """@pytest.fixture
    def frozen():
        from freezegun import freeze_time
        frozen = freeze_time("2050-01-01")
        frozen.start()
        yield
        frozen.stop()
        freeze_time("1970-01-02").start()  # and never stopped

    def test_frozen(component, frozen):
        component.add(1, 2)

    def test_fails""",
        )
    )
    went_on(guest.run("--wasm-report=report.json"), passed=2)
    report = json.loads(guest.path("report.json").read_text("utf-8"))
    assert all(0 <= test["duration_s"] < 100 for test in report["tests"]), report["tests"]
    assert all(0 <= one["wall_ms"] < 100_000 for one in report["executions"])
    assert 0 <= report["session"]["duration_s"] < 100
    assert report["session"]["started_at"] > "2026"
