/* fake_wasmtime.h says what this is. */
#include "fake_wasmtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

fake_python python = {.is_initialized = true};

int64_t clock_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

void sleep_ns(int64_t time_ns) {
  struct timespec time = {(time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000)};
  nanosleep(&time, NULL);
}

/* --- the system ---------------------------------------------------------------------------------------------------- */

atomic_int failing_threads, failing_mprotects;

static bool has_to_fail(atomic_int *count) {
  int left = atomic_load(count);
  while (left > 0)
    if (atomic_compare_exchange_weak(count, &left, left - 1)) return true;
  return false;
}

int pthread_create_or_fail(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *data) {
  return has_to_fail(&failing_threads) ? EAGAIN : pthread_create(thread, attributes, start, data);
}

int mprotect_or_fail(void *address, size_t size, int protection) {
  if (!has_to_fail(&failing_mprotects)) return mprotect(address, size, protection);
  errno = ENOMEM;
  return -1;
}

static void *allocate(size_t size) {
  void *memory = calloc(1, size);
  if (!memory) abort();
  return memory;
}

/* --- errors and traps ---------------------------------------------------------------------------------------------- */

failure *new_failure(int code, const char *text) {
  failure *made = allocate(sizeof *made);
  made->code = code;
  snprintf(made->text, sizeof made->text, "%s", text);
  return made;
}

bool dispose(void *failed) {
  free(failed);
  return failed != NULL;
}

static void *error_new(const char *text) { return new_failure(-1, text); }

static void *trap_new_code(uint8_t code) { return new_failure(code, "trap"); }

/* --- engines and stores -------------------------------------------------------------------------------------------- */

static void engine_increment_epoch(void *given) {
  engine *one = given;
  atomic_fetch_add(&one->epoch, 1);
}

static void config_memory_creator_set(void *config, void *creator) {
  engine *one = config;
  memcpy(&one->creator, creator, sizeof one->creator);
}

engine *new_engine(size_t reserved, size_t guarded) {
  engine *one = allocate(sizeof *one);
  one->reserved = reserved;
  one->guarded = guarded;
  one->memories = guard_memories_new(one);
  return one;
}

void delete_engine(engine *one) {
  one->creator.finalizer(one->creator.env);
  free(one);
}

static void *store_new(void *given, void *data, void *finalizer) {
  store *made = allocate(sizeof *made);
  (void)data, (void)finalizer;
  made->engine = given;
  return made;
}

static void *store_context(void *given) { return given; }

static void store_delete(void *given) {
  store *one = given;
  for (size_t i = 0; i < one->memory_count; i++) one->memories[i].finalizer(one->memories[i].env);
  free(one);
}

static void store_limiter(void *given, int64_t memory, int64_t table_elements, int64_t instances, int64_t tables,
                          int64_t memories) {
  store *one = given;
  int64_t limits[5] = {memory, table_elements, instances, tables, memories};
  memcpy(one->limits, limits, sizeof limits);
}

static void store_epoch_callback(void *given, void *(*callback)(void *, void *, uint64_t *, uint8_t *), void *data,
                                 void *finalizer) {
  store *one = given;
  (void)finalizer;
  one->on_epoch = callback;
  one->data = data;
}

static void set_epoch_deadline(void *context, uint64_t epochs) {
  store *one = context;
  one->deadline = atomic_load(&one->engine->epoch) + epochs;
}

static void *set_fuel(void *context, uint64_t fuel) {
  ((store *)context)->fuel = fuel;
  return NULL;
}

static void *get_fuel(void *context, uint64_t *fuel) {
  *fuel = ((store *)context)->fuel;
  return NULL;
}

/* --- guests -------------------------------------------------------------------------------------------------------- */

void *has_to_end(store *one) {
  if (atomic_load(&one->engine->epoch) < one->deadline) return NULL;
  uint64_t delta = 0;
  uint8_t kind = 255;
  void *error = one->on_epoch(one, one->data, &delta, &kind);
  if (error) return error;
  if (kind != 0 || delta == 0) abort(); /* the callback has left its answer out */
  one->deadline = atomic_load(&one->engine->epoch) + delta;
  return NULL;
}

void *spin(store *one, int64_t most_ns) {
  int64_t until_ns = clock_ns() + most_ns;
  do {
    void *error = has_to_end(one);
    if (error) return error;
  } while (clock_ns() < until_ns);
  return NULL;
}

void *new_memory(store *one, size_t minimum) {
  if (one->memory_count == MOST_MEMORIES) abort();
  memory_creator *creator = &one->engine->creator;
  void *error = creator->new_memory(creator->env, NULL, minimum, SIZE_MAX, one->engine->reserved, one->engine->guarded,
                                    &one->memories[one->memory_count]);
  if (!error) one->memory_count++;
  return error;
}

void *grow(store *one, size_t memory, size_t by_bytes) {
  linear_memory *grown = &one->memories[memory];
  size_t size, capacity;
  grown->get(grown->env, &size, &capacity);
  return grown->grow(grown->env, by_bytes > SIZE_MAX - size ? SIZE_MAX : size + by_bytes);
}

uint8_t *memory_of(const store *one, size_t memory, size_t *size) {
  size_t capacity;
  return one->memories[memory].get(one->memories[memory].env, size, &capacity);
}

void burn(store *one, uint64_t fuel) { one->fuel = one->fuel > fuel ? one->fuel - fuel : 0; }

static void *instantiate(store *one, const guest *guest) {
  for (size_t i = 0; i < guest->memory_count; i++) {
    void *error = new_memory(one, guest->minimum);
    if (error) return error;
  }
  return guest->run ? guest->run(one, guest, NULL, 0) : NULL;
}

static void *component_instantiate(void *linker, void *context, void *component, void *instance) {
  (void)linker, (void)instance;
  return instantiate(context, component);
}

/* A function of a component that was looked up. Tests also call a guest itself, which begins with an address. */
typedef struct found_function {
  const void *is_null;
  const guest *guest;
} found_function;

static void *component_call(void *function, void *context, const void *arguments, size_t count, void *results,
                            size_t result_count) {
  const found_function *found = function;
  const guest *called = found->is_null ? function : (const void *)found->guest;
  (void)count;
  ((store *)context)->arguments = arguments;
  return called->run(context, called, results, result_count);
}

static bool component_function(const void *instance, void *context, const void *export_index, void *function) {
  (void)instance, (void)context;
  found_function found = {.guest = export_index};
  if (export_index) memcpy(function, &found, sizeof found);
  return export_index != NULL;
}

static void *module_instantiate(void *linker, void *context, void *module, void *instance, void **trap) {
  (void)linker;
  *(const guest **)instance = module;
  *trap = instantiate(context, module);
  return NULL;
}

static bool module_export(void *context, const void *instance, const char *name, size_t length, void *item) {
  const guest *module = *(const guest *const *)instance;
  (void)context;
  if (!module->export_name || strlen(module->export_name) != length || memcmp(module->export_name, name, length))
    return false;
  module_function function = {module->export, 0};
  memcpy(item, &module->export_kind, 1);
  memcpy((char *)item + 8, &function, sizeof function);
  return true;
}

static void *module_call(void *context, void *function, void *values, size_t count, void **trap) {
  const guest *called = ((const module_function *)function)->guest;
  *trap = called->run(context, called, values, count);
  return NULL;
}

static void *resource_drop(void *context, void *resource) {
  const guest *destructor = resource;
  return destructor->run(context, destructor, NULL, 0);
}

/* --- Python -------------------------------------------------------------------------------------------------------- */

static int gil_ensure(void) {
  if (atomic_fetch_add(&python.holders, 1)) abort(); /* taken twice */
  return 7;
}

static void gil_release(int state) {
  if (state != 7 || atomic_fetch_sub(&python.holders, 1) != 1) abort();
}

static int check_signals(void) {
  if (atomic_load(&python.holders) != 1) abort();
  if (!atomic_exchange(&python.has_signal, false)) return 0;
  atomic_fetch_add(&python.handled, 1);
  void (*handler)(void) = atomic_load(&python.handler);
  if (handler) {
    /* Python releases the GIL when its handler calls the guard. */
    atomic_fetch_sub(&python.holders, 1);
    handler();
    atomic_fetch_add(&python.holders, 1);
  }
  return atomic_load(&python.does_raise) ? -1 : 0;
}

static void fetch_exception(void **type, void **value, void **traceback) {
  *type = &python;
  *value = &python.has_signal;
  *traceback = NULL;
}

static int is_initialized(void) { return atomic_load(&python.is_initialized); }

int load_guard(size_t stack_bytes) {
  guard_table table = {
      .error_new = error_new,
      .error_delete = free,
      .trap_new_code = trap_new_code,
      .engine_increment_epoch = engine_increment_epoch,
      .config_memory_creator_set = config_memory_creator_set,
      .store_new = store_new,
      .store_context = store_context,
      .store_delete = store_delete,
      .store_limiter = store_limiter,
      .store_epoch_callback = store_epoch_callback,
      .set_epoch_deadline = set_epoch_deadline,
      .set_fuel = set_fuel,
      .get_fuel = get_fuel,
      .component_instantiate = component_instantiate,
      .component_function = component_function,
      .component_call = component_call,
      .module_instantiate = module_instantiate,
      .module_call = module_call,
      .module_export = module_export,
      .resource_drop = resource_drop,
      .gil_ensure = gil_ensure,
      .gil_release = gil_release,
      .check_signals = check_signals,
      .fetch_exception = fetch_exception,
      .is_initialized = is_initialized,
  };
  return guard_load(&table, stack_bytes);
}
