"""A mutant that is a fork leaves the process that it was forked from, and later forks, as they were."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mutants.forks import fork_adapters
from mutants.kills import SOUND, find_kills, survived

LOOP, TRAP = "fuel/a-loop-is-stopped", "traps/unreachable-in-a-module"


def test_a_defect_stays_in_its_fork():
    with ProcessPoolExecutor(1, get_context("spawn"), fork_adapters) as worker:
        assert worker.submit(survived, "no-fuel-limit", [LOOP, TRAP]).result() == [TRAP]
        assert worker.submit(survived, "dies-on-a-trap", [LOOP, TRAP]).result() == [LOOP]
        assert worker.submit(find_kills, SOUND, [LOOP, TRAP]).result().findings == {}
