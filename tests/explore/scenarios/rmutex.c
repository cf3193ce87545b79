/* core/rmutex.h: the recursive mutex. */

#include "scene.h"

static fl_rmutex mutex;
static scene_section section;

static void
check(void)
{
    scene_check_waiters();
    scene_check_lock(&mutex.word);
}

static void
at_rest(void)
{
    scene_check_served(&mutex.word);
    for (const fl_waiter *waiter = *fl_bucket_queue(fl_bucket_of(&mutex), &mutex); waiter; waiter = waiter->next) {
        EX_CHECK(waiter->thread != fl_rmutex_owner(&mutex)); /* nobody waits for what is its own */
    }
}

static void
at_end(void)
{
    scene_check_free(&mutex.word);
    scene_check_nothing_left();
    EX_CHECK(fl_load_relaxed_u64(&mutex.extra) == 0); /* R3 */
}

#define CHECKS .check = check, .at_rest = at_rest, .at_end = at_end

static void
be_inside(uint64_t depth)
{
    EX_CHECK(fl_rmutex_is_owned(&mutex) && fl_rmutex_depth(&mutex) == depth);
    scene_enter(&section);
    scene_pause();
    scene_leave(&section);
}

static void
lock_twice(int thread)
{
    (void)thread;
    scene_begin();
    scene_rlock(&mutex);
    scene_rlock(&mutex);
    be_inside(2);
    scene_runlock(&mutex);
    be_inside(1);
    scene_runlock(&mutex);
    EX_CHECK(!fl_rmutex_unlock(&mutex)); /* once too often */
    scene_end();
}

EX_SCENARIO(rmutex_two) = {
    .name = "rmutex-two",
    .what = "two threads take a recursive mutex twice, and release it once too often",
    .threads = 2,
    .run = lock_twice,
    CHECKS,
    .quick = {.preemptions = 3, .lapses = 1, .failures = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2, .failures = 1},
};

EX_SCENARIO(rmutex_three) = {
    .name = "rmutex-three",
    .what = "three threads take a recursive mutex twice, and release it once too often",
    .threads = 3,
    .run = lock_twice,
    CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 2},
};

/* ---- threads that get their serial with the lock ---- */

static void
lock_registered(int thread)
{
    scene_begin();
    fl_lock_result result = scene_rlock_within(&mutex, thread == 0 ? FL_DEADLINE_NEVER : scene_deadline());
    if (result == FL_LOCK_ACQUIRED) {
        be_inside(1);
        scene_runlock(&mutex);
    }
    else {
        EX_CHECK(result == FL_LOCK_NO_MEMORY || (thread != 0 && result == FL_LOCK_TIMED_OUT));
        EX_CHECK(!fl_rmutex_is_owned(&mutex));
    }
    scene_end();
}

EX_SCENARIO(rmutex_timed) = {
    .name = "rmutex-timed",
    .what = "two timed locks of a recursive mutex against a release, with threads that get their serials and may lack "
            "memory",
    .threads = 3,
    .run = lock_registered,
    CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1, .lapses = 1, .failures = 1},
    .full = {.preemptions = 2, .timeouts = 2, .lapses = 1, .failures = 1},
};

/* ---- signals ---- */

/* The handler takes the mutex and keeps it: its thread, which waits for the mutex, then has it already. */
static bool kept;

static bool
keep_in_handler(int thread)
{
    (void)thread;
    if (!kept && ex_choose(2) == 1) {
        kept = fl_rmutex_try_lock(&mutex) == FL_LOCK_ACQUIRED;
    }
    return true;
}

static void
one_keeps_it_in_handler(int thread)
{
    scene_begin();
    if (thread == 0) {
        scene_interruptible(keep_in_handler);
    }
    scene_rlock(&mutex);
    be_inside(1 + (uint64_t)(thread == 0 && kept));
    if (thread == 0 && kept) {
        scene_runlock(&mutex);
    }
    scene_runlock(&mutex);
    scene_end();
}

EX_SCENARIO(rmutex_handler) = {
    .name = "rmutex-handler",
    .what = "a waiter's signal handler takes the recursive mutex that its thread waits for, and keeps it",
    .threads = 3,
    .run = one_keeps_it_in_handler,
    CHECKS,
    .quick = {.preemptions = 2, .interrupts = 1},
    .full = {.preemptions = 2, .interrupts = 2, .lapses = 1},
};
