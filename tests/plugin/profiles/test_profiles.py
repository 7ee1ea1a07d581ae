"""`--wasm-profile`: where the fuel of each test's dearest call goes, and what has changed since an earlier run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import PurePath

import pytest

SUFFIXES = (".folded", ".speedscope.json", ".html")
WORK = """(module (memory (export "memory") 1)
  (func $inner (param $n i32) (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $quick (param $n i32) (call $inner (local.get $n)))
  (func $slow (param $n i32) (call $inner (i32.mul (local.get $n) (i32.const 3))))
  (func $work (export "work") (param $n i32) (call $quick (local.get $n)) (call $slow (local.get $n)))
  (global $calls (mut i32) (i32.const 0))
  (func $more (export "more")
    (global.set $calls (i32.add (global.get $calls) (i32.const 40))) (call $inner (global.get $calls)))
  (func (export "boom") (call $inner (i32.const 50)) unreachable))"""
HEAD = """
import pytest
pytestmark = [pytest.mark.component("work.wat"), pytest.mark.memory("1 MiB"), pytest.mark.timeout_ms(20_000)]
"""
TESTS = {
    "test_a": HEAD
    + """
def test_work(component):
    component.work(3)
    component.work(20)
    component.work(5)
@pytest.mark.parametrize("n", [4, 5])
def test_n(component, n): component.work(n)
""",
    "test_b": "def test_without_a_guest(): pass",
}


@pytest.fixture
def worker(project):
    """A project with a guest and tests of it."""
    project.write(work_wat=WORK, **TESTS)
    return project


def section(ran):
    """Return the lines below each test, and the line that counts."""
    text = ran.text.partition(" WebAssembly profiles ")[2].partition("\n")[2].partition("\n=")[0]
    found = []
    for line in text.splitlines():
        if line.startswith("  "):
            found[-1][1].append(line.strip())
        else:
            found.append((line, []))
    return dict(found)


def files(project, folder):
    return sorted(one.name for one in project.path(f"{folder}/x").parent.iterdir())


def folded(project, folder, test, *, difference=False):
    """Return the stacks of a test."""
    pattern = f"{test}-{'?' * 16}{'.difference' if difference else ''}.folded"
    (path,) = project.path(f"{folder}/x").parent.glob(pattern)
    lines = [line.rpartition(" ") for line in path.read_text().splitlines()]
    return {stack: int(fuel) for stack, _, fuel in lines}


@pytest.mark.slow
def test_the_dearest_call_of_each_test_is_profiled_in_three_formats(worker):
    ran = worker.run("--wasm-profile=made/prof")
    assert ran.code == 0, ran.text
    found = files(worker, "made/prof")
    assert len(found) == 9
    assert {name.partition(".py-")[2].partition(".")[2] for name in found} == {one[1:] for one in SUFFIXES}
    stacks = folded(worker, "made/prof", "test_a.py-test_work")
    assert set(stacks) <= {"work", "work;quick", "work;slow", "work;quick;inner", "work;slow;inner"}
    told = section(ran)
    assert list(told)[:3] == ["test_a.py::test_work", "test_a.py::test_n[5]", "test_a.py::test_n[4]"]
    first, file = told["test_a.py::test_work"]
    assert re.fullmatch(rf"work\(20\): {sum(stacks.values()):,} fuel, 9\d % of it in inner", first)
    assert worker.path(file).name in found
    assert list(told)[-1] == "3 profiles in made/prof, each as .folded, .speedscope.json and .html"


@pytest.mark.slow
def test_a_profile_tells_when_the_memory_grew(worker):
    grow = '(func $take (export "take") (drop (memory.grow (i32.const 3))) (call $inner (i32.const 9)))'
    worker.write(
        work_wat=WORK.removesuffix(")") + grow + ")", test_a=HEAD + "def test_take(component): component.take()\n"
    )
    ran = worker.run("--wasm-profile=prof", "test_a.py")
    fuel, grown, file = section(ran)["test_a.py::test_take"]
    assert " fuel, " in fuel  # without an instantiation, which takes none here
    page = worker.path(file).read_text()
    assert "</strong> fuel, with the instantiation<" in page
    assert re.search(r"The total is exact; its parts are estimated from \d+ samples\.", page)
    assert grown == "the memory grew from 64 KiB to 256 KiB in 1 step, in take"
    assert "The memory grew from 64 KiB to 256 KiB in 1 step, in take." in worker.path(file).read_text()


@pytest.mark.slow
def test_without_the_option_nothing_is_profiled_and_without_guests_it_is_said(worker):
    assert "WebAssembly profiles" not in worker.run("-v").text
    assert list(section(worker.run("--wasm-profile=prof", "test_b.py"))) == ["No test has called a guest."]
    assert files(worker, "prof") == []
    worker.run("--wasm-profile=other", "--collect-only")
    assert not worker.path("other").exists()


@pytest.mark.slow
def test_files_of_tests_that_do_not_run_stay(worker):
    worker.run("--wasm-profile=prof")
    worker.path("prof/notes.txt").write_text("mine")
    before = files(worker, "prof")
    worker.run("--wasm-profile=prof", "-k", "work")
    assert files(worker, "prof") == before


@pytest.mark.slow
def test_profiles_are_the_same_however_the_tests_run(worker):
    worker.path("below").mkdir()
    here = worker.run("--wasm-profile=../here", "..", cwd=worker.path("below"))
    assert here.code == 0, here.text
    for folder, way in (("xdist", ["-n", "1"]), ("process", ["--wasm-isolation=process"])):
        there = worker.run(f"--wasm-profile=../{folder}", *way, "..", cwd=worker.path("below"))
        assert there.code == 0, there.text
        assert files(worker, "here") == files(worker, folder)
        for name in files(worker, "here"):
            assert worker.path(f"here/{name}").read_bytes() == worker.path(f"{folder}/{name}").read_bytes()
        assert list(section(there)) == [line.replace("/here", f"/{folder}") for line in section(here)]


@pytest.mark.slow
def test_what_has_no_profile_is_named_with_the_reason_and_fails_nothing(worker):
    worker.write(
        log_wat='(module (import "env" "log" (func $log (param i32))) (func (export "f") (call $log (i32.const 1))))',
        test_c=HEAD
        + """
def test_boom(component):
    with pytest.raises(Exception): component.boom()
@pytest.mark.component("log.wat")
def test_log(component, wasm_host):
    calls = []
    wasm_host.register("env#log", calls.append)
    component.f()
    assert calls == [1]
@pytest.fixture
def busy(component): component.work(100)
def test_only_in_a_fixture(component, busy): pass
def test_state(component):
    for _ in range(3): component.more()
""",
    )
    ran = worker.run("--wasm-profile=prof", "test_c.py")
    assert (ran.code, ran.count("passed")) == (0, 4), ran.text
    told = section(ran)
    assert told["test_c.py::test_boom"] == ["boom(): not profiled: it ended with trap"]
    (reason,) = told["test_c.py::test_log"]
    assert reason.startswith("f(): not profiled: ")
    assert "imports env#log" in reason
    assert "test_c.py::test_only_in_a_fixture" not in told
    assert re.search(
        r"the call took \d+ fuel in the test, and \d+ in a fresh instance", told["test_c.py::test_state"][1]
    )
    assert list(told)[-1].endswith("; 2 calls without a profile")


@pytest.mark.slow
def test_generated_arguments_are_not_profiled(worker):
    worker.write(
        test_c=HEAD
        + """
from hypothesis import HealthCheck, given, settings, strategies
@settings(max_examples=3, database=None, suppress_health_check=list(HealthCheck))
@given(strategies.integers(1, 9))
def test_any(component, n): component.work(n)
"""
    )
    assert list(section(worker.run("--wasm-profile=prof", "test_c.py"))) == ["No test has called a guest."]


@pytest.mark.slow
def test_entries_of_manifests_are_profiled_and_other_checks_are_not(worker):
    worker.path("stubbed.wat").write_text(
        WORK.replace("(module", '(module (import "env" "times" (func $times (result i32)))').replace(
            "(i32.const 3)", "(call $times)"
        )
    )
    worker.write(
        Component_toml="""
            [component]
            name = "work"
            version = "0.1.0"
            wasm = "stubbed.wat"
            [resources.memory]
            max_bytes = 1048576
            [[tests]]
            name = "../it works/"
            call = "work"
            args = [9]
            verdict = "ok"
            [[imports]]
            name = "env#times"
            returns = 3
        """
    )
    ran = worker.run("--wasm-profile=prof", "--airssys-wasm", "--wasm-conformance=never", "Component.toml")
    assert ran.code == 0, ran.text
    (test, *_) = told = section(ran)
    assert test == "Component.toml::tests[../it works/]"
    assert told[test][0].startswith("work(9): ")
    assert {name.rpartition("-")[0] for name in files(worker, "prof")} == {
        "Component.toml-tests-..-it-works".replace("..-", "")
    }


@pytest.mark.slow
def test_no_node_id_leads_out_of_the_directory(worker):
    worker.write(
        test_c=HEAD
        + """
@pytest.mark.parametrize("x", ["../../out", "/tmp/out", "a" * 400, "..", "\\x1b[2J", "ä"])
def test_x(component, x): component.work(1)
"""
    )
    before = {one.name for one in worker.folder.parent.iterdir()}
    ran = worker.run("--wasm-profile=prof", "test_c.py")
    assert ran.code == 0, ran.text
    assert len(files(worker, "prof")) == 6 * 3
    assert {one.name for one in worker.folder.parent.iterdir()} - before <= {"user-cache"}
    assert "\x1b[2J" not in ran.text


class Tags(HTMLParser):
    """Collects the names of all elements."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)


@pytest.mark.slow
def test_a_guest_cannot_write_the_page_or_the_terminal(worker):
    name = "<img src=x onerror=alert(1)>;</script>\\1b[2J\\nx"
    worker.path("work.wat").write_text(WORK.replace("$inner", f'$"{name}"'))
    ran = worker.run("--wasm-profile=prof", "-k", "work")
    assert ran.code == 0, ran.text
    assert "\x1b[2J" not in ran.text
    (page,) = worker.path("prof/x").parent.glob("*.html")
    tags = Tags()
    tags.feed(page.read_text())
    assert "img" not in tags.found
    assert "onerror" in page.read_text()
    assert {stack.count(";") for stack in folded(worker, "prof", "test_a.py-test_work")} == {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("against", ["old", "new"])
def test_a_difference_sums_to_the_unit(worker, against):
    worker.run("--wasm-profile=old", "-k", "work")
    if against == "new":  # the directory that is written
        worker.path("old").rename(worker.path("new"))
    before = folded(worker, against, "test_a.py-test_work")
    worker.path("work.wat").write_text(WORK.replace("(i32.const 3)", "(i32.const 5)").replace("$quick", "$fast"))
    ran = worker.run("--wasm-profile=new", f"--wasm-profile-against={against}", "-k", "work")
    assert ran.code == 0, ran.text
    after = folded(worker, "new", "test_a.py-test_work")
    difference = folded(worker, "new", "test_a.py-test_work", difference=True)
    assert {stack: after.get(stack, 0) - before.get(stack, 0) for stack in {**before, **after}} == {
        stack: difference.get(stack, 0) for stack in {**before, **after}
    }
    more, less = (sum(fuel for fuel in difference.values() if sign * fuel > 0) for sign in (1, -1))
    assert more + less == sum(after.values()) - sum(before.values())
    assert less < 0 < more
    _, told, file = section(ran)["test_a.py::test_work"]
    assert told.startswith(f"{more + less:+,} fuel: {more:,} more, {-less:,} less; the most in inner (+")
    page = worker.path(file).read_text()
    assert f"{more:+,} more" in page
    assert f"{less:+,} less" in page
    assert "<h1><code>test_a.py::test_work</code></h1>" in page
    profile = file.replace(".difference", "")
    assert f'href="./{PurePath(profile).name}"' in page
    assert f'href="./{PurePath(file).name}"' in worker.path(profile).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_page_leads_to_its_test_in_the_report_of_the_run(worker, workers):
    ran = worker.run("--wasm-profile=out/prof", "--wasm-report=reports/all.html", "-n", workers, "-k", "work")
    page = worker.path(section(ran)["test_a.py::test_work"][-1]).read_text()
    assert "<title>test_a.py::test_work: fuel of work(" in page
    (anchor,) = re.findall(r'href="\./\.\./\.\./reports/all\.html#([a-z0-9-]+)"', page)
    assert f'id="{anchor}"' in worker.path("reports/all.html").read_text()


@pytest.mark.slow
def test_an_earlier_profile_that_cannot_be_used_is_told(worker):
    worker.run("--wasm-profile=old", "-k", "work")
    (path,) = worker.path("old/x").parent.glob("*.speedscope.json")
    ran = worker.run("--wasm-profile=new", "--wasm-profile-against=old", "test_a.py")
    assert section(ran)["test_a.py::test_n[4]"][1] == "there is no earlier profile of this test"
    assert section(ran)["test_a.py::test_work"][1] == "no difference from the earlier profile"
    path.write_text(path.read_text().replace("work(20)", "work(19)"))
    ran = worker.run("--wasm-profile=new", "--wasm-profile-against=old", "-k", "work")
    assert "work(19) is the call of the earlier profile" in section(ran)["test_a.py::test_work"]
    path.write_text("{}")
    ran = worker.run("--wasm-profile=new", "--wasm-profile-against=old", "-k", "work")
    assert ran.code == 0
    assert section(ran)["test_a.py::test_work"][1].startswith("the earlier profile cannot be read: Object missing")
    assert [name for name in files(worker, "new") if "test_work" in name and ".difference" in name] == []


@pytest.mark.slow
def test_wrong_directories_are_usage_errors(worker):
    worker.path("file").write_text("mine")
    for arguments, message in (
        (["--wasm-profile=file"], "--wasm-profile: expected a directory, which is made"),
        (["--wasm-profile=file/below"], "--wasm-profile: .* cannot be made: Not a directory"),
        (["-o", "wasm_profile=file"], "ini value wasm_profile: expected a directory"),
        (["--wasm-profile=p", "--wasm-profile-against=none"], "--wasm-profile-against: expected an existing directory"),
        (["--wasm-profile-against=."], "--wasm-profile-against: expected --wasm-profile DIR beside it"),
    ):
        ran = worker.run(*arguments)
        assert ran.code == pytest.ExitCode.USAGE_ERROR, arguments
        assert re.search(f"ERROR: {message}", ran.text), ran.text
    assert worker.path("file").read_text() == "mine"


@pytest.mark.slow
def test_a_directory_that_cannot_be_written_is_told_and_fails_nothing(worker):
    worker.write(
        test_c=HEAD
        + """
import shutil
def test_work(component):
    component.work(5)
    shutil.rmtree("prof")
    open("prof", "w").close()
"""
    )
    ran = worker.run("--wasm-profile=prof", "test_c.py")
    assert ran.code == 0, ran.text
    assert "not profiled: the profile could not be written: " in section(ran)["test_c.py::test_work"][0]


@pytest.mark.slow
def test_a_fixture_with_another_file_system_does_not_swallow_the_files(worker):
    worker.write(
        test_c=HEAD
        + """
def test_work(component, fs): component.work(5)
def test_frozen(component):
    import freezegun
    with freezegun.freeze_time("2020-01-01"): component.work(5)
"""
    )
    worker.plugins = None
    ran = worker.run("--wasm-profile=prof", "test_c.py", "-W", "default")
    assert ran.code == 0, ran.text
    assert len(files(worker, "prof")) == 6


@pytest.mark.slow
def test_reports_and_snapshots_do_not_see_the_repeated_calls(worker):
    worker.run("--wasm-report=plain.json", "--wasm-fuel-snapshot=update")
    ran = worker.run("--wasm-profile=prof", "--wasm-report=profiled.json", "--wasm-fuel-snapshot=check")
    assert ran.code == 0, ran.text
    plain, profiled = (json.loads(worker.path(f"{name}.json").read_text()) for name in ("plain", "profiled"))
    figures = ("test", "export", "fuel_consumed", "peak_memory_bytes")
    assert len(plain["executions"]) == 8
    assert [[one[key] for key in figures] for one in plain["executions"]] == [
        [one[key] for key in figures] for one in profiled["executions"]
    ]


@pytest.mark.slow
def test_the_last_attempt_at_a_test_counts(worker):
    worker.plugins = (*worker.plugins, "rerunfailures")
    worker.write(
        test_c=HEAD
        + """
attempts = []
@pytest.mark.flaky(reruns=1)
def test_work(component):
    attempts.append(1)
    component.work(10 * len(attempts))
    assert len(attempts) == 2
"""
    )
    told = section(worker.run("--wasm-profile=prof", "test_c.py"))
    assert told["test_c.py::test_work"][0].startswith("work(20): ")
    assert len(files(worker, "prof")) == 3


def test_a_plugin_that_ends_tests_ends_only_the_profile(worker):
    worker.write(
        conftest="""
            import pytest
            from pytest_airssys_wasm.plugin.profiles import recording
            def profile_again(*_, **__): pytest.fail("Timeout (>1.0s) from pytest-timeout.")  # which fails at any place
            recording.profile_again = profile_again
        """
    )
    ran = worker.run("--wasm-profile=prof", "-k", "work")
    assert (ran.code, ran.count("passed")) == (0, 1), ran.text
    assert "could not be made again: Failed: Timeout" in section(ran)["test_a.py::test_work"][0]


@pytest.mark.slow
def test_fuel_of_the_instantiation_is_told(worker):
    data = f'(data (i32.const 0) "{"x" * 400}")'
    worker.write(
        work_wat=WORK.removesuffix(")") + data + ")", test_a=HEAD + "def test_more(component): component.more()\n"
    )
    told = section(worker.run("--wasm-profile=prof", "test_a.py"))["test_a.py::test_more"][0]
    assert re.match(r"more\(\): [\d,]+ fuel with the instantiation, ", told)
