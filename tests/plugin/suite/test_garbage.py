"""A case's figures are not about what a test session holds, and has held before."""

from __future__ import annotations

import gc
import weakref

import pytest

from pytest_airssys_wasm.plugin.suite.garbage import new_garbage_only


@pytest.fixture(autouse=True)
def nothing_is_frozen():
    """Unfreeze, as in a session of others; this one has frozen the collected objects."""
    gc.unfreeze()
    yield
    gc.freeze()


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self):
        self.self = self
        self.is_there = weakref.ref(self)


@pytest.mark.slow
def test_the_collector_is_not_about_what_was_there_before():
    before = Ring().is_there
    with new_garbage_only():
        meanwhile = Ring().is_there
        gc.collect()
        assert (before() is None, meanwhile() is None) == (False, True)
    gc.collect()
    assert before() is None


def test_what_somebody_else_has_frozen_stays_so():
    gc.freeze()
    try:
        with new_garbage_only():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


@pytest.mark.slow
def test_a_case_runs_so(project):
    project.write(
        conftest="""
        import gc
        from pytest_airssys_wasm.conformance.runner import CaseRunner

        run = CaseRunner.run

        def run_and_tell(*args):
            print("somebody passes over", gc.get_freeze_count() > 0)
            return run(*args)

        CaseRunner.run = run_and_tell
        """
    )
    ran = project.run("--airssys-wasm", "-s", "-k", "a-loop-is-stopped")
    assert "somebody passes over True" in ran.text
