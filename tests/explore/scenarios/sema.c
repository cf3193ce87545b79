/* core/sema.h: permits are neither lost nor made, whoever gives a wait up. */

#include "core/sema.h"

#include <stdlib.h>

#include "scene_queue.h"

static fl_sema *sema;
static int total;                  /* how many permits there are */
static int held[EX_THREADS_MAX];   /* by each thread; of release() until it has returned */
static int giving[EX_THREADS_MAX]; /* how many it is giving back */
static bool wants[EX_THREADS_MAX]; /* it is in acquire() */
static fl_atomic_u32 users;        /* threads that still use the semaphore; the last one frees it */

static void
set_up(int permits, uint32_t threads)
{
    sema = malloc(sizeof *sema);
    fl_sema_init(sema, (uint64_t)permits);
    total = permits;
    fl_store_relaxed_u32(&users, threads);
}

/* ---- what holds ---- */

static int
sum(const int *of)
{
    int result = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        result += of[i];
    }
    return result;
}

/* Permits that are neither free nor held: handed to a waiter that has not returned yet, if that is positive. */
static int
missing(void)
{
    return total - (int)(scene_peek_u64(&sema->word) / FL_SEMA_ONE) - sum(held);
}

static bool
is_freed(void)
{
    return fl_load_relaxed_u32(&users) == 0;
}

static void
check(void)
{
    if (is_freed() || scene_is_busy(sema)) {
        return;
    }
    unsigned queued = scene_who_waits(sema);
    int takers = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        takers += wants[i] && !(queued & 1u << i);
    }
    EX_CHECK(scene_queued(sema) == 0 || (scene_peek_u64(&sema->word) & FL_SEMA_PARKED)); /* S2 */
    EX_CHECK(missing() <= takers);
    EX_CHECK(missing() >= -sum(giving));
}

static void
at_rest(void)
{
    if (!is_freed()) {
        EX_CHECK(scene_queued(sema) == 0 || scene_peek_u64(&sema->word) < FL_SEMA_ONE); /* S4 */
        EX_CHECK(missing() == 0);
    }
}

static void
at_end(void)
{
    if (!is_freed()) {
        EX_CHECK(missing() == 0);
        EX_CHECK(scene_queued(sema) == 0);
    }
}

/* ---- what threads do ---- */

static bool
acquire(int thread, int64_t deadline_ns)
{
    wants[thread] = true;
    fl_lock_result result = FL_LOCK_ACQUIRED;
    if (!fl_sema_try_acquire(sema)) {
        result = fl_lock_wait(&fl_sema_ops, sema, deadline_ns, scene_blocker());
    }
    wants[thread] = false;
    bool acquired = result == FL_LOCK_ACQUIRED;
    held[thread] += acquired;
    EX_CHECK(acquired || result == FL_LOCK_GIVEN_UP || result == FL_LOCK_TIMED_OUT || result == FL_LOCK_NO_MEMORY);
    EX_CHECK(result != FL_LOCK_TIMED_OUT || ex_now_ns() >= deadline_ns);
    return acquired;
}

static bool
release(int thread, int count, uint64_t bound)
{
    giving[thread] = count;
    bool released = fl_sema_release(sema, (uint64_t)count, bound);
    giving[thread] = 0;
    held[thread] -= released ? count : 0;
    return released;
}

static void
leave(void)
{
    if (fl_add_relaxed_u32(&users, UINT32_MAX) == 1) {
        free(sema);
    }
}

/* ---- a lock made of a semaphore ---- */

static scene_section section;

static void
set_up_one(void)
{
    set_up(1, 4);
}

static void
take_turns(int thread)
{
    scene_come();
    EX_CHECK(acquire(thread, FL_DEADLINE_NEVER));
    scene_enter(&section);
    scene_pause();
    scene_leave(&section);
    EX_CHECK(release(thread, 1, FL_SEMA_MAX));
    scene_end();
}

EX_SCENARIO(sema_turns) = {
    .name = "sema-turns",
    .what = "three threads take turns at one permit, as at a lock; old waiters are handed it",
    .threads = 3,
    .set_up = set_up_one,
    .run = take_turns,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

static void
take_turns_timed(int thread)
{
    scene_come();
    if (acquire(thread, thread == 0 ? FL_DEADLINE_NEVER : scene_deadline())) {
        scene_enter(&section);
        scene_leave(&section);
        EX_CHECK(release(thread, 1, FL_SEMA_MAX));
    }
    scene_end();
}

EX_SCENARIO(sema_timed) = {
    .name = "sema-timed",
    .what = "waits for the one permit time out while it is given back and handed over",
    .threads = 3,
    .set_up = set_up_one,
    .run = take_turns_timed,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 1, .timeouts = 1, .failures = 1},
    .full = {.preemptions = 2, .timeouts = 1, .failures = 1},
};

/* ---- several permits at once, against waits that end otherwise ---- */

static int polls[EX_THREADS_MAX];

static void
set_up_none(void)
{
    set_up(0, 4);
    total = 2;
    held[0] = 2;
}

/* The wait is given up when it has been interrupted; it is asked once before it. */
static bool
give_up_later(int thread)
{
    return polls[thread]++ == 0;
}

static void
release_two(int thread)
{
    scene_come();
    if (thread == 0) {
        EX_CHECK(release(0, 2, FL_SEMA_MAX));
    }
    else {
        if (thread == 2) {
            scene_interruptible(give_up_later);
        }
        bool acquired = acquire(thread, thread == 3 ? scene_deadline() : FL_DEADLINE_NEVER);
        EX_CHECK(acquired || thread != 1);
    }
    scene_end();
}

EX_SCENARIO(sema_release_two) = {
    .name = "sema-release-two",
    .what = "release(2) for two that wait, one of which is interrupted and gives up",
    .threads = 3,
    .set_up = set_up_none,
    .run = release_two,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 1, .lapses = 1, .interrupts = 1},
    .full = {.preemptions = 2, .lapses = 1, .interrupts = 1, .timeouts = 1},
};

static bool
go_on(int thread)
{
    polls[thread]++;
    return true;
}

/* One is interrupted and goes on, one times out, and may take nothing with it that the third one needs. */
static void
release_one_each(int thread)
{
    scene_come();
    if (thread == 0) {
        EX_CHECK(release(0, 1, FL_SEMA_MAX));
        EX_CHECK(release(0, 1, FL_SEMA_MAX));
    }
    else {
        if (thread == 2) {
            scene_interruptible(go_on);
        }
        bool acquired = acquire(thread, thread == 3 ? scene_deadline() : FL_DEADLINE_NEVER);
        EX_CHECK(acquired || thread == 3);
        if (thread == 3 && acquired) {
            EX_CHECK(release(3, 1, FL_SEMA_MAX));
        }
    }
    scene_end();
}

EX_SCENARIO(sema_cancelled) = {
    .name = "sema-cancelled",
    .what = "two releases for three that wait, one of which may time out and one of which goes back to its place",
    .threads = 4,
    .set_up = set_up_none,
    .run = release_one_each,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 0, .timeouts = 1, .interrupts = 1},
    .full = {.preemptions = 1, .timeouts = 1, .interrupts = 1},
};

/* ---- the bound ---- */

static fl_atomic_u32 refused;

static void
set_up_bound(void)
{
    set_up(0, 4);
    total = 2;
    held[0] = held[1] = 1;
}

/* Three give back what two have: one of them is refused.  The third thread takes one in between, and may make room. */
static void
over_release(int thread)
{
    scene_come();
    if (thread == 2) {
        EX_CHECK(acquire(2, FL_DEADLINE_NEVER));
    }
    for (int i = 0; i < (thread == 0 ? 2 : 1); i++) {
        giving[thread] = 1;
        if (fl_sema_release(sema, 1, 2)) {
            held[thread]--;
        }
        else {
            (void)fl_add_relaxed_u32(&refused, 1);
        }
        giving[thread] = 0;
    }
    scene_end();
}

/* Threads 0 and 1 have two permits and give back three: a refusal is all that keeps the number right.  Where thread 2 had
 * taken one, the third was not too much, and its own was. */
static void
check_bound(void)
{
    EX_CHECK(scene_is_busy(sema) || scene_peek_u64(&sema->word) / FL_SEMA_ONE <= 2);
}

static void
at_end_bound(void)
{
    EX_CHECK(fl_load_relaxed_u32(&refused) == 1);
    EX_CHECK(scene_peek_u64(&sema->word) / FL_SEMA_ONE == 2);
}

EX_SCENARIO(sema_bound) = {
    .name = "sema-bound",
    .what = "a bounded semaphore is given back once too often, with a thread that waits and without",
    .threads = 3,
    .set_up = set_up_bound,
    .run = over_release,
    .check = check_bound,
    .at_end = at_end_bound,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

/* ---- whoever takes the last permit may free it ---- */

static void
set_up_to_free(void)
{
    set_up_none();
    fl_store_relaxed_u32(&users, 2);
}

static void
take_and_free(int thread)
{
    scene_come();
    if (thread == 0) {
        giving[0] = 2;
        EX_CHECK(fl_sema_release(sema, 2, FL_SEMA_MAX)); /* it touches the semaphore no more */
        giving[0] = 0;
        held[0] = 0;
    }
    else {
        EX_CHECK(acquire(thread, FL_DEADLINE_NEVER));
        leave();
    }
    scene_end();
}

EX_SCENARIO(sema_freed) = {
    .name = "sema-freed",
    .what = "the semaphore is freed by the two that took its permits, while the release is still on its way out",
    .threads = 3,
    .set_up = set_up_to_free,
    .run = take_and_free,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 1},
};
