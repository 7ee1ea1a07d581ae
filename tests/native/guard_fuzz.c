/* Random sequences of calls of the guard: `guard_fuzz FIRST COUNT` tries COUNT seeds.
 *
 * For each seed, three threads open, enter and delete stores of engines with large and small reservations. Their guests
 * make, grow and write memories, use fuel, spin, stop themselves, trap, and enter other stores. A fourth thread stops
 * runs, sends signals, and shuts the guard down. Every thread keeps the books itself, and compares them with the
 * guard's after each entry. The sequence of calls of a thread depends on its seed, and only on when it is stopped
 * besides. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_wasmtime.h"

#define PAGE ((size_t)65536)
#define MS INT64_C(1000000)
#define THREADS 3
#define STORES 3
#define ENGINES 3
#define STEPS 60
#define FUEL 1000000
#define NEEDED_STACK ((size_t)64 << 10)

static _Thread_local char where[96] = "at the end";

#define CHECK(condition)                                                                             \
  do {                                                                                               \
    if (!(condition)) {                                                                              \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, where, #condition);           \
      abort();                                                                                       \
    }                                                                                                \
  } while (0)

/* --- chance -------------------------------------------------------------------------------------------------------- */

typedef struct chance {
  uint64_t state;
} chance;

/* Return the next number of the generator splitmix64. */
static uint64_t next(chance *from) {
  uint64_t mixed = from->state += UINT64_C(0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
  return mixed ^ (mixed >> 31);
}

static size_t below(chance *from, size_t bound) { return (size_t)(next(from) % bound); }

/* --- the books of a store ------------------------------------------------------------------------------------------ */

typedef struct books {
  guard_run *run; /* NULL if there is no store */
  int64_t used, peak, denied;
  uint64_t fuel;
  int32_t entries;
  size_t sizes[MOST_MEMORIES];
  size_t memories;
  bool is_entered;
  pthread_mutex_t published; /* held while the store is opened or deleted, or stopped by the fourth thread */
} books;

typedef struct player {
  chance chance;
  books stores[STORES];
  engine **engines;
  uint64_t seed;
  int number;
  int depth;
} player;

typedef struct visit {
  player *player;
  books *books;
} visit;

static void charge(books *one, size_t size) {
  one->used += (int64_t)size;
  if (one->used > one->peak) one->peak = one->used;
}

static bool has_room(const books *one, size_t size) {
  int64_t limit = one->run->limit;
  return size == 0 || (one->used <= limit && size <= (uint64_t)(limit - one->used));
}

/* Check the marks at both ends of each page, and that nothing is there but them. */
static void check_bytes(const books *one, size_t memory) {
  size_t size;
  const uint8_t *bytes = memory_of(one->run->store, memory, &size);
  CHECK(size == one->sizes[memory]);
  for (size_t at = 0; at + PAGE <= size; at += PAGE) {
    CHECK(bytes[at] == 1 + memory && bytes[at + PAGE - 1] == 1 + memory);
    CHECK(bytes[at + PAGE / 2] == 0);
  }
}

/* Check that a memory reads as zero from `start` on, and mark its pages. */
static void mark(const books *one, size_t memory, size_t start) {
  size_t size;
  uint8_t *bytes = memory_of(one->run->store, memory, &size);
  CHECK(size == one->sizes[memory]);
  for (size_t at = start; at + PAGE <= size; at += PAGE) {
    CHECK(bytes[at] == 0 && bytes[at + PAGE / 2] == 0 && bytes[at + PAGE - 1] == 0);
    bytes[at] = bytes[at + PAGE - 1] = (uint8_t)(1 + memory);
  }
}

/* Check that a memory ends where its size ends. */
static void check_end(const books *one, size_t memory) {
  size_t size;
  int ends[2];
  store *store = one->run->store;
  const uint8_t *bytes = memory_of(store, memory, &size);
  if (!store->engine->guarded) return; /* what follows may be anything */
  CHECK(!pipe(ends));
  CHECK(write(ends[1], bytes + size, 1) != 1);
  close(ends[0]);
  close(ends[1]);
}

static void check_books(const books *one) {
  const guard_run *run = one->run;
  CHECK(run->used == one->used && run->peak == one->peak && run->denied == one->denied);
  CHECK(run->entries == one->entries && run->fuel_left == one->fuel && !run->host_refused);
  CHECK(run->started_ns <= run->finished_ns && run->cpu_ns >= 0);
}

/* --- images of memories -------------------------------------------------------------------------------------------- */

#define IMAGES 8 /* one for memories of each size that is made */
#define IMAGE_BYTE 0x77
static guard_image *images[IMAGES];
static uint64_t units_of(size_t size) { return size / PAGE * 100; }

static void make_images(void) {
  static uint8_t bytes[PAGE * IMAGES];
  for (size_t page = 0; page < IMAGES; page++) bytes[page * PAGE + PAGE / 4] = IMAGE_BYTE;
  for (size_t size = PAGE; size < PAGE * IMAGES; size += PAGE) {
    images[size / PAGE] = guard_image_new(-1, 0, bytes, size, 0, size, units_of(size));
    CHECK(images[size / PAGE]);
  }
}

/* Return the fuel that the guest has left. */
static uint64_t fuel_of(const books *one) { return ((store *)one->run->store)->fuel; }

/* Check that a memory has the content of its image, or none, and what the run has paid for it. */
static void check_image(books *one, size_t memory, bool is_there) {
  size_t size;
  const uint8_t *bytes = memory_of(one->run->store, memory, &size);
  for (size_t at = 0; at < size; at += PAGE) CHECK(bytes[at + PAGE / 4] == (is_there ? IMAGE_BYTE : 0));
  uint64_t fuel = fuel_of(one), units = units_of(size);
  if (!is_there) return;
  CHECK(!one->run->image);
  /* A run that is stopped does not pay, and the fourth thread may have stopped this one just before. */
  CHECK(fuel == one->fuel - (one->fuel < units ? one->fuel : units) || fuel == one->fuel);
  one->fuel = fuel;
}

/* --- guests -------------------------------------------------------------------------------------------------------- */

static void enter_store(player *player, books *one);

static void try_new_memory(player *player, books *one) {
  if (one->memories == MOST_MEMORIES) return;
  size_t size = PAGE * below(&player->chance, 8);
  bool has_image = size && below(&player->chance, 2);
  one->run->image = has_image ? images[size / PAGE] : NULL;
  bool is_refused = dispose(new_memory(one->run->store, size));
  CHECK(is_refused == !has_room(one, size));
  if (is_refused) {
    one->denied++;
    return;
  }
  charge(one, size);
  one->sizes[one->memories] = size;
  check_image(one, one->memories, has_image);
  mark(one, one->memories++, 0);
}

static void try_growth(player *player, books *one) {
  if (!one->memories) return;
  size_t memory = below(&player->chance, one->memories);
  size_t size = below(&player->chance, 10) ? PAGE * below(&player->chance, 16) : SIZE_MAX / 2;
  bool is_refused = dispose(grow(one->run->store, memory, size));
  CHECK(is_refused == !has_room(one, size));
  if (is_refused) {
    one->denied++;
    return;
  }
  charge(one, size);
  one->sizes[memory] += size;
  mark(one, memory, one->sizes[memory] - size);
  check_bytes(one, memory);
}

static void *run_randomly(store *store, const guest *self, void *values, size_t count) {
  const visit *visit = self->pointer;
  player *player = visit->player;
  books *one = visit->books;
  void *failed = NULL;
  (void)values, (void)count;
  for (size_t steps = below(&player->chance, 6); steps && !failed; steps--) {
    uint64_t fuel = below(&player->chance, 1000);
    switch (below(&player->chance, 9)) {
      case 0:
        try_new_memory(player, one);
        break;
      case 1:
      case 2:
        try_growth(player, one);
        break;
      case 3:
        if (one->memories) check_bytes(one, below(&player->chance, one->memories));
        if (one->memories) check_end(one, below(&player->chance, one->memories));
        break;
      case 4:
        burn(store, fuel);
        one->fuel = one->fuel > fuel ? one->fuel - fuel : 0;
        CHECK(fuel_of(one) == one->fuel);
        break;
      case 5:
        failed = spin(store, (int64_t)below(&player->chance, 1000) * 1000);
        break;
      case 6:
        enter_store(player, &player->stores[below(&player->chance, STORES)]);
        break;
      case 7:
        if (!below(&player->chance, 4)) guard_stop(one->run, GUARD_OUTPUT);
        break;
      default:
        return below(&player->chance, 4) ? NULL : new_failure(1, "unreachable");
    }
  }
  return failed;
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

static void begin_run(player *player, books *one) {
  guard_run *run = one->run;
  __atomic_store_n(&run->stop, GUARD_RUNNING, __ATOMIC_RELEASE); /* the fourth thread may stop it meanwhile */
  run->entries = one->entries = 0;
  run->timeout_ns = below(&player->chance, 2) ? (int64_t)below(&player->chance, 2000) * 1000 : -1;
  run->fuel = run->fuel_left = one->fuel = FUEL;
  run->started_ns = run->finished_ns = 0;
}

/* Make a call as if another process had asked for it, and check its answer, which comes back to the one that wrote it. */
static void *enter_by_frame(guard_run *run, module_function *function) {
  guard_export called = {NULL, 3, run, function, NULL, 5, GUARD_OF_MODULE, 0, 2}, *first = &called;
  guard_pipes pipes = {.wait_ns = -1, .call_read = {.number = 1, .session = 3, .index = 5}};
  int ends[2];
  CHECK(!pipe(ends));
  pipes.from = ends[0];
  pipes.to = ends[1];
  int64_t count = guard_serve(&pipes, &first, sizeof pipes.call_read);
  const guard_answer_frame *answer = &pipes.answer_read;
  if (count != GUARD_CALL_FAILED) {
    CHECK(count == sizeof *answer + 32 && !answer->kind && answer->number == 1 && !called.error);
    CHECK(answer->fuel_left == run->fuel_left && answer->peak == run->peak && answer->denied == run->denied);
  }
  close(ends[0]);
  close(ends[1]);
  return called.error;
}

static void *enter_once(player *player, books *one, guest *guest) {
  guard_run *run = one->run;
  unsigned char results[64];
  module_function function = {guest, 0}, found;
  const struct guest *instance;
  struct guest module = {.export_name = "run", .export = guest}, copied;
  switch (below(&player->chance, 8)) {
    case 0:
      return guard_component_instantiate(run, NULL, guest, NULL);
    case 1:
      return guard_component_call(run, guest, NULL, 0, results, below(&player->chance, 3));
    case 2:
      return guard_module_instantiate(run, NULL, guest, &instance);
    case 3:
      return guard_resource_drop(run, guest);
    case 4:
      return guard_component_execute(run, NULL, guest, NULL, guest, &copied, NULL, 0, results, 1);
    case 5:
      return guard_module_execute(run, NULL, &module, &instance, "run", 3, &found, results, 2);
    case 6:
      if (one->entries == 1) return enter_by_frame(run, &function); /* which begins a run */
      return guard_module_call(run, &function, results, 2);
    default:
      return guard_module_call(run, &function, results, 2);
  }
}

static void enter_store(player *player, books *one) {
  if (!one->run || one->is_entered || player->depth > 3) return;
  guard_run *run = one->run;
  visit visit = {player, one};
  guest guest = {.run = run_randomly, .pointer = &visit};
  if (!one->entries || below(&player->chance, 2)) begin_run(player, one);
  if (!one->entries++) one->peak = one->used, one->denied = 0;
  one->is_entered = true;
  player->depth++;
  failure *failed = enter_once(player, one, &guest);
  player->depth--;
  one->is_entered = false;
  CHECK(run->refused == GUARD_ENTERED);
  int32_t reason = __atomic_load_n(&run->stop, __ATOMIC_ACQUIRE);
  if (failed && failed->code == 10) CHECK(reason != GUARD_RUNNING);
  CHECK(reason != GUARD_RAISED || player->number == 0);
  if (reason == GUARD_TIMEOUT) CHECK(run->timeout_ns >= 0);
  dispose(failed);
  check_books(one);
}

static void open_one(player *player, books *one) {
  pthread_mutex_lock(&one->published);
  one->run = calloc(1, sizeof *one->run);
  CHECK(one->run);
  one->run->limit = (int64_t)(PAGE * below(&player->chance, 64));
  guard_store_new(one->run, player->engines[below(&player->chance, ENGINES)], -1, -1, -1, -1);
  one->used = one->peak = one->denied = 0;
  one->memories = 0;
  one->entries = 0;
  pthread_mutex_unlock(&one->published);
}

static void close_one(books *one) {
  if (!one->run) return;
  pthread_mutex_lock(&one->published);
  guard_store_delete(one->run);
  CHECK(one->run->used == 0);
  free(one->run);
  one->run = NULL;
  pthread_mutex_unlock(&one->published);
}

static void *play(void *given) {
  player *player = given;
  for (int step = 0; step < STEPS; step++) {
    books *one = &player->stores[below(&player->chance, STORES)];
    snprintf(where, sizeof where, "seed %" PRIu64 ", thread %d, step %d", player->seed, player->number, step);
    if (!one->run)
      open_one(player, one);
    else if (!below(&player->chance, 5))
      close_one(one);
    else
      enter_store(player, one);
  }
  for (int i = 0; i < STORES; i++) close_one(&player->stores[i]);
  return NULL;
}

/* --- the fourth thread --------------------------------------------------------------------------------------------- */

typedef struct disturber {
  chance chance;
  player *players;
  atomic_bool has_to_end;
} disturber;

static void *disturb(void *given) {
  disturber *self = given;
  while (!atomic_load(&self->has_to_end)) {
    player *player = &self->players[below(&self->chance, THREADS)];
    books *one = &player->stores[below(&self->chance, STORES)];
    pthread_mutex_lock(&one->published);
    if (one->run) guard_stop(one->run, GUARD_CANCELLED);
    pthread_mutex_unlock(&one->published);
    atomic_store(&python.does_raise, below(&self->chance, 2) != 0);
    atomic_store(&python.has_signal, true);
    if (!below(&self->chance, 8)) guard_shutdown();
    sleep_ns((int64_t)below(&self->chance, 2000) * 1000);
  }
  return NULL;
}

static void try_seed(uint64_t seed) {
  engine *engines[ENGINES] = {new_engine((size_t)1 << 32, 32 * PAGE), new_engine(16 * PAGE, PAGE), new_engine(PAGE, 0)};
  player players[THREADS];
  memset(players, 0, sizeof players);
  for (int i = 0; i < THREADS; i++) {
    players[i].chance.state = seed * 16 + (uint64_t)i;
    players[i].engines = engines;
    players[i].seed = seed;
    players[i].number = i;
    for (int j = 0; j < STORES; j++) pthread_mutex_init(&players[i].stores[j].published, NULL);
  }
  disturber disturber = {.chance = {seed * 16 + 15}, .players = players};
  pthread_t threads[THREADS], disturbing;
  CHECK(!pthread_create(&disturbing, NULL, disturb, &disturber));
  for (int i = 1; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, play, &players[i]));
  play(&players[0]); /* the main thread, which handles signals */
  for (int i = 1; i < THREADS; i++) pthread_join(threads[i], NULL);
  atomic_store(&disturber.has_to_end, true);
  pthread_join(disturbing, NULL);
  for (int i = 0; i < ENGINES; i++) {
    CHECK(guard_memories_live(engines[i]->memories) == 0);
    delete_engine(engines[i]);
  }
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  uint64_t first = strtoull(arguments[1], NULL, 10), seeds = strtoull(arguments[2], NULL, 10);
  CHECK(!load_guard(NEEDED_STACK));
  make_images();
  for (uint64_t seed = first; seed < first + seeds; seed++) try_seed(seed);
  guard_shutdown();
  for (size_t i = 0; i < IMAGES; i++) guard_image_delete(images[i]);
  printf("%" PRIu64 " passed\n", seeds);
  return 0;
}
