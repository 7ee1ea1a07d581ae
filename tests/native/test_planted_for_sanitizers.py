"""Defects that are planted into the guard, which no test in C sees, but a sanitizer that runs the tests.

Without these tests, nobody would notice that a sanitizer no longer looks, for which a suppression or a missing option is
enough.
"""

from __future__ import annotations

import pytest

from support.guard_in_c import first_toolchain, planted

pytestmark = pytest.mark.slow

FOUND_BY_SANITIZERS = {
    "the-stop-is-not-atomic": (
        "return __atomic_load_n(&run->stop, __ATOMIC_ACQUIRE);",
        "return run->stop;",
        "threads",
        "data race",
        "an_endless_guest_ends_at_its_deadline_and_not_before",
    ),
    "the-list-of-runs-is-not-locked": (
        "pthread_mutex_lock(&lock);\n  *run->link = run->next;\n"
        "  if (run->next) run->next->link = run->link;\n  pthread_mutex_unlock(&lock);",
        "*run->link = run->next;\n  if (run->next) run->next->link = run->link;",
        "threads",
        "data race",
        "each_of_many_threads_has_its_own_deadline",
    ),
    "a-mapping-is-used-after-it-is-freed": (
        "if (!keep_mapping(map)) destroy(map);",
        "destroy(map);\n  keep_mapping(map);",
        "address and undefined behaviour",
        "heap-use-after-free",
        "memories_are_charged_when_they_are_made_and_given_back_with_their_store",
    ),
    "a-moved-mapping-leaks": (
        "  free(moved);\n",
        "",
        "address and undefined behaviour",
        "detected memory leaks",
        "what_a_memory_gains_reads_as_zero_and_what_it_had_stays",
    ),
    "an-overflow": (
        "static int64_t later(int64_t time_ns, int64_t by_ns) { return by_ns > NEVER - time_ns ? NEVER :",
        "static int64_t later(int64_t time_ns, int64_t by_ns) { return",
        "address and undefined behaviour",
        "signed integer overflow",
        "a_timeout_beyond_the_end_of_time_is_none",
    ),
}


@pytest.mark.parametrize("defect", FOUND_BY_SANITIZERS)
def test_a_planted_defect_is_reported_by_its_sanitizer(defect, tmp_path, programs):
    old, new, sanitizer, report, test = FOUND_BY_SANITIZERS[defect]
    tools = first_toolchain(sanitizer)
    done = tools.run(tools.program("guard_tests", programs, planted(old, new, tmp_path)), test)
    assert done.returncode != 0, done.stdout
    assert report in done.stdout
    assert "guard.c" in done.stdout
