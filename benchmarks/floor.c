/* The least that calls into guests can take: the same calls as in `by_hand.py`, repeated in C.
 *
 * `floor.py` compiles this file and passes the addresses of wasmtime's objects, which wasmtime-py has made. Each
 * function returns the nanoseconds of `times` repetitions, or -1 if a call failed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct { uint64_t words[4]; } component_val;  /* wasmtime_component_val_t */
typedef struct { uint64_t words[4]; } component_func; /* wasmtime_component_func_t */
typedef struct { uint64_t words[2]; } core_val;       /* wasmtime_val_raw_t */
typedef struct { uint64_t words[2]; } instance;       /* wasmtime_component_instance_t */

void *wasmtime_store_new(void *engine, void *data, void *finalizer);
void *wasmtime_store_context(void *store);
void wasmtime_store_delete(void *store);
void wasmtime_store_limiter(void *store, int64_t memory, int64_t elements, int64_t instances, int64_t tables,
                            int64_t memories);
void *wasmtime_context_set_fuel(void *context, uint64_t fuel);
void *wasmtime_context_get_fuel(void *context, uint64_t *fuel);
void wasmtime_context_set_epoch_deadline(void *context, uint64_t ticks);
void *wasmtime_component_linker_instantiate(void *linker, void *context, void *component, instance *made);
bool wasmtime_component_instance_get_func(instance *of, void *context, void *index, component_func *found);
void *wasmtime_component_func_call(component_func *func, void *context, component_val *args, size_t arg_count,
                                   component_val *results, size_t result_count);
void wasmtime_component_val_delete(component_val *value);
void *wasmtime_func_call_unchecked(void *context, void *func, core_val *args_and_results, size_t count, void **trap);

#define FUEL 1000000000000ull
#define TICKS 1000000ull

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static bool call(void *context, component_func *func, component_val *args, size_t count) {
    component_val result;
    uint64_t left;
    memset(&result, 0, sizeof result);
    if (wasmtime_context_set_fuel(context, FUEL) != NULL) return false;
    wasmtime_context_set_epoch_deadline(context, TICKS);
    if (wasmtime_component_func_call(func, context, args, count, &result, 1) != NULL) return false;
    wasmtime_context_get_fuel(context, &left);
    wasmtime_component_val_delete(&result);
    return true;
}

/* Call an export of a component with one result. */
double component_calls(void *context, component_func *func, component_val *args, size_t count, size_t times) {
    double start = now_ns();
    for (size_t n = 0; n < times; n++)
        if (!call(context, func, args, count)) return -1;
    return now_ns() - start;
}

/* Call an export of a module with two parameters and one result. */
double module_calls(void *context, void *func, size_t times) {
    double start = now_ns();
    for (size_t n = 0; n < times; n++) {
        core_val values[2] = {{{1, 0}}, {{2, 0}}};
        void *trap = NULL;
        uint64_t left;
        if (wasmtime_context_set_fuel(context, FUEL) != NULL) return -1;
        wasmtime_context_set_epoch_deadline(context, TICKS);
        if (wasmtime_func_call_unchecked(context, func, values, 2, &trap) != NULL || trap != NULL) return -1;
        wasmtime_context_get_fuel(context, &left);
    }
    return now_ns() - start;
}

/* Instantiate a component in a fresh store, and call an export. */
double one_shots(void *engine, void *linker, void *component, void *index, component_val *args, size_t count,
                 size_t times) {
    double start = now_ns();
    for (size_t n = 0; n < times; n++) {
        void *store = wasmtime_store_new(engine, NULL, NULL), *context = wasmtime_store_context(store);
        instance made;
        component_func func;
        wasmtime_store_limiter(store, 64 << 20, 20000, 64, 16, 16);
        if (wasmtime_context_set_fuel(context, FUEL) != NULL) return -1;
        wasmtime_context_set_epoch_deadline(context, TICKS);
        if (wasmtime_component_linker_instantiate(linker, context, component, &made) != NULL) return -1;
        if (!wasmtime_component_instance_get_func(&made, context, index, &func)) return -1;
        if (!call(context, &func, args, count)) return -1;
        wasmtime_store_delete(store);
    }
    return now_ns() - start;
}
