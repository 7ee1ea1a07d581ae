/* The native guard: what has to happen while a WebAssembly guest runs, without Python and without its GIL.
 *
 * The guard owns four things:
 *   - the memory account of each store, and the memory creator that charges it before a memory exists or grows,
 *   - one thread for the whole process, which sleeps until the nearest deadline,
 *   - the epoch callback, which ends a guest that is stopped, and lets Python handle signals on the main thread,
 *   - the entries into guest code, which set the fuel, keep the time, and store what an execution has cost.
 *
 * Python loads this library with ctypes, gives it the addresses of wasmtime's functions, and reads `guard_run`. All
 * functions may be called from any thread. A `guard_run` belongs to one store, and its entries to one thread at a time;
 * only `guard_stop` may be called meanwhile. Times are nanoseconds of CLOCK_MONOTONIC, sizes are bytes. Functions that
 * return a `wasmtime_error_t *` return NULL for success; a trap is returned as an error, because both have one layout.
 */
#ifndef AIRSSYS_GUARD_H
#define AIRSSYS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GUARD_API __attribute__((visibility("default")))

/* The version of everything in this file. Python refuses a library of another version. */
#define GUARD_VERSION 9

/* The reasons for which a run is stopped. The first one counts. */
enum {
  GUARD_RUNNING = 0,
  GUARD_TIMEOUT = 1,
  GUARD_OUTPUT = 2,
  GUARD_CANCELLED = 3,
  GUARD_RAISED = 4, /* a signal handler raised an exception, which is in `exception` */
  GUARD_FILES = 5
};

/* The reasons for which an entry was refused before any guest code ran. */
enum {
  GUARD_ENTERED = 0,
  GUARD_NO_STACK = 1, /* this thread has too little stack left: enter on another one */
  GUARD_NO_THREAD = 2, /* the system cannot start the thread that keeps deadlines */
  GUARD_NOT_LIFTED = 3 /* the guest was instantiated, but not called: it has not made exactly one memory */
};

/* The functions of wasmtime and Python that the guard calls. Python fills it with their addresses, in this order. */
typedef struct guard_table {
  void *(*error_new)(const char *text);                          /* wasmtime_error_new */
  void (*error_delete)(void *error);                             /* wasmtime_error_delete */
  void *(*trap_new_code)(uint8_t code);                          /* wasmtime_trap_new_code */
  void (*engine_increment_epoch)(void *engine);                  /* wasmtime_engine_increment_epoch */
  void (*config_memory_creator_set)(void *config, void *creator); /* wasmtime_config_host_memory_creator_set */
  void *(*store_new)(void *engine, void *data, void *finalizer); /* wasmtime_store_new */
  void *(*store_context)(void *store);                           /* wasmtime_store_context */
  void (*store_delete)(void *store);                             /* wasmtime_store_delete */
  void (*store_limiter)(void *store, int64_t memory, int64_t table_elements, int64_t instances, int64_t tables,
                        int64_t memories);                       /* wasmtime_store_limiter */
  void (*store_epoch_callback)(void *store, void *(*callback)(void *, void *, uint64_t *, uint8_t *), void *data,
                               void *finalizer);                 /* wasmtime_store_epoch_deadline_callback */
  void (*set_epoch_deadline)(void *context, uint64_t epochs);    /* wasmtime_context_set_epoch_deadline */
  void *(*set_fuel)(void *context, uint64_t fuel);               /* wasmtime_context_set_fuel */
  void *(*get_fuel)(void *context, uint64_t *fuel);              /* wasmtime_context_get_fuel */
  void *(*component_instantiate)(void *linker, void *context, void *component,
                                         void *instance);        /* wasmtime_component_linker_instantiate */
  bool (*component_function)(const void *instance, void *context, const void *export_index,
                             void *function);                    /* wasmtime_component_instance_get_func */
  void *(*component_call)(void *function, void *context, const void *arguments, size_t count, void *results,
                          size_t result_count);                  /* wasmtime_component_func_call */
  void *(*module_instantiate)(void *linker, void *context, void *module, void *instance,
                              void **trap);                      /* wasmtime_linker_instantiate */
  void *(*module_call)(void *context, void *function, void *values, size_t count,
                       void **trap);                             /* wasmtime_func_call_unchecked */
  bool (*module_export)(void *context, const void *instance, const char *name, size_t length,
                        void *item);                             /* wasmtime_instance_export_get */
  void *(*resource_drop)(void *context, void *resource);         /* wasmtime_component_resource_any_drop */
  int (*gil_ensure)(void);                                       /* PyGILState_Ensure */
  void (*gil_release)(int state);                                /* PyGILState_Release */
  int (*check_signals)(void);                                    /* PyErr_CheckSignals */
  void (*fetch_exception)(void **type, void **value, void **traceback); /* PyErr_Fetch */
  int (*is_initialized)(void);                                   /* Py_IsInitialized */
} guard_table;

/* The first content of one memory of a guest, which is mapped when that memory is made instead of being copied. */
typedef struct guard_image guard_image;

/* A store, its memory account, and its current or last run.
 *
 * The memory of this struct belongs to the caller, is zero at first, aligned to 8 bytes, and must live until
 * `guard_store_delete` has returned. The caller writes the fields of the first group between runs, to begin a new one:
 * `stop`, `entries`, `started_ns` and `finished_ns` are 0 then, and `fuel_left` is `fuel`. It also writes `image` before
 * each entry that instantiates a guest. Everything else is only read.
 */
typedef struct guard_run {
  /* Set by the caller before each run, as one piece. */
  int32_t stop;       /*   0: one of the reasons above. Atomic. A run that is stopped already does not get anywhere */
  int32_t entries;    /*   4: entries of this run so far. The first one begins the run */
  int64_t timeout_ns; /*   8: from the first entry on; negative for none */
  uint64_t fuel;      /*  16: the value of the fuel counter at the first entry */
  uint64_t fuel_left; /*  24: after the last entry; during an entry, at the last call of the host */
  int64_t started_ns; /*  32: when guest code was first entered */
  int64_t finished_ns; /* 40: when the last entry ended; 0 while it runs */
  /* Set by the caller before `guard_store_new`. */
  int64_t limit;       /* 48: what the memories of the store may take together */
  /* The figures of the run. */
  int64_t cpu_ns;      /*  56: processor time of the thread in all finished entries */
  int64_t used;        /*  64: the balance of the memory account. Atomic, as are those that follow */
  int64_t peak;        /*  72: its highest value in this run */
  int64_t denied;      /*  80: growths and initial sizes that the limit refused in this run */
  int32_t host_refused; /* 88: whether the machine refused memory in this run that the limit allows */
  int32_t refused;     /*  92: why the last entry did not take place */
  void *exception[3];  /*  96: type, value and traceback that a signal handler raised; the reader owns them */
  /* The store. */
  void *store;   /* 120: wasmtime_store_t */
  void *context; /* 128: wasmtime_context_t */
  void *engine;  /* 136: wasm_engine_t */
  /* Private to the guard. */
  int64_t due_ns;          /* 144: the deadline, or INT64_MAX. Atomic */
  int64_t nudged_ns;       /* 152: the last beat. Atomic */
  int64_t entered_cpu_ns;  /* 160 */
  int32_t cpu_clock;       /* 168: the clock of the processor time of the guest's thread, while it runs */
  int32_t beats;           /* 172: whether signals are handled during this entry */
  struct guard_run *outer; /* 176: the run that this one interrupts on the same thread */
  struct guard_run *next;  /* 184: the list of all running runs */
  struct guard_run **link; /* 192 */
  /* Set by the caller before an entry that instantiates a guest. Each entry that takes place ends with NULL here. */
  const guard_image *image; /* 200: of that guest, or NULL */
  /* The memories that the last instantiation has made. */
  void *memory;     /* 208: the last one, for `guard_lifted`; it lives as long as the store */
  int64_t memories; /* 216: their number */
} guard_run;

/* The memories of one engine. */
typedef struct guard_memories guard_memories;

GUARD_API int32_t guard_version(void);
GUARD_API size_t guard_run_size(void);
GUARD_API size_t guard_table_size(void);

/* Prepare the process. `stack_bytes` is the stack that an entry needs, wasmtime's limit and Python's frames included.
 * Further calls do nothing. Returns 0, or an error number. */
GUARD_API int guard_load(const guard_table *table, size_t stack_bytes);

/* Stop the thread that keeps deadlines, and unmap what is kept for reuse. A later entry starts it again. */
GUARD_API void guard_shutdown(void);

/* Use the guard's memory creator in the engine that will be made from this configuration. Returns NULL if there is no
 * memory. The result lives as long as the engine and all its stores. */
GUARD_API guard_memories *guard_memories_new(void *config);

/* The number of existing memories of an engine. */
GUARD_API int64_t guard_memories_live(const guard_memories *memories);

/* Give the memories of an engine whose declared sizes are just these two another content: that of an open file, which is
 * duplicated, has at least `minimum` bytes, and is shared by all of them and by other processes. They are the memories
 * of the probes of an instrumented guest, are not charged to any store, and do not grow. To be called once, before the
 * engine is used. Returns 0, or an error number. */
GUARD_API int guard_memories_probe(guard_memories *memories, int32_t file, size_t minimum, size_t maximum);

/* Make an image of `size` bytes, which begin at `offset` in the only memory of the guest whose initial size is
 * `memory_bytes`. Its bytes are in an open file at `position`, which is duplicated, or else at the address `bytes`, which
 * are copied. Whoever gets the image pays `units` of fuel, as for a copy. Returns NULL if the machine refuses it. */
GUARD_API guard_image *guard_image_new(int32_t file, int64_t position, const void *bytes, size_t size, size_t offset,
                                       size_t memory_bytes, uint64_t units);
/* Free an image, which may be NULL. Memories that have it keep their content. No entry may be about to use it. */
GUARD_API void guard_image_delete(guard_image *image);

/* Make a store. Negative counts mean no limit. */
GUARD_API void guard_store_new(guard_run *run, void *engine, int64_t table_elements, int64_t instances, int64_t tables,
                               int64_t memories);
/* Free a store and everything in it. No entry may be running. */
GUARD_API void guard_store_delete(guard_run *run);

/* The entries into guest code. Each may run the guest for a while, and must be called without the GIL. */
GUARD_API void *guard_component_instantiate(guard_run *run, void *linker, void *component, void *instance);
GUARD_API void *guard_component_call(guard_run *run, void *function, const void *arguments, size_t count, void *results,
                                     size_t result_count);
/* Instantiate and call as one entry. `instance` and `function` are written, and `function` must be an export. */
GUARD_API void *guard_component_execute(guard_run *run, void *linker, void *component, void *instance,
                                        const void *export_index, void *function, const void *arguments, size_t count,
                                        void *results, size_t result_count);
/* Make a store, instantiate, call, and free the store again. `counts` are the arguments of `guard_store_new`. The results
 * stay valid, and so do the figures. */
GUARD_API void *guard_component_run(guard_run *run, void *engine, const int64_t *counts, void *linker, void *component,
                                    void *instance, const void *export_index, void *function, const void *arguments,
                                    size_t count, void *results, size_t result_count);
GUARD_API void *guard_module_instantiate(guard_run *run, void *linker, void *module, void *instance);
/* `values` holds the arguments, and afterwards the results: `count` values of 16 bytes. */
GUARD_API void *guard_module_call(guard_run *run, void *function, void *values, size_t count);
/* Instantiate and call as one entry. `function` is written, and `name` must be an exported function. */
GUARD_API void *guard_module_execute(guard_run *run, void *linker, void *module, void *instance, const char *name,
                                     size_t length, void *function, void *values, size_t count);
/* Begin a new run with the fuel and timeout of the last one, and call. The caller need not write anything before. */
GUARD_API void *guard_component_call_anew(guard_run *run, void *function, const void *arguments, size_t count,
                                          void *results, size_t result_count);
GUARD_API void *guard_module_call_anew(guard_run *run, void *function, void *values, size_t count);
GUARD_API void *guard_resource_drop(guard_run *run, void *resource);

/* A part of a value in the memory of the guest: of a result, or of a list in the arguments. The parts are in the order in
 * which wasmtime lifts or stores them, and those inside a part follow it. Results leave out what is neither checked nor
 * copied; the arguments have no costs. */
typedef struct guard_part {
  int32_t kind;
  int32_t offset;       /* in the result, or in the element of the list; of a case, see below */
  int32_t size;         /* of an element of a list, of the discriminant of a variant, of flags, or of bytes; 1 for a text */
  int32_t alignment;    /* of an element of a list; 1 for a text */
  int32_t count;        /* of the cases of a variant, or of flags; of a list, whether there are texts or lists in it */
  int32_t cost;         /* what wasmtime charges for lifting what is before it */
  int32_t element_cost; /* of each element of a list without `inner` */
  int32_t inner;        /* the number of parts inside: of each element of a list, or of all cases */
} guard_part;

enum {
  GUARD_COST = 0, /* nothing but `cost` */
  GUARD_CHAR = 1, /* only in results */
  GUARD_TEXT = 2,
  GUARD_LIST = 3,
  GUARD_VARIANT = 4, /* one GUARD_CASE for each case follows it, and then what is in the cases */
  GUARD_CASE = 5,    /* `offset` is the number of parts from the variant to the parts of this case, `inner` their number */
  GUARD_FLAGS = 6,   /* only in results: one GUARD_COST for each flag follows, which is charged if the flag is set */
  GUARD_BYTES = 7    /* only in arguments: numbers, which are stored as they are */
};

/* The results that the scalar lift of a function has. */
enum {
  GUARD_NO_RESULT = 0,
  GUARD_SCALAR = 1,  /* the result itself */
  GUARD_POINTER = 2, /* where it is in the memory of the guest */
  GUARD_CHOICE = 3   /* the number of a case without content, which must be less than `size` */
};

/* A function of a component that is called by its scalar lift, which takes and returns pointers into the memory of the
 * guest (docs/decisions/scalar-lifts.md). The guard copies texts and lists there and from there, with the checks and the
 * errors of wasmtime. Everything is written by the caller once, and must live as long as the function is used. */
typedef struct guard_lifted {
  void *memory;      /*  0: `guard_run.memory` */
  void *call;        /*  8: wasmtime_component_func_t, the scalar lift */
  void *reallocate;  /* 16: the scalar lift of `realloc`; NULL if there is none */
  void *post_return; /* 24: that of `post-return`; NULL if there is none */
  const guard_part *parts; /* 32 */
  int32_t part_count; /* 40 */
  int32_t values;     /* 44: the number of arguments of the scalar lift */
  int32_t blocks;     /* 48: how many texts and lists there can be in the arguments */
  int32_t result;     /* 52: one of the above */
  int32_t size;       /* 56: of the result in the memory of the guest, or the number of cases */
  int32_t alignment;  /* 60 */
} guard_lifted;

/* A text or list in the arguments, of which the guest is given a copy. The source is a copy of the elements as they will be
 * in the memory of the guest, with the lengths of the texts and lists in them, and without pointers. Behind the elements
 * are the contents of these texts and lists in their order, each of them followed by those inside of it. */
typedef struct guard_block {
  const void *source;
  const guard_part *part; /* a text or list; NULL if this block is not used */
  uint64_t length;
  int32_t slot;     /* the argument that becomes the pointer; the next one is the length */
  int32_t reserved;
} guard_block;

/* Call a function by its scalar lift. `arguments` are its C values, and behind them the blocks, in their order. `results`
 * is the C value of a scalar or choice; else an address that `guard_free` frees, which is that of a copy of the result.
 * Behind it are copies of the texts and lists in it: instead of a pointer, the copies have the offset of the content
 * from that address. The numbers have no meaning: the signature is that of `guard_component_call`. */
GUARD_API void *guard_lifted_call(guard_run *run, void *lifted, const void *arguments, size_t count, void *results,
                                  size_t result_count);
GUARD_API void *guard_lifted_call_anew(guard_run *run, void *lifted, const void *arguments, size_t count,
                                       void *results, size_t result_count);
/* Instantiate and call by a scalar lift as one entry. `instance` is written. The addresses of the memory and of the functions
 * in `lifted` have no meaning: `indices` are the export indices of `call`, `reallocate` and `post_return`, or NULL. If the
 * guest does not make exactly one memory, it is not called, and `refused` is GUARD_NOT_LIFTED. */
GUARD_API void *guard_lifted_execute(guard_run *run, void *linker, void *component, void *instance,
                                     const guard_lifted *lifted, const void *const *indices, void *arguments,
                                     void *results);
/* Make a store, do the same, and free the store again, as `guard_component_run` does. */
GUARD_API void *guard_lifted_run(guard_run *run, void *engine, const int64_t *counts, void *linker, void *component,
                                 void *instance, const guard_lifted *lifted, const void *const *indices,
                                 void *arguments, void *results);
/* Free what `results` of a function own whose result is GUARD_POINTER. */
GUARD_API void guard_free(void *results);
GUARD_API size_t guard_lifted_size(void);

/* The way in which the two sides of calls wait for each other: they sleep, or look in a loop for a moment before they
 * sleep. Waking takes up to 100 us where processors are idle, and where they are busy, a loop takes the time of whoever
 * should answer. So each way is tried now and then, and the one that costs less is used. The memory of this struct
 * belongs to the caller, and is zero at first. */
typedef struct guard_pace {
  int32_t is_looping; /*  0: atomic: whether to look in a loop now */
  /* Private to the guard. */
  int32_t is_trial;
  int64_t calls;      /* since the way changed */
  int64_t cost_ns[2]; /* of sleeping and of looking in a loop, on average */
} guard_pace;

/* Note the time that a call cost in addition to that of its guest. Only one thread at a time may do this. */
GUARD_API void guard_pace_note(guard_pace *pace, int64_t lost_ns);

/* A parked thread: a thread on which guests are called, and the place where one other thread at a time asks for that.
 * Neither needs the GIL, except in host functions. The memory of this struct belongs to the caller, is zero at first,
 * and must live until `guard_parked_serve` has returned. There are no parked threads on systems without futexes. */
typedef struct guard_parked {
  /* Set by the caller before each call, as one piece. For modules `results` are the values. */
  int32_t state;         /*  0: 0, no call was asked for. Atomic */
  int32_t entry;         /*  4: what the function is */
  void *error;           /*  8: NULL; the error of the call when it has ended */
  guard_run *run;        /* 16 */
  void *function;        /* 24 */
  const void *arguments; /* 32 */
  size_t count;          /* 40 */
  void *results;         /* 48 */
  size_t result_count;   /* 56 */
  /* Private to the guard. */
  int64_t ended_ns;  /* atomic: when the last guest ended */
  int32_t waiting;   /* atomic: the threads that wait for a change of `state`, and must be woken */
  int32_t was_short; /* atomic: whether the last guest ran so shortly that its caller may look in a loop for the end */
  int32_t is_close;  /* atomic: whether the calls follow so closely that the parked thread may look in a loop for one */
  guard_pace pace;
} guard_parked;

/* The functions that a parked thread can call. */
enum { GUARD_OF_COMPONENT = 0, GUARD_OF_MODULE = 1, GUARD_IS_LIFTED = 2 };

/* The ends of a wait on a parked thread. */
enum {
  GUARD_PARKED_DONE = 0,
  GUARD_PARKED_INTERRUPTED = 1, /* a signal came, or may have come */
  GUARD_PARKED_LATE = 2,        /* the guest has not returned in time */
  GUARD_PARKED_LEFT = 3         /* nobody waits here any more: the parked thread tells that the call has ended */
};

/* The reasons for which `guard_parked_serve` returns. */
enum {
  GUARD_SERVED_CLOSED = 0,
  GUARD_SERVED_GIVEN_UP = 1, /* a call that was given up has returned. The struct cannot be used any more */
  GUARD_SERVED_LEFT = 2      /* a call has ended for which nobody waits here. The thread may be parked again */
};

/* Park this thread: make the calls that are asked for here, until one of the reasons above. */
GUARD_API int32_t guard_parked_serve(guard_parked *parked);
/* Have the parked thread make the call, which is the first entry of a run, and wait for its end: to its deadline, or
 * until this thread gets a signal. */
GUARD_API int32_t guard_parked_call(guard_parked *parked);
/* Ask for the same, wait for the end for `wait_ns` at most, and then leave the call to the parked thread. Returns
 * GUARD_PARKED_DONE or GUARD_PARKED_LEFT. */
GUARD_API int32_t guard_parked_ask(guard_parked *parked, int64_t wait_ns);
/* End the wait of `guard_parked_ask`, on the thread of the guest. Does nothing if it has ended. */
GUARD_API void guard_parked_leave(guard_parked *parked);
/* Wait again for the end of the call; `wait_ns` is negative for any time. If the caller has set `state` to 0 and no call
 * was asked for since, this returns GUARD_PARKED_DONE. */
GUARD_API int32_t guard_parked_wait(guard_parked *parked, int64_t wait_ns);
/* Give the call up, and return whether it has not ended before. */
GUARD_API bool guard_parked_give_up(guard_parked *parked);
/* Let `guard_parked_serve` return. No call may be open. */
GUARD_API void guard_parked_close(guard_parked *parked);

/* The frame in which one process asks another for a call of plain numbers. Behind it are the C values of the arguments:
 * 16 bytes each for an export of a module, and 32 for one of a component. */
typedef struct guard_call_frame {
  uint64_t number;     /*  0: the answer repeats it */
  uint64_t session;    /*  8: with `index`, the export */
  uint32_t index;      /* 16 */
  int32_t is_looping;  /* 20: whether to look for the next frame in a loop, for a moment, before sleeping */
} guard_call_frame;

/* The frame that answers a call whose guest has returned in time. Behind it are the C values of the results. In its place
 * there may be something else, which begins with another byte than 0, and may be longer than a frame. */
typedef struct guard_answer_frame {
  uint64_t kind;       /*  0: 0 */
  uint64_t number;     /*  8 */
  uint64_t fuel_left;  /* 16: this and what follows are figures of the run */
  int64_t started_ns;  /* 24 */
  int64_t finished_ns; /* 32 */
  int64_t cpu_ns;      /* 40 */
  int64_t peak;        /* 48 */
  int64_t denied;      /* 56 */
} guard_answer_frame;

#define GUARD_FRAME_BYTES 2048

/* The ends of two pipes, in which frames are exchanged with another process. The memory of this struct belongs to the
 * caller, which sets the fields up to the frame that is written. Everything else is zero at first. */
typedef struct guard_pipes {
  int32_t to;         /*  0: the descriptor to which frames are written */
  int32_t from;       /*  4: that from which they are read */
  int64_t wait_ns;    /*  8: the time in which one is to come; negative for any time */
  int32_t size;       /* 16: the bytes of the frame in `written`; 0 for none */
  int32_t is_looping; /* 20: as in the frame of the call; private to the guard */
  union {
    char written[GUARD_FRAME_BYTES]; /* 24 */
    guard_call_frame call_written;
    guard_answer_frame answer_written;
  };
  union {
    char read[GUARD_FRAME_BYTES];
    guard_call_frame call_read;
    guard_answer_frame answer_read;
  };
  int32_t is_open; /* whether a call was written that this frame has not answered; the caller clears it after others */
  int32_t reserved;
  /* Private to the guard. */
  guard_pace pace;
  int64_t answered_ns;
} guard_pipes;

/* Write the frame of a call, and read its answer, or a part of something longer. Returns the number of bytes that were
 * read, which is 0 at the end of the pipe, or one of the reasons below. `is_open` is set, and cleared if the frame of the
 * answer was read. */
GUARD_API int64_t guard_ask(guard_pipes *pipes);

/* An export that is called by frames. The caller writes everything once. */
typedef struct guard_export {
  struct guard_export *next; /*  0: in a list, or NULL */
  uint64_t session;          /*  8 */
  guard_run *run;            /* 16 */
  void *function;            /* 24 */
  void *error;               /* 32: of the last call, if it has failed */
  uint32_t index;            /* 40 */
  int32_t entry;             /* 44: GUARD_OF_COMPONENT or GUARD_OF_MODULE */
  uint32_t arguments;        /* 48: their number; they fit in the frame of an answer, as do the results */
  uint32_t results;          /* 52: their number */
} guard_export;

/* Answer calls of the exports in a list, beginning with the frame of `count` bytes in `read`, or with the next one if it
 * is 0. Before that, the frame in `written` is written, unless there is none. The list may be changed while no call is
 * open. Returns the size of a frame that calls something else, or one of the reasons below. */
GUARD_API int64_t guard_serve(guard_pipes *pipes, guard_export *const *exports, int64_t count);

enum {
  GUARD_NOTHING_READ = -1, /* a signal came, nothing came in time, or the pipe is closed or cannot be read */
  GUARD_NOT_WRITTEN = -2,  /* in whole, because of a signal or an error */
  GUARD_CALL_FAILED = -3   /* the call in `read` has failed, or its run is stopped: its export has the error, or NULL */
};

/* Whether this thread has enough stack left for an entry. */
GUARD_API bool guard_has_stack(void);

/* Stop a run, and let its guest be interrupted until it ends. May be called from any thread, at any time in the life of
 * the store. Does nothing if the run is stopped already. */
GUARD_API void guard_stop(guard_run *run, int32_t reason);

/* An import that the host serves. The memory of this struct belongs to the caller, and must outlive the linkers that
 * have it as `env`. Both functions take the GIL, and return NULL, or the error or trap that ends the guest. */
typedef struct guard_import {
  void *(*serve)(struct guard_import *import, const void *arguments, void *results);
  void *(*destroy)(struct guard_import *import, uint32_t representation); /* of a resource */
} guard_import;

/* The callbacks of imports, for wasmtime: they note the fuel that is left in `fuel_left` of the run, and serve. */
GUARD_API void *guard_serve_component(void *import, void *context, const void *type, const void *arguments,
                                      size_t count, void *results, size_t result_count);
GUARD_API void *guard_serve_module(void *import, void *caller, const void *arguments, size_t count, void *results,
                                   size_t result_count);
GUARD_API void *guard_serve_destructor(void *import, void *context, uint32_t representation);

#ifdef __cplusplus
}
#endif

#endif
