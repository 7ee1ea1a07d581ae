"""The runner asks what the case says, in the order that it says, and records what is answered."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Thread

import msgspec
import pytest

from pytest_airssys_wasm.conformance import guests, measure
from pytest_airssys_wasm.conformance import runner as runner_module
from pytest_airssys_wasm.conformance.model import Case
from pytest_airssys_wasm.conformance.runner import CaseRunner, missing_capabilities
from pytest_airssys_wasm.protocol.messages import PARTS, ConfigureRequest, RunRequest, promised
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from support.adapter_scripts import wait_until


@pytest.fixture
def run(scripted, answer, tmp_path):
    """Run a case against a runtime that answers everything with ok; gives the observation and the requests."""

    def run_case(case: Case, *answers):
        runtime = scripted(*(answers or (answer(value=1),)))
        return CaseRunner(runtime, tmp_path).run(case), runtime.requests

    return run_case


def test_steps_of_one_store_are_one_request(make_case, run):
    observation, (request,) = run(make_case('[[steps]]\ncall = "f"\nargs = [1, {}]\n[[steps]]\ncall = "g"\n'))
    assert [(step.call, step.args) for step in request.steps] == [("f", [1, None]), ("g", [])]
    assert [len(seen.answers) for seen in observation.passes] == [2]


def test_a_fresh_step_begins_a_new_request(make_case, run):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\n[[steps]]\ncall = "h"\nfresh = true\n')
    observation, requests = run(case)
    assert [[step.call for step in request.steps] for request in requests] == [["f", "g"], ["h"]]
    assert len(observation.passes[0].answers) == 3


def test_a_step_without_a_call_only_instantiates(make_case, run):
    _, (request,) = run(make_case('[[steps]]\nphase = "instantiate"\n'))
    assert [step.call for step in request.steps] == [None]


def test_what_the_runtime_did_not_answer_is_nothing(make_case, run, answer):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\n[[steps]]\ncall = "h"\nfresh = true\n')
    observation, _ = run(case, answer("trap", trap="unreachable"))
    first, second, third = observation.passes[0].answers
    assert (first is None, second is None, third is None) == (False, True, False)


def test_limits_and_grants_are_part_of_the_request(make_case, run):
    case = make_case(
        """
        fuel_per = "run"
        imports = ["noop"]
        [limits]
        memory = "1 MiB"
        fuel = "unlimited"
        [wasi]
        args = ["guest"]
        [[steps]]
        call = "f"
        """
    )
    _, (request,) = run(case)
    assert request.limits == {"memory_bytes": 2**20, "fuel": "unlimited"}
    assert request.wasi == {"args": ["guest"], "env": {}, "stdin": ""}
    assert (request.imports, request.fuel_per) == (["noop"], "run")


def test_a_folder_that_is_granted_is_new_and_empty_and_goes_with_the_store(make_case, scripted, answer, tmp_path):
    folders = []

    class Keeping(scripted):
        def run(self, request):
            folder = Path(request.wasi["folder"])
            assert [*folder.iterdir()] == []
            (folder / "made-by-a-guest").touch()
            folders.append(folder)
            return super().run(request)

    case = make_case('[wasi]\nfolder = true\n[[steps]]\ncall = "f"\n[[steps]]\ncall = "f"\nfresh = true')
    CaseRunner(Keeping(answer(), answer()), tmp_path).run(case, "c")
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)


def test_an_inline_component_is_written_to_the_scratch_folder(make_case, run, tmp_path):
    _, (request,) = run(make_case('[[steps]]\ncall = "f"\n'))
    (file,) = tmp_path.glob("*.wat")
    assert request.component == str(file)
    assert file.read_text(encoding="utf-8") == "(module)"


def test_a_fixture_is_used_where_it_lies(run, tmp_path, monkeypatch):
    (tmp_path / "one.wat").write_text("(module)", encoding="utf-8")
    monkeypatch.setattr(guests, "data_folder", lambda _name: tmp_path)
    case = {"requirement": "R-1", "summary": "", "fixture": "one.wat", "steps": [{"call": "f"}]}
    _, (request,) = run(msgspec.convert(case, Case))
    assert request.component == str(tmp_path / "one.wat")


def test_a_runtime_that_reads_no_text_is_given_a_binary(make_case, scripted, answer, tmp_path):
    runtime = scripted(answer())
    runtime.capabilities.remove("wat")
    case = make_case('[[steps]]\ncall = "f"\n')
    for _ in range(2):
        CaseRunner(runtime, tmp_path).run(case)
    first, second = runtime.requests
    assert Path(first.component).read_bytes()[:8] == b"\0asm\1\0\0\0"
    assert second.component == first.component


def test_text_that_is_none_is_handed_on_for_the_runtime_to_refuse(scripted, answer, tmp_path):
    runtime = scripted(answer())
    runtime.capabilities.remove("wat")
    case = {"requirement": "R-1", "summary": "", "wat": "(module", "steps": [{"call": "f"}]}
    CaseRunner(runtime, tmp_path).run(msgspec.convert(case, Case))
    (request,) = runtime.requests
    assert Path(request.component).read_bytes() == b"(module"


def test_a_case_without_a_component_is_an_error_that_names_it(scripted, answer, tmp_path):
    case = msgspec.convert({"requirement": "R-1", "summary": "", "steps": [{"call": "f"}]}, Case)
    with pytest.raises(InvalidConfiguration, match=r"some\.toml: fixture"):
        CaseRunner(scripted(answer()), tmp_path).run(case, "some.toml")


def test_a_manifest_is_read_and_needs_no_component(run):
    data = {"requirement": "R-1", "summary": "", "manifest": "text", "steps": [{"phase": "configure"}]}
    _, (request,) = run(msgspec.convert(data, Case))
    assert (type(request), request.manifest) == (ConfigureRequest, "text")


def test_a_manifest_between_calls_begins_a_new_store(make_case, run):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\nphase = "configure"\n[[steps]]\ncall = "g"\n')
    _, requests = run(case)
    assert [type(request) for request in requests] == [RunRequest, ConfigureRequest, RunRequest]


def test_a_case_is_repeated(make_case, run):
    observation, requests = run(make_case('repeat = 4\n[[steps]]\ncall = "f"\n'))
    assert [seen.repetition for seen in observation.passes] == [0, 1, 2, 3]
    assert len({request.id for request in requests}) == 4


def test_after_a_death_nothing_is_repeated(make_case, run, answer):
    case = make_case('repeat = 4\n[[steps]]\ncall = "f"\n')
    observation, requests = run(case, answer("runtime-died", message="silence"))
    assert len(requests) == len(observation.passes) == 1
    assert len(run(case, answer("trap", trap="unreachable"))[1]) == 4


def test_copies_run_at_once(make_case, answer, tmp_path, scripted):
    all_there = threading.Barrier(3, timeout=10)

    class Meeting(scripted):
        def run(self, request):
            all_there.wait()
            return super().run(request)

    case = make_case('concurrency = 3\n[[steps]]\ncall = "f"\n')
    observation = CaseRunner(Meeting(answer()), tmp_path).run(case)
    assert sorted(seen.copy for seen in observation.passes) == [0, 1, 2]


ACTORS = """
schedule = "{}"
[[actors]]
name = "one"
steps = [{{ call = "f" }}]
[[actors]]
name = "two"
steps = [{{ call = "g" }}]
"""


def test_actors_run_at_once(make_case, answer, tmp_path, scripted):
    both_there = threading.Barrier(2, timeout=10)

    class Meeting(scripted):
        def run(self, request):
            both_there.wait()
            return super().run(request)

    observation = CaseRunner(Meeting(answer()), tmp_path).run(make_case(ACTORS.format("at-once")))
    assert [seen.actor for seen in observation.passes] == ["one", "two"]


def test_actors_run_in_turn_where_the_case_says_so(make_case, run):
    observation, requests = run(make_case(ACTORS.format("in-turn")))
    assert [request.steps[0].call for request in requests] == ["f", "g"]
    assert [seen.actor for seen in observation.passes] == ["one", "two"]


@pytest.mark.parametrize(("repeat", "warm_up"), [(1, 0), (2, 1), (9, 1), (100, 10)])
def test_growth_is_measured_from_after_the_first_tenth(
    make_case, scripted, answer, tmp_path, monkeypatch, repeat, warm_up
):
    runtime = scripted(answer())
    # Each request costs this runtime a MiB and a file.
    monkeypatch.setattr(runner_module.measure, "resident_mib", lambda _ids: float(len(runtime.requests)))
    monkeypatch.setattr(runner_module.measure, "open_files", lambda _ids: len(runtime.requests))
    case = make_case(f"repeat = {repeat}\n[expect]\nhost_rss_growth_mib = {{ max = 1 }}\n[[steps]]\ncall = 'f'\n")
    observation = CaseRunner(runtime, tmp_path).run(case)
    assert observation.host_rss_growth_mib == observation.open_files_growth == repeat - warm_up


def test_growth_is_not_measured_where_nobody_asks(make_case, run):
    observation, _ = run(make_case('[[steps]]\ncall = "f"\n'))
    assert observation.host_rss_growth_mib is None


def test_a_case_says_which_of_its_needs_are_not_met(make_case, scripted, answer):
    case = make_case('needs = ["fuel", "gc", "session"]\n[[steps]]\ncall = "f"\n')
    assert missing_capabilities(case, scripted(answer())) == ("gc", "session")


@pytest.mark.parametrize(("can", "missing"), [(True, ()), (False, ("host-rss",))])
def test_measuring_from_outside_is_the_runners_own_capability(make_case, scripted, answer, monkeypatch, can, missing):
    monkeypatch.setattr(runner_module.measure, "can_measure", lambda: can)
    case = make_case('needs = ["host-rss"]\n[[steps]]\ncall = "f"\n')
    assert missing_capabilities(case, scripted(answer())) == missing


def test_a_capability_that_stands_for_several_has_them_all(make_case, scripted, answer):
    runtime = scripted(answer())
    runtime.capabilities = ["module", "fuel", "memory-limit"]
    case = make_case('needs = ["fuel-limit", "fuel-count", "memory-limit", "memory-peak"]\n[[steps]]\ncall = "f"')
    assert missing_capabilities(case, runtime) == ("memory-peak",)
    for whole, parts in PARTS.items():
        assert whole in promised(parts)
        assert whole not in promised(parts[1:])


def test_what_a_runtime_leaves_behind_is_measured(make_case, scripted, answer, tmp_path):
    # The runtime is this process, which the case makes leave a thread, a file and a loop.
    ends, folder = Event(), tmp_path / "temporary"
    folder.mkdir()

    class Untidy(scripted):
        def process_ids(self):
            return (os.getpid(),)

        def temporary_folder(self):
            return nullcontext(folder)

        def run(self, request):
            number = len(self.requests)
            (folder / str(number)).touch()
            Thread(target=ends.wait, daemon=True).start()
            return super().run(request)

    case = make_case(
        """
        repeat = 4
        [[steps]]
        call = "f"
        [expect]
        threads_growth = { max = 0 }
        temporary_files_growth = { max = 0 }
        busy_threads = 0
        """
    )
    seen = CaseRunner(Untidy(answer()), tmp_path).run(case)
    ends.set()
    assert (seen.temporary_files_growth, seen.threads_growth, seen.busy_threads) == (3, 3, 0)


@pytest.mark.slow
def test_a_thread_that_is_always_at_work_is_busy_whatever_runs_beside():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        try:
            wait_until(lambda: measure.busy_threads([spinning.pid]) == 1)
        finally:
            spinning.kill()
    assert measure.busy_threads([os.getpid()]) == 0


def test_output_that_nobody_asks_for_is_not_kept(make_case, scripted, answer, tmp_path):
    case = make_case('[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\nexpect = { stdout = "x" }\n')
    (seen,) = CaseRunner(scripted(answer(stdout=b"x", stderr=b"y")), tmp_path).run(case).passes
    assert [(one.stdout, one.stderr) for one in seen.answers] == [(None, None), (b"x", None)]
