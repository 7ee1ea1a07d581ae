/* Tests of the guard's functions without wasmtime and without Python: `guard_tests` runs all of them, `guard_tests NAME`
 * one. A test that fails prints its line and ends the process with status 1. Deadlines are compared with each other and
 * with what the guest did, never with a wall clock that a busy machine may stretch. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include <errno.h>
#include <pthread.h>
#ifdef __linux__
#include <sched.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_wasmtime.h"

#define PAGE ((size_t)65536)
#define MS INT64_C(1000000)
#define FOREVER INT64_MAX / 2
#define NEEDED_STACK ((size_t)192 << 10)
#define INTERRUPTED 10

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                              \
    }                                                                       \
  } while (0)

#define TEST(name) static void name(void)

/* --- what the tests share ------------------------------------------------------------------------------------------ */

static void *return_at_once(store *one, const guest *self, void *values, size_t count) {
  (void)one, (void)self, (void)values, (void)count;
  return NULL;
}

static void *spin_for_amount(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  return spin(one, self->amount);
}

static void *burn_amount(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  burn(one, (uint64_t)self->amount);
  return NULL;
}

/* Sleep as a host function does, which is not interrupted, and look once whether it has to end. */
static void *sleep_for_amount(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  sleep_ns(self->amount);
  return has_to_end(one);
}

static void *trap_with_amount(store *one, const guest *self, void *values, size_t count) {
  (void)one, (void)values, (void)count;
  return new_failure((int)self->amount, "unreachable");
}

/* Grow the first memory by `amount`, and leave whether it worked in `pointer`. */
static void *grow_by_amount(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  *(bool *)self->pointer = !dispose(grow(one, 0, (size_t)self->amount));
  return NULL;
}

static const guest idle = {.run = return_at_once};
static const guest endless = {.run = spin_for_amount, .amount = FOREVER};
static const guest one_page = {.minimum = PAGE, .memory_count = 1};

static void *value_of(const guest *one) { return (void *)(uintptr_t)one; }

static int trap_of(void *failed) {
  int code = failed ? ((failure *)failed)->code : 0;
  dispose(failed);
  return code;
}

static void *call(guard_run *run, const guest *one) {
  module_function function = {one, 0};
  return guard_module_call(run, &function, NULL, 0);
}

static void *instantiate(guard_run *run, const guest *one) {
  const guest *instance;
  return guard_module_instantiate(run, NULL, value_of(one), &instance);
}

/* Set the first group of fields, as Python does. */
static void prepare(guard_run *run, int64_t timeout_ns) {
  run->stop = GUARD_RUNNING;
  run->entries = 0;
  run->timeout_ns = timeout_ns;
  run->fuel = run->fuel_left = 1000;
  run->started_ns = run->finished_ns = 0;
}

static guard_run *open_limited(engine *engine, int64_t limit) {
  guard_run *run = calloc(1, sizeof *run);
  if (!run) abort();
  run->limit = limit;
  guard_store_new(run, engine, 1, 2, 3, 4);
  prepare(run, -1);
  return run;
}

static guard_run *open_store(engine *engine) { return open_limited(engine, (int64_t)(16 * PAGE)); }

static void close_store(guard_run *run) {
  guard_store_delete(run);
  free(run);
}

static store *store_of(const guard_run *run) { return run->store; }

/* Return whether the kernel can read a byte. */
static bool is_readable(const uint8_t *byte) {
  int ends[2];
  if (pipe(ends)) abort();
  ssize_t written = write(ends[1], byte, 1);
  close(ends[0]);
  close(ends[1]);
  return written == 1;
}

static bool is_zero(const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i]) return false;
  return true;
}

/* An engine with large reservations. */
static engine *usual_engine(void) { return new_engine((size_t)1 << 32, (size_t)32 << 20); }

/* A test with an engine and a store of it, which are closed when the test is over. */
#define TEST_IN_A_STORE(name)                                                      \
  static void name##_in(__attribute__((unused)) engine *engine, guard_run *run);   \
  static void name(void) {                                                         \
    engine *engine = usual_engine();                                               \
    guard_run *run = open_store(engine);                                           \
    name##_in(engine, run);                                                        \
    close_store(run);                                                              \
    delete_engine(engine);                                                         \
  }                                                                                \
  static void name##_in(__attribute__((unused)) engine *engine, guard_run *run)

/* Other threads: `on_thread` runs one function on a thread of this stack size, or the usual one for 0. */
typedef struct job {
  void (*run)(void *data);
  void *data;
} job;

static void *run_job(void *given) {
  const job *one = given;
  one->run(one->data);
  return NULL;
}

static pthread_t start(job *one, size_t stack_bytes) {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (stack_bytes) CHECK(!pthread_attr_setstacksize(&attributes, stack_bytes));
  CHECK(!pthread_create(&thread, &attributes, run_job, one));
  pthread_attr_destroy(&attributes);
  return thread;
}

/* --- calls and their figures --------------------------------------------------------------------------------------- */

TEST(the_library_has_the_version_and_the_sizes_of_its_header) {
  CHECK(guard_version() == GUARD_VERSION);
  CHECK(guard_run_size() == sizeof(guard_run));
  CHECK(guard_table_size() == sizeof(guard_table));
  CHECK(guard_lifted_size() == sizeof(guard_lifted));
}

TEST_IN_A_STORE(a_store_has_the_limits_that_it_was_made_with_and_none_for_memory) {
  const int64_t expected[5] = {-1, 1, 2, 3, 4};
  CHECK(!memcmp(store_of(run)->limits, expected, sizeof expected));
}

TEST_IN_A_STORE(an_entry_leaves_its_fuel_and_its_times) {
  guest burns = {.run = burn_amount, .amount = 30}, spins = {.run = spin_for_amount, .amount = 5 * MS};
  int64_t before = clock_ns();
  CHECK(!call(run, &burns));
  CHECK(run->fuel_left == 970);
  CHECK(before <= run->started_ns && run->started_ns <= run->finished_ns && run->finished_ns <= clock_ns());
  int64_t started = run->started_ns, cpu = run->cpu_ns;
  CHECK(!call(run, &spins));
  CHECK(!call(run, &burns));
  CHECK(run->fuel_left == 940 && run->entries == 3);
  CHECK(run->started_ns == started && run->finished_ns - started >= 5 * MS);
  CHECK(run->cpu_ns > cpu && run->cpu_ns <= run->finished_ns - started + MS);
  prepare(run, -1);
  CHECK(!call(run, &idle));
  CHECK(run->fuel_left == 1000 && run->started_ns >= started + 5 * MS && run->entries == 1);
}

static void *ask_host(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  burn(one, 1);
  guard_import *import = self->pointer;
  void *error = guard_serve_component(import, NULL, NULL, NULL, 0, NULL, 0);
  if (error) return error;
  burn(one, 1);
  error = guard_serve_module(import, NULL, NULL, 0, NULL, 0);
  if (error) return error;
  burn(one, 1);
  return guard_serve_destructor(import, NULL, 1);
}

/* An import that knows the run of its guest, and the fuel that is left. */
typedef struct known_import {
  guard_import import;
  guard_run *run;
  uint64_t fuel;
} known_import;

static void *serve_known(guard_import *import, const void *arguments, void *results) {
  known_import *known = (known_import *)import;
  (void)arguments, (void)results;
  return known->run->fuel_left == known->fuel-- ? NULL : new_failure(1, "wrong");
}

static void *destroy_known(guard_import *import, uint32_t representation) {
  return representation == 1 ? serve_known(import, NULL, NULL) : new_failure(1, "wrong");
}

TEST_IN_A_STORE(the_fuel_that_is_left_is_noted_when_the_host_is_called) {
  known_import known = {{serve_known, destroy_known}, run, 999};
  guest asks = {.run = ask_host, .pointer = &known};
  CHECK(!call(run, &asks));
  CHECK(known.fuel == 996);
  known.fuel = 0;
  void *error = call(run, &asks);
  CHECK(dispose(error));
}

static void *see_results(store *one, const guest *self, void *values, size_t count) {
  (void)one;
  return is_zero(values, 32 * count) && count == (size_t)self->amount ? NULL : new_failure(1, "wrong");
}

TEST_IN_A_STORE(results_of_components_are_values_that_own_nothing_before_the_call) {
  unsigned char results[96];
  memset(results, 0xff, sizeof results);
  guest looks = {.run = see_results, .amount = 2};
  CHECK(!guard_component_call(run, &looks, NULL, 0, results, 2));
  CHECK(results[63] == 0 && results[64] == 0xff);
}

TEST_IN_A_STORE(a_trap_comes_back_from_every_entry_and_the_figures_are_kept) {
  guest traps = {.run = trap_with_amount, .amount = 3};
  CHECK(trap_of(call(run, &traps)) == 3);
  CHECK(trap_of(instantiate(run, &traps)) == 3);
  CHECK(trap_of(guard_component_call(run, &traps, NULL, 0, NULL, 0)) == 3);
  CHECK(trap_of(guard_component_instantiate(run, NULL, &traps, NULL)) == 3);
  CHECK(trap_of(guard_resource_drop(run, &traps)) == 3);
  CHECK(run->entries == 5 && run->finished_ns && run->stop == GUARD_RUNNING && run->refused == GUARD_ENTERED);
}

TEST_IN_A_STORE(one_entry_can_instantiate_a_component_and_call_it) {
  unsigned char results[64];
  memset(results, 0xff, sizeof results);
  guest component = {.minimum = PAGE, .memory_count = 1, .run = burn_amount, .amount = 5};
  guest looks = {.run = see_results, .amount = 1}, function, traps = {.run = trap_with_amount, .amount = 3};
  CHECK(!guard_component_execute(run, NULL, &component, NULL, &looks, &function, NULL, 0, results, 1));
  CHECK(run->entries == 1 && run->used == (int64_t)PAGE && run->fuel_left == 995 && results[32] == 0xff);
  CHECK(trap_of(guard_component_execute(run, NULL, &traps, NULL, &looks, &function, NULL, 0, results, 1)) == 3);
  CHECK(trap_of(guard_component_execute(run, NULL, &component, NULL, &traps, &function, NULL, 0, NULL, 0)) == 3);
  failure *refused = guard_component_execute(run, NULL, &component, NULL, NULL, &function, NULL, 0, NULL, 0);
  CHECK(refused && strstr(refused->text, "no such function"));
  dispose(refused);
  prepare(run, 2 * MS);
  CHECK(trap_of(guard_component_execute(run, NULL, &component, NULL, &endless, &function, NULL, 0, NULL, 0)) ==
        INTERRUPTED);
}

TEST_IN_A_STORE(one_entry_can_instantiate_a_module_and_call_it) {
  module_function function;
  const guest *instance;
  guest burns = {.run = burn_amount, .amount = 7}, traps = {.run = trap_with_amount, .amount = 3};
  guest module = {.minimum = PAGE, .memory_count = 1, .export_name = "run", .export = &burns};
  CHECK(!guard_module_execute(run, NULL, &module, &instance, "run", 3, &function, NULL, 0));
  CHECK(run->entries == 1 && run->used == (int64_t)PAGE && run->fuel_left == 993 && function.guest == &burns);
  CHECK(trap_of(guard_module_execute(run, NULL, &traps, &instance, "run", 3, &function, NULL, 0)) == 3);
  failure *refused = guard_module_execute(run, NULL, &module, &instance, "ru", 2, &function, NULL, 0);
  CHECK(refused && strstr(refused->text, "no such function"));
  dispose(refused);
  module.export_kind = 3; /* a memory */
  CHECK(dispose(guard_module_execute(run, NULL, &module, &instance, "run", 3, &function, NULL, 0)));
  CHECK(function.guest == &burns && run->finished_ns);
}

/* --- deadlines ----------------------------------------------------------------------------------------------------- */

TEST_IN_A_STORE(an_endless_guest_ends_at_its_deadline_and_not_before) {
  for (int64_t timeout = 1; timeout <= 30 * MS; timeout += 7 * MS) {
    prepare(run, timeout);
    CHECK(trap_of(call(run, &endless)) == INTERRUPTED);
    CHECK(run->stop == GUARD_TIMEOUT && run->finished_ns - run->started_ns >= timeout);
  }
}

TEST_IN_A_STORE(a_timeout_counts_from_the_first_entry_of_a_run) {
  guest waits = {.run = sleep_for_amount, .amount = 3 * MS};
  prepare(run, 3600 * 1000 * MS);
  CHECK(!call(run, &idle) && run->due_ns == run->started_ns + run->timeout_ns);
  int64_t due_ns = run->due_ns;
  CHECK(!call(run, &waits) && run->due_ns == due_ns);
  prepare(run, 10 * MS);
  int entries = 0;
  void *error = NULL;
  while (entries < 5 && !(error = call(run, &waits))) entries++;
  CHECK(trap_of(error) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
  CHECK(entries <= 4 && run->finished_ns - run->started_ns >= 10 * MS);
  /* Once it has ended, nothing of it runs any more. */
  CHECK(trap_of(call(run, &waits)) == INTERRUPTED);
  prepare(run, 1000 * MS);
  CHECK(!call(run, &waits));
}

TEST(the_earlier_deadline_comes_first_even_if_it_is_set_later) {
  engine *engine = usual_engine();
  guard_run *late = open_store(engine), *early = open_store(engine);
  prepare(late, 3600 * 1000 * MS);
  prepare(early, 5 * MS);
  guest spins = {.run = spin_for_amount, .amount = MS};
  CHECK(!call(late, &spins));
  CHECK(trap_of(call(early, &endless)) == INTERRUPTED);
  CHECK(late->stop == GUARD_RUNNING);
  close_store(late);
  close_store(early);
  delete_engine(engine);
}

TEST_IN_A_STORE(a_timeout_beyond_the_end_of_time_is_none) {
  prepare(run, INT64_MAX);
  guest spins = {.run = spin_for_amount, .amount = 2 * MS};
  CHECK(!call(run, &spins));
}

static void end_in_time(void *given) {
  guard_run *run = given;
  for (int i = 0; i < 4; i++) {
    prepare(run, 2 * MS + i * MS);
    CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
    CHECK(run->finished_ns - run->started_ns >= 2 * MS + i * MS);
  }
}

TEST(each_of_many_threads_has_its_own_deadline) {
  enum { THREADS = 8 };
  engine *engines[2] = {usual_engine(), usual_engine()};
  guard_run *runs[THREADS];
  job jobs[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    runs[i] = open_store(engines[i % 2]);
    jobs[i] = (job){end_in_time, runs[i]};
    threads[i] = start(&jobs[i], 0);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    close_store(runs[i]);
  }
  delete_engine(engines[0]);
  delete_engine(engines[1]);
}

/* --- stops --------------------------------------------------------------------------------------------------------- */

static void cancel_soon(void *given) {
  sleep_ns(3 * MS);
  guard_stop(given, GUARD_CANCELLED);
}

TEST_IN_A_STORE(another_thread_can_stop_a_guest_that_has_no_deadline) {
  job stops = {cancel_soon, run};
  pthread_t thread = start(&stops, 0);
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_CANCELLED);
  pthread_join(thread, NULL);
}

TEST_IN_A_STORE(the_first_reason_for_a_stop_counts) {
  guard_stop(run, GUARD_OUTPUT);
  guard_stop(run, GUARD_CANCELLED);
  CHECK(run->stop == GUARD_OUTPUT);
  run->timeout_ns = 0;
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_OUTPUT);
}

static void *stop_itself(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  guard_stop(self->pointer, GUARD_OUTPUT);
  return spin(one, FOREVER);
}

TEST_IN_A_STORE(a_host_function_can_stop_the_guest_that_called_it) {
  guest stops = {.run = stop_itself, .pointer = run};
  CHECK(trap_of(call(run, &stops)) == INTERRUPTED && run->stop == GUARD_OUTPUT);
}

TEST(a_stop_is_for_one_store_alone) {
  engine *engine = usual_engine();
  guard_run *stopped = open_store(engine), *other = open_store(engine);
  guest spins = {.run = spin_for_amount, .amount = 5 * MS};
  guard_stop(stopped, GUARD_CANCELLED);
  CHECK(!call(other, &spins));
  CHECK(trap_of(call(stopped, &endless)) == INTERRUPTED);
  CHECK(!call(other, &spins) && other->stop == GUARD_RUNNING);
  close_store(stopped);
  close_store(other);
  delete_engine(engine);
}

/* --- the memory account -------------------------------------------------------------------------------------------- */

TEST(memories_are_charged_when_they_are_made_and_given_back_with_their_store) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  guest two = {.minimum = 3 * PAGE, .memory_count = 2};
  CHECK(!instantiate(run, &two));
  CHECK(run->used == (int64_t)(6 * PAGE) && run->peak == run->used && run->denied == 0);
  CHECK(guard_memories_live(engine->memories) == 2);
  guard_store_delete(run);
  CHECK(run->used == 0 && guard_memories_live(engine->memories) == 0);
  free(run);
  delete_engine(engine);
}

TEST(the_limit_is_exact_and_counts_what_it_refuses) {
  engine *engine = usual_engine();
  guard_run *run = open_limited(engine, (int64_t)(2 * PAGE));
  bool has_grown = false;
  guest grows = {.run = grow_by_amount, .amount = (int64_t)PAGE, .pointer = &has_grown};
  CHECK(!instantiate(run, &one_page));
  CHECK(!call(run, &grows) && has_grown && run->used == run->limit && run->denied == 0);
  grows.amount = 1;
  CHECK(!call(run, &grows) && !has_grown && run->denied == 1);
  grows.amount = INT64_MAX;
  CHECK(!call(run, &grows) && !has_grown && run->denied == 2);
  grows.amount = -1; /* SIZE_MAX: beyond all addresses */
  CHECK(!call(run, &grows) && !has_grown && run->denied == 3);
  CHECK(run->used == (int64_t)(2 * PAGE) && run->peak == run->used && !run->host_refused);
  CHECK(dispose(instantiate(run, &one_page)) && run->denied == 4);
  prepare(run, -1);
  CHECK(!call(run, &grows) && !has_grown && run->denied == 1 && run->peak == (int64_t)(2 * PAGE));
  close_store(run);
  delete_engine(engine);
}

TEST(a_first_size_beyond_the_limit_is_refused_with_its_size) {
  engine *engine = usual_engine();
  guard_run *run = open_limited(engine, (int64_t)PAGE - 1);
  failure *refused = instantiate(run, &one_page);
  CHECK(refused && strstr(refused->text, "memory of 65536 bytes exceeds the memory limit of the store"));
  dispose(refused);
  CHECK(run->used == 0 && run->peak == 0 && run->denied == 1 && guard_memories_live(engine->memories) == 0);
  close_store(run);
  delete_engine(engine);
}

TEST(memory_that_the_machine_refuses_is_not_charged) {
  engine *engine = usual_engine();
  guard_run *run = open_limited(engine, INT64_MAX);
  bool has_grown = false;
  guest grows = {.run = grow_by_amount, .amount = INT64_C(1) << 60, .pointer = &has_grown};
  guest huge = {.minimum = (size_t)1 << 60, .memory_count = 1};
  CHECK(!instantiate(run, &one_page));
  CHECK(!call(run, &grows) && !has_grown);
  CHECK(run->host_refused == 1 && run->denied == 0 && run->used == (int64_t)PAGE);
  prepare(run, -1);
  CHECK(dispose(instantiate(run, &huge)) && run->host_refused == 1 && run->used == (int64_t)PAGE);
  prepare(run, -1);
  CHECK(!call(run, &idle) && run->host_refused == 0);
  size_t size;
  CHECK(is_zero(memory_of(store_of(run), 0, &size), PAGE) && size == PAGE);
  close_store(run);
  delete_engine(engine);
}

TEST_IN_A_STORE(memory_that_the_machine_refuses_at_first_is_asked_for_again_without_what_is_kept) {
  bool has_grown = false;
  guest grows = {.run = grow_by_amount, .amount = (int64_t)PAGE, .pointer = &has_grown};
  guard_shutdown(); /* nothing is kept that would be used as it is */
  atomic_store(&failing_mprotects, 1);
  CHECK(!instantiate(run, &one_page) && atomic_load(&failing_mprotects) == 0);
  atomic_store(&failing_mprotects, 1);
  CHECK(!call(run, &grows) && has_grown && atomic_load(&failing_mprotects) == 0);
  atomic_store(&failing_mprotects, 2);
  CHECK(!call(run, &grows) && !has_grown && run->host_refused && run->used == (int64_t)(2 * PAGE));
  size_t size;
  CHECK(is_zero(memory_of(store_of(run), 0, &size), 2 * PAGE) && size == 2 * PAGE);
}

TEST_IN_A_STORE(a_run_begins_with_its_own_peak) {
  CHECK(!instantiate(run, &one_page));
  linear_memory dropped = store_of(run)->memories[--store_of(run)->memory_count];
  dropped.finalizer(dropped.env);
  CHECK(run->used == 0 && run->peak == (int64_t)PAGE);
  CHECK(!call(run, &idle) && run->peak == (int64_t)PAGE);
  prepare(run, -1);
  CHECK(!call(run, &idle) && run->peak == 0);
}

TEST_IN_A_STORE(a_memory_outside_of_an_execution_is_refused) {
  CHECK(!call(run, &idle));
  failure *refused = new_memory(store_of(run), PAGE);
  CHECK(refused && strstr(refused->text, "outside of an execution"));
  dispose(refused);
}

static void *enter_inner(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  dispose(new_memory(one, PAGE));
  CHECK(!instantiate(self->pointer, &one_page));
  return new_memory(one, PAGE);
}

TEST(each_memory_is_charged_to_the_innermost_run_of_its_thread) {
  engine *engine = usual_engine();
  guard_run *outer = open_store(engine), *inner = open_store(engine);
  guest enters = {.run = enter_inner, .pointer = inner};
  CHECK(!call(outer, &enters));
  CHECK(outer->used == (int64_t)(2 * PAGE) && inner->used == (int64_t)PAGE);
  close_store(inner);
  CHECK(outer->used == (int64_t)(2 * PAGE));
  close_store(outer);
  delete_engine(engine);
}

/* --- mappings ------------------------------------------------------------------------------------------------------ */

TEST(memories_read_as_zero_and_end_where_their_size_ends_also_if_their_mapping_is_used_again) {
  engine *engine = usual_engine();
  const size_t sizes[] = {16 * PAGE, PAGE, 0, 4 * PAGE, 16 * PAGE};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    guard_run *run = open_store(engine);
    guest sized = {.minimum = sizes[i], .memory_count = 1};
    CHECK(!instantiate(run, &sized));
    size_t size;
    uint8_t *bytes = memory_of(store_of(run), 0, &size);
    CHECK(size == sizes[i] && is_zero(bytes, size) && !is_readable(bytes + size));
    memset(bytes, 0xff, size);
    close_store(run);
  }
  delete_engine(engine);
}

TEST(what_a_memory_gains_reads_as_zero_and_what_it_had_stays) {
  for (size_t reserved = PAGE; reserved <= 64 * PAGE; reserved *= 64) { /* moved, and in place */
    engine *engine = new_engine(reserved, PAGE);
    guard_run *run = open_store(engine);
    bool has_grown = false;
    guest grows = {.run = grow_by_amount, .amount = (int64_t)PAGE, .pointer = &has_grown};
    CHECK(!instantiate(run, &one_page));
    size_t size;
    memset(memory_of(store_of(run), 0, &size), 1, PAGE);
    for (size_t pages = 2; pages <= 16; pages++) {
      CHECK(!call(run, &grows) && has_grown);
      uint8_t *bytes = memory_of(store_of(run), 0, &size);
      CHECK(size == pages * PAGE && !is_readable(bytes + size));
      CHECK(is_zero(bytes + size - PAGE, PAGE) && bytes[0] == 1 && bytes[size - PAGE - 1] == 1);
      memset(bytes + size - PAGE, 1, PAGE);
    }
    CHECK(run->used == (int64_t)(16 * PAGE) && run->peak == run->used);
    close_store(run);
    delete_engine(engine);
  }
}

TEST(a_moved_mapping_is_not_given_to_a_memory_with_another_reservation) {
  engine *small = new_engine(PAGE, PAGE), *large = new_engine(64 * PAGE, PAGE);
  bool has_grown = false;
  guest grows = {.run = grow_by_amount, .amount = (int64_t)(4 * PAGE), .pointer = &has_grown};
  for (int i = 0; i < 3; i++) {
    guard_run *one = open_store(small), *two = open_store(large);
    CHECK(!instantiate(one, &one_page) && !instantiate(two, &one_page));
    CHECK(!call(one, &grows) && has_grown && !call(two, &grows) && has_grown);
    size_t size, capacity;
    linear_memory *memory = &store_of(two)->memories[0];
    uint8_t *bytes = memory->get(memory->env, &size, &capacity);
    CHECK(capacity >= 64 * PAGE && is_zero(bytes, size) && !is_readable(bytes + size));
    memset(bytes, 1, size);
    memset(memory_of(store_of(one), 0, &size), 1, PAGE);
    close_store(two);
    close_store(one);
  }
  delete_engine(small);
  delete_engine(large);
}

/* --- images of memories -------------------------------------------------------------------------------------------- */

#define IMAGE_SIZE (2 * PAGE)

/* Return an image of two pages in the middle of a memory of four, whose bytes are 1, in an open file or in none. */
static guard_image *new_image(int file, uint64_t units) {
  static uint8_t bytes[IMAGE_SIZE];
  memset(bytes, 1, sizeof bytes);
  if (file >= 0 && pwrite(file, bytes, sizeof bytes, (off_t)PAGE) != (ssize_t)sizeof bytes) abort();
  guard_image *made = guard_image_new(file, PAGE, file < 0 ? bytes : NULL, IMAGE_SIZE, PAGE, 4 * PAGE, units);
  memset(bytes, 2, sizeof bytes); /* the image has bytes of its own */
  CHECK(made);
  return made;
}

static int new_file(void) {
  FILE *file = tmpfile();
  if (!file) abort();
  int own = dup(fileno(file));
  fclose(file);
  return own;
}

static bool are_all(const uint8_t *bytes, size_t size, uint8_t value) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i] != value) return false;
  return true;
}

static bool has_image(const guard_run *run, size_t memory) {
  size_t size;
  const uint8_t *bytes = memory_of(store_of(run), memory, &size);
  return size >= 4 * PAGE && is_zero(bytes, PAGE) && are_all(bytes + PAGE, IMAGE_SIZE, 1) &&
         is_zero(bytes + 3 * PAGE, size - 3 * PAGE) && !is_readable(bytes + size);
}

static const guest four_pages = {.minimum = 4 * PAGE, .memory_count = 1};

/* Make a store with one memory that has an image. */
static guard_run *open_with_image(engine *engine, const guard_image *image) {
  guard_run *run = open_store(engine);
  run->image = image;
  CHECK(!instantiate(run, &four_pages));
  return run;
}

static void *make_several(store *one, const guest *self, void *values, size_t count) {
  (void)self, (void)values, (void)count;
  const size_t sizes[] = {0, PAGE, 4 * PAGE, 4 * PAGE};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) CHECK(!new_memory(one, sizes[i]));
  return NULL;
}

TEST(an_image_is_the_first_content_of_the_memory_of_its_size_and_of_no_other) {
  engine *engine = usual_engine();
  guard_image *image = new_image(-1, 7);
  guard_run *run = open_store(engine);
  guest several = {.run = make_several};
  size_t size;
  run->image = image;
  CHECK(!instantiate(run, &several));
  CHECK(has_image(run, 2) && is_zero(memory_of(store_of(run), 1, &size), PAGE));
  CHECK(is_zero(memory_of(store_of(run), 3, &size), 4 * PAGE));
  CHECK(run->used == (int64_t)(9 * PAGE) && run->peak == run->used && run->fuel_left == 993 && !run->image);
  close_store(run);
  guard_image_delete(image);
  delete_engine(engine);
}

static void *make_one(store *one, const guest *self, void *values, size_t count) {
  (void)self, (void)values, (void)count;
  return new_memory(one, 4 * PAGE);
}

TEST(an_image_is_only_for_the_entry_that_instantiates_its_guest) {
  engine *engine = usual_engine();
  guard_image *image = new_image(-1, 7);
  guard_run *run = open_store(engine);
  size_t size;
  run->image = image;
  CHECK(!instantiate(run, &idle) && !instantiate(run, &four_pages));
  CHECK(is_zero(memory_of(store_of(run), 0, &size), 4 * PAGE) && run->fuel_left == 1000);
  guest makes = {.run = make_one};
  run->image = image;
  CHECK(!call(run, &makes) && !run->image && is_zero(memory_of(store_of(run), 1, &size), 4 * PAGE));
  close_store(run);
  guard_image_delete(image);
  delete_engine(engine);
}

TEST(an_image_is_mapped_and_no_guest_sees_what_another_writes_into_it) {
  for (int has_file = 0; has_file < 2; has_file++) {
    engine *engine = usual_engine();
    int file = has_file ? new_file() : -1;
    guard_image *image = new_image(file, 0);
    guard_run *one = open_with_image(engine, image), *two = open_with_image(engine, image);
    size_t size;
    CHECK(has_image(one, 0) && has_image(two, 0));
    memset(memory_of(store_of(one), 0, &size), 3, 4 * PAGE);
    CHECK(has_image(two, 0));
    close_store(one);
    one = open_with_image(engine, image);
    CHECK(has_image(one, 0));
    close_store(one);
    if (has_file) { /* what is mapped follows the file until a guest writes */
      CHECK(pwrite(file, "x", 1, (off_t)(2 * PAGE)) == 1 && memory_of(store_of(two), 0, &size)[2 * PAGE] == 'x');
      close(file);
    }
    guard_image_delete(image);
    CHECK(are_all(memory_of(store_of(two), 0, &size) + PAGE, PAGE, 1)); /* it stays with those who have it */
    close_store(two);
    delete_engine(engine);
  }
}

TEST(an_image_does_not_stay_in_a_mapping_that_is_used_again) {
  engine *engine = usual_engine();
  guard_image *image = new_image(-1, 0);
  for (int i = 0; i < 3; i++) {
    guard_run *run = open_with_image(engine, image);
    close_store(run);
    run = open_store(engine);
    size_t size;
    CHECK(!instantiate(run, &four_pages) && is_zero(memory_of(store_of(run), 0, &size), 4 * PAGE));
    close_store(run);
  }
  guard_image_delete(image);
  delete_engine(engine);
}

TEST(a_memory_with_an_image_grows_like_any_other) {
  for (size_t reserved = PAGE; reserved <= 64 * PAGE; reserved *= 64) { /* moved, and in place */
    engine *engine = new_engine(reserved, PAGE);
    guard_image *image = new_image(-1, 0);
    guard_run *run = open_with_image(engine, image);
    bool has_grown = false;
    guest grows = {.run = grow_by_amount, .amount = (int64_t)(12 * PAGE), .pointer = &has_grown};
    CHECK(!call(run, &grows) && has_grown && has_image(run, 0) && run->used == (int64_t)(16 * PAGE));
    CHECK(!call(run, &grows) && !has_grown && run->denied == 1);
    close_store(run);
    guard_image_delete(image);
    delete_engine(engine);
  }
}

static void *see_charge(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  if (self->amount) guard_stop(self->pointer, GUARD_CANCELLED);
  CHECK(!new_memory(one, 4 * PAGE));
  return NULL;
}

TEST(an_image_costs_its_units_and_not_more_than_there_are) {
  engine *engine = usual_engine();
  const uint64_t units[] = {0, 1, 999, 1000, 1001, UINT64_MAX}, left[] = {1000, 999, 1, 0, 0, 0};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    guard_image *image = new_image(-1, units[i]);
    guard_run *run = open_with_image(engine, image);
    CHECK(run->fuel_left == left[i] && has_image(run, 0));
    close_store(run);
    /* A run that is stopped ends before anything is copied. */
    guest stops = {.run = see_charge, .amount = 1, .pointer = run = open_store(engine)};
    run->image = image;
    CHECK(!instantiate(run, &stops) && run->fuel_left == 1000);
    close_store(run);
    guard_image_delete(image);
  }
  delete_engine(engine);
}

static void *drop_and_see(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  const guard_run *run = self->pointer;
  CHECK(!new_memory(one, 4 * PAGE));
  CHECK(one->fuel == (self->amount < 1000 ? 1000 - (uint64_t)self->amount : 0) && run->used == (int64_t)(4 * PAGE));
  linear_memory dropped = one->memories[--one->memory_count];
  dropped.finalizer(dropped.env);
  return NULL;
}

TEST(what_an_image_cost_is_given_back_if_its_memory_does_not_outlive_the_entry) {
  engine *engine = usual_engine();
  for (int64_t units = 7; units < 20000; units *= 1000) {
    guard_image *image = new_image(-1, (uint64_t)units);
    guard_run *run = open_store(engine);
    guest drops = {.run = drop_and_see, .amount = units, .pointer = run};
    run->image = image;
    CHECK(!instantiate(run, &drops) && run->fuel_left == 1000 && run->used == 0);
    close_store(run);
    guard_image_delete(image);
  }
  delete_engine(engine);
}

/* Return the descriptor that is opened next. */
static int next_descriptor(void) {
  int next = dup(0);
  if (next < 0) abort();
  close(next);
  return next;
}

TEST(an_image_whose_descriptor_somebody_closed_or_gave_to_another_file_is_copied) {
  for (int exchanged = 0; exchanged < 2; exchanged++) {
    engine *engine = usual_engine();
    int other = new_file(), descriptor = next_descriptor();
    CHECK(pwrite(other, "no image", 8, (off_t)PAGE) == 8);
    guard_image *image = new_image(-1, 0);
    if (exchanged)
      CHECK(dup2(other, descriptor) == descriptor);
    else
      CHECK(!close(descriptor));
    guard_run *one = open_with_image(engine, image), *two = open_with_image(engine, image);
    CHECK(has_image(one, 0) && has_image(two, 0));
    close_store(one);
    close_store(two);
    guard_image_delete(image);
    if (exchanged) CHECK(!close(descriptor)); /* it is not the guard's to close */
    close(other);
    delete_engine(engine);
  }
}

TEST(the_bytes_of_an_image_cannot_be_changed) {
#ifdef __linux__
  int descriptor = next_descriptor();
  guard_image *image = new_image(-1, 0);
  CHECK(write(descriptor, "x", 1) < 0 && errno == EPERM);
  CHECK(ftruncate(descriptor, 0) < 0 && errno == EPERM);
  guard_image_delete(image);
#endif
}

TEST(images_beyond_those_that_keep_a_file_open_are_copied) {
  engine *engine = usual_engine();
  guard_image *images[70];
  const int count = sizeof images / sizeof *images;
  for (int i = 0; i < count; i++) images[i] = new_image(-1, 0);
  int last = next_descriptor();
  guard_image *more = new_image(-1, 0);
  CHECK(next_descriptor() == last);
  guard_run *run = open_with_image(engine, more), *other = open_with_image(engine, images[0]);
  CHECK(has_image(run, 0) && has_image(other, 0));
  close_store(run);
  close_store(other);
  guard_image_delete(more);
  for (int i = 0; i < count; i++) guard_image_delete(images[i]);
  last = next_descriptor();
  more = new_image(-1, 0);
  CHECK(next_descriptor() != last);
  guard_image_delete(more);
  guard_image_delete(NULL);
  delete_engine(engine);
}

TEST(an_image_is_copied_if_there_are_no_more_descriptors) {
  engine *engine = usual_engine();
  struct rlimit before, none;
  int file = new_file();
  guard_image *first = new_image(file, 0);
  CHECK(!getrlimit(RLIMIT_NOFILE, &before));
  none = before;
  none.rlim_cur = 0;
  CHECK(!setrlimit(RLIMIT_NOFILE, &none));
  guard_image *of_file = new_image(file, 0), *of_bytes = new_image(-1, 0);
  CHECK(!setrlimit(RLIMIT_NOFILE, &before));
  const guard_image *images[] = {first, of_file, of_bytes};
  for (size_t i = 0; i < 3; i++) {
    guard_run *run = open_with_image(engine, images[i]);
    CHECK(has_image(run, 0));
    close_store(run);
  }
  guard_image_delete(first);
  guard_image_delete(of_file);
  guard_image_delete(of_bytes);
  close(file);
  delete_engine(engine);
}

TEST(an_image_that_is_not_there_is_refused) {
  int file = new_file();
  CHECK(!guard_image_new(file, 1, NULL, PAGE, 0, PAGE, 0)); /* not the beginning of a page */
  close(file);
  CHECK(!guard_image_new(file, 0, NULL, PAGE, 0, PAGE, 0));
}

/* --- the memory of probes ------------------------------------------------------------------------------------------ */

/* Return an engine whose memories of two pages, which may grow without a limit, are this file. */
static engine *engine_with_probes(int file) {
  engine *made = usual_engine();
  CHECK(!guard_memories_probe(made->memories, file, 2 * PAGE, SIZE_MAX));
  return made;
}

static int file_of(size_t size) {
  int file = new_file();
  CHECK(!ftruncate(file, (off_t)size));
  return file;
}

static const guest with_probes = {.minimum = 2 * PAGE, .memory_count = 1};

TEST(the_memory_of_the_probes_is_their_file_in_each_store_and_nobody_pays_for_it) {
  int file = file_of(2 * PAGE);
  engine *engine = engine_with_probes(file);
  guard_run *one = open_store(engine), *two = open_limited(engine, 0);
  size_t size;
  uint8_t byte;
  CHECK(!instantiate(one, &with_probes) && !instantiate(two, &with_probes));
  CHECK(!one->used && !one->peak && !one->memories && !two->denied && !guard_memories_live(engine->memories));
  memory_of(store_of(one), 0, &size)[PAGE] = 7;
  CHECK(size == 2 * PAGE && memory_of(store_of(two), 0, &size)[PAGE] == 7);
  CHECK(pread(file, &byte, 1, (off_t)PAGE) == 1 && byte == 7);
  CHECK(pwrite(file, "", 1, (off_t)PAGE) == 1 && is_zero(memory_of(store_of(one), 0, &size), size));
  CHECK(!is_readable(memory_of(store_of(one), 0, &size) + size));
  CHECK(!instantiate(one, &one_page) && one->used == (int64_t)PAGE && one->memories == 1);
  close_store(one);
  memory_of(store_of(two), 0, &size)[0] = 1; /* it stays with those who have it */
  close_store(two);
  close(file);
  delete_engine(engine);
}

TEST(the_memory_of_the_probes_does_not_grow) {
  int file = file_of(2 * PAGE);
  engine *engine = engine_with_probes(file);
  guard_run *run = open_store(engine);
  bool has_grown = true;
  guest grows = {.run = grow_by_amount, .amount = (int64_t)PAGE, .pointer = &has_grown};
  CHECK(!instantiate(run, &with_probes) && !call(run, &grows) && !has_grown && !run->denied);
  close_store(run);
  close(file);
  delete_engine(engine);
}

TEST(a_file_that_is_shorter_than_the_memory_of_the_probes_is_refused) {
  int file = file_of(2 * PAGE - 1);
  engine *engine = engine_with_probes(file);
  guard_run *run = open_store(engine);
  CHECK(dispose(instantiate(run, &with_probes)));
  CHECK(!ftruncate(file, (off_t)(2 * PAGE)) && !instantiate(run, &with_probes));
  close_store(run);
  close(file);
  delete_engine(engine);
}

TEST(the_file_of_the_probes_is_closed_with_their_engine) {
  int file = file_of(2 * PAGE), next = dup(file), again;
  close(next);
  engine *engine = engine_with_probes(file);
  CHECK(guard_memories_probe(engine->memories, -1, PAGE, PAGE));
  delete_engine(engine);
  again = dup(file);
  CHECK(again == next);
  close(again);
  close(file);
}

/* --- signals ------------------------------------------------------------------------------------------------------- */

static void reset_python(void) {
  atomic_store(&python.has_signal, false);
  atomic_store(&python.does_raise, false);
  atomic_store(&python.handler, NULL);
  atomic_store(&python.handled, 0);
}

static void signal_soon(void *unused) {
  (void)unused;
  sleep_ns(3 * MS);
  atomic_store(&python.has_signal, true);
}

TEST_IN_A_STORE(a_handler_that_raises_ends_the_guest_of_the_main_thread) {
  job signals = {signal_soon, NULL};
  reset_python();
  atomic_store(&python.does_raise, true);
  pthread_t thread = start(&signals, 0);
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED);
  CHECK(run->stop == GUARD_RAISED && run->exception[0] == &python && run->exception[1] == &python.has_signal);
  pthread_join(thread, NULL);
  prepare(run, -1);
  CHECK(!call(run, &idle) && !run->exception[0]);
  reset_python();
}

static void *spin_until_handled(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  while (!atomic_load(&python.handled)) {
    void *error = spin(one, self->amount);
    if (error) return error;
  }
  return spin(one, self->amount);
}

TEST_IN_A_STORE(a_handler_that_returns_lets_the_guest_go_on) {
  guest spins = {.run = spin_until_handled, .amount = MS};
  reset_python();
  atomic_store(&python.has_signal, true);
  CHECK(!call(run, &spins));
  CHECK(run->stop == GUARD_RUNNING && atomic_load(&python.handled) == 1 && !run->exception[0]);
}

static guard_run *other_run;

static void call_other_store(void) {
  prepare(other_run, 5 * MS);
  CHECK(!instantiate(other_run, &one_page));
  CHECK(trap_of(call(other_run, &endless)) == INTERRUPTED);
}

static void *spin_then_make_memory(store *one, const guest *self, void *values, size_t count) {
  void *error = spin_until_handled(one, self, values, count);
  return error ? error : new_memory(one, PAGE);
}

TEST_IN_A_STORE(a_handler_may_run_a_guest_of_another_store) {
  guest makes = {.run = spin_then_make_memory, .amount = MS};
  other_run = open_store(engine);
  reset_python();
  atomic_store(&python.handler, call_other_store);
  atomic_store(&python.has_signal, true);
  CHECK(!call(run, &makes));
  CHECK(other_run->stop == GUARD_TIMEOUT && other_run->used == (int64_t)PAGE);
  CHECK(run->stop == GUARD_RUNNING && run->used == (int64_t)PAGE);
  reset_python();
  close_store(other_run);
}

TEST_IN_A_STORE(an_interpreter_that_is_ending_is_not_asked_for_its_lock) {
  reset_python();
  atomic_store(&python.has_signal, true);
  atomic_store(&python.is_initialized, false);
  prepare(run, 100 * MS);
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
  CHECK(atomic_load(&python.handled) == 0);
  atomic_store(&python.is_initialized, true);
  reset_python();
}

static void end_by_timeout(void *given) {
  guard_run *run = given;
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
}

TEST_IN_A_STORE(signals_are_not_handled_on_other_threads) {
  job ends = {end_by_timeout, run};
  reset_python();
  atomic_store(&python.has_signal, true);
  prepare(run, 100 * MS);
  pthread_join(start(&ends, 0), NULL);
  CHECK(atomic_load(&python.handled) == 0);
  reset_python();
}

/* --- threads and processes ----------------------------------------------------------------------------------------- */

static void enter_with_little_stack(void *given) {
  guard_run *run = given;
  CHECK(!guard_has_stack());
  CHECK(dispose(call(run, &idle)) && run->refused == GUARD_NO_STACK && run->entries == 0);
}

TEST_IN_A_STORE(an_entry_with_too_little_stack_is_refused) {
  job enters = {enter_with_little_stack, run};
  pthread_join(start(&enters, NEEDED_STACK - ((size_t)16 << 10)), NULL);
  CHECK(!call(run, &idle) && run->refused == GUARD_ENTERED);
}

static void close_given(void *given) { close_store(given); }

TEST(a_store_can_be_deleted_on_another_thread) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  CHECK(!instantiate(run, &one_page));
  job closes = {close_given, run};
  pthread_join(start(&closes, 0), NULL);
  CHECK(guard_memories_live(engine->memories) == 0);
  delete_engine(engine);
}

TEST_IN_A_STORE(an_entry_whose_deadline_nobody_can_keep_is_refused) {
  guard_shutdown();
  atomic_store(&failing_threads, 1);
  prepare(run, 2 * MS);
  CHECK(dispose(call(run, &endless)) && run->refused == GUARD_NO_THREAD && run->stop == GUARD_RUNNING);
  prepare(run, 2 * MS);
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->refused == GUARD_ENTERED);
}

TEST_IN_A_STORE(deadlines_hold_again_after_a_shutdown) {
  for (int i = 0; i < 3; i++) {
    prepare(run, 2 * MS);
    CHECK(trap_of(call(run, &endless)) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
    guard_shutdown();
  }
}

static void *fork_and_spin(store *one, const guest *self, void *values, size_t count) {
  (void)values, (void)count;
  pid_t *child = self->pointer;
  *child = fork();
  if (*child < 0) return new_failure(1, "no process");
  return *child ? NULL : spin(one, 2000 * MS);
}

TEST(a_guest_that_is_forked_goes_on_under_its_deadline) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine), *other = open_store(engine);
  pid_t child = -1;
  guest forks = {.run = fork_and_spin, .pointer = &child};
  prepare(run, 20 * MS);
  void *error = call(run, &forks);
  if (child == 0) {
    prepare(other, 2 * MS);
    bool is_right = trap_of(error) == INTERRUPTED && run->stop == GUARD_TIMEOUT &&
                    trap_of(call(other, &endless)) == INTERRUPTED && other->stop == GUARD_TIMEOUT;
    _exit(is_right ? 0 : 1);
  }
  CHECK(child > 0);
  dispose(error); /* the deadline may have passed here, too */
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  prepare(run, 2 * MS);
  CHECK(trap_of(call(run, &endless)) == INTERRUPTED);
  close_store(other);
  close_store(run);
  delete_engine(engine);
}

/* --- parked threads ------------------------------------------------------------------------------------------------ */

typedef struct parked_thread {
  guard_parked place;
  job job;
  pthread_t thread;
  bool was_given_up;
  atomic_int told; /* the calls whose end the thread has told */
} parked_thread;

static void serve_parked(void *data) {
  parked_thread *one = data;
  int32_t reason;
  while ((reason = guard_parked_serve(&one->place)) == GUARD_SERVED_LEFT) one->told++;
  one->was_given_up = reason == GUARD_SERVED_GIVEN_UP;
}

static parked_thread *open_parked(void) {
  parked_thread *one = calloc(1, sizeof *one);
  if (!one) abort();
  one->job = (job){serve_parked, one};
  one->thread = start(&one->job, 0);
  return one;
}

/* Wait for the end of a parked thread, and return whether its last call was given up. */
static bool end_parked(parked_thread *one) {
  pthread_join(one->thread, NULL);
  bool was_given_up = one->was_given_up;
  free(one);
  return was_given_up;
}

static bool close_parked(parked_thread *one) {
  guard_parked_close(&one->place);
  return end_parked(one);
}

/* Wait for the end of a call without looking for signals. */
static int32_t wait_at(parked_thread *one) {
  int32_t ended;
  do ended = guard_parked_wait(&one->place, -1);
  while (ended == GUARD_PARKED_INTERRUPTED);
  return ended;
}

/* Write a call without arguments and results, of the kind that is set. */
static void ask_for(guard_parked *place, guard_run *run, void *function) {
  __atomic_store_n(&place->state, 0, __ATOMIC_RELEASE);
  place->error = NULL;
  place->run = run;
  place->function = function;
  place->results = NULL;
  place->result_count = 0;
}

static int32_t call_at(parked_thread *one, guard_run *run, const guest *other) {
  ask_for(&one->place, run, value_of(other));
  return guard_parked_call(&one->place);
}

TEST_IN_A_STORE(a_call_on_a_parked_thread_leaves_what_a_call_on_this_thread_leaves) {
  parked_thread *parked = open_parked();
  guest burns = {.run = burn_amount, .amount = 30}, traps = {.run = trap_with_amount, .amount = 3};
  module_function function = {&burns, 0};
  for (int i = 0; i < 200; i++) {
    prepare(run, i % 2 ? -1 : 3600 * 1000 * MS);
    CHECK(call_at(parked, run, &burns) == GUARD_PARKED_DONE && !parked->place.error);
    CHECK(run->fuel_left == 970 && run->entries == 1 && run->finished_ns >= run->started_ns);
    prepare(run, -1);
    CHECK(call_at(parked, run, &traps) == GUARD_PARKED_DONE && trap_of(parked->place.error) == 3);
  }
  parked->place.entry = GUARD_OF_MODULE;
  prepare(run, -1);
  ask_for(&parked->place, run, &function);
  CHECK(guard_parked_call(&parked->place) == GUARD_PARKED_DONE);
  CHECK(!parked->place.error);
  CHECK(run->fuel_left == 970);
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(results_of_a_call_on_a_parked_thread_are_values_that_own_nothing_before_it) {
  parked_thread *parked = open_parked();
  unsigned char results[96];
  memset(results, 0xff, sizeof results);
  guest looks = {.run = see_results, .amount = 2};
  ask_for(&parked->place, run, &looks);
  parked->place.results = results;
  parked->place.result_count = 2;
  CHECK(guard_parked_call(&parked->place) == GUARD_PARKED_DONE);
  CHECK(!parked->place.error);
  CHECK(results[63] == 0 && results[64] == 0xff);
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(an_endless_guest_on_a_parked_thread_ends_at_its_deadline) {
  parked_thread *parked = open_parked();
  for (int64_t timeout = 0; timeout <= 20 * MS; timeout += 5 * MS) {
    prepare(run, timeout);
    if (call_at(parked, run, &endless) != GUARD_PARKED_DONE)
      CHECK(wait_at(parked) == GUARD_PARKED_DONE);
    CHECK(trap_of(parked->place.error) == INTERRUPTED);
    CHECK(run->stop == GUARD_TIMEOUT && run->finished_ns - run->started_ns >= timeout);
  }
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(a_caller_waits_for_a_blocked_guest_to_the_deadline_and_as_long_as_it_then_likes) {
  parked_thread *parked = open_parked();
  guest waits = {.run = sleep_for_amount, .amount = 200 * MS};
  prepare(run, 2 * MS);
  int64_t before = clock_ns();
  CHECK(call_at(parked, run, &waits) == GUARD_PARKED_LATE && clock_ns() - before >= 2 * MS);
  CHECK(guard_parked_wait(&parked->place, 0) == GUARD_PARKED_LATE);
  CHECK(guard_parked_wait(&parked->place, 1 * MS) == GUARD_PARKED_LATE);
  CHECK(wait_at(parked) == GUARD_PARKED_DONE);
  CHECK(trap_of(parked->place.error) == INTERRUPTED && run->stop == GUARD_TIMEOUT);
  CHECK(!guard_parked_give_up(&parked->place)); /* it has returned */
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(a_parked_thread_ends_when_a_guest_that_was_given_up_returns) {
  parked_thread *parked = open_parked();
  guest waits = {.run = sleep_for_amount, .amount = 50 * MS};
  prepare(run, 1 * MS);
  CHECK(call_at(parked, run, &waits) == GUARD_PARKED_LATE);
  CHECK(guard_parked_give_up(&parked->place));
  CHECK(!guard_parked_give_up(&parked->place));
  pthread_join(parked->thread, NULL);
  CHECK(parked->was_given_up && trap_of(parked->place.error) == INTERRUPTED);
  free(parked);
}

static void note_signal(int number) { (void)number; }

static void send_signals(void *data) {
  pthread_t *caller = data;
  for (int i = 0; i < 20; i++) {
    sleep_ns(5 * MS);
    pthread_kill(*caller, SIGUSR1);
  }
}

/* A call on a parked thread whose guest takes 150 ms, and how often the wait for it was interrupted. */
typedef struct slow_call {
  guard_run *run;
  int interruptions;
  bool has_signals;
} slow_call;

static void make_slow_call(void *data) {
  slow_call *one = data;
  parked_thread *parked = open_parked();
  guest waits = {.run = sleep_for_amount, .amount = 150 * MS};
  pthread_t caller = pthread_self(), sender = caller;
  job sends = {send_signals, &caller};
  if (one->has_signals) sender = start(&sends, 0);
  prepare(one->run, -1);
  int32_t ended = call_at(parked, one->run, &waits);
  for (; ended == GUARD_PARKED_INTERRUPTED; one->interruptions++) ended = guard_parked_wait(&parked->place, -1);
  CHECK(ended == GUARD_PARKED_DONE && !parked->place.error && one->run->stop == GUARD_RUNNING);
  if (one->has_signals) pthread_join(sender, NULL);
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(a_signal_ends_the_wait_of_a_caller_and_not_the_call) {
  struct sigaction noting = {.sa_handler = note_signal}, before;
  CHECK(!sigaction(SIGUSR1, &noting, &before));
  slow_call one = {.run = run, .has_signals = true};
  job calls = {make_slow_call, &one};
  pthread_join(start(&calls, 0), NULL);
  CHECK(one.interruptions);
  CHECK(!sigaction(SIGUSR1, &before, NULL));
}

TEST_IN_A_STORE(the_main_thread_looks_again_and_again_for_signals_that_came_before_its_wait) {
  slow_call here = {.run = run}, there = {.run = run};
  make_slow_call(&here);
  CHECK(here.interruptions > 1);
  job calls = {make_slow_call, &there};
  pthread_join(start(&calls, 0), NULL);
  CHECK(!there.interruptions);
}

static bool has_processors(void) {
#ifdef __linux__
  cpu_set_t processors;
  return !sched_getaffinity(0, sizeof processors, &processors) && CPU_COUNT(&processors) > 1;
#else
  return false;
#endif
}

TEST_IN_A_STORE(threads_that_sleep_are_woken_for_a_call_and_for_its_end) {
  parked_thread *parked = open_parked();
  guest burns = {.run = burn_amount, .amount = 30}, waits = {.run = sleep_for_amount, .amount = 1 * MS};
  for (int i = 0; i < 30; i++) {
    sleep_ns(i % 3 * MS / 2);
    prepare(run, 5000 * MS);
    int64_t until = clock_ns() + 5000 * MS;
    int32_t ended = call_at(parked, run, i % 2 ? &waits : &burns);
    while (ended == GUARD_PARKED_INTERRUPTED && clock_ns() < until) ended = guard_parked_wait(&parked->place, 5000 * MS);
    CHECK(ended == GUARD_PARKED_DONE);
  }
  CHECK(!close_parked(parked));
}

static int64_t thread_clock_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (int64_t)time.tv_sec * 1000 * MS + time.tv_nsec;
}

TEST_IN_A_STORE(a_caller_that_may_not_wait_does_not_look_in_a_loop) {
  guard_parked unserved = {.was_short = 1, .pace = {.is_looping = 1}};
  int64_t began = thread_clock_ns();
  for (int i = 0; i < 1000; i++) {
    prepare(run, -1);
    ask_for(&unserved, run, NULL);
    CHECK(guard_parked_ask(&unserved, 0) == GUARD_PARKED_LEFT);
  }
  CHECK(thread_clock_ns() - began < 25 * MS); /* half of what the loops would take */
}

TEST_IN_A_STORE(only_calls_that_are_short_and_close_are_noted) {
  parked_thread *parked = open_parked();
  guest burns = {.run = burn_amount, .amount = 30}, waits = {.run = sleep_for_amount, .amount = 1 * MS};
  int64_t until = clock_ns() + 10000 * MS;
  for (int i = 0; i < 3; i++) { /* a busy machine may hold any of these calls up */
    int64_t calls = parked->place.pace.calls;
    do {
      CHECK(clock_ns() < until);
      prepare(run, -1);
      call_at(parked, run, &burns);
      wait_at(parked);
    } while (parked->place.pace.calls == calls && has_processors());
  }
  int64_t calls = parked->place.pace.calls;
  prepare(run, -1);
  call_at(parked, run, &waits);
  wait_at(parked);
  CHECK(!parked->place.was_short && parked->place.pace.calls == calls);
  sleep_ns(1 * MS);
  prepare(run, -1);
  call_at(parked, run, &burns);
  wait_at(parked);
  CHECK(!parked->place.is_close && parked->place.pace.calls == calls);
  CHECK(!close_parked(parked));
}

/* Note calls that cost this much in each way, and return how many of them looked in a loop. */
static int pace_calls(guard_pace *pace, int64_t sleeping_ns, int64_t looping_ns, int calls) {
  int looped = 0;
  for (int i = 0; i < calls; i++) {
    looped += pace->is_looping;
    guard_pace_note(pace, pace->is_looping ? looping_ns : sleeping_ns);
  }
  return looped;
}

TEST(the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then) {
  if (!has_processors()) return;
  guard_pace pace = {0};
  CHECK(pace_calls(&pace, 100000, 3000, 100) > 50); /* both are tried at first */
  int looped = pace_calls(&pace, 100000, 3000, 11000);
  CHECK(looped > 10800 && looped < 11000);
  CHECK(pace_calls(&pace, 5000, 500000, 100) < 60); /* the machine became busy, which is noticed soon */
  looped = pace_calls(&pace, 5000, 500000, 10000);
  CHECK(looped < 200 && looped > 0);
  CHECK(pace_calls(&pace, 5000, 4000, 10000) < 200); /* a loop has to be clearly quicker */
  CHECK(pace_calls(&pace, 100000, -1, 10000) > 7000);
}

/* The ends of two pipes, and the other ends of them. */
typedef struct pipe_ends {
  guard_pipes pipes;
  int calls, answers;
} pipe_ends;

static void open_pipes(pipe_ends *ends) {
  int calls[2], answers[2];
  CHECK(!pipe(calls) && !pipe(answers));
  ends->pipes.to = calls[1];
  ends->pipes.from = answers[0];
  ends->calls = calls[0];
  ends->answers = answers[1];
}

static void close_pipes(pipe_ends *ends) {
  close(ends->pipes.to);
  close(ends->pipes.from);
  close(ends->calls);
  close(ends->answers);
}

/* Answer a frame with what is behind its first byte. */
static void answer_frame(void *data) {
  pipe_ends *ends = data;
  char frame[16];
  ssize_t size = read(ends->calls, frame, sizeof frame);
  sleep_ns(2 * MS);
  CHECK(size > 1 && write(ends->answers, frame + 1, (size_t)size - 1) == size - 1);
}

TEST(frames_are_exchanged_in_a_loop_or_asleep) {
  for (int is_looping = 0; is_looping < 2; is_looping++) {
    pipe_ends ends = {.pipes = {.wait_ns = -1, .size = 5, .written = "hello", .pace = {.is_looping = is_looping}}};
    open_pipes(&ends);
    job answers = {answer_frame, &ends};
    pthread_t thread = start(&answers, 0);
    CHECK(guard_ask(&ends.pipes) == 4 && !memcmp(ends.pipes.read, "ello", 4));
    pthread_join(thread, NULL);
    ends.pipes.size = 0;
    CHECK(write(ends.answers, "x", 1) == 1 && guard_ask(&ends.pipes) == 1);
    close(ends.answers);
    CHECK(guard_ask(&ends.pipes) == 0);
    ends.answers = dup(ends.calls);
    close_pipes(&ends);
  }
}

TEST(an_exchange_ends_in_time_and_with_a_pipe_that_nobody_reads) {
  pipe_ends ends = {.pipes = {.wait_ns = 5 * MS}};
  open_pipes(&ends);
  int64_t began = clock_ns();
  CHECK(guard_ask(&ends.pipes) == GUARD_NOTHING_READ);
  CHECK(clock_ns() - began >= 5 * MS);
  signal(SIGPIPE, SIG_IGN);
  close(ends.calls);
  ends.pipes.size = 1;
  CHECK(guard_ask(&ends.pipes) == GUARD_NOT_WRITTEN);
  ends.calls = dup(ends.answers);
  close_pipes(&ends);
}

/* Send a signal to a thread that waits. */
static void interrupt_thread(void *data) {
  sleep_ns(20 * MS);
  pthread_kill(*(pthread_t *)data, SIGUSR1);
}

static void ignore_signal(int number) { (void)number; }

TEST(a_signal_ends_an_exchange) {
  struct sigaction ignoring = {.sa_handler = ignore_signal}, before;
  CHECK(!sigaction(SIGUSR1, &ignoring, &before));
  pipe_ends ends = {.pipes = {.wait_ns = 10000 * MS}};
  open_pipes(&ends);
  int64_t began = clock_ns();
  pthread_t own = pthread_self();
  job interrupts = {interrupt_thread, &own};
  pthread_t thread = start(&interrupts, 0);
  CHECK(guard_ask(&ends.pipes) == GUARD_NOTHING_READ);
  CHECK(clock_ns() - began < 9000 * MS);
  pthread_join(thread, NULL);
  close_pipes(&ends);
  CHECK(!sigaction(SIGUSR1, &before, NULL));
}

/* Answer a call as a guest would that has run for so long. */
static void answer_call_of(pipe_ends *ends, uint64_t number, int64_t guest_ns, size_t size) {
  guard_answer_frame answer = {.number = number, .started_ns = 5, .finished_ns = 5 + guest_ns};
  CHECK(write(ends->answers, &answer, size) == (ssize_t)size);
  CHECK(guard_ask(&ends->pipes) == (int64_t)size);
}

TEST(only_answers_of_short_guests_to_calls_that_are_close_are_noted) {
  if (!has_processors()) return;
  const size_t whole = sizeof(guard_answer_frame);
  pipe_ends ends = {.pipes = {.wait_ns = -1, .call_written = {.number = 7}}};
  guard_pipes *pipes = &ends.pipes;
  open_pipes(&ends);
  answer_call_of(&ends, 7, 0, whole);
  int64_t until = clock_ns() + 10000 * MS, calls = pipes->pace.calls; /* a busy machine may lie between two calls */
  while (pipes->pace.calls == calls && clock_ns() < until) answer_call_of(&ends, 7, 0, whole);
  CHECK(pipes->pace.calls > calls);
  calls = pipes->pace.calls;
  for (int i = 0; i < 50; i++) {
    answer_call_of(&ends, 7, MS, whole);          /* a long guest */
    answer_call_of(&ends, 7, -1, whole);          /* and what no guest is */
    answer_call_of(&ends, 7, INT64_MAX - 5, whole);
    answer_call_of(&ends, 8, 0, whole);           /* to another call */
    answer_call_of(&ends, 7, 0, whole - 1);       /* not a whole one */
  }
  sleep_ns(1 * MS);
  answer_call_of(&ends, 7, 0, whole);
  CHECK(pipes->pace.calls == calls);
  close_pipes(&ends);
}

TEST(a_call_is_open_until_the_frame_that_answers_it_was_read) {
  const size_t whole = sizeof(guard_answer_frame);
  pipe_ends ends = {.pipes = {.wait_ns = 1 * MS, .call_written = {.number = 7}}};
  guard_pipes *pipes = &ends.pipes;
  open_pipes(&ends);
  CHECK(!pipes->is_open && guard_ask(pipes) == GUARD_NOTHING_READ && pipes->is_open);
  answer_call_of(&ends, 7, 0, whole);
  CHECK(!pipes->is_open);
  answer_call_of(&ends, 8, 0, whole);
  CHECK(pipes->is_open);
  answer_call_of(&ends, 7, 0, whole - 1);
  CHECK(pipes->is_open);
  close_pipes(&ends);
}

/* A server of calls on a thread of its own, and the caller. */
typedef struct call_server {
  guard_pipes caller, served;
  guard_export *first;
  int64_t ended; /* the last result of `guard_serve` */
  pthread_t thread;
  job job;
} call_server;

static void serve_calls(void *data) {
  call_server *server = data;
  server->ended = guard_serve(&server->served, &server->first, 0);
  char end = 'x';
  CHECK(write(server->served.to, &end, 1) == 1);
}

static void open_server(call_server *server, guard_export *first) {
  int calls[2], answers[2];
  CHECK(!pipe(calls) && !pipe(answers));
  *server = (call_server){
      .caller = {.to = calls[1], .from = answers[0], .wait_ns = -1},
      .served = {.to = answers[1], .from = calls[0], .wait_ns = -1},
      .first = first,
  };
  server->job = (job){serve_calls, server};
  server->thread = start(&server->job, 0);
}

/* Call an export with an argument, and return the answer; NULL if the server has ended instead. */
static const guard_answer_frame *call_by_frame(call_server *server, uint64_t session, uint32_t index, size_t bytes) {
  guard_pipes *pipes = &server->caller;
  pipes->call_written.number++;
  pipes->call_written.session = session;
  pipes->call_written.index = index;
  pipes->size = (int32_t)(sizeof pipes->call_written + bytes);
  int64_t count = guard_ask(pipes);
  if (count == 1) return NULL;
  CHECK(count >= (int64_t)sizeof pipes->answer_read && pipes->answer_read.kind == 0);
  CHECK(pipes->answer_read.number == pipes->call_written.number);
  pipes->size = (int32_t)count;
  return &pipes->answer_read;
}

static int64_t close_server(call_server *server) {
  close(server->caller.to);
  pthread_join(server->thread, NULL);
  close(server->caller.from);
  close(server->served.from);
  close(server->served.to);
  return server->ended;
}

/* Double the first value, of `amount` bytes, with its kind before it in a component. */
static void *double_value(store *one, const guest *self, void *values, size_t count) {
  burn(one, 11);
  if (self->amount == 16) {
    CHECK(count == 2);
    ((int64_t *)values)[0] *= 2;
    ((int64_t *)values)[2] = -1;
  } else {
    CHECK(count == 1);
    ((int64_t *)values)[1] = 2 * ((const int64_t *)one->arguments)[1];
  }
  return NULL;
}

TEST_IN_A_STORE(calls_are_answered_with_their_values_and_figures) {
  guest of_module = {.run = double_value, .amount = 16}, of_component = {.run = double_value, .amount = 32};
  module_function function = {&of_module, 0};
  guard_export one = {NULL, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 1, 2};
  guard_export other = {&one, 3, run, &of_component, NULL, 6, GUARD_OF_COMPONENT, 1, 1};
  call_server server;
  open_server(&server, &other);
  for (int64_t i = 0; i < 100; i++) {
    int64_t *value = (int64_t *)(server.caller.written + sizeof(guard_call_frame));
    *value = i;
    const guard_answer_frame *answer = call_by_frame(&server, 3, 5, 16);
    CHECK(answer && answer->fuel_left == 989 && answer->started_ns > 0 && answer->finished_ns >= answer->started_ns);
    CHECK(server.caller.size == sizeof *answer + 32);
    CHECK(((const int64_t *)(answer + 1))[0] == 2 * i && ((const int64_t *)(answer + 1))[2] == -1);
    value[1] = -i;
    answer = call_by_frame(&server, 3, 6, 32);
    CHECK(answer && answer->fuel_left == 989 && server.caller.size == sizeof *answer + 32);
    CHECK(((const int64_t *)(answer + 1))[1] == -2 * i);
  }
  CHECK(close_server(&server) == GUARD_NOTHING_READ);
}

TEST_IN_A_STORE(calls_of_other_exports_and_with_other_sizes_are_left_to_the_caller) {
  guest of_module = {.run = double_value, .amount = 16};
  module_function function = {&of_module, 0};
  guard_export one = {NULL, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 1, 2};
  const int wrong[][3] = {{4, 5, 16}, {3, 6, 16}, {3, 5, 0}, {3, 5, 32}, {3, 5, -20}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    call_server server;
    open_server(&server, &one);
    CHECK(!call_by_frame(&server, (uint64_t)wrong[i][0], (uint32_t)wrong[i][1], (size_t)wrong[i][2]));
    CHECK(close_server(&server) == (int64_t)sizeof(guard_call_frame) + wrong[i][2] && run->entries == 0);
  }
}

TEST_IN_A_STORE(a_call_that_was_left_is_answered_once_its_export_is_known) {
  guest of_module = {.run = double_value, .amount = 16};
  module_function function = {&of_module, 0};
  guard_export one = {NULL, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 1, 2}, *first = NULL;
  pipe_ends ends = {.pipes = {.wait_ns = -1}};
  open_pipes(&ends);
  guard_pipes *pipes = &ends.pipes;
  struct {
    guard_call_frame frame;
    int64_t value[2];
  } call = {{.number = 9, .session = 3, .index = 5}, {21, 0}};
  CHECK(write(ends.answers, &call, sizeof call) == sizeof call);
  CHECK(guard_serve(pipes, &first, 0) == sizeof call && run->entries == 0);
  first = &one;
  close(ends.answers);
  CHECK(guard_serve(pipes, &first, sizeof call) == GUARD_NOTHING_READ && run->entries == 1);
  struct {
    guard_answer_frame frame;
    int64_t values[4];
  } answer;
  CHECK(read(ends.calls, &answer, sizeof answer) == sizeof answer);
  CHECK(answer.frame.number == 9 && answer.values[0] == 42);
  ends.answers = dup(ends.calls);
  close_pipes(&ends);
}

TEST_IN_A_STORE(a_call_that_fails_or_is_late_is_left_to_the_caller_with_its_error) {
  guest traps = {.run = trap_with_amount, .amount = 3}, late = {.run = sleep_for_amount, .amount = 4 * MS};
  const guest *failing[] = {&traps, &endless, &late};
  const int codes[] = {3, INTERRUPTED, INTERRUPTED};
  for (int i = 0; i < 3; i++) {
    module_function function = {failing[i], 0}, returning = {&idle, 0};
    guard_run *other = open_store(engine); /* which has no timeout */
    guard_export good = {NULL, 3, other, &returning, NULL, 4, GUARD_OF_MODULE, 0, 0};
    guard_export one = {&good, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 0, 0};
    call_server server;
    prepare(run, i ? 2 * MS : -1);
    open_server(&server, &one);
    CHECK(call_by_frame(&server, 3, 4, 0));
    CHECK(!call_by_frame(&server, 3, 5, 0));
    CHECK(close_server(&server) == GUARD_CALL_FAILED && server.served.size == 0);
    CHECK(run->stop == (i ? GUARD_TIMEOUT : GUARD_RUNNING) && trap_of(one.error) == codes[i]);
    close_store(other);
  }
}

static void *stop_and_return(store *one, const guest *self, void *values, size_t count) {
  (void)one, (void)values, (void)count;
  guard_stop(self->pointer, GUARD_CANCELLED);
  return NULL;
}

TEST_IN_A_STORE(a_run_that_was_stopped_as_its_guest_returned_is_not_answered) {
  guest returns = {.run = stop_and_return, .pointer = run};
  module_function function = {&returns, 0};
  guard_export one = {NULL, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 0, 0};
  call_server server;
  open_server(&server, &one);
  CHECK(!call_by_frame(&server, 3, 5, 0));
  CHECK(close_server(&server) == GUARD_CALL_FAILED && !one.error && run->stop == GUARD_CANCELLED);
}

TEST_IN_A_STORE(a_signal_does_not_end_a_server) {
  struct sigaction ignoring = {.sa_handler = ignore_signal}, before;
  CHECK(!sigaction(SIGUSR1, &ignoring, &before));
  module_function function = {&idle, 0};
  guard_export one = {NULL, 3, run, &function, NULL, 5, GUARD_OF_MODULE, 0, 0};
  call_server server;
  open_server(&server, &one);
  for (int i = 0; i < 5; i++) {
    CHECK(call_by_frame(&server, 3, 5, 0));
    sleep_ns(1 * MS);
    CHECK(!pthread_kill(server.thread, SIGUSR1));
    sleep_ns(1 * MS);
  }
  CHECK(call_by_frame(&server, 3, 5, 0));
  CHECK(close_server(&server) == GUARD_NOTHING_READ);
  CHECK(!sigaction(SIGUSR1, &before, NULL));
}

/* Wait until the test has seen that the call was left, or for ten seconds. */
static void *wait_for_release(store *one, const guest *self, void *values, size_t count) {
  (void)one, (void)values, (void)count;
  atomic_bool *is_released = self->pointer;
  int64_t until = clock_ns() + 10000 * MS;
  while (!*is_released && clock_ns() < until) sleep_ns(MS / 10);
  return NULL;
}

static int32_t ask_at(parked_thread *one, guard_run *run, const guest *other, int64_t wait_ns) {
  ask_for(&one->place, run, value_of(other));
  return guard_parked_ask(&one->place, wait_ns);
}

static void wait_for_told(parked_thread *one, int count) {
  int64_t until = clock_ns() + 10000 * MS;
  while (one->told < count) {
    CHECK(clock_ns() < until);
    sleep_ns(MS / 10);
  }
}

TEST_IN_A_STORE(a_call_that_ends_within_the_wait_is_told_to_its_caller) {
  parked_thread *parked = open_parked();
  guest burns = {.run = burn_amount, .amount = 30};
  for (int i = 0; i < 200; i++) {
    prepare(run, 3600 * 1000 * MS);
    CHECK(ask_at(parked, run, &burns, 3600 * 1000 * MS) == GUARD_PARKED_DONE && !parked->place.error);
    CHECK(wait_at(parked) == GUARD_PARKED_DONE);
    CHECK(run->fuel_left == 970 && run->entries == 1);
  }
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(a_call_that_takes_longer_than_the_wait_is_left_to_its_thread_which_tells_its_end) {
  parked_thread *parked = open_parked();
  atomic_bool is_released = false;
  guest waits = {.run = wait_for_release, .pointer = &is_released}, burns = {.run = burn_amount, .amount = 30};
  for (int i = 0; i < 4; i++) {
    is_released = false;
    prepare(run, -1);
    CHECK(ask_at(parked, run, &waits, i * MS) == GUARD_PARKED_LEFT);
    CHECK(wait_at(parked) == GUARD_PARKED_LEFT); /* at once */
    is_released = true;
    wait_for_told(parked, i + 1);
    CHECK(!parked->place.error && run->finished_ns && run->stop == GUARD_RUNNING);
    CHECK(wait_at(parked) == GUARD_PARKED_LEFT);
    CHECK(!guard_parked_give_up(&parked->place));
  }
  /* The same thread takes calls of callers that wait. */
  prepare(run, -1);
  CHECK(call_at(parked, run, &burns) == GUARD_PARKED_DONE && parked->told == 4);
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(short_calls_that_nobody_waits_for_are_told_too) {
  parked_thread *parked = open_parked();
  guest burns = {.run = burn_amount, .amount = 30};
  for (int i = 0, told = 0; i < 500; i++) {
    prepare(run, -1);
    if (ask_at(parked, run, &burns, 0) == GUARD_PARKED_LEFT) wait_for_told(parked, ++told);
    CHECK(parked->told == told && run->finished_ns && run->fuel_left == 970);
  }
  CHECK(!close_parked(parked));
}

static void *send_caller_away(store *one, const guest *self, void *values, size_t count) {
  (void)one, (void)values, (void)count;
  parked_thread *parked = self->pointer;
  guard_parked_leave(&parked->place);
  guard_parked_leave(&parked->place); /* does nothing */
  sleep_ns(self->amount);
  return NULL;
}

TEST_IN_A_STORE(a_host_function_can_send_the_caller_away) {
  parked_thread *parked = open_parked();
  guest leaves = {.run = send_caller_away, .amount = 20 * MS, .pointer = parked};
  prepare(run, -1);
  CHECK(ask_at(parked, run, &leaves, 3600 * 1000 * MS) == GUARD_PARKED_LEFT);
  wait_for_told(parked, 1);
  prepare(run, -1);
  leaves.amount = 0; /* the guest may have returned before the caller is awake */
  CHECK(ask_at(parked, run, &leaves, 3600 * 1000 * MS) == GUARD_PARKED_LEFT);
  wait_for_told(parked, 2);
  CHECK(!close_parked(parked));
}

static void ask_for_a_call_under_signals(void *data) {
  guard_run *run = data;
  parked_thread *parked = open_parked();
  atomic_bool is_released = false;
  guest waits = {.run = wait_for_release, .pointer = &is_released};
  pthread_t caller = pthread_self();
  job sends = {send_signals, &caller};
  pthread_t sender = start(&sends, 0);
  prepare(run, -1);
  CHECK(ask_at(parked, run, &waits, 3600 * 1000 * MS) == GUARD_PARKED_LEFT);
  is_released = true;
  wait_for_told(parked, 1);
  CHECK(run->stop == GUARD_RUNNING);
  pthread_join(sender, NULL);
  CHECK(!close_parked(parked));
}

TEST_IN_A_STORE(a_signal_leaves_a_call_that_was_asked_for_to_its_thread) {
  struct sigaction noting = {.sa_handler = note_signal}, before;
  CHECK(!sigaction(SIGUSR1, &noting, &before));
  job asks = {ask_for_a_call_under_signals, run};
  pthread_join(start(&asks, 0), NULL);
  CHECK(!sigaction(SIGUSR1, &before, NULL));
}

/* --- scalar lifts -------------------------------------------------------------------------------------------------- */

static uint32_t argument(const store *one, size_t slot) {
  uint32_t number;
  memcpy(&number, (const char *)one->arguments + 32 * slot + 8, sizeof number);
  return number;
}

static void return_number(void *values, uint32_t number) { memcpy((char *)values + 8, &number, sizeof number); }

/* What the functions of a guest with a scalar lift share. */
typedef struct heap {
  uint32_t next;     /* where `realloc` allocates */
  uint32_t returned; /* where the function says that its result is */
  uint32_t asked[3]; /* the last alignment, size, and length */
  int calls, refusals, post_returns;
  guard_run *stops; /* the run that the function stops */
} heap;

static void *reallocate(store *one, const guest *self, void *values, size_t count) {
  heap *state = self->pointer;
  (void)count;
  state->asked[0] = argument(one, 2);
  state->asked[1] = argument(one, 3);
  return_number(values, state->next);
  if (self->amount) state->next += (argument(one, 3) + 7) & ~(uint32_t)7;
  return NULL;
}

/* Return the pointer and the length that the function was given. Without fuel it traps, as compiled code does. */
static void *echo(store *one, const guest *self, void *values, size_t count) {
  heap *state = self->pointer;
  size_t size;
  if (!one->fuel) {
    state->refusals++;
    return new_failure(11, "fuel");
  }
  uint32_t pair[2] = {argument(one, 0), argument(one, 1)};
  state->calls++;
  state->asked[2] = pair[1];
  if (self->amount) memcpy(memory_of(one, 0, &size) + 16, pair, sizeof pair);
  if (state->stops) guard_stop(state->stops, GUARD_CANCELLED);
  if (count) return_number(values, state->returned);
  return NULL;
}

static void *post_return(store *one, const guest *self, void *values, size_t count) {
  heap *state = self->pointer;
  (void)values, (void)count;
  state->post_returns++;
  return argument(one, 0) == state->returned ? NULL : new_failure(1, "wrong");
}

/* A guest whose function takes and returns one text or list. */
typedef struct lifted_guest {
  heap heap;
  guest instance, reallocate, echo, post_return;
  guard_part part;
  guard_lifted lifted;
  struct {
    unsigned char values[64];
    guard_block block;
  } arguments;
  uint64_t results[4];
} lifted_guest;

static lifted_guest *new_lifted(guard_run *run, int32_t kind, int32_t width) {
  lifted_guest *made = calloc(1, sizeof *made);
  made->heap.next = 64;
  made->heap.returned = 16;
  made->instance = (guest){.minimum = PAGE, .memory_count = 1};
  made->reallocate = (guest){.run = reallocate, .pointer = &made->heap};
  made->echo = (guest){.run = echo, .pointer = &made->heap, .amount = 1};
  made->post_return = (guest){.run = post_return, .pointer = &made->heap};
  made->part = (guard_part){.kind = kind, .size = width, .alignment = width};
  CHECK(!guard_component_instantiate(run, NULL, &made->instance, NULL));
  CHECK(run->memory && run->memories == 1);
  made->lifted = (guard_lifted){.memory = run->memory, .call = &made->echo, .reallocate = &made->reallocate,
                                .post_return = &made->post_return, .parts = &made->part, .part_count = 1, .values = 2,
                                .blocks = 1, .result = GUARD_POINTER, .size = 8, .alignment = 4};
  return made;
}

static void *call_with(guard_run *run, lifted_guest *given, const void *content, uint64_t length) {
  given->arguments.block = (guard_block){.source = content, .part = &given->part, .length = length};
  memset(given->results, 0xff, sizeof given->results);
  return guard_lifted_call_anew(run, &given->lifted, &given->arguments, 0, given->results, 0);
}

/* The content of a text or list in the copies that a call has returned, for the pointer and the length at an offset. */
static const char *content(const lifted_guest *given, size_t offset, uint32_t *length) {
  const char *copies = (const char *)(uintptr_t)given->results[0];
  uint32_t pair[2];
  memcpy(pair, copies + offset, sizeof pair);
  *length = pair[1];
  return copies + pair[0];
}

/* Whether a call has failed with this text, after which nothing may enter the store. */
static bool is_refused(void *error, lifted_guest *given, const char *text) {
  failure *failed = error;
  bool is_right = failed && !strcmp(failed->text, text) && given->heap.refusals == 1 && !given->heap.post_returns;
  if (failed && !is_right) fprintf(stderr, "%s\n", failed->text);
  dispose(error);
  given->heap.refusals = given->heap.post_returns = 0;
  return is_right;
}

TEST(a_scalar_lift_copies_lists_into_the_memory_of_the_guest_and_out_of_it) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_LIST, 4);
  const uint32_t numbers[3] = {1, 2, 3};
  CHECK(!call_with(run, given, numbers, 3));
  CHECK(given->heap.asked[0] == 4 && given->heap.asked[1] == 12 && given->heap.asked[2] == 3);
  CHECK(given->heap.calls == 1 && given->heap.post_returns == 1 && run->entries == 1 && run->fuel_left == 1000);
  uint32_t length;
  CHECK(!memcmp(content(given, 0, &length), numbers, sizeof numbers) && length == 3);
  guard_free(given->results);
  CHECK(!call_with(run, given, NULL, 0));
  content(given, 0, &length);
  CHECK(length == 0);
  guard_free(given->results);
  guard_free(given->results); /* does nothing */
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(a_scalar_lift_refuses_what_wasmtime_refuses_and_lets_nothing_enter_the_store) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_LIST, 4);
  const uint32_t numbers[3] = {1, 2, 3};
  given->heap.next = 66;
  CHECK(is_refused(call_with(run, given, numbers, 3), given, "realloc return: result not aligned"));
  given->heap.next = (uint32_t)PAGE - 8;
  CHECK(is_refused(call_with(run, given, numbers, 3), given, "realloc return: beyond end of memory"));
  CHECK(run->fuel_left == 1000 && !given->heap.calls);
  given->heap.next = 64;
  given->heap.returned = 18;
  CHECK(is_refused(call_with(run, given, numbers, 3), given, "return pointer not aligned"));
  given->heap.returned = (uint32_t)PAGE - 4;
  CHECK(is_refused(call_with(run, given, numbers, 3), given, "pointer out of bounds of memory"));
  given->heap.returned = 16;
  given->part.cost = 1 << 28;
  CHECK(is_refused(call_with(run, given, numbers, 3), given,
                   "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been "
                   "exhausted"));
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(a_scalar_lift_tells_where_a_text_is_not_utf_8) {
  static const struct {
    const char *text, *wrong;
  } texts[] = {
      {"plain ascii of more than eight bytes", NULL},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\xf4\x8f\xbf\xbf", NULL},
      {"ab\x80", "invalid utf-8 sequence of 1 bytes from index 2"},
      {"12345678\xc0\x80", "invalid utf-8 sequence of 1 bytes from index 8"},
      {"\xe2\x82", "incomplete utf-8 byte sequence from index 0"},
      {"\xe2\x82x", "invalid utf-8 sequence of 2 bytes from index 0"},
      {"\xed\xa0\x80", "invalid utf-8 sequence of 1 bytes from index 0"},
      {"\xe0\x9f\xbf", "invalid utf-8 sequence of 1 bytes from index 0"},
      {"\xf0\x9d\x84x", "invalid utf-8 sequence of 3 bytes from index 0"},
      {"\xf0\x9d", "incomplete utf-8 byte sequence from index 0"},
      {"\xf4\x90\x80\x80", "invalid utf-8 sequence of 1 bytes from index 0"},
      {"\xf5\x80\x80\x80", "invalid utf-8 sequence of 1 bytes from index 0"},
      {"\xc3", "incomplete utf-8 byte sequence from index 0"},
  };
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_TEXT, 1);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    given->heap.post_returns = 0;
    void *error = call_with(run, given, texts[i].text, strlen(texts[i].text));
    if (texts[i].wrong) {
      CHECK(is_refused(error, given, texts[i].wrong));
      continue;
    }
    CHECK(!error);
    guard_free(given->results);
  }
  free(given);
  close_store(run);
  delete_engine(engine);
}

/* What is stored in `list<tuple<option<u16>, string, u8>>`: the discriminant and the payload, the text, the number. */
static const guard_part ROW[] = {
    {.kind = GUARD_LIST, .size = 16, .alignment = 4, .inner = 6, .count = 1},
    {.kind = GUARD_VARIANT, .offset = 0, .size = 1, .count = 2, .inner = 3},
    {.kind = GUARD_CASE, .offset = 3},
    {.kind = GUARD_CASE, .offset = 3, .inner = 1},
    {.kind = GUARD_BYTES, .offset = 2, .size = 2},
    {.kind = GUARD_TEXT, .offset = 4, .size = 1, .alignment = 1},
    {.kind = GUARD_BYTES, .offset = 12, .size = 1},
};

TEST(a_scalar_lift_stores_and_takes_the_texts_in_the_elements_of_a_list_and_no_byte_between_their_fields) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_LIST, 16);
  static const unsigned char source[] = {
      1, 9, 7, 8, 0, 0, 0, 0, 3, 0, 0, 0, 5, 9, 9, 9, /* some(0x0807), 3 bytes, 5 */
      0, 9, 9, 9, 0, 0, 0, 0, 1, 0, 0, 0, 6, 9, 9, 9, /* none, 1 byte, 6 */
      'a', 'b', 'c', 'd'};
  size_t size;
  unsigned char *memory = memory_of(store_of(run), 0, &size);
  memset(memory + 64, 0xee, 64);
  given->reallocate.amount = 1;
  given->arguments.block = (guard_block){.source = source, .part = ROW, .length = 2};
  /* The result has the same parts; in results numbers are left out. */
  const guard_part parts[] = {ROW[0], ROW[1], ROW[2], ROW[3], {.kind = GUARD_COST, .cost = 48}, ROW[5],
                              {.kind = GUARD_COST, .cost = 1}};
  given->lifted.parts = parts;
  given->lifted.part_count = 7;
  CHECK(!guard_lifted_call_anew(run, &given->lifted, &given->arguments, 0, given->results, 0));
  static const unsigned char expected[] = {1, 0xee, 7,    8,    96, 0, 0, 0, 3, 0, 0, 0, 5, 0xee, 0xee, 0xee,
                                           0, 0xee, 0xee, 0xee, 104, 0, 0, 0, 1, 0, 0, 0, 6, 0xee, 0xee, 0xee,
                                           'a', 'b', 'c', 0xee, 0xee, 0xee, 0xee, 0xee, 'd', 0xee};
  CHECK(!memcmp(memory + 64, expected, sizeof expected));
  uint32_t length;
  const char *rows = content(given, 0, &length);
  CHECK(length == 2 && rows[0] == 1 && rows[2] == 7 && rows[12] == 5 && rows[16] == 0 && rows[28] == 6);
  const char *copies = (const char *)(uintptr_t)given->results[0];
  uint32_t pair[2];
  memcpy(pair, rows + 4, sizeof pair);
  CHECK(pair[1] == 3 && !memcmp(copies + pair[0], "abc", 3));
  memcpy(pair, rows + 20, sizeof pair);
  CHECK(pair[1] == 1 && copies[pair[0]] == 'd');
  guard_free(given->results);

  memory[80] = 2; /* the guest returns what lies there, with a discriminant that does not exist */
  given->arguments.block.part = NULL;
  given->echo.amount = given->heap.post_returns = 0;
  void *error = guard_lifted_call_anew(run, &given->lifted, &given->arguments, 0, given->results, 0);
  CHECK(is_refused(error, given, "discriminant 2 out of range [0..2)"));
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(a_scalar_lift_refuses_a_case_that_does_not_exist) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_TEXT, 1);
  given->lifted.result = GUARD_CHOICE;
  given->lifted.size = 3;
  given->lifted.post_return = NULL;
  given->heap.returned = 2;
  CHECK(!call_with(run, given, "x", 1));
  uint32_t number;
  memcpy(&number, (char *)given->results + 8, sizeof number);
  CHECK(number == 2);
  given->heap.returned = 3;
  CHECK(is_refused(call_with(run, given, "x", 1), given, "discriminant 3 out of range [0..3)"));
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(one_entry_can_instantiate_a_guest_with_one_memory_and_call_it_by_a_scalar_lift) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_TEXT, 1);
  const void *indices[3] = {&given->echo, &given->reallocate, &given->post_return};
  close_store(run);
  run = open_store(engine);
  given->lifted.memory = given->lifted.call = given->lifted.reallocate = given->lifted.post_return = NULL;
  given->arguments.block = (guard_block){.source = "abc", .part = &given->part, .length = 3};
  CHECK(!guard_lifted_execute(run, NULL, &given->instance, NULL, &given->lifted, indices, &given->arguments,
                              given->results));
  uint32_t length;
  CHECK(run->entries == 1 && run->memories == 1 && given->heap.post_returns == 1);
  CHECK(!memcmp(content(given, 0, &length), "abc", 3) && length == 3);
  guard_free(given->results);

  guest none = {.minimum = 0}, two = {.minimum = PAGE, .memory_count = 2}, traps = {.run = trap_with_amount, .amount = 3};
  given->heap.calls = 0;
  CHECK(trap_of(guard_lifted_execute(run, NULL, &traps, NULL, &given->lifted, indices, &given->arguments,
                                     given->results)) == 3);
  CHECK(run->refused == GUARD_ENTERED);
  guest *others[] = {&none, &two};
  for (int i = 0; i < 2; i++) {
    dispose(guard_lifted_execute(run, NULL, others[i], NULL, &given->lifted, indices, &given->arguments, given->results));
    CHECK(run->refused == GUARD_NOT_LIFTED && given->heap.calls == 0);
  }
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(a_run_that_is_stopped_does_not_go_on_checking_a_long_result) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_LIST, 1);
  static const unsigned char numbers[60000];
  given->part.element_cost = 100; /* 6 MB together */
  CHECK(!call_with(run, given, numbers, sizeof numbers));
  guard_free(given->results);
  given->heap.stops = run;
  dispose(call_with(run, given, numbers, 100));
  CHECK(run->stop == GUARD_CANCELLED);
  guard_free(given->results);
  void *error = call_with(run, given, numbers, sizeof numbers);
  CHECK(error && !strcmp(((failure *)error)->text, "stopped"));
  dispose(error);
  free(given);
  close_store(run);
  delete_engine(engine);
}

TEST(no_result_makes_a_scalar_lift_read_outside_of_the_memory) {
  engine *engine = usual_engine();
  guard_run *run = open_store(engine);
  lifted_guest *given = new_lifted(run, GUARD_LIST, 8);
  guard_part parts[] = {{.kind = GUARD_CHAR, .offset = 0},
                        {.kind = GUARD_TEXT, .offset = 4, .size = 1, .alignment = 1, .cost = 3},
                        {.kind = GUARD_LIST, .offset = 12, .size = 12, .alignment = 4, .inner = 2},
                        {.kind = GUARD_CHAR, .offset = 4, .cost = 48},
                        {.kind = GUARD_COST, .cost = 48},
                        {.kind = GUARD_LIST, .offset = 20, .size = 8, .alignment = 8, .element_cost = 96},
                        {.kind = GUARD_VARIANT, .offset = 28, .size = 1, .count = 3, .inner = 8},
                        {.kind = GUARD_CASE, .offset = 4},
                        {.kind = GUARD_CASE, .offset = 4, .inner = 1},
                        {.kind = GUARD_CASE, .offset = 5, .inner = 4},
                        {.kind = GUARD_TEXT, .offset = 32, .size = 1, .alignment = 1, .cost = 48},
                        {.kind = GUARD_LIST, .offset = 32, .size = 8, .alignment = 4, .inner = 1, .count = 1},
                        {.kind = GUARD_TEXT, .offset = 0, .size = 1, .alignment = 1},
                        {.kind = GUARD_FLAGS, .offset = 29, .size = 1, .count = 1, .inner = 1},
                        {.kind = GUARD_COST, .cost = 3}};
  uint64_t results[4], random = 1;
  size_t size;
  unsigned char *memory = memory_of(store_of(run), 0, &size);
  int returned = 0;
  given->echo.amount = 0; /* what it returns lies there already */
  given->lifted.blocks = 0;
  given->lifted.post_return = NULL;
  given->lifted.parts = parts;
  given->lifted.part_count = 15;
  given->lifted.size = 40;
  for (int i = 0; i < 20000; i++) {
    uint32_t words[10];
    for (int n = 0; n < 10; n++) {
      random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      uint32_t drawn = (uint32_t)(random >> 33);
      words[n] = drawn % 5 ? drawn % 64 * 8 : drawn % 3 ? (uint32_t)PAGE - drawn % 64 : UINT32_MAX - drawn % 64;
      if (n == 7 && drawn % 9) words[n] = drawn / 16 % 3;
    }
    given->heap.returned = i % 50 ? 512 : words[0];
    memcpy(memory + 512, words, sizeof words);
    void *error = guard_lifted_call_anew(run, &given->lifted, &given->arguments, 0, results, 0);
    returned += !error;
    if (!error) guard_free(results);
    dispose(error);
  }
  CHECK(returned > 100 && returned < 19900);
  free(given);
  close_store(run);
  delete_engine(engine);
}

/* --- the program --------------------------------------------------------------------------------------------------- */

#define NAMED(test) {#test, test}
static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    NAMED(the_library_has_the_version_and_the_sizes_of_its_header),
    NAMED(a_store_has_the_limits_that_it_was_made_with_and_none_for_memory),
    NAMED(an_entry_leaves_its_fuel_and_its_times),
    NAMED(the_fuel_that_is_left_is_noted_when_the_host_is_called),
    NAMED(results_of_components_are_values_that_own_nothing_before_the_call),
    NAMED(a_trap_comes_back_from_every_entry_and_the_figures_are_kept),
    NAMED(one_entry_can_instantiate_a_component_and_call_it),
    NAMED(one_entry_can_instantiate_a_module_and_call_it),
    NAMED(an_endless_guest_ends_at_its_deadline_and_not_before),
    NAMED(a_timeout_counts_from_the_first_entry_of_a_run),
    NAMED(the_earlier_deadline_comes_first_even_if_it_is_set_later),
    NAMED(a_timeout_beyond_the_end_of_time_is_none),
    NAMED(each_of_many_threads_has_its_own_deadline),
    NAMED(another_thread_can_stop_a_guest_that_has_no_deadline),
    NAMED(the_first_reason_for_a_stop_counts),
    NAMED(a_host_function_can_stop_the_guest_that_called_it),
    NAMED(a_stop_is_for_one_store_alone),
    NAMED(memories_are_charged_when_they_are_made_and_given_back_with_their_store),
    NAMED(the_limit_is_exact_and_counts_what_it_refuses),
    NAMED(a_first_size_beyond_the_limit_is_refused_with_its_size),
    NAMED(memory_that_the_machine_refuses_is_not_charged),
    NAMED(memory_that_the_machine_refuses_at_first_is_asked_for_again_without_what_is_kept),
    NAMED(a_run_begins_with_its_own_peak),
    NAMED(a_memory_outside_of_an_execution_is_refused),
    NAMED(each_memory_is_charged_to_the_innermost_run_of_its_thread),
    NAMED(memories_read_as_zero_and_end_where_their_size_ends_also_if_their_mapping_is_used_again),
    NAMED(what_a_memory_gains_reads_as_zero_and_what_it_had_stays),
    NAMED(a_moved_mapping_is_not_given_to_a_memory_with_another_reservation),
    NAMED(an_image_is_the_first_content_of_the_memory_of_its_size_and_of_no_other),
    NAMED(an_image_is_only_for_the_entry_that_instantiates_its_guest),
    NAMED(an_image_is_mapped_and_no_guest_sees_what_another_writes_into_it),
    NAMED(an_image_does_not_stay_in_a_mapping_that_is_used_again),
    NAMED(a_memory_with_an_image_grows_like_any_other),
    NAMED(an_image_costs_its_units_and_not_more_than_there_are),
    NAMED(what_an_image_cost_is_given_back_if_its_memory_does_not_outlive_the_entry),
    NAMED(an_image_whose_descriptor_somebody_closed_or_gave_to_another_file_is_copied),
    NAMED(the_bytes_of_an_image_cannot_be_changed),
    NAMED(images_beyond_those_that_keep_a_file_open_are_copied),
    NAMED(an_image_is_copied_if_there_are_no_more_descriptors),
    NAMED(an_image_that_is_not_there_is_refused),
    NAMED(the_memory_of_the_probes_is_their_file_in_each_store_and_nobody_pays_for_it),
    NAMED(the_memory_of_the_probes_does_not_grow),
    NAMED(a_file_that_is_shorter_than_the_memory_of_the_probes_is_refused),
    NAMED(the_file_of_the_probes_is_closed_with_their_engine),
    NAMED(a_handler_that_raises_ends_the_guest_of_the_main_thread),
    NAMED(a_handler_that_returns_lets_the_guest_go_on),
    NAMED(a_handler_may_run_a_guest_of_another_store),
    NAMED(an_interpreter_that_is_ending_is_not_asked_for_its_lock),
    NAMED(signals_are_not_handled_on_other_threads),
    NAMED(an_entry_with_too_little_stack_is_refused),
    NAMED(a_store_can_be_deleted_on_another_thread),
    NAMED(an_entry_whose_deadline_nobody_can_keep_is_refused),
    NAMED(deadlines_hold_again_after_a_shutdown),
    NAMED(a_guest_that_is_forked_goes_on_under_its_deadline),
    NAMED(a_call_on_a_parked_thread_leaves_what_a_call_on_this_thread_leaves),
    NAMED(results_of_a_call_on_a_parked_thread_are_values_that_own_nothing_before_it),
    NAMED(an_endless_guest_on_a_parked_thread_ends_at_its_deadline),
    NAMED(a_caller_waits_for_a_blocked_guest_to_the_deadline_and_as_long_as_it_then_likes),
    NAMED(a_parked_thread_ends_when_a_guest_that_was_given_up_returns),
    NAMED(a_signal_ends_the_wait_of_a_caller_and_not_the_call),
    NAMED(the_main_thread_looks_again_and_again_for_signals_that_came_before_its_wait),
    NAMED(threads_that_sleep_are_woken_for_a_call_and_for_its_end),
    NAMED(a_caller_that_may_not_wait_does_not_look_in_a_loop),
    NAMED(only_calls_that_are_short_and_close_are_noted),
    NAMED(the_way_to_wait_that_costs_less_is_used_and_the_other_one_is_tried_now_and_then),
    NAMED(frames_are_exchanged_in_a_loop_or_asleep),
    NAMED(an_exchange_ends_in_time_and_with_a_pipe_that_nobody_reads),
    NAMED(a_signal_ends_an_exchange),
    NAMED(only_answers_of_short_guests_to_calls_that_are_close_are_noted),
    NAMED(a_call_is_open_until_the_frame_that_answers_it_was_read),
    NAMED(calls_are_answered_with_their_values_and_figures),
    NAMED(calls_of_other_exports_and_with_other_sizes_are_left_to_the_caller),
    NAMED(a_call_that_was_left_is_answered_once_its_export_is_known),
    NAMED(a_call_that_fails_or_is_late_is_left_to_the_caller_with_its_error),
    NAMED(a_run_that_was_stopped_as_its_guest_returned_is_not_answered),
    NAMED(a_signal_does_not_end_a_server),
    NAMED(a_call_that_ends_within_the_wait_is_told_to_its_caller),
    NAMED(a_call_that_takes_longer_than_the_wait_is_left_to_its_thread_which_tells_its_end),
    NAMED(short_calls_that_nobody_waits_for_are_told_too),
    NAMED(a_host_function_can_send_the_caller_away),
    NAMED(a_signal_leaves_a_call_that_was_asked_for_to_its_thread),
    NAMED(a_scalar_lift_copies_lists_into_the_memory_of_the_guest_and_out_of_it),
    NAMED(a_scalar_lift_refuses_what_wasmtime_refuses_and_lets_nothing_enter_the_store),
    NAMED(a_scalar_lift_tells_where_a_text_is_not_utf_8),
    NAMED(a_scalar_lift_stores_and_takes_the_texts_in_the_elements_of_a_list_and_no_byte_between_their_fields),
    NAMED(a_scalar_lift_refuses_a_case_that_does_not_exist),
    NAMED(one_entry_can_instantiate_a_guest_with_one_memory_and_call_it_by_a_scalar_lift),
    NAMED(a_run_that_is_stopped_does_not_go_on_checking_a_long_result),
    NAMED(no_result_makes_a_scalar_lift_read_outside_of_the_memory),
};

int main(int count, char **arguments) {
  CHECK(!load_guard(NEEDED_STACK));
  CHECK(!load_guard(0)); /* does nothing */
  int ran = 0;
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    if (count > 1 && strcmp(arguments[1], tests[i].name)) continue;
    printf("%s\n", tests[i].name);
    fflush(stdout);
    tests[i].run();
    ran++;
  }
  guard_shutdown();
  printf("%d passed\n", ran);
  return ran ? 0 : 1;
}
