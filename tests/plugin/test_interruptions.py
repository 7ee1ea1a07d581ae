"""An interruption from outside, while a guest runs or waits, ends a test as it ends any test."""

from __future__ import annotations

import json
import re

import pytest

GUEST = """
    (module (import "env" "ask" (func $ask)) (memory (export "memory") 1)
      (func (export "spin") (loop br 0)) (func (export "question") call $ask) (func (export "nop")))
    """
HEAD = """
    import os, signal, threading, time
    import pytest

    pytestmark = [
        pytest.mark.component("guest.wat"),
        pytest.mark.memory("1 MiB"),
        pytest.mark.fuel(None),
        pytest.mark.timeout_ms(None),
    ]

    @pytest.fixture
    def wasm_host(wasm_host, request):
        wasm_host.register("env#ask", getattr(request.function, "answer", None) or (lambda: None))
        return wasm_host

    @pytest.fixture
    def started(component):
        component.nop()
        return component

    def answers(function):
        def add(test):
            test.answer = function
            return test
        return add
    """


@pytest.fixture
def run(project):
    """Runs tests on a guest that does not end by itself; returns how pytest ended, and its report."""
    project.plugins = (*project.plugins, "timeout")

    def run(tests, *arguments):
        project.write(guest_wat=GUEST, test_it=HEAD + tests)
        ran = project.run("-p", "no:cacheprovider", "--wasm-report=records.json", *arguments)
        assert "INTERNALERROR" not in ran.text, ran.text
        return ran, json.loads(project.path("records.json").read_text())

    return run


@pytest.mark.slow
def test_a_test_at_its_time_limit_fails_at_its_own_line_and_the_next_ones_run(run):
    ran, report = run(
        """
    @pytest.mark.timeout(0.5, func_only=True)
    def test_spin(started):
        started.spin()

    @pytest.mark.timeout(0.5, func_only=True)
    @pytest.mark.wasi()
    def test_spin_with_output(started):
        started.spin()

    @pytest.mark.timeout(0.5, func_only=True)
    @answers(lambda: time.sleep(20))
    def test_blocked(started):
        started.question()

    def test_next(component):
        component.nop()
        """
    )
    late = ("test_spin", "test_spin_with_output", "test_blocked")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert ran.results == {**{f"test_it.py::{name}": "failed" for name in late}, "test_it.py::test_next": "passed"}
    failures = ran.text.partition("= FAILURES =")[2]
    assert failures.count(">       started.") == len(late)
    assert "def wait_done" not in failures
    assert "def keep_time" not in failures
    assert failures.count("E       Failed: Timeout") == len(late)
    assert len(re.findall(r"^time     .* of unlimited", failures, re.MULTILINE)) == len(late)
    assert "time     0." not in failures  # it is the interrupted execution that is told, not the one before
    assert [one["export"] for one in report["executions"] if one["test"] == "test_it.py::test_spin"] == [None, "nop"]


@pytest.mark.slow
def test_ctrl_c_during_a_call_ends_the_session_as_pytest_does(run):
    ran, report = run(
        """
    def test_before(component):
        component.nop()

    def test_interrupted(component):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        component.spin()

    def test_after(component):
        component.nop()
        """
    )
    assert ran.code == pytest.ExitCode.INTERRUPTED
    assert ran.results == {"test_it.py::test_before": "passed"}
    assert "KeyboardInterrupt" in ran.text
    # Nothing is told of a test that did not end.
    assert [test["test"] for test in report["tests"]] == ["test_it.py::test_before"]
    assert {one["test"] for one in report["executions"]} == {"test_it.py::test_before"}


INTERRUPTED = """
    def test_interrupted(started):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        {}  # here
    """


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("what", ["started.spin()", "time.sleep(20)"])
def test_ctrl_c_names_the_line_where_the_test_was(run, project, what, isolation):
    ran, _ = run(INTERRUPTED.format(what), f"--wasm-isolation={isolation}")
    lines = project.path("test_it.py").read_text().splitlines()
    here = next(number for number, line in enumerate(lines, 1) if line.endswith("# here"))
    last = ran.text.partition("! KeyboardInterrupt !")[2]
    assert f"test_it.py:{here}: KeyboardInterrupt" in last
    assert "deadline.py" not in last


@pytest.mark.slow
def test_ctrl_c_shows_where_this_package_waited_when_the_full_trace_is_asked_for(run):
    ran, _ = run(INTERRUPTED.format("started.spin()"), "--full-trace")
    assert "def keep_time" in ran.text.partition("! KeyboardInterrupt !")[2]


@pytest.mark.slow
def test_a_host_function_may_skip_fail_and_xfail_its_test(run):
    ran, report = run(
        """
    @answers(lambda: pytest.skip("not here"))
    def test_skip(component):
        component.question()

    @answers(lambda: pytest.xfail("not yet"))
    def test_xfail(component):
        component.question()

    @answers(lambda: pytest.fail("not so"))
    def test_fail(component):
        component.question()
        """
    )
    assert {test["test"].partition("::")[2]: test["reason"] for test in report["tests"]} == {
        "test_skip": "not here",
        "test_xfail": "expected to fail: not yet",
        "test_fail": "Failed: not so",
    }
    failures = ran.text.partition("= FAILURES =")[2]
    assert "lambda: pytest.fail" in failures
    assert "def serve" not in failures
    assert (ran.count("failed"), ran.count("skipped"), ran.count("xfailed")) == (1, 1, 1)


@pytest.mark.slow
def test_a_crashed_worker_takes_only_the_test_that_ran_in_it(run):
    ran, report = run(
        """
    @answers(lambda: os._exit(3))
    def test_dies(component):
        component.question()

    @pytest.mark.parametrize("number", range(3))
    def test_lives(component, number):
        component.nop()
        """,
        "-n1",
    )
    outcomes = {test["test"].partition("::")[2]: test["outcome"] for test in report["tests"]}
    assert outcomes == {"test_dies": "failed", **{f"test_lives[{number}]": "passed" for number in range(3)}}
    assert len(report["executions"]) == 6
    assert ran.code == pytest.ExitCode.TESTS_FAILED


@pytest.mark.slow
def test_an_engine_serves_threads_of_a_test_and_all_is_recorded(run):
    _, report = run(
        """
    def test_threads(wasm_engine, wasm_limits, wasm_host):
        from pytest_airssys_wasm import LimitedStore
        guest = wasm_engine.load("guest.wat")

        def use():
            for _ in range(10):
                with LimitedStore(wasm_engine, wasm_limits, host=wasm_host) as store:
                    store.instantiate(guest).nop()

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """
    )
    assert [test["outcome"] for test in report["tests"]] == ["passed"]
    assert len(report["executions"]) == 80
