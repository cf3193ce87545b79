/* core/lot/parking_lot.h: fl_lot_requeue, by one thread. */

#include "check.h"
#include "lot_helpers.h"

enum { KEYS = 16 * 1024 };

static char keys[KEYS];

typedef struct {
    int decisions, dones;
    bool left;
    unsigned requeue; /* bit i: what to do with the i-th waiter */
} requeue_call;

static bool
decide(void *ctx, fl_waiter *waiter)
{
    requeue_call *self = ctx;
    CHECK(waiter->queued);
    CHECK_EQUAL(self->dones, 0);
    waiter->since_ns = fl_clock_now_ns(); /* as a condition does: it begins to wait for something else */
    return (self->requeue >> self->decisions++) & 1;
}

static void
done(void *ctx, bool left)
{
    requeue_call *self = ctx;
    self->dones++;
    self->left = left;
}

static void
check_requeue(const void *from, const void *to, size_t most, unsigned requeue, size_t taken, bool left)
{
    requeue_call call = {.requeue = requeue};
    CHECK_EQUAL(fl_lot_requeue(from, to, most, decide, done, &call), taken);
    CHECK_EQUAL(call.decisions, taken);
    CHECK_EQUAL(call.dones, 1);
    CHECK_EQUAL(call.left, left);
}

static void
move_between(const void *from, const void *to)
{
    fl_waiter w[6];
    fl_waiter old;
    check_requeue(from, to, 3, 7, 0, false);
    queue_all(w, 5, from);
    queue_up(&old, to);
    check_requeue(from, to, 0, 0, 0, true);
    check_requeue(from, to, 2, 3, 2, true); /* both to the queue */
    CHECK_ORDER(from, &w[2], &w[3], &w[4]);
    CHECK_ORDER(to, &old, &w[0], &w[1]);
    check_requeue(from, to, 2, 2, 2, true); /* one is woken */
    expect_unparked(&w[2]);
    CHECK_ORDER(from, &w[4]);
    CHECK_ORDER(to, &old, &w[0], &w[1], &w[3]);
    queue_up(&w[5], from);
    check_requeue(from, to, SIZE_MAX, 0, 2, false); /* more than there are; woken */
    check_nobody(from);
    expect_unparked(&w[4]);
    expect_unparked(&w[5]);
    /* A requeued waiter leaves its new queue by any way. */
    CHECK_EQUAL(fl_lot_sleep(&w[0], FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
    fl_waiter_fini(&w[0]);
    CHECK_ORDER(to, &old, &w[1], &w[3]);
    expect_queued(&w[3]);
    fl_lot_unpark_one(to, unpark_it, NULL, NULL);
    fl_lot_unpark_one(to, unpark_it, NULL, NULL);
    expect_unparked(&old);
    expect_unparked(&w[1]);
    check_nobody(to);
}

static void
test_requeue_across_buckets(void)
{
    /* Both ways, so that either bucket is the one that is locked first. */
    for (int i = 1; i < 100; i++) {
        move_between(&keys[0], &keys[i]);
        move_between(&keys[i], &keys[0]);
    }
}

static void
test_requeue_within_a_bucket(void)
{
    const void *same[2] = {NULL};
    find_colliding_keys(keys, KEYS, same, 2);
    move_between(&keys[0], same[0]);
    move_between(same[0], &keys[0]);
    fl_waiter bystander;
    queue_up(&bystander, same[1]);
    move_between(&keys[0], same[0]);
    move_between(same[0], &keys[0]);
    CHECK_ORDER(same[1], &bystander);
    expect_queued(&bystander);
}

/* Without a place to go to, as for a condition over a foreign lock: everybody is woken. */
static void
test_requeue_to_nowhere(void)
{
    fl_waiter w[3];
    queue_all(w, 3, keys);
    check_requeue(keys, keys, 2, 0, 2, true);
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
    CHECK_ORDER(keys, &w[2]);
    check_requeue(keys, keys, 2, 0, 1, false);
    expect_unparked(&w[2]);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_requeue_across_buckets);
    RUN(test_requeue_within_a_bucket);
    RUN(test_requeue_to_nowhere);
    return 0;
}
