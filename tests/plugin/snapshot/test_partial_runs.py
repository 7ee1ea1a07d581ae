"""`--wasm-fuel-snapshot`: parts of a run, and runs that fail, lose nothing and blame nothing that did not run."""

from __future__ import annotations

import pytest

from support.snapshot_runs import NAME, content, edit, told


@pytest.mark.slow
def test_the_tests_of_a_file_that_is_gone_are_removed_where_its_folder_was_collected(recorded):
    recorded.path("test_b.py").unlink()
    assert told(recorded.run("--wasm-fuel-snapshot=check", "test_a.py")) == {}
    ran = recorded.run("--wasm-fuel-snapshot=check")
    assert told(ran) == {
        ("test_b.py::test_grow", "grow"): "removed",
        ("test_b.py::test_grow", "instantiation"): "removed",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        ["-k", "add"],
        ["test_a.py::test_add"],
        ["test_b.py"],
        ["--deselect", "test_a.py::test_count[1]"],
        ["--ignore", "test_a.py"],
        ["-m", "nothing"],
        ["-k", "add", "-n", "1"],
    ],
    ids=" ".join,
)
def test_a_part_of_the_run_neither_loses_nor_blames_the_rest(recorded, selection):
    before = content(recorded)
    edit(recorded, "test_a.py", "test_count(", "test_counts(")  # not known to a run that does not collect the file
    edit(recorded, "test_a.py", "test_counts(", "test_count(")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", *selection)
    assert ran.code in (0, pytest.ExitCode.NO_TESTS_COLLECTED), ran.text
    assert set(told(ran).values()) == {"not-run"}
    ran = recorded.run("--wasm-fuel-snapshot=update", *selection)
    assert content(recorded) == before
    assert told(ran) == {}
    assert "(-v lists them)" in ran.text


@pytest.mark.slow
def test_a_node_id_does_not_blame_the_tests_that_its_file_has_lost(recorded):
    edit(recorded, "test_a.py", "[1, 20]", "[1]")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "test_a.py::test_add")
    assert (ran.code, set(told(ran).values())) == (0, {"not-run"})
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-k", "add")
    assert (ran.code, told(ran)[("test_a.py::test_count[20]", "count")]) == (1, "removed")


@pytest.mark.slow
def test_failures_are_not_costs_and_nothing_is_written_after_one(recorded):
    before = content(recorded)
    recorded.write(test_0="def test_that_fails(): assert False")
    edit(recorded, "test_a.py", "component.count(n)", "component.count(n); assert n == 20")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v")
    assert told(ran) == {
        ("test_a.py::test_count[1]", "count"): "not-run",
        ("test_a.py::test_count[1]", "instantiation"): "not-run",
    }
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-x")
    assert (len(told(ran)), set(told(ran).values())) == (8, {"not-run"})
    ran = recorded.run("--wasm-fuel-snapshot=update", "--lf")
    assert (ran.code, content(recorded)) == (1, before)
    assert f"{NAME} is not written, because the run failed." in ran.text
    recorded.path("test_0.py").unlink()
    edit(recorded, "test_a.py", "; assert n == 20", "")
    ran = recorded.run("--wasm-fuel-snapshot=update", "--lf")
    assert (ran.code, content(recorded)) == (0, before)


@pytest.mark.slow
def test_the_last_failures_do_not_blame_the_tests_that_their_file_has_lost(recorded):
    edit(recorded, "test_a.py", "[1, 20]", "[1]")
    edit(recorded, "test_a.py", "== 3", "== 4")
    assert recorded.run().code == pytest.ExitCode.TESTS_FAILED
    edit(recorded, "test_a.py", "== 4", "== 3")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "--lf")
    assert (ran.code, ran.count("passed"), set(told(ran).values())) == (0, 1, {"not-run"}), ran.text


@pytest.mark.slow
def test_a_file_that_cannot_be_collected_has_not_lost_its_tests(recorded):
    recorded.write(test_a="import pytest\npytest.skip('not here', allow_module_level=True)")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v")
    assert (ran.code, set(told(ran).values())) == (0, {"not-run"}), ran.text


@pytest.mark.slow
def test_a_worker_that_crashed_loses_nothing(recorded):
    before = content(recorded)
    edit(recorded, "test_a.py", "n): component.count(n)", "n): __import__('os')._exit(1)")
    ran = recorded.run("--wasm-fuel-snapshot=check", "-v", "-n", "1")
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    assert set(told(ran).values()) == {"not-run"}, ran.text
    assert {test for test, _ in told(ran)} >= {"test_a.py::test_count[1]", "test_a.py::test_count[20]"}
    recorded.run("--wasm-fuel-snapshot=update", "-n", "1")
    assert content(recorded) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["-n", "2"], ["--wasm-isolation=process"], ["-p", "randomly"], ["--maxfail=1"]], ids=" ".join
)
def test_the_bytes_are_the_same_in_every_way_to_run(recorded, options):
    before = content(recorded)
    recorded.path(NAME).unlink()
    ran = recorded.run("--wasm-fuel-snapshot=update", *options)
    assert (ran.code, content(recorded)) == (0, before), ran.text
