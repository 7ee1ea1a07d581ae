"""`--wasm-runtime` drives the suite through an adapter, `--wasm-expectations` names what it is known to fail."""

from __future__ import annotations

import json
import shlex
import sys
from textwrap import dedent

import pytest

from pytest_airssys_wasm.protocol.process_group import session_members

ADDS, TRAPS, WRONG = (f"conformance/alpha/{name}" for name in ("adds-up", "traps-are-fatal", "wants-three"))
UNREADABLE = "conformance/beta/is-not-read"
BUNDLED = f"--wasm-runtime={shlex.quote(sys.executable)} -m pytest_airssys_wasm.adapter"
ODD = f"--wasm-runtime={shlex.quote(sys.executable)} odd.py"

ODD_ADAPTER = """
    import json, os, sys
    with open("processes", "a") as file:
        file.write(f"{os.getpid()}\\n")
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "hello":
            answer = {"runtime": "odd-runtime", "version": "7.1", "capabilities": ["module", "fuel"]}
        elif request["steps"][0]["call"] == "boom":
            print("about to \\x1b[31mcrash", file=sys.stderr, flush=True)
            os.abort()
        else:
            with open("processes") as known, open("others", "a") as file:
                first = known.readline().strip()
                file.write(f"{first != str(os.getpid()) and os.path.exists('/proc/' + first)}\\n")
            answer = {"steps": [{"verdict": "ok", "value": 2}]}
        print(json.dumps({"id": request["id"], **answer}), flush=True)
"""


@pytest.fixture
def odd(suite):
    """A suite, and a runtime that adds rightly and dies of a trap."""
    suite.path("odd.py").write_text(dedent(ODD_ADAPTER))
    return suite


def processes(project):
    return [int(line) for line in project.path("processes").read_text().split()]


def expect(project, text):
    project.path("known.toml").write_text(text)
    return "--wasm-expectations=known.toml"


@pytest.mark.slow
def test_the_suite_runs_on_the_foreign_runtime_and_the_laws_do_not(odd):
    ran = odd.run(ODD)
    assert ran.results == {ADDS: "passed", TRAPS: "failed", WRONG: "failed", UNREADABLE: "failed"}
    assert ran.count("skipped") == 3
    assert "the laws are tested on the bundled runtime only" in ran.text
    assert "the runtime does not name session" in ran.text
    assert [line for line in ran.text.splitlines() if line.startswith("wasm suite: odd-runtime 7.1 (")]
    assert "Traceback" not in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_cases_about_what_a_runtime_does_not_name_do_not_read_like_failures(odd, workers):
    ran = odd.run(ODD, "-n", workers, "-q")
    assert "odd-runtime 7.1 passed 1 of the 4 cases for which it names all capabilities (3 failed)." in ran.text
    assert "1 other needs capabilities that it does not name: session (1)." in ran.text
    known = known_of(odd, (WRONG, OFF_BY_ONE))
    ran = odd.run(ODD, known, ADDS, WRONG)
    assert (
        "odd-runtime 7.1 passed 1 of the 2 cases for which it names all capabilities (1 failed as known)." in ran.text
    )
    assert "other" not in ran.text.rpartition("for which it names all capabilities")[2]


@pytest.mark.slow
def test_of_the_bundled_runtime_no_such_line_is_shown(suite):
    assert "for which it names all capabilities" not in suite.run("--airssys-wasm", ADDS).text


@pytest.mark.slow
def test_the_bundled_runtime_is_its_own_adapter(suite):
    ran = suite.run(BUNDLED, "--airssys-wasm", ADDS, TRAPS, WRONG)
    assert ran.results == {ADDS: "passed", TRAPS: "passed", WRONG: "failed"}
    assert "step 1 (add): value: expected 3, got 2" in ran.text


@pytest.mark.slow
def test_a_failing_case_shows_what_the_adapter_was_asked_wrote_and_said(odd):
    text = odd.run(ODD, TRAPS).text
    for line in (
        "verdict: expected trap, got 'runtime-died': signal: it was killed by SIGABRT",
        "--- adapter ---",
        '> {"op":"run","id":',
        "  about to \\x1b[31mcrash",
        f"{TRAPS}",
    ):
        assert line in text
    assert "\x1b" not in text
    (rerun,) = (line for line in text.splitlines() if line.startswith("rerun: "))
    assert shlex.split(rerun)[1:] == ["pytest", ODD, TRAPS]
    both = odd.run(ODD, TRAPS, WRONG).text
    _, of_traps, of_wrong = both.split("--- adapter ---")
    assert "about to" in of_traps
    assert '"value": 2' in of_wrong
    assert "about to" not in of_wrong


def test_a_runtime_that_hangs_is_given_the_patience_that_was_asked_for(odd):
    odd.path("odd.py").write_text(dedent(ODD_ADAPTER).replace("os.abort()", "import time; time.sleep(60)"))
    text = odd.run(ODD, "--wasm-patience-ms=250 ms", TRAPS).text
    assert "got 'runtime-died': silence: no answer in 0.25 s" in text
    (rerun,) = (line for line in text.splitlines() if line.startswith("rerun: "))
    assert shlex.split(rerun)[1:] == ["pytest", ODD, "--wasm-patience-ms=250", TRAPS]


@pytest.mark.slow
def test_each_worker_has_one_adapter_and_none_is_left(odd):
    ran = odd.run(ODD, "-n", "2", ADDS, WRONG)
    assert ran.results == {ADDS: "passed", WRONG: "failed"}
    # The controller's says hello; each worker starts its own with its first case.
    assert len(processes(odd)) == 3
    assert odd.path("others").read_text().split() == ["False", "False"]
    assert [one for one in processes(odd) if session_members(one)] == []


def test_without_workers_one_process_serves_the_session(odd):
    assert odd.run(ODD, ADDS, WRONG).count("passed") == 1
    assert len(processes(odd)) == 1


@pytest.mark.slow
def test_the_ini_file_says_which_runtime_but_not_that_the_suite_runs(odd):
    odd.write(
        pytest_ini=f"[pytest]\nwasm_runtime = {sys.executable} odd.py\n",
        test_own="def test_own(): pass",
    )
    assert odd.run().results == {"test_own.py::test_own": "passed"}
    assert not odd.path("processes").exists()
    below = odd.folder / "below"
    below.mkdir()
    ran = odd.run("--airssys-wasm", ADDS, "-c", "../pytest.ini", cwd=below)
    assert ran.count("passed") == 1, ran.text
    assert "wasm suite: odd-runtime 7.1" in ran.text


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("./nothing", "expected a command that can be run"),
        ("echo Welcome", "it wrote a line that is not an answer"),
        ("true", "it ended with status 0"),
        ("sh -c 'echo sorry >&2; exit 3'", "sorry"),
        (
            """sh -c 'read line; echo "{\\"id\\": 1, \\"runtime\\": \\"x\\", \\"version\\": \\"1\\", \\"capabilities\\": [\\"magic\\"]}"'""",
            "capabilities: 'magic' is not one of component, module",
        ),
    ],
)
def test_a_runtime_that_does_not_say_hello_is_a_usage_error(suite, command, told):
    ran = suite.run(f"--wasm-runtime={command}")
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --wasm-runtime: " in ran.text
    assert told in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.slow
def test_reports_name_the_foreign_runtime(odd):
    ran = odd.run(ODD, ADDS, WRONG, "--wasm-report=out.json")
    written = json.loads(odd.path("out.json").read_text())
    session = written["session"]
    assert (session["runtime"], session["runtime_version"]) == ("odd-runtime", "7.1")
    # What was found, and not what the case is about, is the reason: there, and in pytest's short summary.
    found = "step 1 (add): value: expected 3, got 2"
    assert {test["test"]: test["reason"] for test in written["tests"]} == {ADDS: None, WRONG: found}
    assert f"FAILED {WRONG} - {found}" in ran.text


DEATH = "step 1: verdict = runtime-died"
OFF_BY_ONE = "step 1: value = 2"


def known_of(project, *entries, sometimes=False, reason="x"):
    """The flag for a list with one group: node ids, each with its findings."""
    cases = "".join(f"{json.dumps(case)} = {json.dumps(pins)}\n" for case, *pins in entries)
    head = f"[[failures]]\nreason = '{reason}'\nsometimes = {str(sometimes).lower()}\n"
    return expect(project, f"{head}[failures.cases]\n{cases}")


@pytest.mark.slow
def test_known_failures_are_expected_with_their_reason(odd):
    known = expect(odd, f'[[failures]]\nreason = """a trap\nkills it"""\ncases = {{\'{TRAPS}\' = ["{DEATH}"]}}\n')
    ran = odd.run(ODD, known, ADDS, TRAPS, "--wasm-report=out.json")
    assert ran.code == 0
    assert ran.results == {ADDS: "passed", TRAPS: "xfail"}
    assert "a trap kills it" in ran.text
    tests = {test["test"]: test for test in json.loads(odd.path("out.json").read_text())["tests"]}
    assert tests[TRAPS]["reason"] == "expected to fail: a trap kills it"
    assert (tests[TRAPS]["is_known_failure"], tests[ADDS]["is_known_failure"]) == (True, False)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_known_failure_that_passes_fails_the_run(odd, workers):
    known = known_of(odd, (ADDS, "step 1: value = 3"), reason="it is off by one")
    ran = odd.run(ODD, known, ADDS, "-n", workers)
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert "[XPASS(strict)] it is off by one" in ran.text


@pytest.mark.slow
def test_what_fails_sometimes_may_pass(odd):
    known = known_of(odd, (ADDS, "step 1: value = 3"), (WRONG, OFF_BY_ONE, "step 1: verdict = trap"), sometimes=True)
    ran = odd.run(ODD, known, ADDS, WRONG)
    assert ran.results == {ADDS: "xpass", WRONG: "xfail"}
    assert ran.code == 0


@pytest.mark.slow
@pytest.mark.parametrize("pin", [OFF_BY_ONE, "value = 2", "step 1: value", "value"])
def test_a_known_failure_names_its_finding_as_closely_as_it_likes(odd, pin):
    assert odd.run(ODD, known_of(odd, (WRONG, pin)), WRONG).results == {WRONG: "xfail"}


@pytest.mark.slow
@pytest.mark.parametrize("pin", ["step 1: value = 4", "step 2: value = 2", "step 1: verdict", "fuel_consumed"])
def test_another_finding_of_a_known_failure_still_fails(odd, pin):
    ran = odd.run(ODD, known_of(odd, (WRONG, pin), reason="it cannot count"), WRONG)
    assert ran.results == {WRONG: "failed"}
    for line in (
        "step 1 (add): value: expected 3, got 2",
        f"a known finding is gone: {pin}",
        "the list knows other findings of this case (it cannot count)",
        "--wasm-expectations-update",
    ):
        assert line in ran.text


@pytest.mark.slow
@pytest.mark.parametrize("sometimes", [False, True])
@pytest.mark.parametrize("pin", ["step 1: verdict = ok", "step 1: verdict", "verdict"])
def test_no_other_finding_stands_for_the_death_of_a_runtime(odd, pin, sometimes):
    ran = odd.run(ODD, known_of(odd, (TRAPS, pin), sometimes=sometimes), TRAPS)
    assert ran.results == {TRAPS: "failed"}
    assert "got 'runtime-died'" in ran.text


@pytest.mark.slow
def test_a_runtime_that_dies_of_each_request_has_no_known_failures(odd):
    known = known_of(odd, (ADDS, "step 1: value = 3"), (WRONG, OFF_BY_ONE))
    odd.path("odd.py").write_text(dedent(ODD_ADAPTER).replace('["call"] == "boom"', '["call"]'))
    assert odd.run(ODD, known, ADDS, WRONG).results == {ADDS: "failed", WRONG: "failed"}


@pytest.mark.slow
def test_a_finding_that_is_gone_fails_the_case_although_another_stays(odd):
    known = known_of(odd, (WRONG, OFF_BY_ONE, "step 1: fuel_consumed = null"))
    ran = odd.run(ODD, known, WRONG)
    assert ran.results == {WRONG: "failed"}
    assert f"FAILED {WRONG} - a known finding is gone: step 1: fuel_" in ran.text
    assert "a known finding is gone: step 1: fuel_consumed = null" in ran.text


def test_a_case_that_cannot_be_read_is_no_known_failure(odd):
    assert odd.run(ODD, known_of(odd, (UNREADABLE, "verdict")), UNREADABLE).results == {UNREADABLE: "failed"}


@pytest.mark.slow
def test_known_failures_of_the_bundled_runtime_count_too(suite):
    known = known_of(suite, (WRONG, OFF_BY_ONE), reason="one and one are two")
    assert suite.run("--airssys-wasm", known, WRONG).results == {WRONG: "xfail"}


UPDATE = "--wasm-expectations-update"


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_list_is_written_from_a_run(odd, workers):
    known = "--wasm-expectations=new/known.toml"
    ran = odd.run(ODD, known, UPDATE, ADDS, TRAPS, WRONG, "-n", workers)
    assert ran.code == 0
    assert ran.results == {ADDS: "passed", TRAPS: "xfail", WRONG: "xfail"}
    assert "known.toml: 2 cases, 2 added" in ran.text
    assert "The runtime died in 1 case" in ran.text
    assert odd.path("new/known.toml").read_text() == (
        f'[[failures]]\nreason = "Not explained yet"\n[failures.cases]\n'
        f'"{TRAPS}" = ["{DEATH}"]\n"{WRONG}" = ["{OFF_BY_ONE}"]\n'
    )
    again = odd.run(ODD, known, ADDS, TRAPS, WRONG)
    assert (again.code, again.results) == (0, ran.results)


@pytest.mark.slow
def test_an_update_keeps_reasons_comments_and_what_did_not_run(odd):
    text = (
        "# Why it fails.\n#     pytest …\n\n"
        f'[[failures]]\nreason = "It \\"cannot\\" count"\n[failures.cases]\n"{ADDS}" = ["value"]\n"{WRONG}" = ["value"]\n\n'
        f'[[failures]]\nreason = "Load"\nsometimes = true\n[failures.cases]\n"{TRAPS}" = ["step 1: elapsed_ms"]\n'
    )
    known = expect(odd, text)
    ran = odd.run(ODD, known, UPDATE, WRONG)
    assert "known.toml: 3 cases, nothing changed" in ran.text
    assert odd.path("known.toml").read_text() == text
    ran = odd.run(ODD, known, UPDATE, ADDS, TRAPS, WRONG)
    assert "known.toml: 2 cases, 1 removed, 1 changed" in ran.text
    written = text.replace(f'"{ADDS}" = ["value"]\n', "")
    assert odd.path("known.toml").read_text() == written.replace('ms"]', f'ms", "{DEATH}"]')


def test_an_update_without_a_file_is_a_usage_error(odd):
    ran = odd.run(ODD, UPDATE)
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "--wasm-expectations FILE" in ran.text
    assert odd.run(ODD, "--wasm-expectations=nothing.toml").code == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[[failures]]\nreason = 'x'\ncases = {{'{ADDS[:-1]}' = ['verdict']}}\n", f"near: {ADDS}"),
        (
            "[[failures]]\nreason = 'x'\ncases = {'conformance/laws/always' = ['value']}\n",
            "expected a conformance case",
        ),
        (2 * f"[[failures]]\nreason = 'x'\ncases = {{'{ADDS}' = ['value']}}\n", "expected each case once"),
        (f"[[failures]]\nreason = ' '\ncases = {{'{ADDS}' = ['value']}}\n", "failures[0]"),
        (f"[[failures]]\ncases = {{'{ADDS}' = ['value']}}\n", "failures[0].reason: expected this key"),
        ("[[failures]]\nreason = 'x'\ncases = {}\n", "failures[0]"),
        (f"[[failures]]\nreason = 'x'\ncases = {{'{ADDS}' = []}}\n", "at least one finding"),
        (
            f"[[failures]]\nreason = 'x'\ncases = {{'{ADDS}' = ['it fails']}}\n",
            "a finding, such as 'step 2: verdict = ok'",
        ),
        (f"[[failures]]\nreason = 'x'\ncases = ['{ADDS}']\n", "failures[0].cases"),
        ("[[failure]]\n", "failure: expected a known key"),
        ("= 5", "expected TOML"),
    ],
)
def test_a_wrong_file_of_known_failures_is_a_usage_error(suite, text, told):
    ran = suite.run("--airssys-wasm", expect(suite, text))
    assert ran.code == pytest.ExitCode.USAGE_ERROR
    assert "known.toml" in ran.text
    assert told in ran.text
    assert "Traceback" not in ran.text


@pytest.mark.slow
def test_components_are_validated_on_the_bundled_runtime(odd):
    odd.path("kernels.wat").write_text('(module (func (export "f")))')
    ran = odd.run(ODD, ADDS, "--wasm-component=kernels.wat")
    assert ran.results[ADDS] == "passed"
    assert [name for name in ran.results if name.startswith("kernels.wat::")]
