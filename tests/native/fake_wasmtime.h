/* A small wasmtime and a small Python, as far as the guard sees them.
 *
 * The guard reaches both through a table of functions, so its tests can give it others. A guest is a C function, which
 * calls what compiled WebAssembly calls: `has_to_end` where a loop begins again, and `grow` for `memory.grow`. Nothing
 * of it is uninstrumented, so every report of a sanitizer is about the guard or about its tests.
 */
#ifndef FAKE_WASMTIME_H
#define FAKE_WASMTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"

#define MOST_MEMORIES 8

/* The layout of wasmtime_linear_memory_t and of wasmtime_memory_creator_t. */
typedef struct linear_memory {
  void *env;
  uint8_t *(*get)(void *env, size_t *size, size_t *capacity);
  void *(*grow)(void *env, size_t size);
  void (*finalizer)(void *env);
} linear_memory;

typedef struct memory_creator {
  void *env;
  void *(*new_memory)(void *env, const void *type, size_t minimum, size_t maximum, size_t reserved, size_t guarded,
                      linear_memory *memory);
  void (*finalizer)(void *env);
} memory_creator;

typedef struct engine {
  _Atomic uint64_t epoch;
  memory_creator creator;
  guard_memories *memories;
  size_t reserved; /* addresses for each memory */
  size_t guarded;
} engine;

typedef struct store {
  engine *engine;
  void *(*on_epoch)(void *context, void *data, uint64_t *delta, uint8_t *kind);
  void *data;
  uint64_t deadline;
  uint64_t fuel;
  int64_t limits[5];
  linear_memory memories[MOST_MEMORIES];
  size_t memory_count;
  const void *arguments; /* of the last call of a component's function */
} store;

/* An error or a trap. `code` is that of the trap, or -1. */
typedef struct failure {
  int code;
  char text[128];
} failure;

/* A guest: `run` returns NULL, or a failure. */
typedef struct guest {
  void *(*run)(store *store, const struct guest *self, void *values, size_t count);
  size_t minimum; /* of the memory that an instantiation makes */
  size_t memory_count;
  int64_t amount; /* for the guest's own use, as is what follows */
  void *pointer;
  /* The one export of a module: its name, its kind, which is 0 for a function, and the function. */
  const char *export_name;
  uint8_t export_kind;
  const struct guest *export;
} guest;

/* The layout of wasmtime_func_t: the function of a module. */
typedef struct module_function {
  const guest *guest;
  uint64_t reserved;
} module_function;

/* The Python of the tests. */
typedef struct fake_python {
  atomic_bool is_initialized;
  atomic_bool has_signal;       /* a signal has arrived */
  atomic_bool does_raise;       /* its handler raises */
  void (*_Atomic handler)(void); /* what its handler does besides */
  atomic_int handled;           /* signals that were handled */
  atomic_int holders;           /* of the GIL */
} fake_python;

extern fake_python python;

/* Load the guard with these functions. */
int load_guard(size_t stack_bytes);

/* Make an engine whose memories have this many bytes of addresses each. */
engine *new_engine(size_t reserved, size_t guarded);
void delete_engine(engine *engine);

/* What the code of a guest calls. */
void *has_to_end(store *store);
void *spin(store *store, int64_t most_ns);
void *new_memory(store *store, size_t minimum);
void *grow(store *store, size_t memory, size_t by_bytes);
uint8_t *memory_of(const store *store, size_t memory, size_t *size);
void burn(store *store, uint64_t fuel);

failure *new_failure(int code, const char *text);
/* Free a failure, which may be NULL, and return whether there was one. */
bool dispose(void *failure);

/* The guard of the tests calls these instead of `pthread_create` and `mprotect`. The next calls fail, as many as
 * `failing_threads` and `failing_mprotects`. */
extern atomic_int failing_threads, failing_mprotects;
int pthread_create_or_fail(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *data);
int mprotect_or_fail(void *address, size_t size, int protection);

int64_t clock_ns(void);
void sleep_ns(int64_t time_ns);

#endif
