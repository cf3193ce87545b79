/* core/lot/parking_lot.h itself: whoever leaves a queue by itself, against those who take waiters out. */

#include "core/lot/parking_lot.h"

#include "scene_queue.h"

/* Two keys of one bucket, and one of another. */
enum { KEYS = 8192 };
static char space[KEYS];
static const char *key, *neighbour, *elsewhere;

static fl_wait_result results[EX_THREADS_MAX];
static bool chosen[EX_THREADS_MAX]; /* an unparker has taken it out; under the mutex */
static int arrived;                 /* how many have queued; under the mutex */

/* Runs before main(): in each run it would take longer than all else. */
__attribute__((constructor)) static void
find_keys(void)
{
    key = &space[0];
    for (int i = 1; i < KEYS; i++) {
        if (fl_bucket_of(&space[i]) == fl_bucket_of(key)) {
            neighbour = &space[i];
        }
        else {
            elsewhere = &space[i];
        }
    }
}

static void
set_up(void)
{
    EX_CHECK(neighbour != NULL && elsewhere != NULL);
}

static void
check(void)
{
    (void)scene_queued(key);
    (void)scene_queued(neighbour);
    (void)scene_queued(elsewhere);
}

static void
at_end(void)
{
    EX_CHECK(scene_queued(key) + scene_queued(neighbour) + scene_queued(elsewhere) == 0);
    EX_CHECK(fl_bucket_of(key)->queues == NULL && fl_bucket_of(elsewhere)->queues == NULL);
}

static bool
arrive(void *ctx)
{
    (void)ctx;
    arrived++;
    return true;
}

/* Which thread the waiter is of: each notes it in the place, which is the unparker's to change. */
static void
note(void *ctx, fl_waiter *waiter)
{
    (void)ctx;
    chosen[waiter->place] = true;
}

static size_t
at_most(void *ctx)
{
    return *(size_t *)ctx;
}

static void
no_end(void *ctx, bool left)
{
    (void)ctx;
    (void)left;
}

static size_t
unpark(const void *from, size_t most)
{
    static const fl_unpark_ops ops = {.begin = at_most, .take = note, .end = no_end};
    return fl_lot_unpark_many(from, &ops, &most);
}

static fl_waiter *
queue(fl_waiter *storage, int thread, const void *at, fl_leave_fn *on_leave)
{
    fl_waiter *waiter = fl_waiter_begin(storage, scene_blocker());
    EX_CHECK(waiter != NULL);
    waiter->place = (uint32_t)thread;
    waiter->on_leave = on_leave;
    (void)fl_lot_enqueue(waiter, at, arrive, NULL);
    return waiter;
}

static void
wait_at(int thread, const void *at, int64_t deadline_ns, fl_leave_fn *on_leave)
{
    fl_waiter storage;
    fl_waiter *waiter = queue(&storage, thread, at, on_leave);
    results[thread] = fl_lot_sleep(waiter, deadline_ns, scene_blocker());
    EX_CHECK(results[thread] != FL_WAIT_TIMED_OUT || ex_now_ns() >= deadline_ns);
    if (results[thread] != FL_WAIT_GIVEN_UP) {
        EX_CHECK(chosen[thread] == (results[thread] == FL_WAIT_UNPARKED)); /* L1, L4 */
    }
    fl_waiter_end(waiter, &storage);
}

/* ---- fl_lot_cancel ---- */

static void
cancel(int thread)
{
    scene_come();
    if (thread < 2) {
        fl_waiter storage;
        fl_waiter *waiter = queue(&storage, thread, key, NULL);
        EX_CHECK(fl_lot_cancel(waiter) == !chosen[thread]);
        fl_waiter_end(waiter, &storage);
    }
    else {
        (void)unpark(key, 1);
        (void)unpark(key, 2);
    }
    scene_end();
}

EX_SCENARIO(lot_cancel) = {
    .name = "lot-cancel",
    .what = "waiters are taken out before they sleep, by themselves or by somebody else",
    .threads = 3,
    .set_up = set_up,
    .run = cancel,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 4},
};

/* ---- timeouts, two keys of one bucket, somebody who looks on ---- */

static void
visit(void *ctx, const fl_waiter *waiter)
{
    EX_CHECK(waiter->queued && waiter->key == ctx);
}

static void
share_bucket(int thread)
{
    scene_come();
    if (thread < 3) {
        wait_at(thread, thread == 2 ? neighbour : key, scene_deadline(), NULL);
    }
    else {
        EX_CHECK(unpark(key, 1) <= 1);
        EX_CHECK(fl_lot_walk(neighbour, visit, (void *)(uintptr_t)neighbour) <= 1);
        EX_CHECK(unpark(neighbour, 1) <= 1);
    }
    scene_end();
}

EX_SCENARIO(lot_neighbours) = {
    .name = "lot-neighbours",
    .what = "three wait for two keys of one bucket, and time out while they are woken and looked at",
    .threads = 4,
    .set_up = set_up,
    .run = share_bucket,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 0, .timeouts = 1},
    .full = {.preemptions = 1, .timeouts = 1},
};

/* ---- several at once ---- */

static void
unpark_against_timeout(int thread)
{
    scene_come();
    if (thread < 3) {
        wait_at(thread, key, scene_deadline(), NULL);
    }
    else {
        (void)unpark(key, 2);
    }
    scene_end();
}

EX_SCENARIO(lot_unpark_many) = {
    .name = "lot-unpark-many",
    .what = "two of three that wait are taken out at once while one times out",
    .threads = 4,
    .set_up = set_up,
    .run = unpark_against_timeout,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 0, .timeouts = 1},
    .full = {.preemptions = 1, .timeouts = 1},
};

/* ---- on_leave ---- */

static fl_leave
leave_with_all(fl_waiter *waiter, bool timed_out)
{
    EX_CHECK(waiter->queued && timed_out);
    for (const fl_waiter *other = waiter->next; other; other = other->next) {
        chosen[other->place] = true;
    }
    for (const fl_waiter *other = waiter->prev; other; other = other->prev) {
        chosen[other->place] = true;
    }
    return FL_LEAVES_WITH_ALL;
}

/* One that times out takes the others along, who have no deadline: so the last to come must have one. */
static void
leave_together(int thread)
{
    scene_come();
    wait_at(thread, key, thread == 2 ? scene_deadline() : scene_deadline() + 1000, leave_with_all);
    scene_end();
}

EX_SCENARIO(lot_leave_together) = {
    .name = "lot-leave-together",
    .what = "a waiter that times out takes all others of its key along, one of which times out as well",
    .threads = 3,
    .set_up = set_up,
    .run = leave_together,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 1, .timeouts = 2},
    .full = {.preemptions = 2, .timeouts = 2},
};

static fl_leave
stay(fl_waiter *waiter, bool timed_out)
{
    EX_CHECK(waiter->queued && timed_out);
    return FL_STAYS;
}

static void
stay_until_woken(int thread)
{
    scene_come();
    if (thread == 0) {
        wait_at(0, key, scene_deadline(), stay);
        EX_CHECK(results[0] == FL_WAIT_UNPARKED);
    }
    else {
        while (unpark(key, 1) == 0) {
            wait_at(1, neighbour, scene_deadline(), NULL);
        }
    }
    scene_end();
}

EX_SCENARIO(lot_stays) = {
    .name = "lot-stays",
    .what = "a timeout is refused, and the waiter sleeps on until it is woken",
    .threads = 2,
    .set_up = set_up,
    .run = stay_until_woken,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 3, .timeouts = 2},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 3},
};

/* ---- requeue, and polling waiters (L7) ---- */

static int polls;

static bool
poll_once(int thread)
{
    (void)thread;
    return ++polls < 2;
}

static bool
move(void *ctx, fl_waiter *waiter)
{
    (void)ctx;
    chosen[waiter->place] = waiter->polling;
    return !waiter->polling;
}

static void
requeue(int thread)
{
    scene_come();
    if (thread < 2) {
        if (thread == 0) {
            scene_interruptible(poll_once);
        }
        wait_at(thread, key, scene_deadline(), NULL);
        EX_CHECK(results[thread] != FL_WAIT_GIVEN_UP || polls > 1);
    }
    else {
        (void)fl_lot_requeue(key, elsewhere, 2, move, no_end, NULL);
        scene_pause();
        (void)unpark(elsewhere, SIZE_MAX);
    }
    scene_end();
}

EX_SCENARIO(lot_requeue) = {
    .name = "lot-requeue",
    .what = "two waiters are moved to another key and woken there; one times out, one runs a signal handler meanwhile",
    .threads = 3,
    .set_up = set_up,
    .run = requeue,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 1, .timeouts = 1, .interrupts = 1},
    .full = {.preemptions = 2, .timeouts = 1, .interrupts = 1},
};

/* A waiter that is woken while it polls may have gone when the mutex is free: with it the fields that others look at. */
static void
poll_and_go(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(poll_once);
        wait_at(0, key, FL_DEADLINE_NEVER, NULL);
    }
    else {
        while (unpark(key, 1) == 0 && !ex_has_ended(0)) {
            wait_at(1, neighbour, scene_deadline(), NULL);
        }
    }
    scene_end();
}

EX_SCENARIO(lot_polling) = {
    .name = "lot-polling",
    .what = "a waiter is woken while its thread runs a signal handler, which goes on or gives up",
    .threads = 2,
    .set_up = set_up,
    .run = poll_and_go,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 3, .timeouts = 1, .interrupts = 2},
    .full = {.preemptions = 4, .timeouts = 1, .interrupts = 2},
};
