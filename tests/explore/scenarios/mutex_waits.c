/* core/lockable.h: waits for a mutex that end otherwise than by a release. */

#include "core/lot/back_off.h"
#include "core/lot/spin.h"
#include "scene_mutex.h"

static bool is_handling[EX_THREADS_MAX]; /* the thread's signal handler runs */

/* Takes the mutex until the deadline, and releases it. */
static fl_lock_result
try_until(int64_t deadline_ns)
{
    fl_lock_result result = scene_lock_within(&mutex, deadline_ns);
    if (result == FL_LOCK_ACQUIRED) {
        scene_enter(&section);
        scene_pause();
        scene_leave(&section);
        scene_unlock(&mutex);
    }
    return result;
}

static void
try_timed(int64_t deadline_ns)
{
    fl_lock_result result = try_until(deadline_ns);
    EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_TIMED_OUT || result == FL_LOCK_NO_MEMORY);
    EX_CHECK(result != FL_LOCK_TIMED_OUT || ex_now_ns() >= deadline_ns);
}

/* ---- time-outs ---- */

static void
one_is_timed(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        try_timed(scene_deadline());
    }
    else {
        EX_CHECK(try_until(FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
    }
    scene_end();
}

EX_SCENARIO(mutex_timed) = {
    .name = "mutex-timed",
    .what = "a timed lock against a release, with another thread in the queue",
    .threads = 3,
    .run = one_is_timed,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = 4, .timeouts = 1, .lapses = 1},
};

static void
all_are_timed(int thread)
{
    scene_begin_numbered();
    try_timed(thread == 0 ? ex_now_ns() : scene_deadline() + thread);
    scene_end();
}

EX_SCENARIO(mutex_deadlines) = {
    .name = "mutex-deadlines",
    .what = "three timed locks, one of them with a deadline that has passed",
    .threads = 3,
    .run = all_are_timed,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .timeouts = 2, .lapses = 1},
    .full = {.preemptions = 3, .timeouts = 3, .lapses = 1, .failures = 1},
};

/* Thread 0 takes it again and again, so that waiters grow old. */
static void
one_is_greedy(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        for (int i = 0; i < 3; i++) {
            EX_CHECK(try_until(FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
        }
    }
    else {
        try_timed(scene_deadline());
    }
    scene_end();
}

EX_SCENARIO(mutex_hand_off) = {
    .name = "mutex-hand-off",
    .what = "a hand-off to a waiter that times out: one thread takes the mutex three times, two wait for it with a "
            "deadline",
    .threads = 3,
    .run = one_is_greedy,
    MUTEX_CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = 3, .timeouts = 1, .lapses = 2},
};

/* ---- signals ---- */

static bool
may_raise(int thread)
{
    (void)thread;
    return ex_choose(2) == 0;
}

static void
one_may_give_up(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        scene_interruptible(may_raise);
        fl_lock_result result = try_until(FL_DEADLINE_NEVER);
        EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_GIVEN_UP);
    }
    else {
        EX_CHECK(try_until(FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
    }
    scene_end();
}

EX_SCENARIO(mutex_gives_up) = {
    .name = "mutex-gives-up",
    .what = "a waiter, designated or not, is interrupted, and its handler may raise",
    .threads = 3,
    .run = one_may_give_up,
    MUTEX_CHECKS,
    .quick = {.preemptions = 2, .interrupts = 1, .lapses = 1},
    .full = {.preemptions = 3, .interrupts = 2, .lapses = 1},
};

static bool
lock_in_handler(int thread)
{
    if (!is_handling[thread]) {
        is_handling[thread] = true;
        EX_CHECK(try_until(FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
        is_handling[thread] = false;
    }
    return true;
}

static void
one_locks_in_handler(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        scene_interruptible(lock_in_handler);
    }
    EX_CHECK(try_until(FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
    scene_end();
}

EX_SCENARIO(mutex_handler) = {
    .name = "mutex-handler",
    .what = "a waiter is interrupted, and its handler takes the same mutex and releases it",
    .threads = 3,
    .run = one_locks_in_handler,
    MUTEX_CHECKS,
    .quick = {.preemptions = 1, .interrupts = 1, .lapses = 1},
    .full = {.preemptions = 3, .interrupts = 2, .lapses = 1},
};

/* ---- the end of the runtime ---- */

static void
check_ended(void)
{
    scene_check_waiters(); /* the word may go on saying that an ended thread is designated: W5 */
}

/* Thread 0 ends the runtime, whatever the others are doing, and goes on with the mutex, which may be held by one that
 * is not there any more. */
static void
one_ends_the_runtime(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        try_timed(scene_deadline());
        scene_end_runtime();
        try_timed(scene_deadline());
        try_timed(scene_deadline());
        ex_forget_others(); /* the process ends */
    }
    else {
        (void)try_until(FL_DEADLINE_NEVER);
    }
    scene_end();
}

EX_SCENARIO(mutex_ended) = {
    .name = "mutex-ended",
    .what = "the runtime ends threads that attach; the last one goes on with a mutex that they held or waited for",
    .threads = 3,
    .run = one_ends_the_runtime,
    .check = check_ended,
    .quick = {.preemptions = 2, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = 3, .timeouts = 2, .lapses = 1},
    .needs_gil = true,
};

/* ---- backing off ---- */

static void
enable_spins(void)
{
    fl_spin_enable(true);
    ex_set_tick(FL_BACK_OFF_NS);
}

static void
take_turns(int thread)
{
    (void)thread;
    scene_begin_numbered();
    for (int i = 0; i < 2; i++) {
        try_timed(thread == 0 ? FL_DEADLINE_NEVER : scene_deadline());
    }
    scene_end();
}

static void
at_end_spun(void)
{
    mutex_at_end();
    EX_CHECK(fl_spin_count() == 0);
}

EX_SCENARIO(mutex_back_off) = {
    .name = "mutex-back-off",
    .what = "two threads that spin and back off take a mutex twice each",
    .threads = 2,
    .set_up = enable_spins,
    .run = take_turns,
    .check = mutex_check,
    .at_rest = mutex_at_rest,
    .at_end = at_end_spun,
    .quick = {.preemptions = 4, .timeouts = 1},
    .full = {.preemptions = 6, .timeouts = 2, .lapses = 1},
    .needs_no_gil = true,
};

EX_SCENARIO(mutex_spin) = {
    .name = "mutex-spin",
    .what = "two threads that spin for a wake-up and for the runtime take a mutex twice each",
    .threads = 2,
    .set_up = enable_spins,
    .run = take_turns,
    .check = mutex_check,
    .at_rest = mutex_at_rest,
    .at_end = at_end_spun,
    .quick = {.preemptions = 4, .timeouts = 1},
    .full = {.preemptions = 6, .timeouts = 2, .lapses = 1},
    .needs_gil = true,
};
