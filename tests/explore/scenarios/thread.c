/* core/thread.h: who is there. */

#include "core/thread.h"

#include "platform/atomic.h"
#include "scene_queue.h"

static fl_atomic_u64 serials[EX_THREADS_MAX]; /* published; 0 before */
static uint64_t late_serials[EX_THREADS_MAX];

static uint64_t
register_at_last(void)
{
    uint64_t serial = fl_thread_register();
    if (serial == 0) { /* the explorer has let an allocation fail */
        EX_CHECK(fl_thread_self() == 0);
        serial = fl_thread_register();
    }
    EX_CHECK(serial != 0 && serial % FL_THREAD_SERIAL_STEP == 0);
    EX_CHECK(fl_thread_self() == serial && fl_thread_register() == serial);
    return serial;
}

/* A thread is found from its registration until its end. */
static void
look_up(int other)
{
    uint64_t serial = fl_load_relaxed_u64(&serials[other]);
    if (serial != 0) {
        uint64_t ident = fl_thread_ident(serial);
        EX_CHECK(ident == (uint64_t)other + 1 || (ident == 0 && fl_load_relaxed_u64(&serials[other]) == 0));
        EX_CHECK(!fl_thread_is_left_behind(serial));
    }
}

static void
come_and_go(int thread)
{
    uint64_t serial = register_at_last();
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        EX_CHECK(i == thread || fl_load_relaxed_u64(&serials[i]) != serial);
    }
    fl_store_relaxed_u64(&serials[thread], serial);
    look_up((thread + 1) % 3);
    EX_CHECK(fl_thread_ident(serial) == (uint64_t)thread + 1);
    EX_CHECK(fl_thread_is_main() == (thread == 1));
    fl_store_relaxed_u64(&serials[thread], 0); /* it may end now */
}

/* U3: a destructor that runs after the core's own gets a new record. */
static void
come_back(int thread)
{
    if (thread < 2) {
        EX_CHECK(fl_thread_self() == 0);
        late_serials[thread] = register_at_last();
        EX_CHECK(fl_thread_ident(late_serials[thread]) == (uint64_t)thread + 1);
    }
}

static void
set_up(void)
{
    fl_thread_set_main(2);
}

static void
at_end(void)
{
    EX_CHECK(late_serials[0] != late_serials[1]);
    for (uint64_t i = 1; i <= 8; i++) {
        EX_CHECK(fl_thread_ident(i * FL_THREAD_SERIAL_STEP) == 0); /* all are gone */
    }
}

EX_SCENARIO(thread_registry) = {
    .name = "thread-registry",
    .what =
        "threads register, look each other up, end, and register again in a late destructor; resources may be missing",
    .threads = 3,
    .set_up = set_up,
    .run = come_and_go,
    .late = come_back,
    .at_end = at_end,
    .quick = {.preemptions = 2, .failures = 1},
    .full = {.preemptions = 3, .failures = 1},
    .needs_no_gil = true,
};
