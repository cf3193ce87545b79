/* park/park.h: one thread sleeps until one other wakes it. */

#include "park/park.h"

#include <stdlib.h>

#include "scene_queue.h"

static fl_parker *parker;   /* of thread 0, on the heap, freed as soon as that is allowed */
static int data;            /* written before the wake-up */
static fl_atomic_u32 claim; /* who decides how the wait ends: 0, or the thread's number + 1 */

static void
set_up(void)
{
    parker = malloc(sizeof *parker);
    EX_CHECK(fl_parker_init(parker) == 0);
}

static void
discard(void)
{
    fl_parker_destroy(parker);
    free(parker);
}

/* ---- one wake-up ---- */

/* P2, P3 */
static void
sleep_or_wake(int thread)
{
    if (thread == 1) {
        data = 1;
        fl_parker_wake(parker);
        return;
    }
    EX_CHECK(fl_parker_sleep(parker, FL_DEADLINE_NEVER, false) == FL_SLEEP_WOKEN);
    EX_CHECK(data == 1);
    discard();
}

EX_SCENARIO(park_once) = {
    .name = "park-once",
    .what =
        "one thread wakes another, which frees the parker at once; signals and spurious wake-ups do not end its sleep",
    .threads = 2,
    .set_up = set_up,
    .run = sleep_or_wake,
    .quick = {.preemptions = EX_UNLIMITED, .interrupts = 2, .spurious = 2},
    .full = {.preemptions = EX_UNLIMITED, .interrupts = 6, .spurious = 6},
    .needs_no_gil = true,
};

/* ---- a wake-up against the other ends of a sleep ---- */

static bool
claims(int thread)
{
    uint32_t seen = 0;
    return fl_cas_acquire_u32(&claim, &seen, (uint32_t)thread + 1);
}

/* As the parking lot does: whoever claims the wait ends it.  The sleeper that finds it claimed waits for the wake-up. */
static void
sleep_until(int64_t deadline_ns, bool interruptible)
{
    for (;;) {
        fl_sleep_result slept = fl_parker_sleep(parker, deadline_ns, interruptible);
        if (slept == FL_SLEEP_WOKEN) {
            break;
        }
        EX_CHECK(slept == FL_SLEEP_TIMED_OUT || interruptible);
        EX_CHECK(slept == FL_SLEEP_INTERRUPTED || ex_now_ns() >= deadline_ns);
        if (slept == FL_SLEEP_TIMED_OUT) {
            if (claims(0)) {
                discard();
                return;
            }
            EX_CHECK(fl_parker_sleep(parker, FL_DEADLINE_NEVER, false) == FL_SLEEP_WOKEN);
            break;
        }
    }
    EX_CHECK(fl_parker_is_woken(parker));
    EX_CHECK(data == 1);
    discard();
}

static void
sleep_timed(int thread)
{
    if (thread == 0) {
        sleep_until(scene_deadline(), false);
    }
    else if (ex_choose(2) == 0 && claims(thread)) {
        data = 1;
        fl_parker_wake(parker);
    }
}

EX_SCENARIO(park_timed) = {
    .name = "park-timed",
    .what = "a sleep times out while one of two threads wakes it, or nobody does",
    .threads = 3,
    .set_up = set_up,
    .run = sleep_timed,
    .quick = {.preemptions = EX_UNLIMITED, .timeouts = 1, .interrupts = 2, .spurious = 2},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 1, .interrupts = 6, .spurious = 6},
    .needs_no_gil = true,
};

static void
sleep_in_slices(int thread)
{
    if (thread == 0) {
        sleep_until(ex_now_ns() + INT64_C(20000000), true);
    }
    else if (claims(thread)) {
        data = 1;
        fl_parker_wake(parker);
    }
}

EX_SCENARIO(park_slices) = {
    .name = "park-slices",
    .what = "the same with a sleep that signals interrupt, in slices",
    .threads = 3,
    .set_up = set_up,
    .run = sleep_in_slices,
    .quick = {.preemptions = EX_UNLIMITED, .timeouts = 2, .interrupts = 2, .spurious = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 6, .interrupts = 6, .spurious = 4},
    .needs_no_gil = true,
};

/* A thread that spins looks first, and sleeps all the same. */
static void
look_first(int thread)
{
    if (thread == 1) {
        data = 1;
        fl_parker_wake(parker);
        return;
    }
    bool woken = fl_parker_is_woken(parker);
    EX_CHECK(fl_parker_sleep(parker, woken ? scene_deadline() : FL_DEADLINE_NEVER, false) == FL_SLEEP_WOKEN);
    EX_CHECK(data == 1);
    discard();
}

EX_SCENARIO(park_look) = {
    .name = "park-look",
    .what = "a thread that has seen its wake-up sleeps once more, sees what the waker wrote, and frees the parker",
    .threads = 2,
    .set_up = set_up,
    .run = look_first,
    .quick = {.preemptions = EX_UNLIMITED, .timeouts = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 1, .interrupts = 4},
    .needs_no_gil = true,
};

/* ---- several sleeps ---- */

static fl_parker parkers[2];
static int turns;

static void
set_up_two(void)
{
    EX_CHECK(fl_parker_init(&parkers[0]) == 0);
    EX_CHECK(fl_parker_init(&parkers[1]) == 0);
}

static void
take_turns(int thread)
{
    for (int i = 0; i < 3; i++) {
        if (thread == 1 || i > 0) {
            EX_CHECK(fl_parker_sleep(&parkers[thread], FL_DEADLINE_NEVER, false) == FL_SLEEP_WOKEN);
            fl_parker_reset(&parkers[thread]);
        }
        EX_CHECK(turns == 2 * i + thread);
        turns++;
        if (thread == 0 || i < 2) {
            fl_parker_wake(&parkers[1 - thread]);
        }
    }
    fl_parker_destroy(&parkers[thread]);
}

EX_SCENARIO(park_turns) = {
    .name = "park-turns",
    .what = "two threads wake each other in turns, and use their parkers again",
    .threads = 2,
    .set_up = set_up_two,
    .run = take_turns,
    .quick = {.preemptions = EX_UNLIMITED, .interrupts = 2, .spurious = 2},
    .full = {.preemptions = EX_UNLIMITED, .interrupts = 6, .spurious = 6},
    .needs_no_gil = true,
};
