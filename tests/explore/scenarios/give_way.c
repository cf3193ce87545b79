/* core/lot/give_way.h: a thread that takes a lock again and again leaves it to the designated waiter in the end. */

#include "core/lot/give_way.h"
#include "core/lot/spin.h"
#include "scene_mutex.h"

static void
set_up(void)
{
    fl_spin_set_exclusive_runtime();
}

/* As Lock.acquire() does. */
static void
acquire(void)
{
    if (fl_mutex_try_lock_fast(&mutex)) {
        return;
    }
    if (fl_word_is_promised(&mutex.word)) {
        EX_CHECK(fl_lock_give_way(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_NEVER, scene_blocker()) == FL_LOCK_ACQUIRED);
        return;
    }
    scene_lock(&mutex);
}

static void
take_turns(int thread)
{
    scene_begin();
    for (int i = thread == 0 ? 3 : 1; i > 0; i--) {
        acquire();
        scene_enter(&section);
        if (thread != 0 || i > 1) {
            scene_pause(); /* somebody else may ask for the lock */
        }
        scene_leave(&section);
        scene_unlock(&mutex);
    }
    scene_end();
}

EX_SCENARIO(give_way_two) = {
    .name = "give-way-two",
    .what = "a greedy thread and one that wants the lock once",
    .threads = 2,
    .needs_gil = true,
    .set_up = set_up,
    .run = take_turns,
    MUTEX_CHECKS,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 2, .timeouts = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 3, .timeouts = 2, .failures = 1},
};

EX_SCENARIO(give_way_three) = {
    .name = "give-way-three",
    .what = "a greedy thread and two that want the lock once",
    .threads = 3,
    .needs_gil = true,
    .set_up = set_up,
    .run = take_turns,
    MUTEX_CHECKS,
    .quick = {.preemptions = 1, .lapses = 2, .timeouts = 1},
    .full = {.preemptions = 3, .lapses = 2, .timeouts = 1},
};

/* ---- the designated waiter never comes ---- */

static void
check_waiters(void)
{
    scene_check_waiters(); /* the word may go on saying that an ended thread is designated: W5 */
}

static void
go_on_alone(int thread)
{
    scene_begin();
    acquire();
    if (thread == 0) {
        scene_pause();
        scene_unlock(&mutex);
        scene_end_runtime();
        if (fl_mutex_is_locked(&mutex)) { /* it was handed to a thread that has ended */
            scene_end();
            return;
        }
        acquire();
    }
    scene_unlock(&mutex);
    scene_end();
}

EX_SCENARIO(give_way_ended) = {
    .name = "give-way-ended",
    .what = "a thread gives way to one that the runtime has ended, and goes on without it",
    .threads = 2,
    .needs_gil = true,
    .set_up = set_up,
    .run = go_on_alone,
    .check = check_waiters,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 2, .timeouts = 1, .failures = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 3, .timeouts = 2, .interrupts = 1, .failures = 1},
};
