/* core/fork.h: one thread forks while others hold, wait, and are being woken.  In the child it is alone at first, and then
 * starts a new thread. */

#include "core/fork.h"

#include "core/cond.h"
#include "core/event.h"
#include "core/mutex.h"
#include "core/sema.h"
#include "scene_fork.h"

/* ---- a mutex (W5) ---- */

static fl_mutex mutex;
static scene_section section;

static void
check_mutex(void)
{
    if (!scene_is_forking()) {
        scene_check_word(&mutex.word);
    }
}

static void
at_rest_mutex(void)
{
    scene_check_served(&mutex.word);
}

static void
at_end_mutex(void)
{
    scene_check_free(&mutex.word);
}

static void
use_mutex(int thread)
{
    (void)thread;
    scene_lock(&mutex);
    scene_enter(&section);
    scene_pause();
    scene_leave(&section);
    scene_unlock(&mutex);
}

/* As Lock._at_fork_reinit() does where the holder is not there. */
static void
in_child_of_mutex(bool is_mine)
{
    EX_CHECK(scene_queued(&mutex) == 0);
    if (!is_mine && fl_mutex_is_locked(&mutex)) {
        fl_mutex_init(&mutex);
    }
    if (!is_mine) {
        section.inside = 0;
    }
    scene_start(1, use_mutex);
    scene_start(2, use_mutex);
}

static void
fork_beside_mutex(int thread)
{
    scene_come();
    if (thread > 0) {
        use_mutex(thread);
        return scene_end();
    }
    if (ex_choose(2) == 0) {
        if (scene_fork()) {
            in_child_of_mutex(false);
        }
        use_mutex(0);
    }
    else {
        scene_lock(&mutex);
        scene_enter(&section);
        if (scene_fork()) {
            in_child_of_mutex(true);
        }
        scene_leave(&section);
        scene_unlock(&mutex);
    }
    scene_end();
}

EX_SCENARIO(fork_mutex) = {
    .name = "fork-mutex",
    .what = "a fork while a mutex is held, waited for, and handed over, by the thread that forks or by others",
    .threads = 3,
    .run = fork_beside_mutex,
    .check = check_mutex,
    .at_rest = at_rest_mutex,
    .at_end = at_end_mutex,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

/* ---- an event ---- */

static fl_event event;
static int polls[EX_THREADS_MAX];

static void
set_up_event(void)
{
    fl_event_init(&event);
}

static void
check_event(void)
{
    if (!scene_is_busy(&event)) {
        EX_CHECK(scene_queued(&event) == 0 || scene_peek_u32(&event.word) == FL_EVENT_PARKED);
    }
}

static void
wait_for_event(int thread)
{
    (void)thread;
    EX_CHECK(fl_event_wait(&event, FL_DEADLINE_NEVER, scene_blocker()) == FL_EVENT_WAS_SET);
}

static void
fork_beside_event(int thread)
{
    scene_come();
    if (thread > 0) {
        wait_for_event(thread);
        return scene_end();
    }
    if (scene_fork()) {
        EX_CHECK(scene_queued(&event) == 0);
        scene_start(2, wait_for_event);
        if (scene_fork()) { /* once more */
            EX_CHECK(scene_queued(&event) == 0);
            scene_start(1, wait_for_event);
        }
    }
    EX_CHECK(fl_event_set(&event));
    scene_end();
}

EX_SCENARIO(fork_event) = {
    .name = "fork-event",
    .what = "a fork, and another one in the child, while threads wait for an event; it is set in all three processes",
    .threads = 3,
    .set_up = set_up_event,
    .run = fork_beside_event,
    .check = check_event,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

static void
set_event(int thread)
{
    (void)thread;
    EX_CHECK(fl_event_set(&event));
}

/* L5, L7: the waiter of the thread that forks is queued, or woken, in both processes. */
static bool
fork_in_poll(int thread)
{
    if (polls[thread]++ == 1) {
        if (scene_fork()) {
            EX_CHECK(scene_queued(&event) <= 1 && (scene_who_waits(&event) & ~1u) == 0);
            scene_start(1, set_event);
        }
    }
    return true;
}

static void
fork_while_waiting(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(fork_in_poll);
        wait_for_event(0);
    }
    else {
        set_event(1);
    }
    scene_end();
}

EX_SCENARIO(fork_in_handler) = {
    .name = "fork-in-handler",
    .what = "a thread that waits for an event forks in its signal handler while the event is set; it waits on in both",
    .threads = 2,
    .set_up = set_up_event,
    .run = fork_while_waiting,
    .check = check_event,
    .quick = {.preemptions = 2, .interrupts = 1},
    .full = {.preemptions = 4, .interrupts = 1},
};

/* ---- a semaphore ---- */

static fl_sema sema;

static void
acquire(int thread)
{
    (void)thread;
    if (!fl_sema_try_acquire(&sema)) {
        EX_CHECK(fl_lock_wait(&fl_sema_ops, &sema, FL_DEADLINE_NEVER, scene_blocker()) == FL_LOCK_ACQUIRED);
    }
}

static void
check_sema(void)
{
    if (!scene_is_busy(&sema)) {
        EX_CHECK(scene_queued(&sema) == 0 || (scene_peek_u64(&sema.word) & FL_SEMA_PARKED));
    }
}

/* In the child the two permits are for the new thread and for the one that forked. */
static void
fork_beside_sema(int thread)
{
    scene_come();
    if (thread > 0) {
        acquire(thread);
        return scene_end();
    }
    EX_CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    if (scene_fork()) {
        EX_CHECK(scene_queued(&sema) == 0);
        EX_CHECK(fl_sema_permits(&sema) <= 1);
        while (fl_sema_try_acquire(&sema)) {
        }
        scene_start(1, acquire);
        EX_CHECK(fl_sema_release(&sema, 2, 2));
        acquire(0);
        return scene_end();
    }
    EX_CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    scene_end();
}

static void
at_end_sema(void)
{
    EX_CHECK(scene_peek_u64(&sema.word) < FL_SEMA_ONE);
}

EX_SCENARIO(fork_sema) = {
    .name = "fork-sema",
    .what = "a fork between two releases of a semaphore for which others wait",
    .threads = 3,
    .run = fork_beside_sema,
    .check = check_sema,
    .at_end = at_end_sema,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

/* ---- a condition ---- */

static fl_cond cond;
static const fl_cond_lock lock = {&mutex, &fl_mutex_ops};

static void
check_cond(void)
{
    check_mutex();
    if (!scene_is_busy(&cond)) {
        EX_CHECK(scene_queued(&cond) == 0 || scene_peek_u32(&cond.word) == FL_COND_PARKED);
    }
}

static void
wait_for_notification(int thread)
{
    (void)thread;
    scene_lock(&mutex);
    fl_blocker *blocker = scene_blocker();
    fl_cond_result result = fl_cond_wait(&cond, lock, scene_deadline(), blocker, blocker);
    EX_CHECK(result == FL_COND_NOTIFIED || result == FL_COND_TIMED_OUT);
    scene_unlock(&mutex);
}

static void
fork_beside_cond(int thread)
{
    scene_come();
    if (thread > 0) {
        wait_for_notification(thread);
        return scene_end();
    }
    scene_lock(&mutex);
    bool is_child = scene_fork();
    if (is_child) {
        fl_mutex_init(&mutex);
        fl_cond_after_fork(&cond);
        EX_CHECK(scene_queued(&cond) == 0 && scene_queued(&mutex) == 0);
        EX_CHECK(!fl_cond_may_have_waiters(&cond));
        scene_start(1, wait_for_notification);
        scene_lock(&mutex);
    }
    (void)fl_cond_notify(&cond, SIZE_MAX, lock);
    scene_unlock(&mutex);
    scene_end();
}

EX_SCENARIO(fork_cond) = {
    .name = "fork-cond",
    .what = "a fork by the thread that holds a condition's lock, while others wait; the child forgets them",
    .threads = 3,
    .run = fork_beside_cond,
    .check = check_cond,
    .at_rest = at_rest_mutex,
    .at_end = at_end_mutex,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};
