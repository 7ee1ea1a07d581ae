/* The native guard. guard.h says what it is for, and docs/decisions/native-guard.md why it is written in C. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* pthread_getattr_np, F_ADD_SEALS */
#endif

#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#endif
#include <time.h>
#include <unistd.h>

/* A guest on the main thread lets Python handle signals this often. */
#define BEAT_NS INT64_C(20000000)
/* A beat may have to wait for the GIL, so there is none this near to the deadline, which ends the guest as well. */
#define LAST_BEAT_NS INT64_C(25000000)
/* A run that is stopped misses an epoch that passes while its callback decides, so there is another this much later. */
#define NUDGE_NS INT64_C(1000000)
/* A thread looks in a loop for an answer that it expects at once, for this long at most, before it sleeps. */
#define SPIN_NS INT64_C(50000)
/* Calls that follow one another within this time are close. */
#define CLOSE_NS INT64_C(200000)
/* The calls of a trial of the other way to wait, and between two trials. The first two in a new way do not count, since
 * the other side learns of it later. */
#define TRIAL_CALLS 18
#define CALLS_BETWEEN_TRIALS 2000
#define LAST_UNCOUNTED 2
#define MOST_LOST_NS INT64_C(1000000)
/* The mappings that are kept for reuse, and how large their memories may have been. */
#define KEPT_MAPPINGS 16
#define KEPT_BYTES ((size_t)1 << 20)
#ifdef __linux__
#define MEMORY_FILE_FLAGS 3u /* MFD_CLOEXEC | MFD_ALLOW_SEALING */
#define ALL_SEALS 0xf        /* F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE */
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#endif
/* The images that keep a file open. The memories of all others are filled by copying. */
#define OPEN_IMAGES 64

#define TRAP_INTERRUPT 10
#define UPDATE_DEADLINE_CONTINUE 0
#define EXTERN_FUNCTION 0
#define FUNCTION_BYTES 16 /* wasmtime_func_t */
#define COMPONENT_FUNCTION_BYTES 32 /* wasmtime_component_func_t, and room behind it */
#define VALUE_BYTES 32 /* wasmtime_component_val_t */
#define MODULE_VALUE_BYTES 16 /* wasmtime_val_raw_t */
#define NEVER INT64_MAX

static guard_table table;
static bool is_loaded;
static size_t needed_stack_bytes;
static size_t page_bytes;
static bool has_processors; /* for several threads at once; only Linux is asked */

/* `lock` protects the list of runs and the state of the keeper, which is the thread that keeps deadlines. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_due;
static guard_run *running;
static int64_t wakes_at_ns = NEVER; /* when the keeper will look next */
static bool is_keeping;
static pthread_t keeper;
static uintptr_t generation; /* the keeper of an earlier generation ends */

/* The innermost run on this thread, whose account pays for memories. */
static _Thread_local guard_run *current;

/* Whether this thread is the one on which Python handles signals. A thread that forks becomes it in the child. */
static _Thread_local enum { UNKNOWN, IS_MAIN, IS_OTHER } main_state;

static bool is_main_thread(void) {
  if (main_state == UNKNOWN)
#ifdef __APPLE__
    main_state = pthread_main_np() ? IS_MAIN : IS_OTHER;
#else
    main_state = syscall(SYS_gettid) == getpid() ? IS_MAIN : IS_OTHER;
#endif
  return main_state == IS_MAIN;
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

static int64_t read_clock(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time)) return 0;
  return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static int64_t later(int64_t time_ns, int64_t by_ns) { return by_ns > NEVER - time_ns ? NEVER : time_ns + by_ns; }

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* --- atomic fields ------------------------------------------------------------------------------------------------- */

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static bool stop_first(guard_run *run, int32_t reason) {
  int32_t is_running = GUARD_RUNNING;
  return __atomic_compare_exchange_n(&run->stop, &is_running, reason, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static int32_t stopped(guard_run *run) { return __atomic_load_n(&run->stop, __ATOMIC_ACQUIRE); }

/* --- the keeper of deadlines --------------------------------------------------------------------------------------- */

static void wait_until(int64_t time_ns) {
  if (time_ns == NEVER) {
    pthread_cond_wait(&is_due, &lock);
    return;
  }
#ifdef __APPLE__
  int64_t left_ns = time_ns - now();
  if (left_ns < 0) left_ns = 0;
  struct timespec left = {left_ns / 1000000000, left_ns % 1000000000};
  pthread_cond_timedwait_relative_np(&is_due, &lock, &left);
#else
  struct timespec time = {(time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000)};
  pthread_cond_timedwait(&is_due, &lock, &time);
#endif
}

/* Return when a run that is not stopped has to be looked at. */
static int64_t next_look(guard_run *run) {
  int64_t due_ns = LOAD(run->due_ns);
  if (!run->beats) return due_ns;
  int64_t beat_ns = LOAD(run->nudged_ns) + BEAT_NS;
  return due_ns != NEVER && beat_ns > due_ns - LAST_BEAT_NS ? due_ns : beat_ns;
}

/* Look at one run: stop it if it is due, and let it call back if it has a reason. Return when to look again. */
static int64_t look_at(guard_run *run, int64_t time_ns) {
  if (time_ns >= LOAD(run->due_ns)) stop_first(run, GUARD_TIMEOUT);
  bool has_to_call = stopped(run) != GUARD_RUNNING;
  if (!has_to_call && time_ns >= next_look(run)) {
    has_to_call = true;
    STORE(run->nudged_ns, time_ns);
  }
  /* The engine lives: the store of a run that is in the list holds it. */
  if (has_to_call) table.engine_increment_epoch(run->engine);
  return stopped(run) != GUARD_RUNNING ? later(time_ns, NUDGE_NS) : next_look(run);
}

static void *keep(void *own_generation) {
#ifdef __linux__
  pthread_setname_np(pthread_self(), "wasm-deadlines");
#endif
  pthread_mutex_lock(&lock);
  while (generation == (uintptr_t)own_generation) {
    int64_t time_ns = now(), next_ns = NEVER;
    for (guard_run *run = running; run; run = run->next) next_ns = least(next_ns, look_at(run, time_ns));
    wakes_at_ns = next_ns;
    wait_until(next_ns);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

static int init_condition(void) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error) return error;
#ifndef __APPLE__
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
  error = pthread_cond_init(&is_due, &attributes);
  pthread_condattr_destroy(&attributes);
  return error;
}

/* Start the keeper unless it is there. The caller holds the lock. */
static bool start_keeper(void) {
  if (is_keeping) return true;
  sigset_t all, before;
  pthread_attr_t attributes;
  sigfillset(&all);
  if (pthread_attr_init(&attributes)) return false;
  pthread_attr_setstacksize(&attributes, (size_t)256 << 10);
  /* The signals of the process are for Python's thread. */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  is_keeping = !pthread_create(&keeper, &attributes, keep, (void *)generation);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return is_keeping;
}

/* Let the keeper look at `time_ns`, if it would sleep longer. The caller holds the lock. */
static void wake_by(int64_t time_ns) {
  if (time_ns >= wakes_at_ns) return;
  wakes_at_ns = time_ns;
  pthread_cond_signal(&is_due);
}

static void stop_keeper(void) {
  pthread_mutex_lock(&lock);
  bool was_keeping = is_keeping;
  pthread_t thread = keeper;
  is_keeping = false;
  generation++;
  pthread_cond_signal(&is_due);
  pthread_mutex_unlock(&lock);
  if (was_keeping) pthread_join(thread, NULL);
}

void guard_stop(guard_run *run, int32_t reason) {
  if (!stop_first(run, reason)) return;
  pthread_mutex_lock(&lock);
  for (guard_run *one = running; one; one = one->next)
    if (one == run) {
      if (start_keeper())
        wake_by(0);
      else
        table.engine_increment_epoch(run->engine);
    }
  pthread_mutex_unlock(&lock);
}

/* --- the epoch callback -------------------------------------------------------------------------------------------- */

/* Let Python handle the signals that have arrived. The guest's thread is Python's main thread, and has released the
 * GIL. The exception of a handler must not pass through wasmtime: it is kept for the caller of the entry. */
static void handle_signals(guard_run *run) {
  if (!table.is_initialized()) return; /* the interpreter is ending */
  int state = table.gil_ensure();
  if (table.check_signals() < 0) {
    void **exception = run->exception;
    table.fetch_exception(&exception[0], &exception[1], &exception[2]);
    stop_first(run, GUARD_RAISED);
  }
  table.gil_release(state);
}

static void *on_epoch(void *context, void *data, uint64_t *delta, uint8_t *kind) {
  guard_run *run = data;
  (void)context;
  if (run->beats && stopped(run) == GUARD_RUNNING) handle_signals(run);
  /* A handler that raised while the time ran out has still raised. */
  if (stopped(run) != GUARD_RUNNING || run->exception[0]) return table.trap_new_code(TRAP_INTERRUPT);
  *delta = 1;
  *kind = UPDATE_DEADLINE_CONTINUE;
  return NULL;
}

/* --- memories ------------------------------------------------------------------------------------------------------ */

struct guard_memories {
  int64_t live;
  /* The memory of the probes of an instrumented guest, if `probe_bytes` is not 0. */
  int probe_file;
  size_t probe_bytes;      /* its declared minimum */
  size_t most_probe_bytes; /* its declared maximum */
  char *probe_base;        /* NULL until it is mapped */
  size_t probe_span;       /* of the reservation, with the guard region */
};

/* One linear memory: an accessible head, the rest of its reservation, and a guard region behind it. */
typedef struct mapping {
  guard_run *owner;
  guard_memories *home;
  char *base;
  size_t size;     /* of the memory */
  size_t opened;   /* accessible bytes: `size` in whole pages */
  size_t reserved; /* bytes that it may grow to in place */
  size_t guarded;
  uint64_t charged; /* units of fuel that were paid for its image */
  bool is_kept_later; /* whether it may be reused */
  struct mapping *next;
} mapping;

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

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static mapping *kept;
static int kept_count;

static void *refusal(const char *text) { return table.error_new(text); }

static void *refused_by_host(void) { return refusal("the host cannot reserve memory"); }

/* Return a size in whole pages; SIZE_MAX if there is none. */
static size_t whole_pages(size_t size) {
  size_t rest = page_bytes - 1;
  return size > SIZE_MAX - rest ? SIZE_MAX : (size + rest) & ~rest;
}

static size_t sum(size_t one, size_t other) { return other > SIZE_MAX - one ? SIZE_MAX : one + other; }

/* Charge an account, and return whether the limit allows it. */
static bool take(guard_run *run, size_t size) {
  int64_t used = LOAD(run->used);
  int64_t free = run->limit > used ? run->limit - used : 0;
  if (size > (uint64_t)free) {
    STORE(run->denied, LOAD(run->denied) + 1);
    return false;
  }
  used += (int64_t)size;
  STORE(run->used, used);
  if (used > LOAD(run->peak)) STORE(run->peak, used);
  return true;
}

static void give_back(guard_run *run, size_t size) { STORE(run->used, LOAD(run->used) - (int64_t)size); }

/* Subtract what was charged, because the machine has refused it. */
static void take_back(guard_run *run, size_t size) {
  give_back(run, size);
  STORE(run->host_refused, 1);
}

static size_t span(const mapping *map) {
  size_t whole = sum(map->reserved, map->guarded);
  return whole > page_bytes ? whole : page_bytes;
}

static char *reserve(size_t size) {
  int flags = MAP_PRIVATE | MAP_ANON;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE; /* address space only: nothing is charged before it is accessible and touched */
#endif
  char *base = size == SIZE_MAX ? MAP_FAILED : mmap(NULL, size, PROT_NONE, flags, -1, 0);
  return base == MAP_FAILED ? NULL : base;
}

/* Make the first bytes of a mapping accessible, in whole pages, and hide all others. */
static bool open_to(mapping *map, size_t size) {
  size_t opened = whole_pages(size);
  int error = 0;
  if (opened > map->opened)
    error = mprotect(map->base + map->opened, opened - map->opened, PROT_READ | PROT_WRITE);
  else if (opened < map->opened)
    error = mprotect(map->base + opened, map->opened - opened, PROT_NONE);
  if (error) return false;
  map->opened = opened;
  return true;
}

static void destroy(mapping *map) {
  if (map->base) munmap(map->base, span(map));
  free(map);
}

static void destroy_kept(void) {
  pthread_mutex_lock(&kept_lock);
  mapping *map = kept;
  kept = NULL;
  STORE(kept_count, 0);
  pthread_mutex_unlock(&kept_lock);
  while (map) {
    mapping *next = map->next;
    destroy(map);
    map = next;
  }
}

/* Return a kept mapping of this shape, which reads as zero; NULL if there is none. */
static mapping *reuse(size_t reserved, size_t guarded) {
  mapping *found = NULL;
  pthread_mutex_lock(&kept_lock);
  for (mapping **link = &kept; *link; link = &(*link)->next)
    if ((*link)->reserved == reserved && (*link)->guarded == guarded) {
      found = *link;
      *link = found->next;
      STORE(kept_count, kept_count - 1);
      break;
    }
  pthread_mutex_unlock(&kept_lock);
  return found;
}

/* Keep a mapping for reuse, and return whether it was kept. A process that makes many stores then does not ask the
 * system for address space each time. Only Linux promises that the pages read as zero afterwards: elsewhere one guest
 * could read what another has written. */
static bool keep_mapping(mapping *map) {
#ifdef __linux__
  if (!map->is_kept_later || map->opened > KEPT_BYTES) return false;
  if (LOAD(kept_count) >= KEPT_MAPPINGS) return false;
  if (map->opened && madvise(map->base, map->opened, MADV_DONTNEED)) return false;
  bool has_room;
  pthread_mutex_lock(&kept_lock);
  has_room = kept_count < KEPT_MAPPINGS;
  if (has_room) {
    map->next = kept;
    kept = map;
    STORE(kept_count, kept_count + 1);
  }
  pthread_mutex_unlock(&kept_lock);
  return has_room;
#else
  (void)map;
  return false;
#endif
}

static mapping *new_mapping(size_t size, size_t reserved, size_t guarded) {
  mapping *map = calloc(1, sizeof *map);
  if (!map) return NULL;
  map->reserved = reserved;
  map->guarded = guarded;
  map->is_kept_later = true;
  map->base = reserve(span(map));
  if (map->base && open_to(map, size)) return map;
  destroy(map);
  return NULL;
}

/* Return a mapping of `size` accessible bytes, all zero; NULL if the machine refuses it. */
static mapping *find_mapping(size_t size, size_t reserved, size_t guarded) {
  mapping *map = reuse(reserved, guarded);
  if (map && open_to(map, size)) return map;
  if (map) destroy(map);
  map = new_mapping(size, reserved, guarded);
  if (map) return map;
  destroy_kept(); /* what is kept counts against the limits of the process */
  return new_mapping(size, reserved, guarded);
}

/* --- images of memories -------------------------------------------------------------------------------------------- */

struct guard_image {
  const char *bytes; /* a private mapping, or allocated memory if it `is_copy`; Python reads this field */
  size_t size;
  size_t offset;
  size_t memory_bytes;
  uint64_t units;
  int64_t position;
  int file; /* or -1 */
  bool is_copy;
  dev_t device; /* the identity of the file: somebody may close the descriptor, and open another file with its number */
  ino_t inode;
};

static int open_images;

/* Return a new file without a name that has these bytes and cannot be changed; -1 if there is none. */
static int new_file(const char *bytes, size_t size) {
#ifdef __linux__
  /* The C libraries for which wheels are built are older than the function. */
  int file = (int)syscall(SYS_memfd_create, "airssys-image", MEMORY_FILE_FLAGS);
  size_t written = 0;
  while (file >= 0 && written < size) {
    ssize_t more = write(file, bytes + written, size - written);
    if (more > 0) written += (size_t)more;
    if (!more || (more < 0 && errno != EINTR)) {
      close(file);
      return -1;
    }
  }
  if (file >= 0) fcntl(file, F_ADD_SEALS, ALL_SEALS);
  return file;
#else
  (void)bytes, (void)size;
  return -1;
#endif
}

/* Keep the file of an image, if it can be mapped to the right place and few others are kept. Otherwise close it. */
static void keep_file(guard_image *image, int file) {
  struct stat status;
  bool is_apt = !(image->offset % page_bytes) && !((uint64_t)image->position % page_bytes) && !fstat(file, &status);
  if (is_apt && __atomic_add_fetch(&open_images, 1, __ATOMIC_RELAXED) <= OPEN_IMAGES) {
    image->file = file;
    image->device = status.st_dev;
    image->inode = status.st_ino;
    return;
  }
  if (is_apt) __atomic_sub_fetch(&open_images, 1, __ATOMIC_RELAXED);
  close(file);
}

guard_image *guard_image_new(int32_t file, int64_t position, const void *bytes, size_t size, size_t offset,
                             size_t memory_bytes, uint64_t units) {
  guard_image *image = calloc(1, sizeof *image);
  if (!image) return NULL;
  *image = (guard_image){.size = size, .offset = offset, .memory_bytes = memory_bytes, .units = units, .file = -1};
  if (file >= 0) image->position = position;
  int own = file < 0 ? new_file(bytes, size) : fcntl(file, F_DUPFD_CLOEXEC, 3), source = file < 0 ? own : file;
  void *mapped = source < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_PRIVATE, source, (off_t)image->position);
  if (mapped != MAP_FAILED) {
    image->bytes = mapped;
    if (own >= 0) keep_file(image, own);
    return image;
  }
  if (own >= 0) close(own);
  char *copy = file < 0 ? malloc(size) : NULL;
  if (!copy) {
    free(image);
    return NULL;
  }
  memcpy(copy, bytes, size);
  image->bytes = copy;
  image->is_copy = true;
  return image;
}

/* Return whether the file of an image is still open, and the same. */
static bool has_file(const guard_image *image) {
  struct stat status;
  return image->file >= 0 && !fstat(image->file, &status) && status.st_dev == image->device &&
         status.st_ino == image->inode;
}

void guard_image_delete(guard_image *image) {
  if (!image) return;
  if (image->file >= 0) {
    if (has_file(image)) close(image->file);
    __atomic_sub_fetch(&open_images, 1, __ATOMIC_RELAXED);
  }
  if (image->is_copy)
    free((void *)(uintptr_t)image->bytes);
  else
    munmap((void *)(uintptr_t)image->bytes, image->size);
  free(image);
}

/* Give a new memory its first content, and return whether it has it. The pages of a file are mapped so that nothing of
 * what the guest writes gets into the file. */
static bool lay(const guard_image *image, mapping *map) {
  char *place = map->base + image->offset;
  int flags = MAP_PRIVATE | MAP_FIXED, protection = PROT_READ | PROT_WRITE;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  if (has_file(image)) {
    if (mmap(place, image->size, protection, flags, image->file, (off_t)image->position) != MAP_FAILED) return true;
    /* The system may have unmapped the place before it refused. */
    if (mmap(place, image->size, protection, flags | MAP_ANON, -1, 0) == MAP_FAILED) return false;
  }
  memcpy(place, image->bytes, image->size);
  return true;
}

/* Have a run pay for an image what wasmtime would have charged for copying it, a moment later and as one piece with all
 * else that it does before any code of the guest. A run that is stopped does not get there. */
static void charge_for_image(guard_run *run, const guard_image *image, mapping *map) {
  uint64_t fuel = 0;
  if (stopped(run) != GUARD_RUNNING) return;
  table.get_fuel(run->context, &fuel);
  map->charged = fuel < image->units ? fuel : image->units;
  table.set_fuel(run->context, fuel - map->charged);
}

/* Give back what was paid for the image of a memory whose instance was not completed. Otherwise the memory exists until
 * its store is deleted, which is not done during an entry of that store. */
static void refund_image(const mapping *map) {
  uint64_t fuel = 0;
  if (!map->charged || map->owner != current) return;
  table.get_fuel(map->owner->context, &fuel);
  table.set_fuel(map->owner->context, fuel + map->charged);
}

/* --- memories, as wasmtime sees them ------------------------------------------------------------------------------- */

static uint8_t *get_memory(void *env, size_t *size, size_t *capacity) {
  const mapping *map = env;
  *size = map->size;
  *capacity = map->reserved;
  return (uint8_t *)map->base;
}

/* Move a memory whose reservation is too small. */
static bool move(mapping *map, size_t size) {
  mapping *moved = find_mapping(size, whole_pages(sum(size, size / 2)), map->guarded);
  if (!moved) return false;
  memcpy(moved->base, map->base, map->size);
  munmap(map->base, span(map));
  map->base = moved->base;
  map->opened = moved->opened;
  map->reserved = moved->reserved;
  map->is_kept_later = false;
  free(moved);
  return true;
}

static void *grow_memory(void *env, size_t size) {
  mapping *map = env;
  if (size <= map->size) return NULL;
  size_t wanted = size - map->size;
  if (!take(map->owner, wanted)) return refusal("memory limit of the store");
  bool has_grown = size > map->reserved ? move(map, size) : open_to(map, size);
  if (!has_grown && size <= map->reserved) {
    destroy_kept();
    has_grown = open_to(map, size);
  }
  if (!has_grown) {
    take_back(map->owner, wanted);
    return refused_by_host();
  }
  map->size = size;
  return NULL;
}

static void drop_memory(void *env) {
  mapping *map = env;
  give_back(map->owner, map->size);
  refund_image(map);
  __atomic_fetch_sub(&map->home->live, 1, __ATOMIC_RELAXED);
  map->owner = NULL;
  map->home = NULL;
  map->charged = 0;
  if (!keep_mapping(map)) destroy(map);
}

static uint8_t *get_probe_memory(void *env, size_t *size, size_t *capacity) {
  const guard_memories *memories = env;
  *size = *capacity = memories->probe_bytes;
  return (uint8_t *)memories->probe_base;
}

static void *refuse_growth(void *env, size_t size) {
  (void)env, (void)size;
  return refusal("the memory of the probes does not grow");
}

/* The mapping lives as long as the engine, for the next instance. */
static void keep_probes(void *env) { (void)env; }

/* Map the file of the probes into a reservation, and return whether that is possible. */
static bool map_probes(guard_memories *memories, size_t wanted) {
  struct stat file;
  /* Access to pages behind the end of the file would kill the process. */
  if (fstat(memories->probe_file, &file) || (uint64_t)file.st_size < memories->probe_bytes) return false;
  char *base = reserve(wanted);
  if (!base) return false;
  if (mmap(base, memories->probe_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memories->probe_file, 0) !=
      base) {
    munmap(base, wanted);
    return false;
  }
  memories->probe_base = base;
  memories->probe_span = wanted;
  return true;
}

/* Return the one memory that all modules of an instrumented guest share. No store pays for it. */
static void *probe_memory(guard_memories *memories, size_t reserved, size_t guarded, linear_memory *memory) {
  size_t least = memories->probe_bytes;
  size_t wanted = whole_pages(sum(reserved > least ? reserved : least, guarded));
  pthread_mutex_lock(&kept_lock);
  bool is_mapped = memories->probe_base ? wanted <= memories->probe_span : map_probes(memories, wanted);
  pthread_mutex_unlock(&kept_lock);
  if (!is_mapped) return refusal("the host cannot map the memory of the probes");
  memory->env = memories;
  memory->get = get_probe_memory;
  memory->grow = refuse_growth;
  memory->finalizer = keep_probes;
  return NULL;
}

static void *new_memory(void *env, const void *type, size_t minimum, size_t maximum, size_t reserved, size_t guarded,
                        linear_memory *memory) {
  guard_memories *memories = env;
  guard_run *run = current;
  const guard_image *image = NULL;
  (void)type;
  if (!run) return refusal("a memory was created outside of an execution");
  if (memories->probe_bytes && minimum == memories->probe_bytes && maximum == memories->most_probe_bytes)
    return probe_memory(memories, reserved, guarded, memory);
  if (!take(run, minimum)) {
    char text[96];
    snprintf(text, sizeof text, "memory of %zu bytes exceeds the memory limit of the store", minimum);
    return refusal(text);
  }
  reserved = whole_pages(reserved > minimum ? reserved : minimum);
  mapping *map = find_mapping(minimum, reserved, guarded);
  /* No other memory of its guest has this initial size, and the heap of the garbage collector begins empty. */
  if (run->image && run->image->memory_bytes == minimum) image = run->image;
  if (map && image && !lay(image, map)) {
    destroy(map);
    map = NULL;
  }
  if (!map) {
    take_back(run, minimum);
    return refused_by_host();
  }
  if (image) {
    run->image = NULL;
    map->is_kept_later = false; /* its pages would read as the image again, and not as zero */
    charge_for_image(run, image, map);
  }
  map->owner = run;
  map->home = memories;
  map->size = minimum;
  run->memory = map;
  run->memories++;
  __atomic_fetch_add(&map->home->live, 1, __ATOMIC_RELAXED);
  memory->env = map;
  memory->get = get_memory;
  memory->grow = grow_memory;
  memory->finalizer = drop_memory;
  return NULL;
}

static void free_memories(void *env) {
  guard_memories *memories = env;
  if (memories->probe_base) munmap(memories->probe_base, memories->probe_span);
  if (memories->probe_bytes) close(memories->probe_file);
  free(memories);
}

guard_memories *guard_memories_new(void *config) {
  guard_memories *memories = calloc(1, sizeof *memories);
  if (!memories) return NULL;
  memory_creator creator = {memories, new_memory, free_memories};
  table.config_memory_creator_set(config, &creator);
  return memories;
}

int guard_memories_probe(guard_memories *memories, int32_t file, size_t minimum, size_t maximum) {
  int duplicate = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return errno;
  memories->probe_file = duplicate;
  memories->most_probe_bytes = maximum;
  memories->probe_bytes = minimum;
  return 0;
}

int64_t guard_memories_live(const guard_memories *memories) { return LOAD(memories->live); }

/* --- the entries --------------------------------------------------------------------------------------------------- */

/* Return whether this thread has enough stack left. wasmtime checks its own limit from where it is entered, and would
 * run over the end of a stack that is smaller. */
bool guard_has_stack(void) {
  static _Thread_local uintptr_t low, high;
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (!high) {
#ifdef __APPLE__
    high = (uintptr_t)pthread_get_stackaddr_np(pthread_self());
    low = high - pthread_get_stacksize_np(pthread_self());
#else
    pthread_attr_t attributes;
    void *address = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes)) return false;
    pthread_attr_getstack(&attributes, &address, &size);
    pthread_attr_destroy(&attributes);
    high = (uintptr_t)address + size;
#ifndef __GLIBC__
    /* musl tells how much of its stack the main thread has used so far, and not how far it may grow. */
    struct rlimit limit;
    if (is_main_thread() && !getrlimit(RLIMIT_STACK, &limit) && limit.rlim_cur > size) size = (size_t)limit.rlim_cur;
#endif
    low = high > size ? high - size : 0;
#endif
  }
  return here > low && here <= high && here - low >= needed_stack_bytes;
}

static int32_t own_cpu_clock(void) {
#ifdef __APPLE__
  return -1;
#else
  clockid_t clock;
  return pthread_getcpuclockid(pthread_self(), &clock) ? -1 : (int32_t)clock;
#endif
}

/* Put a run into the list of those that the keeper looks at, and return whether it is kept. */
static bool enlist(guard_run *run) {
  pthread_mutex_lock(&lock);
  int64_t next_ns = next_look(run);
  bool is_kept = next_ns == NEVER || start_keeper();
  if (is_kept) {
    run->next = running;
    run->link = &running;
    if (running) running->link = &run->next;
    running = run;
    wake_by(next_ns);
  }
  pthread_mutex_unlock(&lock);
  return is_kept;
}

/* Begin a run with its first entry. */
static void begin(guard_run *run, int64_t time_ns) {
  run->started_ns = time_ns;
  STORE(run->due_ns, run->timeout_ns < 0 ? NEVER : later(time_ns, run->timeout_ns));
  run->cpu_ns = 0;
  run->exception[0] = run->exception[1] = run->exception[2] = NULL;
  STORE(run->peak, LOAD(run->used));
  STORE(run->denied, 0);
  STORE(run->host_refused, 0);
  table.set_fuel(run->context, run->fuel);
}

/* Enter guest code. Return NULL, or the error with which the entry is refused. */
static void *enter(guard_run *run) {
  run->refused = GUARD_ENTERED;
  if (!guard_has_stack()) {
    run->refused = GUARD_NO_STACK;
    return refusal("this thread has too little stack for a guest");
  }
  int64_t time_ns = now();
  if (!run->entries) begin(run, time_ns);
  run->entries++;
  run->finished_ns = 0;
  run->beats = is_main_thread();
  STORE(run->nudged_ns, time_ns);
  if (time_ns >= LOAD(run->due_ns)) stop_first(run, GUARD_TIMEOUT);
  if (!enlist(run)) {
    run->refused = GUARD_NO_THREAD;
    return refusal("the system cannot start the thread that keeps deadlines");
  }
  run->outer = current;
  current = run;
  run->cpu_clock = own_cpu_clock();
  run->entered_cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
  /* The callback is called at the next epoch, or at once if the run is stopped. An epoch that passes before this line
   * is not missed, since it passes again a millisecond later. */
  table.set_epoch_deadline(run->context, stopped(run) == GUARD_RUNNING ? 1 : 0);
  return NULL;
}

/* Enter guest code that instantiates nothing. An image may have been left behind by somebody who did not get to enter. */
static void *enter_call(guard_run *run) {
  run->image = NULL;
  return enter(run);
}

static void leave(guard_run *run) {
  run->cpu_ns += read_clock(CLOCK_THREAD_CPUTIME_ID) - run->entered_cpu_ns;
  table.get_fuel(run->context, &run->fuel_left);
  current = run->outer;
  run->image = NULL;
  pthread_mutex_lock(&lock);
  *run->link = run->next;
  if (run->next) run->next->link = run->link;
  pthread_mutex_unlock(&lock);
  run->finished_ns = now();
  /* On a busy machine a guest that is late may be back before the keeper has seen it. */
  if (run->finished_ns >= LOAD(run->due_ns)) stop_first(run, GUARD_TIMEOUT);
}

void *guard_component_instantiate(guard_run *run, void *linker, void *component, void *instance) {
  void *error = enter(run);
  if (error) return error;
  run->memory = NULL;
  run->memories = 0;
  error = table.component_instantiate(linker, run->context, component, instance);
  leave(run);
  return error;
}

void *guard_component_call(guard_run *run, void *function, const void *arguments, size_t count, void *results,
                           size_t result_count) {
  void *error = enter_call(run);
  if (error) return error;
  /* Values that own nothing, as wasmtime wants them. Without results, the address may be NULL. */
  if (result_count) memset(results, 0, VALUE_BYTES * result_count);
  error = table.component_call(
      function, run->context, arguments, count, results, result_count);
  leave(run);
  return error;
}

void *guard_component_execute(guard_run *run, void *linker, void *component, void *instance, const void *export_index,
                              void *function, const void *arguments, size_t count, void *results,
                              size_t result_count) {
  void *error = enter(run);
  if (error) return error;
  if (result_count) memset(results, 0, VALUE_BYTES * result_count);
  error = table.component_instantiate(linker, run->context, component, instance);
  if (!error && !table.component_function(instance, run->context, export_index, function))
    error = refusal("the component has no such function");
  if (!error) error = table.component_call(function, run->context, arguments, count, results, result_count);
  leave(run);
  return error;
}

void *guard_module_instantiate(guard_run *run, void *linker, void *module, void *instance) {
  void *trap = NULL;
  void *error = enter(run);
  if (error) return error;
  error = table.module_instantiate(linker, run->context, module,
                                                                                    instance, &trap);
  leave(run);
  return error ? error : trap;
}

void *guard_module_call(guard_run *run, void *function, void *values, size_t count) {
  void *trap = NULL;
  void *error = enter_call(run);
  if (error) return error;
  error = table.module_call(run->context, function, values, count,
                                                                             &trap);
  leave(run);
  return error ? error : trap;
}

void *guard_module_execute(guard_run *run, void *linker, void *module, void *instance, const char *name, size_t length,
                           void *function, void *values, size_t count) {
  struct { /* wasmtime_extern_t */
    uint8_t kind;
    uint64_t of[3];
  } item = {0};
  void *trap = NULL;
  void *error = enter(run);
  if (error) return error;
  error = table.module_instantiate(linker, run->context, module, instance, &trap);
  if (!error && !trap) {
    if (!table.module_export(run->context, instance, name, length, &item) || item.kind != EXTERN_FUNCTION)
      error = refusal("the module has no such function");
    else {
      memcpy(function, item.of, FUNCTION_BYTES);
      error = table.module_call(run->context, function, values, count, &trap);
    }
  }
  leave(run);
  return error ? error : trap;
}

/* Reset a run, so that the next entry begins it. */
static void renew(guard_run *run) {
  __atomic_store_n(&run->stop, GUARD_RUNNING, __ATOMIC_RELEASE);
  run->entries = 0;
  run->started_ns = run->finished_ns = 0;
  run->fuel_left = run->fuel;
}

void *guard_component_call_anew(guard_run *run, void *function, const void *arguments, size_t count, void *results,
                                size_t result_count) {
  renew(run);
  return guard_component_call(run, function, arguments, count, results, result_count);
}

void *guard_module_call_anew(guard_run *run, void *function, void *values, size_t count) {
  renew(run);
  return guard_module_call(run, function, values, count);
}

void *guard_resource_drop(guard_run *run, void *resource) {
  void *error = enter_call(run);
  if (error) return error;
  error = table.resource_drop(run->context, resource);
  leave(run);
  return error;
}

/* --- imports ------------------------------------------------------------------------------------------------------- */

/* Note the fuel that the guest of this thread has left. */
static void note_fuel(void) {
  if (current) table.get_fuel(current->context, &current->fuel_left);
}

void *guard_serve_component(void *import, void *context, const void *type, const void *arguments, size_t count,
                            void *results, size_t result_count) {
  (void)context, (void)type, (void)count, (void)result_count;
  note_fuel();
  return ((guard_import *)import)->serve(import, arguments, results);
}

void *guard_serve_module(void *import, void *caller, const void *arguments, size_t count, void *results,
                         size_t result_count) {
  (void)caller, (void)count, (void)result_count;
  note_fuel();
  return ((guard_import *)import)->serve(import, arguments, results);
}

void *guard_serve_destructor(void *import, void *context, uint32_t representation) {
  (void)context;
  note_fuel();
  return ((guard_import *)import)->destroy(import, representation);
}

/* --- scalar lifts -------------------------------------------------------------------------------------------------- */

/* What wasmtime lets lifting one result cost: the bytes of its texts and of the names of its fields, and the size of its
 * `Val` for each element of a list or tuple and each field. tests/runtime/lift/test_transfer_of_lifts.py finds both. */
#define MOST_LIFTED ((uint64_t)128 << 20)
#define VAL_BYTES 48
#define KIND_U32 6 /* WASMTIME_COMPONENT_U32 */

static void put_u32(void *values, size_t slot, uint32_t number) {
  char *value = (char *)values + VALUE_BYTES * slot;
  memset(value, 0, VALUE_BYTES);
  *value = KIND_U32;
  memcpy(value + 8, &number, sizeof number);
}

/* Set a number of 32 or 64 bits, whose kind is written already. */
static void set_number(void *values, size_t slot, uint64_t number) {
  memcpy((char *)values + VALUE_BYTES * slot + 8, &number, sizeof number);
}

static uint32_t get_u32(const void *at) {
  uint32_t number;
  memcpy(&number, at, sizeof number);
  return number;
}

/* Call a scalar lift with one number as its result, or without. */
static void *call_scalar(guard_run *run, void *function, const void *values, size_t count, uint32_t *result) {
  char value[VALUE_BYTES] = {0};
  void *error = table.component_call(function, run->context, values, count, value, result != NULL);
  if (!error && result) *result = get_u32(value + 8);
  return error;
}

/* Return the error of a result or an allocation that is not valid, for which wasmtime lets nothing enter the store any
 * more. A guest without fuel traps where a function begins, which has the same effect, and no other. */
static void *fail(guard_run *run, const guard_lifted *lifted, const void *arguments, const char *text) {
  char value[VALUE_BYTES] = {0};
  uint64_t left = 0;
  table.get_fuel(run->context, &left);
  table.set_fuel(run->context, 0);
  void *trap = table.component_call(lifted->call, run->context, arguments, (size_t)lifted->values, value,
                                    lifted->result != GUARD_NO_RESULT);
  if (trap) table.error_delete(trap);
  table.set_fuel(run->context, left);
  return refusal(text);
}

static bool is_within(const mapping *map, uint64_t at, uint64_t size) {
  return at <= map->size && size <= map->size - at;
}

/* Return a discriminant, or flags, of one, two or four bytes. */
static uint32_t get_number(const void *at, int32_t size) {
  uint32_t number = 0;
  memcpy(&number, at, (size_t)size); /* the machine is little-endian, as guests are */
  return number;
}

/* The contents of texts and lists that are copied into the memory of the guest. */
typedef struct lowering {
  guard_run *run;
  const guard_lifted *lifted;
  const char *source; /* the content that comes next */
  void *error;        /* the error of the guest */
} lowering;

static const char GUEST_FAILED[] = ""; /* what is wrong is in `error` */

static const char *put_parts(lowering *state, const guard_part *parts, int32_t count, const char *image, uint32_t at);

/* Copy a text or list into the memory of the guest: `LowerContext::realloc`, and the stores after it. Returns NULL, or
 * what is wrong. */
static const char *put_content(lowering *state, const guard_part *part, uint32_t length, uint32_t *at) {
  const mapping *map = state->lifted->memory;
  uint64_t size = (uint64_t)length * (uint64_t)part->size;
  const char *content = state->source, *wrong = NULL;
  char values[4 * VALUE_BYTES];
  put_u32(values, 0, 0);
  put_u32(values, 1, 0);
  put_u32(values, 2, (uint32_t)part->alignment);
  put_u32(values, 3, (uint32_t)size);
  state->error = call_scalar(state->run, state->lifted->reallocate, values, 4, at);
  if (state->error) return GUEST_FAILED;
  if (*at % (uint32_t)part->alignment) return "realloc return: result not aligned";
  if (!is_within(map, *at, size)) return "realloc return: beyond end of memory";
  state->source += size;
  if (!part->inner) {
    if (size) memcpy(map->base + *at, content, size);
    return NULL;
  }
  uint32_t element = *at;
  for (uint32_t i = 0; i < length && !wrong; i++, content += part->size, element += (uint32_t)part->size)
    wrong = put_parts(state, part + 1, part->inner, content, element);
  return wrong;
}

/* Store the parts of an element, of which `image` is a copy with lengths and without pointers: `Val::store`. The place is
 * inside the memory; a guest that grows it may move it. Returns NULL, or what is wrong. */
static const char *put_parts(lowering *state, const guard_part *parts, int32_t count, const char *image, uint32_t at) {
  const mapping *map = state->lifted->memory;
  for (const guard_part *part = parts; part < parts + count; part += 1 + part->inner) {
    const char *from = image + part->offset, *wrong = NULL;
    uint32_t to = at + (uint32_t)part->offset;
    if (part->kind == GUARD_BYTES) memcpy(map->base + to, from, (size_t)part->size);
    if (part->kind == GUARD_VARIANT) {
      const guard_part *chosen = part + 1 + get_number(from, part->size);
      memcpy(map->base + to, from, (size_t)part->size);
      wrong = put_parts(state, part + chosen->offset, chosen->inner, image, at);
    }
    if (part->kind == GUARD_TEXT || part->kind == GUARD_LIST) {
      uint32_t pair[2] = {0, get_u32(from + 4)};
      wrong = put_content(state, part, pair[1], &pair[0]);
      if (!wrong) memcpy(map->base + to, pair, sizeof pair);
    }
    if (wrong) return wrong;
  }
  return NULL;
}

/* Copy the texts and lists of the arguments into the memory of the guest. Returns NULL, or what is wrong. */
static const char *copy_in(lowering *state, char *arguments) {
  const guard_block *blocks = (const void *)(arguments + VALUE_BYTES * (size_t)state->lifted->values);
  for (const guard_block *block = blocks; block < blocks + state->lifted->blocks; block++) {
    if (!block->part) continue;
    uint32_t at = 0;
    state->source = block->source;
    const char *wrong = put_content(state, block->part, (uint32_t)block->length, &at);
    if (wrong) return wrong;
    set_number(arguments, (size_t)block->slot, at);
    set_number(arguments, (size_t)block->slot + 1, block->length);
  }
  return NULL;
}

/* Return the bytes of a character of UTF-8 by its first byte; 1 if it is not one that others follow. */
static size_t width_of(uint8_t first) {
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 1;
}

static bool is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* Return where the text is not UTF-8, or its size. `wrong` is then how many bytes are wrong; 0 if it ends too early.
 * The rules are those of `core::str::from_utf8` in Rust. */
static size_t valid_up_to(const uint8_t *text, size_t size, int *wrong) {
  size_t at = 0;
  *wrong = 0;
  while (at < size) {
    uint64_t eight;
    while (size - at >= 8 && (memcpy(&eight, text + at, 8), !(eight & UINT64_C(0x8080808080808080)))) at += 8;
    if (at == size) break;
    uint8_t first = text[at];
    if (first < 0x80) {
      at++;
      continue;
    }
    size_t width = width_of(first);
    if (width == 1) return *wrong = 1, at;
    if (size - at < 2) return at;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[at + 1] < low || text[at + 1] > high) return *wrong = 1, at;
    for (size_t i = 2; i < width; i++) {
      if (size - at <= i) return at;
      if (!is_continuation(text[at + i])) return *wrong = (int)i, at;
    }
    at += width;
  }
  return size;
}

static bool is_char(uint32_t code) { return code < 0xd800 || (code > 0xdfff && code < 0x110000); }

static const char *const NO_CHAR = "converted integer out of range for `char`";

/* A result that is checked, and then copied. */
typedef struct lifting {
  guard_run *run;
  const mapping *map;
  uint64_t left;  /* what wasmtime would still let it cost */
  uint64_t total; /* the bytes of its copies */
  uint64_t work;  /* the bytes that were checked or copied since signals were handled */
  char *copy;
  uint64_t used;  /* the bytes of the copies that are made */
  char text[96];  /* room for what is wrong */
} lifting;

static uint64_t whole_words(uint64_t size) { return (size + 7) & ~(uint64_t)7; }

/* About a millisecond of checking or copying. */
#define MOST_UNHEEDED ((uint64_t)4 << 20)
/* The error of a run that is stopped while its result is checked or copied. The reason of the stop is what counts. */
static const char *const STOPPED = "stopped";

/* Count bytes that are checked or copied. After some of them, signals are handled as they are while a guest runs. Returns
 * whether the run has to end. */
static bool has_to_end(lifting *state, uint64_t bytes) {
  state->work += bytes;
  if (state->work < MOST_UNHEEDED) return false;
  state->work = 0;
  if (state->run->beats && stopped(state->run) == GUARD_RUNNING) handle_signals(state->run);
  return stopped(state->run) != GUARD_RUNNING;
}

/* Charge what wasmtime does before it makes a value. Returns NULL, or what is wrong. */
static const char *charge(lifting *state, uint64_t cost) {
  if (cost > state->left)
    return "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been "
           "exhausted";
  state->left -= cost;
  return has_to_end(state, cost) ? STOPPED : NULL;
}

/* Check a text: `WasmStr::new`, and the conversion after it. */
static const char *check_text(lifting *state, uint32_t at, uint32_t length) {
  if (!is_within(state->map, at, length)) return "string pointer/length out of bounds of memory";
  const char *wrong = charge(state, length);
  if (wrong) return wrong;
  int wrong_bytes;
  size_t valid = valid_up_to((const uint8_t *)state->map->base + at, length, &wrong_bytes);
  if (valid == length) return NULL;
  if (wrong_bytes)
    snprintf(state->text, sizeof state->text, "invalid utf-8 sequence of %d bytes from index %zu", wrong_bytes, valid);
  else
    snprintf(state->text, sizeof state->text, "incomplete utf-8 byte sequence from index %zu", valid);
  return state->text;
}

static const char *check_parts(lifting *state, const guard_part *parts, int32_t count, const char *area);

/* Check a list: `load_list`. */
static const char *check_list(lifting *state, const guard_part *part, uint32_t at, uint32_t length) {
  uint64_t size = (uint64_t)length * (uint64_t)part->size;
  if (!is_within(state->map, at, size)) return "list pointer/length out of bounds of memory";
  const char *wrong = charge(state, (uint64_t)length * VAL_BYTES);
  if (wrong) return wrong;
  if (at % (uint32_t)part->alignment) return "list pointer is not aligned";
  if (!part->inner) return charge(state, (uint64_t)length * (uint64_t)part->element_cost);
  const char *element = state->map->base + at;
  for (uint32_t i = 0; i < length && !wrong; i++, element += part->size)
    wrong = check_parts(state, part + 1, part->inner, element);
  return wrong;
}

/* Write the error of a case that does not exist. */
static const char *no_case(char *text, size_t size, uint32_t number, int32_t count) {
  snprintf(text, size, "discriminant %u out of range [0..%d)", (unsigned)number, (int)count);
  return text;
}

/* Check a variant: `load_variant`. */
static const char *check_variant(lifting *state, const guard_part *part, const char *area) {
  uint32_t number = get_number(area + part->offset, part->size);
  if (number >= (uint32_t)part->count) return no_case(state->text, sizeof state->text, number, part->count);
  const guard_part *chosen = part + 1 + number;
  return check_parts(state, part + chosen->offset, chosen->inner, area);
}

/* Charge the names of the flags that are set: `push_flags`. */
static const char *check_flags(lifting *state, const guard_part *part, uint32_t bits) {
  const char *wrong = NULL;
  for (int32_t i = 0; i < part->count && !wrong; i++)
    if (bits >> i & 1) wrong = charge(state, (uint64_t)part[1 + i].cost);
  return wrong;
}

/* Check the parts of a result or of an element of a list: `Val::load`. Returns NULL, or what is wrong. */
static const char *check_parts(lifting *state, const guard_part *parts, int32_t count, const char *area) {
  for (const guard_part *part = parts; part < parts + count; part += 1 + part->inner) {
    const char *at = area + part->offset, *wrong = charge(state, (uint64_t)part->cost);
    if (wrong) return wrong;
    if (part->kind == GUARD_CHAR && !is_char(get_u32(at))) return NO_CHAR;
    if (part->kind == GUARD_VARIANT) wrong = check_variant(state, part, area);
    if (part->kind == GUARD_FLAGS) wrong = check_flags(state, part, get_number(at, part->size));
    if (part->kind == GUARD_TEXT) wrong = check_text(state, get_u32(at), get_u32(at + 4));
    if (part->kind == GUARD_LIST) wrong = check_list(state, part, get_u32(at), get_u32(at + 4));
    if (wrong) return wrong;
    if (part->kind == GUARD_TEXT || part->kind == GUARD_LIST)
      state->total += whole_words((uint64_t)get_u32(at + 4) * (uint64_t)part->size);
  }
  return NULL;
}

/* Copy the texts and lists of a result, or of an element of a list, that was checked. `area` is a copy of it, in which
 * pointers become offsets: those of the types that are lifted are less than 2**32. Returns whether the run may go on. */
static bool take_parts(lifting *state, const guard_part *parts, int32_t count, char *area) {
  for (const guard_part *part = parts; part < parts + count; part += 1 + part->inner) {
    if (part->kind == GUARD_VARIANT) {
      const guard_part *chosen = part + 1 + get_number(area + part->offset, part->size);
      if (!take_parts(state, part + chosen->offset, chosen->inner, area)) return false;
    }
    if (part->kind != GUARD_TEXT && part->kind != GUARD_LIST) continue;
    uint32_t from = get_u32(area + part->offset), length = get_u32(area + part->offset + 4);
    uint32_t offset = (uint32_t)state->used;
    uint64_t size = (uint64_t)length * (uint64_t)part->size;
    char *content = state->copy + state->used;
    if (size) memcpy(content, state->map->base + from, size);
    memset(content + size, 0, whole_words(size) - size); /* texts in a row are read together */
    memcpy(area + part->offset, &offset, sizeof offset);
    state->used += whole_words(size);
    if (has_to_end(state, size)) return false;
    if (part->kind == GUARD_TEXT || !part->count) continue;
    for (uint32_t i = 0; i < length; i++, content += part->size)
      if (!take_parts(state, part + 1, part->inner, content)) return false;
  }
  return true;
}

/* Check a result in the memory of the guest, and copy it out: `Func::load_results`. Returns NULL, or what is wrong. */
static const char *copy_out(guard_run *run, const guard_lifted *lifted, lifting *state, uint32_t at,
                            uint64_t *results) {
  const mapping *map = state->map = lifted->memory;
  uint64_t size = (uint64_t)lifted->size;
  state->run = run;
  if (at % (uint32_t)lifted->alignment) return "return pointer not aligned";
  if (!is_within(map, at, size)) return "pointer out of bounds of memory";
  const char *area = map->base + at;
  state->left = MOST_LIFTED;
  state->work = 0;
  state->total = state->used = whole_words(size);
  const char *wrong = check_parts(state, lifted->parts, lifted->part_count, area);
  if (wrong) return wrong;
  char *copy = malloc(state->total);
  if (!copy) {
    STORE(run->host_refused, 1);
    return "the host cannot reserve memory";
  }
  memcpy(copy, area, size);
  state->copy = copy;
  if (!take_parts(state, lifted->parts, lifted->part_count, copy)) {
    free(copy);
    return STOPPED;
  }
  *results = (uint64_t)(uintptr_t)copy;
  return NULL;
}

/* Check a choice: `lift_variant`, of a type whose cases have no content. Returns NULL, or what is wrong. */
static const char *check_choice(const guard_lifted *lifted, const char *value, char *text, size_t size) {
  uint32_t number = get_u32(value + 8);
  return number < (uint32_t)lifted->size ? NULL : no_case(text, size, number, lifted->size);
}

/* Call a function by its scalar lift, inside of an entry. */
static void *call_lifted(guard_run *run, const guard_lifted *lifted, char *arguments, void *results) {
  lowering given = {.run = run, .lifted = lifted};
  lifting state;
  const char *wrong = copy_in(&given, arguments);
  if (given.error) return given.error;
  if (wrong) return fail(run, lifted, arguments, wrong);
  if (lifted->result != GUARD_POINTER) {
    size_t count = lifted->result != GUARD_NO_RESULT;
    memset(results, 0, VALUE_BYTES * count);
    void *error = table.component_call(lifted->call, run->context, arguments, (size_t)lifted->values, results, count);
    if (error || lifted->result != GUARD_CHOICE) return error;
    wrong = check_choice(lifted, results, state.text, sizeof state.text);
    return wrong ? fail(run, lifted, arguments, wrong) : NULL;
  }
  uint32_t at;
  *(uint64_t *)results = 0;
  void *error = call_scalar(run, lifted->call, arguments, (size_t)lifted->values, &at);
  if (error) return error;
  wrong = copy_out(run, lifted, &state, at, results);
  if (wrong) return fail(run, lifted, arguments, wrong);
  if (!lifted->post_return) return NULL;
  char value[VALUE_BYTES];
  put_u32(value, 0, at);
  error = call_scalar(run, lifted->post_return, value, 1, NULL);
  if (error) guard_free(results);
  return error;
}

void *guard_lifted_call(guard_run *run, void *lifted, const void *arguments, size_t count, void *results,
                        size_t result_count) {
  (void)count, (void)result_count;
  void *error = enter_call(run);
  if (error) return error;
  error = call_lifted(run, lifted, (char *)(uintptr_t)arguments, results);
  leave(run);
  return error;
}

void *guard_lifted_call_anew(guard_run *run, void *lifted, const void *arguments, size_t count, void *results,
                             size_t result_count) {
  renew(run);
  return guard_lifted_call(run, lifted, arguments, count, results, result_count);
}

void *guard_lifted_execute(guard_run *run, void *linker, void *component, void *instance, const guard_lifted *lifted,
                           const void *const *indices, void *arguments, void *results) {
  char functions[3][COMPONENT_FUNCTION_BYTES];
  void *found[3] = {NULL, NULL, NULL};
  void *error = enter(run);
  if (error) return error;
  run->memory = NULL;
  run->memories = 0;
  error = table.component_instantiate(linker, run->context, component, instance);
  bool is_lifted = run->memories == 1;
  for (int i = 0; i < 3 && !error && is_lifted; i++) {
    if (!indices[i]) continue;
    found[i] = functions[i];
    if (!table.component_function(instance, run->context, indices[i], found[i]))
      error = refusal("the component has no such function");
  }
  if (!error && is_lifted) {
    guard_lifted of_instance = *lifted;
    of_instance.memory = run->memory;
    of_instance.call = found[0];
    of_instance.reallocate = found[1];
    of_instance.post_return = found[2];
    error = call_lifted(run, &of_instance, arguments, results);
  } else if (!error) {
    error = refusal("the guest has not made exactly one memory");
    run->refused = GUARD_NOT_LIFTED;
  }
  leave(run);
  return error;
}

void guard_free(void *results) {
  uint64_t *owned = results;
  free((void *)(uintptr_t)*owned);
  *owned = 0;
}

/* --- the pace of calls --------------------------------------------------------------------------------------------- */

/* Begin another stretch of calls that wait in this way. */
static void begin_stretch(guard_pace *pace, bool is_looping, bool is_trial) {
  STORE(pace->is_looping, is_looping);
  pace->is_trial = is_trial;
  pace->calls = 0;
}

void guard_pace_note(guard_pace *pace, int64_t lost_ns) {
  if (!has_processors) return;
  bool is_looping = LOAD(pace->is_looping);
  int64_t *cost = &pace->cost_ns[is_looping], other = pace->cost_ns[!is_looping];
  if (++pace->calls > LAST_UNCOUNTED) {
    int64_t lost = lost_ns < 1 ? 1 : least(lost_ns, MOST_LOST_NS);
    bool is_first = pace->calls == LAST_UNCOUNTED + 1;
    *cost = is_first && (pace->is_trial || !*cost) ? lost : *cost + (lost - *cost) / 8;
  }
  /* The other way is tried at once if this one has become dearer than that was. */
  bool is_short = pace->is_trial || *cost / 4 * 3 > other;
  if (pace->calls < (is_short ? TRIAL_CALLS : CALLS_BETWEEN_TRIALS)) return;
  if (!pace->is_trial)
    begin_stretch(pace, !is_looping, true);
  else /* A loop costs processor time as well, so it has to be clearly quicker. */
    begin_stretch(pace, pace->cost_ns[1] < pace->cost_ns[0] / 4 * 3, false);
}

/* --- parked threads ------------------------------------------------------------------------------------------------ */

/* PARKED_LEFT: the caller of the call does not wait here. PARKED_TOLD: such a call has ended. */
enum {
  PARKED_IDLE = 0,
  PARKED_ASKED = 1,
  PARKED_DONE = 2,
  PARKED_GIVEN_UP = 3,
  PARKED_CLOSED = 4,
  PARKED_LEFT = 5,
  PARKED_TOLD = 6
};

#ifdef __linux__
/* Let the processor do something else for some cycles. */
static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int32_t state_of(guard_parked *parked) { return __atomic_load_n(&parked->state, __ATOMIC_ACQUIRE); }

/* Look in a loop, for a moment, whether the state of a parked thread is still `state`. */
static void spin_while(guard_parked *parked, int32_t state, int64_t most_ns) {
  if (!has_processors || most_ns <= 0) return;
  int64_t until_ns = now() + least(most_ns, SPIN_NS);
  do {
    for (int times = 0; times < 32; times++) {
      if (state_of(parked) != state) return;
      relax();
    }
  } while (now() < until_ns);
}

/* Wait while the state of a parked thread is `state`. Return false if the time is over or a signal came. */
static bool wait_while(guard_parked *parked, int32_t state, int64_t wait_ns) {
  struct timespec time = {(time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000)};
  /* Either this thread finds the new state, or the thread that sets it finds that this one is waiting. */
  __atomic_add_fetch(&parked->waiting, 1, __ATOMIC_SEQ_CST);
  bool is_woken =
      !syscall(SYS_futex, &parked->state, FUTEX_WAIT_PRIVATE, state, wait_ns == NEVER ? NULL : &time, NULL, 0) ||
      errno == EAGAIN;
  __atomic_sub_fetch(&parked->waiting, 1, __ATOMIC_SEQ_CST);
  return is_woken;
}

/* Change the state of a parked thread, and wake the thread that waits for it. */
static bool change_state(guard_parked *parked, int32_t from, int32_t to) {
  if (!__atomic_compare_exchange_n(&parked->state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) return false;
  if (__atomic_load_n(&parked->waiting, __ATOMIC_SEQ_CST))
    syscall(SYS_futex, &parked->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  return true;
}

int32_t guard_parked_serve(guard_parked *parked) {
  for (;;) {
    int32_t state = state_of(parked);
    if (state == PARKED_CLOSED) return GUARD_SERVED_CLOSED;
    if (state != PARKED_ASKED && state != PARKED_LEFT) {
      if (LOAD(parked->is_close) && LOAD(parked->pace.is_looping)) spin_while(parked, state, SPIN_NS);
      if (state_of(parked) == state) wait_while(parked, state, NEVER);
      continue;
    }
    if (parked->entry == GUARD_OF_MODULE)
      parked->error = guard_module_call(parked->run, parked->function, parked->results, parked->count);
    else
      parked->error = (parked->entry == GUARD_IS_LIFTED ? guard_lifted_call : guard_component_call)(
          parked->run, parked->function, parked->arguments, parked->count, parked->results, parked->result_count);
    STORE(parked->ended_ns, parked->run->finished_ns);
    STORE(parked->was_short, parked->run->finished_ns - parked->run->started_ns < SPIN_NS);
    if (change_state(parked, PARKED_ASKED, PARKED_DONE)) continue;
    return change_state(parked, PARKED_LEFT, PARKED_TOLD) ? GUARD_SERVED_LEFT : GUARD_SERVED_GIVEN_UP;
  }
}

int32_t guard_parked_wait(guard_parked *parked, int64_t wait_ns) {
  int64_t until_ns = wait_ns < 0 ? NEVER : later(now(), wait_ns);
  /* A signal that comes before the system call does not end it. So Python looks for signals after each beat. */
  int64_t beat_ns = is_main_thread() ? later(now(), BEAT_NS) : NEVER;
  while (state_of(parked) == PARKED_ASKED) {
    int64_t next_ns = least(until_ns, beat_ns), left_ns = next_ns == NEVER ? NEVER : next_ns - now();
    if (left_ns <= 0) return until_ns <= beat_ns ? GUARD_PARKED_LATE : GUARD_PARKED_INTERRUPTED;
    if (!wait_while(parked, PARKED_ASKED, left_ns) && errno == EINTR) return GUARD_PARKED_INTERRUPTED;
  }
  int32_t state = state_of(parked);
  return state == PARKED_LEFT || state == PARKED_TOLD ? GUARD_PARKED_LEFT : GUARD_PARKED_DONE;
}

/* Ask the parked thread for a call, look for its end in a loop for `spin_ns` at most, and return when it was asked. */
static int64_t ask(guard_parked *parked, int64_t spin_ns) {
  STORE(parked->run->due_ns, NEVER); /* until the run begins */
  int64_t asked_ns = now();
  STORE(parked->is_close, asked_ns - LOAD(parked->ended_ns) < CLOSE_NS);
  /* Between two calls, nobody else changes the state. */
  change_state(parked, state_of(parked), PARKED_ASKED);
  if (LOAD(parked->was_short) && LOAD(parked->pace.is_looping)) spin_while(parked, PARKED_ASKED, spin_ns);
  return asked_ns;
}

/* Note the time that a call took in addition to that of its guest. */
static void note_call(guard_parked *parked, int64_t asked_ns) {
  if (!LOAD(parked->is_close) || !LOAD(parked->was_short)) return;
  guard_run *run = parked->run;
  guard_pace_note(&parked->pace, now() - asked_ns - (run->finished_ns - run->started_ns));
}

int32_t guard_parked_call(guard_parked *parked) {
  int64_t asked_ns = ask(parked, SPIN_NS);
  guard_run *run = parked->run;
  int64_t wait_ns = run->timeout_ns;
  for (;;) {
    int32_t ended = guard_parked_wait(parked, wait_ns);
    if (ended == GUARD_PARKED_DONE) note_call(parked, asked_ns);
    if (ended != GUARD_PARKED_LATE) return ended;
    /* It has begun later than it was asked for, or not yet: then it has all of its time. */
    int64_t due_ns = LOAD(run->due_ns);
    if (due_ns != NEVER) wait_ns = due_ns - now();
    if (wait_ns <= 0) return GUARD_PARKED_LATE;
  }
}

int32_t guard_parked_ask(guard_parked *parked, int64_t wait_ns) {
  int64_t asked_ns = ask(parked, wait_ns);
  int64_t left_ns = asked_ns + wait_ns - now();
  if (guard_parked_wait(parked, left_ns > 0 ? left_ns : 0) == GUARD_PARKED_DONE) {
    note_call(parked, asked_ns);
    return GUARD_PARKED_DONE;
  }
  guard_parked_leave(parked);
  return state_of(parked) == PARKED_DONE ? GUARD_PARKED_DONE : GUARD_PARKED_LEFT;
}

void guard_parked_leave(guard_parked *parked) { change_state(parked, PARKED_ASKED, PARKED_LEFT); }

bool guard_parked_give_up(guard_parked *parked) { return change_state(parked, PARKED_ASKED, PARKED_GIVEN_UP); }

void guard_parked_close(guard_parked *parked) { change_state(parked, state_of(parked), PARKED_CLOSED); }

#endif

/* --- calls between processes --------------------------------------------------------------------------------------- */

/* Look in a loop, for a moment, whether a descriptor can be read or has an error. */
static bool spin_for_input(struct pollfd *asked) {
  if (!has_processors) return false;
  int64_t until_ns = now() + SPIN_NS;
  do
    if (poll(asked, 1, 0)) return true;
  while (now() < until_ns);
  return false;
}

/* Wait until a descriptor can be read or has an error, and return whether it is so. */
static bool wait_for_input(struct pollfd *asked, int64_t wait_ns) {
  int64_t until_ns = wait_ns < 0 ? NEVER : later(now(), wait_ns);
  for (;;) {
    int64_t left_ns = until_ns == NEVER ? 1000000000 : until_ns - now();
    if (left_ns <= 0) return false;
    int found = poll(asked, 1, (int)least(left_ns / 1000000 + 1, 1000));
    if (found) return found > 0;
  }
}

/* Write a frame, unless there is none, and read the next one, or a part of something longer. Returns the number of bytes
 * that were read, which is 0 at the end of the pipe, or a reason for which there are none. */
static int64_t exchange(guard_pipes *pipes) {
  struct pollfd asked = {pipes->from, POLLIN, 0};
  size_t size = (size_t)pipes->size;
  /* The system writes frames, which are shorter than the room of a pipe, as a whole. */
  if (size && write(pipes->to, pipes->written, size) != (ssize_t)size) return GUARD_NOT_WRITTEN;
  if (!(pipes->is_looping && spin_for_input(&asked)) && !wait_for_input(&asked, pipes->wait_ns))
    return GUARD_NOTHING_READ;
  return read(pipes->from, pipes->read, sizeof pipes->read);
}

int64_t guard_ask(guard_pipes *pipes) {
  guard_call_frame *call = &pipes->call_written;
  const guard_answer_frame *answer = &pipes->answer_read;
  int64_t asked_ns = now();
  pipes->is_looping = call->is_looping = LOAD(pipes->pace.is_looping);
  pipes->is_open = true;
  int64_t count = exchange(pipes);
  /* The other side may write anything. */
  if (count < (int64_t)sizeof *answer || answer->kind || answer->number != call->number) return count;
  pipes->is_open = false;
  int64_t guest_ns, answered_ns = now();
  bool is_short = !__builtin_sub_overflow(answer->finished_ns, answer->started_ns, &guest_ns) && guest_ns >= 0 &&
                  guest_ns < SPIN_NS;
  if (is_short && asked_ns - pipes->answered_ns < CLOSE_NS)
    guard_pace_note(&pipes->pace, answered_ns - asked_ns - guest_ns);
  pipes->answered_ns = answered_ns;
  return count;
}

static size_t value_bytes(const guard_export *called) {
  return called->entry == GUARD_OF_MODULE ? MODULE_VALUE_BYTES : VALUE_BYTES;
}

/* Return the export that the frame of `count` bytes in `read` calls; NULL if there is none with so many arguments. */
static guard_export *called_export(guard_export *const *exports, const guard_pipes *pipes, int64_t count) {
  const guard_call_frame *call = &pipes->call_read;
  if (count < (int64_t)sizeof *call) return NULL;
  guard_export *found = __atomic_load_n(exports, __ATOMIC_ACQUIRE);
  while (found && (found->session != call->session || found->index != call->index)) found = found->next;
  bool fits = found && (size_t)count == sizeof *call + found->arguments * value_bytes(found);
  return fits ? found : NULL;
}

/* Make the call in `read`, and write its answer. Return false if the guest has failed. */
static bool answer_call(guard_pipes *pipes, guard_export *called) {
  const guard_call_frame *call = &pipes->call_read;
  guard_answer_frame *answer = &pipes->answer_written;
  guard_run *run = called->run;
  size_t count = called->arguments;
  pipes->is_looping = call->is_looping;
  if (called->entry == GUARD_OF_MODULE) {
    memcpy(answer + 1, call + 1, count * MODULE_VALUE_BYTES);
    if (count < called->results) count = called->results;
    called->error = guard_module_call_anew(run, called->function, answer + 1, count);
  } else
    called->error = guard_component_call_anew(run, called->function, call + 1, count, answer + 1, called->results);
  if (called->error || LOAD(run->stop)) return false;
  *answer = (guard_answer_frame){
      .number = call->number,
      .fuel_left = run->fuel_left,
      .started_ns = run->started_ns,
      .finished_ns = run->finished_ns,
      .cpu_ns = run->cpu_ns,
      .peak = LOAD(run->peak),
      .denied = LOAD(run->denied),
  };
  pipes->size = (int32_t)(sizeof *answer + called->results * value_bytes(called));
  return true;
}

int64_t guard_serve(guard_pipes *pipes, guard_export *const *exports, int64_t count) {
  for (;; count = 0) {
    while (!count) {
      errno = 0;
      count = exchange(pipes);
      if (!count || count == GUARD_NOT_WRITTEN) return GUARD_NOTHING_READ;
      pipes->size = 0;
      if (count < 0 && errno != EINTR) return GUARD_NOTHING_READ;
      if (count < 0) count = 0;
    }
    guard_export *called = called_export(exports, pipes, count);
    if (!called) return count;
    if (!answer_call(pipes, called)) return GUARD_CALL_FAILED;
  }
}

/* --- stores and the process ---------------------------------------------------------------------------------------- */

void guard_store_new(guard_run *run, void *engine, int64_t table_elements, int64_t instances, int64_t tables,
                     int64_t memories) {
  run->engine = engine;
  run->store = table.store_new(engine, NULL, NULL);
  run->context = table.store_context(run->store);
  /* Memory is not limited here (-1): the account refuses growth, and remembers that it did. */
  table.store_limiter(run->store, -1, table_elements, instances, tables, memories);
  table.store_epoch_callback(run->store, on_epoch, run, NULL);
}

void guard_store_delete(guard_run *run) {
  table.store_delete(run->store);
  run->store = run->context = NULL;
}

void *guard_component_run(guard_run *run, void *engine, const int64_t *counts, void *linker, void *component,
                          void *instance, const void *export_index, void *function, const void *arguments,
                          size_t count, void *results, size_t result_count) {
  guard_store_new(run, engine, counts[0], counts[1], counts[2], counts[3]);
  void *error = guard_component_execute(run, linker, component, instance, export_index, function, arguments, count,
                                        results, result_count);
  guard_store_delete(run);
  return error;
}

void *guard_lifted_run(guard_run *run, void *engine, const int64_t *counts, void *linker, void *component,
                       void *instance, const guard_lifted *lifted, const void *const *indices, void *arguments,
                       void *results) {
  guard_store_new(run, engine, counts[0], counts[1], counts[2], counts[3]);
  void *error = guard_lifted_execute(run, linker, component, instance, lifted, indices, arguments, results);
  guard_store_delete(run);
  return error;
}

static void before_fork(void) {
  pthread_mutex_lock(&lock);
  pthread_mutex_lock(&kept_lock);
}

static void in_parent(void) {
  pthread_mutex_unlock(&kept_lock);
  pthread_mutex_unlock(&lock);
}

/* A child has only the thread that forked: no keeper, and no other guest. A guest that forks in a host function goes on
 * in the child under its deadline. */
static void in_child(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_mutex_init(&kept_lock, NULL);
  init_condition();
  main_state = UNKNOWN;
  is_keeping = false;
  generation++;
  wakes_at_ns = NEVER;
  running = NULL;
  for (guard_run *run = current; run; run = run->outer) enlist(run);
}

int guard_load(const guard_table *given, size_t stack_bytes) {
  int error = 0;
  pthread_mutex_lock(&lock);
  if (!is_loaded) {
    table = *given;
    needed_stack_bytes = stack_bytes;
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
#ifdef __linux__
    cpu_set_t processors;
    has_processors = !sched_getaffinity(0, sizeof processors, &processors) && CPU_COUNT(&processors) > 1;
#endif
    error = init_condition();
    if (!error) error = pthread_atfork(before_fork, in_parent, in_child);
    is_loaded = !error;
  }
  pthread_mutex_unlock(&lock);
  return error;
}

void guard_shutdown(void) {
  stop_keeper();
  destroy_kept();
}

int32_t guard_version(void) { return GUARD_VERSION; }
size_t guard_run_size(void) { return sizeof(guard_run); }
size_t guard_table_size(void) { return sizeof(guard_table); }
size_t guard_lifted_size(void) { return sizeof(guard_lifted); }
