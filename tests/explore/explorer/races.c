/* Happens-before, by vector clocks.
 *
 * Each thread has a clock, which advances with each release.  What a thread knows of the others' clocks it has learnt
 * by acquiring what they released: through atomic words by the orderings that the code names, and through mutexes.
 * A plain access that does not know of the last write there, or a plain write that does not know of the
 * last reads, is a data race: the run fails.
 *
 * The words' values are those of a sequentially consistent machine all the same; tests/litmus says what others may
 * read. */

#include <string.h>

#include "engine.h"

typedef uint16_t ex_time;

typedef struct {
    ex_time of[EX_THREADS_MAX];
} ex_clock;

/* The last accesses to one byte. */
typedef struct {
    uint32_t run; /* in which they were; the cell is empty in another one */
    ex_time written;
    int8_t writer; /* -1: none */
    ex_time read[EX_THREADS_MAX];
} ex_cell;

enum { OBJECTS = 1 << 12 };

typedef struct {
    const void *object;
    uint64_t run;
    ex_clock clock;
} released;

static ex_cell *cells;
static released *objects;
static ex_clock known[EX_THREADS_MAX];

void
ex_races_init(size_t count)
{
    cells = ex_reserve(count * sizeof *cells);
    objects = ex_reserve(OBJECTS * sizeof *objects);
}

void
ex_races_begin(void)
{
    memset(known, 0, sizeof known);
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        known[i].of[i] = 1;
    }
}

void
ex_race_plain(size_t index, int thread, bool writes, const void *address)
{
    ex_cell *cell = &cells[index];
    const ex_clock *self = &known[thread];
    if (cell->run != (uint32_t)ex.run) {
        *cell = (ex_cell){.run = (uint32_t)ex.run, .writer = -1};
    }
    if (cell->writer >= 0 && cell->writer != thread && cell->written > self->of[cell->writer]) {
        EX_FAIL("a data race: thread %d %s %p, which thread %d wrote",
                thread,
                writes ? "writes" : "reads",
                address,
                cell->writer);
    }
    if (!writes) {
        cell->read[thread] = self->of[thread];
        return;
    }
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (i != thread && cell->read[i] > self->of[i]) {
            EX_FAIL("a data race: thread %d writes %p, which thread %d read", thread, address, i);
        }
        cell->read[i] = 0;
    }
    cell->writer = (int8_t)thread;
    cell->written = self->of[thread];
}

static released *
released_by(const void *object)
{
    size_t i = ((uintptr_t)object * UINT64_C(0x9E3779B97F4A7C15)) >> 52;
    while (objects[i].run == ex.run && objects[i].object != object) {
        i = (i + 1) % OBJECTS;
    }
    if (objects[i].run != ex.run) {
        objects[i] = (released){.object = object, .run = ex.run};
    }
    return &objects[i];
}

static void
learn(ex_clock *clock, const ex_clock *from)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (clock->of[i] < from->of[i]) {
            clock->of[i] = from->of[i];
        }
    }
}

void
ex_order_after_all(void)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        learn(&known[ex.current], &known[i]);
    }
}

void
ex_order_start(int thread)
{
    learn(&known[thread], &known[ex.current]);
    known[ex.current].of[ex.current]++;
}

void
ex_order_acquire(const void *object)
{
    if (ex_is_running()) {
        learn(&known[ex.current], &released_by(object)->clock);
    }
}

void
ex_order_release(const void *object, bool keeps)
{
    if (ex_is_running()) {
        released *entry = released_by(object);
        if (!keeps) {
            entry->clock = (ex_clock){.of = {0}};
        }
        learn(&entry->clock, &known[ex.current]);
        known[ex.current].of[ex.current]++;
    }
}

void
ex_order_forget(const void *object)
{
    if (ex_is_running()) {
        released_by(object)->clock = (ex_clock){.of = {0}};
    }
}
