"""Defects that are planted into the guard, one for each promise: a test in C finds each of them.

Each defect is a piece of `guard.c` and what it is replaced by.
"""

from __future__ import annotations

import pytest

from support.guard_in_c import first_toolchain, planted

pytestmark = pytest.mark.slow

DEFECTS = {
    "the-limit-is-off-by-one": (
        "if (size > (uint64_t)free)",
        "if (size >= (uint64_t)free)",
        "the_limit_is_exact_and_counts_what_it_refuses",
    ),
    "refusals-are-not-counted": (
        "STORE(run->denied, LOAD(run->denied) + 1);",
        "",
        "the_limit_is_exact_and_counts_what_it_refuses",
    ),
    "memory-is-not-given-back": (
        "  give_back(map->owner, map->size);\n",
        "",
        "memories_are_charged_when_they_are_made_and_given_back_with_their_store",
    ),
    "what-the-machine-refuses-is-charged": (
        "    take_back(map->owner, wanted);\n",
        "",
        "memory_that_the_machine_refuses_is_not_charged",
    ),
    "a-run-begins-with-the-peak-of-the-one-before": (
        "STORE(run->peak, LOAD(run->used));",
        "",
        "a_run_begins_with_its_own_peak",
    ),
    "an-inner-run-ends-the-outer-one": (
        "current = run->outer;",
        "current = NULL;",
        "each_memory_is_charged_to_the_innermost_run_of_its_thread",
    ),
    "reused-memory-is-not-wiped": (
        "if (map->opened && madvise(map->base, map->opened, MADV_DONTNEED)) return false;",
        "",
        "memories_read_as_zero_and_end_where_their_size_ends_also_if_their_mapping_is_used_again",
    ),
    "reused-memory-is-too-large": (
        "error = mprotect(map->base + opened, map->opened - opened, PROT_NONE);",
        "error = 0;",
        "memories_read_as_zero_and_end_where_their_size_ends_also_if_their_mapping_is_used_again",
    ),
    "probes-are-behind-the-end-of-their-file": (
        "|| (uint64_t)file.st_size < memories->probe_bytes",
        "",
        "a_file_that_is_shorter_than_the_memory_of_the_probes_is_refused",
    ),
    "probes-are-charged": (
        "if (memories->probe_bytes && minimum == memories->probe_bytes",
        "if (take(run, minimum), memories->probe_bytes && minimum == memories->probe_bytes",
        "the_memory_of_the_probes_is_their_file_in_each_store_and_nobody_pays_for_it",
    ),
    "the-file-of-the-probes-stays-open": (
        "  if (memories->probe_bytes) close(memories->probe_file);\n",
        "",
        "the_file_of_the_probes_is_closed_with_their_engine",
    ),
    "moved-memory-is-lost": (
        "memcpy(moved->base, map->base, map->size);",
        "",
        "what_a_memory_gains_reads_as_zero_and_what_it_had_stays",
    ),
    "an-image-goes-to-any-memory": (
        "if (run->image && run->image->memory_bytes == minimum)",
        "if (run->image)",
        "an_image_is_the_first_content_of_the_memory_of_its_size_and_of_no_other",
    ),
    "an-image-goes-to-every-memory-of-its-size": (
        "    run->image = NULL;\n    map->is_kept_later",
        "    map->is_kept_later",
        "an_image_is_the_first_content_of_the_memory_of_its_size_and_of_no_other",
    ),
    "an-image-waits-for-the-next-entry": (
        "  run->image = NULL;\n  pthread_mutex_lock(&lock);",
        "  pthread_mutex_lock(&lock);",
        "an_image_is_only_for_the_entry_that_instantiates_its_guest",
    ),
    "an-image-waits-for-a-call": (
        "  run->image = NULL;\n  return enter(run);",
        "  return enter(run);",
        "an_image_is_only_for_the_entry_that_instantiates_its_guest",
    ),
    "an-image-is-always-copied": (
        "  if (has_file(image)) {\n    if (mmap",
        "  if (false) {\n    if (mmap",
        "an_image_is_mapped_and_no_guest_sees_what_another_writes_into_it",
    ),
    "an-image-is-shared-by-its-guests": (
        "int flags = MAP_PRIVATE | MAP_FIXED, protection = PROT_READ | PROT_WRITE;",
        "int flags = MAP_SHARED | MAP_FIXED, protection = PROT_READ | PROT_WRITE;",
        "an_image_is_mapped_and_no_guest_sees_what_another_writes_into_it",
    ),
    "a-mapping-with-an-image-is-used-again": (
        "map->is_kept_later = false; /*",
        "/*",
        "an_image_does_not_stay_in_a_mapping_that_is_used_again",
    ),
    "an-image-is-free": (
        "    charge_for_image(run, image, map);",
        "",
        "an_image_costs_its_units_and_not_more_than_there_are",
    ),
    "an-image-costs-more-than-there-is": (
        "map->charged = fuel < image->units ? fuel : image->units;",
        "map->charged = image->units;",
        "an_image_costs_its_units_and_not_more_than_there_are",
    ),
    "a-run-that-is-stopped-pays-for-an-image": (
        "  if (stopped(run) != GUARD_RUNNING) return;\n  table.get_fuel",
        "  table.get_fuel",
        "an_image_costs_its_units_and_not_more_than_there_are",
    ),
    "what-an-image-cost-is-not-given-back": (
        "  refund_image(map);\n",
        "",
        "what_an_image_cost_is_given_back_if_its_memory_does_not_outlive_the_entry",
    ),
    "an-image-is-whatever-its-descriptor-leads-to": (
        " && status.st_dev == image->device &&\n         status.st_ino == image->inode;",
        ";",
        "an_image_whose_descriptor_somebody_closed_or_gave_to_another_file_is_copied",
    ),
    "images-can-be-changed": (
        "if (file >= 0) fcntl(file, F_ADD_SEALS,",
        "if (false) fcntl(file, F_ADD_SEALS,",
        "the_bytes_of_an_image_cannot_be_changed",
    ),
    "an-image-needs-a-descriptor-of-its-own": (
        "source = file < 0 ? own : file;",
        "source = own;",
        "an_image_is_copied_if_there_are_no_more_descriptors",
    ),
    "images-keep-any-number-of-files-open": (
        "__atomic_add_fetch(&open_images, 1, __ATOMIC_RELAXED) <= OPEN_IMAGES",
        "__atomic_add_fetch(&open_images, 1, __ATOMIC_RELAXED)",
        "images_beyond_those_that_keep_a_file_open_are_copied",
    ),
    "a-timeout-begins-with-each-entry": (
        "if (!run->entries) begin(run, time_ns);",
        "begin(run, time_ns);",
        "a_timeout_counts_from_the_first_entry_of_a_run",
    ),
    "a-later-reason-replaces-the-first": (
        "int32_t is_running = GUARD_RUNNING;",
        "int32_t is_running = run->stop;",
        "the_first_reason_for_a_stop_counts",
    ),
    "signals-are-handled-on-every-thread": (
        "run->beats = is_main_thread();",
        "run->beats = 1;",
        "signals_are_not_handled_on_other_threads",
    ),
    "an-exception-of-an-earlier-run-stays": (
        "run->exception[0] = run->exception[1] = run->exception[2] = NULL;",
        "",
        "a_handler_that_raises_ends_the_guest_of_the_main_thread",
    ),
    "an-ending-interpreter-is-asked": (
        "if (!table.is_initialized()) return;",
        "",
        "an_interpreter_that_is_ending_is_not_asked_for_its_lock",
    ),
    "the-stack-is-not-looked-at": (
        "return here > low && here <= high && here - low >= needed_stack_bytes;",
        "return true;",
        "an_entry_with_too_little_stack_is_refused",
    ),
    "a-forked-guest-has-no-deadline": (
        "for (guard_run *run = current; run; run = run->outer) enlist(run);",
        "",
        "a_guest_that_is_forked_goes_on_under_its_deadline",
    ),
    "a-signal-does-not-end-the-wait-on-a-parked-thread": (
        "if (!wait_while(parked, PARKED_ASKED, left_ns) && errno == EINTR) return GUARD_PARKED_INTERRUPTED;",
        "wait_while(parked, PARKED_ASKED, left_ns);",
        "a_signal_ends_the_wait_of_a_caller_and_not_the_call",
    ),
    "a-caller-waits-on-a-parked-thread-beyond-the-deadline": (
        "if (left_ns <= 0) return until_ns <= beat_ns ?",
        "if (left_ns <= 0 && beat_ns < until_ns) return false ?",
        "a_caller_waits_for_a_blocked_guest_to_the_deadline_and_as_long_as_it_then_likes",
    ),
    "a-call-that-was-given-up-cannot-be-told": (
        "return change_state(parked, PARKED_ASKED, PARKED_GIVEN_UP);",
        "return change_state(parked, state_of(parked), PARKED_GIVEN_UP);",
        "a_caller_waits_for_a_blocked_guest_to_the_deadline_and_as_long_as_it_then_likes",
    ),
    "a-call-that-ends-late-is-not-left-to-its-thread": (
        "  guard_parked_leave(parked);\n  return state_of",
        "  return state_of",
        "a_call_that_takes_longer_than_the_wait_is_left_to_its_thread_which_tells_its_end",
    ),
    "the-end-of-a-call-is-not-told": (
        "return change_state(parked, PARKED_LEFT, PARKED_TOLD) ? GUARD_SERVED_LEFT : GUARD_SERVED_GIVEN_UP;",
        "if (!change_state(parked, PARKED_LEFT, PARKED_TOLD)) return GUARD_SERVED_GIVEN_UP;",
        "a_call_that_takes_longer_than_the_wait_is_left_to_its_thread_which_tells_its_end",
    ),
    "a-call-whose-caller-has-gone-before-it-begins-is-not-made": (
        "if (state != PARKED_ASKED && state != PARKED_LEFT) {",
        "if (state != PARKED_ASKED) {",
        "short_calls_that_nobody_waits_for_are_told_too",
    ),
    "a-caller-is-not-sent-away": (
        "void guard_parked_leave(guard_parked *parked) { change_state(parked, PARKED_ASKED, PARKED_LEFT); }",
        "void guard_parked_leave(guard_parked *parked) {\n"
        "  if (current != parked->run) change_state(parked, PARKED_ASKED, PARKED_LEFT);\n}",
        "a_host_function_can_send_the_caller_away",
    ),
    "a-signal-does-not-end-the-wait-of-a-caller-that-will-leave": (
        "if (guard_parked_wait(parked, left_ns > 0 ? left_ns : 0) == GUARD_PARKED_DONE) {",
        "while (guard_parked_wait(parked, left_ns) == GUARD_PARKED_INTERRUPTED) continue;\n  if (false) {",
        "a_signal_leaves_a_call_that_was_asked_for_to_its_thread",
    ),
    "a-signal-that-came-before-the-wait-is-not-looked-for": (
        "int64_t beat_ns = is_main_thread() ? later(now(), BEAT_NS) : NEVER;",
        "int64_t beat_ns = NEVER;",
        "the_main_thread_looks_again_and_again_for_signals_that_came_before_its_wait",
    ),
    "a-sleeping-thread-is-not-woken": (
        "if (__atomic_load_n(&parked->waiting, __ATOMIC_SEQ_CST))",
        "if (LOAD(parked->waiting) > 1)",
        "threads_that_sleep_are_woken_for_a_call_and_for_its_end",
    ),
    "a-caller-that-may-not-wait-looks-in-a-loop": (
        "ask(parked, wait_ns);\n  int64_t left_ns",
        "ask(parked, SPIN_NS);\n  int64_t left_ns",
        "a_caller_that_may_not_wait_does_not_look_in_a_loop",
    ),
    "the-fuel-is-not-noted-when-a-component-calls-the-host": (
        "(void)context, (void)type, (void)count, (void)result_count;\n  note_fuel();",
        "(void)context, (void)type, (void)count, (void)result_count;",
        "the_fuel_that_is_left_is_noted_when_the_host_is_called",
    ),
    "the-fuel-is-not-noted-when-a-module-calls-the-host": (
        "(void)caller, (void)count, (void)result_count;\n  note_fuel();",
        "(void)caller, (void)count, (void)result_count;",
        "the_fuel_that_is_left_is_noted_when_the_host_is_called",
    ),
    "the-fuel-is-not-noted-when-the-host-drops-a-resource": (
        "  (void)context;\n  note_fuel();",
        "  (void)context;",
        "the_fuel_that_is_left_is_noted_when_the_host_is_called",
    ),
    "an-exchange-waits-on-after-a-signal": (
        "if (found) return found > 0;",
        "if (found > 0) return true;",
        "a_signal_ends_an_exchange",
    ),
    "an-exchange-waits-for-half-of-the-time": (
        "NEVER : later(now(), wait_ns);\n  for",
        "NEVER : later(now(), wait_ns / 2);\n  for",
        "an_exchange_ends_in_time_and_with_a_pipe_that_nobody_reads",
    ),
    "a-frame-that-was-not-written-is-waited-for": (
        "return GUARD_NOT_WRITTEN;",
        "size = 0;",
        "an_exchange_ends_in_time_and_with_a_pipe_that_nobody_reads",
    ),
    "a-long-guest-of-another-process-is-noted": (
        "guest_ns >= 0 &&\n                  guest_ns < SPIN_NS",
        "guest_ns >= 0",
        "only_answers_of_short_guests_to_calls_that_are_close_are_noted",
    ),
    "a-guest-that-ended-before-it-began-is-noted": (
        "guest_ns >= 0 &&",
        "",
        "only_answers_of_short_guests_to_calls_that_are_close_are_noted",
    ),
    "a-call-of-another-process-after-a-while-is-noted": (
        "is_short && asked_ns - pipes->answered_ns < CLOSE_NS",
        "is_short",
        "only_answers_of_short_guests_to_calls_that_are_close_are_noted",
    ),
    "an-answer-to-another-call-is-noted": (
        "answer->kind || answer->number != call->number",
        "answer->kind",
        "only_answers_of_short_guests_to_calls_that_are_close_are_noted",
    ),
    "a-part-of-an-answer-is-noted": (
        "count < (int64_t)sizeof *answer || ",
        "count < 0 || ",
        "only_answers_of_short_guests_to_calls_that_are_close_are_noted",
    ),
    "a-call-is-closed-before-it-is-answered": (
        "pipes->is_open = true;",
        "pipes->is_open = false;",
        "a_call_is_open_until_the_frame_that_answers_it_was_read",
    ),
    "a-call-that-was-answered-stays-open": (
        "  pipes->is_open = false;\n",
        "",
        "a_call_is_open_until_the_frame_that_answers_it_was_read",
    ),
    "a-call-of-another-session-is-answered": (
        "(found->session != call->session || found->index != call->index)",
        "found->index != call->index",
        "calls_of_other_exports_and_with_other_sizes_are_left_to_the_caller",
    ),
    "a-call-of-another-export-is-answered": (
        "(found->session != call->session || found->index != call->index)",
        "found->session != call->session",
        "calls_of_other_exports_and_with_other_sizes_are_left_to_the_caller",
    ),
    "a-call-with-too-many-arguments-is-answered": (
        "return fits ? found : NULL;",
        "(void)fits;\n  return found;",
        "calls_of_other_exports_and_with_other_sizes_are_left_to_the_caller",
    ),
    "a-module-has-no-room-for-more-results-than-arguments": (
        "    if (count < called->results) count = called->results;\n",
        "",
        "calls_are_answered_with_their_values_and_figures",
    ),
    "an-answer-has-the-size-of-one-result": (
        "called->results * value_bytes(called)",
        "value_bytes(called)",
        "calls_are_answered_with_their_values_and_figures",
    ),
    "a-call-that-was-left-is-waited-for-again": (
        "for (;; count = 0) {\n    while (!count) {",
        "for (count = 0;; count = 0) {\n    while (!count) {",
        "a_call_that_was_left_is_answered_once_its_export_is_known",
    ),
    "a-call-that-was-stopped-is-answered": (
        "if (called->error || LOAD(run->stop)) return false;",
        "if (called->error) return false;",
        "a_run_that_was_stopped_as_its_guest_returned_is_not_answered",
    ),
    "a-call-that-failed-is-answered": (
        "if (called->error || LOAD(run->stop)) return false;",
        "if (LOAD(run->stop)) return false;",
        "a_call_that_fails_or_is_late_is_left_to_the_caller_with_its_error",
    ),
    "the-last-answer-is-written-again-after-a-failure": (
        "      pipes->size = 0;\n",
        "",
        "a_call_that_fails_or_is_late_is_left_to_the_caller_with_its_error",
    ),
    "a-signal-ends-a-server": (
        "if (count < 0 && errno != EINTR) return GUARD_NOTHING_READ;",
        "if (count < 0) return GUARD_NOTHING_READ;",
        "a_signal_does_not_end_a_server",
    ),
    "a-long-call-is-noted": (
        "if (!LOAD(parked->is_close) || !LOAD(parked->was_short)) return;",
        "if (!LOAD(parked->is_close)) return;",
        "only_calls_that_are_short_and_close_are_noted",
    ),
    "a-call-after-a-while-is-noted": (
        "if (!LOAD(parked->is_close) || !LOAD(parked->was_short)) return;",
        "if (!LOAD(parked->was_short)) return;",
        "only_calls_that_are_short_and_close_are_noted",
    ),
    "the-dearer-way-to-wait-is-used": (
        "pace->cost_ns[1] < pace->cost_ns[0] / 4 * 3",
        "pace->cost_ns[1] > pace->cost_ns[0] / 4 * 3",
        "the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then",
    ),
    "a-loop-is-used-that-is-hardly-quicker": (
        "pace->cost_ns[1] < pace->cost_ns[0] / 4 * 3",
        "pace->cost_ns[1] < pace->cost_ns[0]",
        "the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then",
    ),
    "a-way-that-became-dearer-is-used-for-long": (
        "bool is_short = pace->is_trial || *cost / 4 * 3 > other;",
        "bool is_short = pace->is_trial || !other;",
        "the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then",
    ),
    "the-other-way-is-never-tried-again": (
        "if (pace->calls < (is_short ? TRIAL_CALLS : CALLS_BETWEEN_TRIALS)) return;",
        "if (!is_short || pace->calls < TRIAL_CALLS) return;",
        "the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_fails_the_test_of_its_promise(defect, tmp_path, programs):
    old, new, test = DEFECTS[defect]
    tools = first_toolchain("none")
    done = tools.run(tools.program("guard_tests", programs, planted(old, new, tmp_path)), test)
    assert done.returncode != 0, done.stdout
    assert "guard_tests.c" in done.stdout
