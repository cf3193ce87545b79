/* Helpers for the tests of the parking lot.  A waiter that is queued but does not sleep yet is as good as a blocked
 * thread for everybody else, so one thread can play many. */

#ifndef FL_TESTS_LOT_H
#define FL_TESTS_LOT_H

#include "check.h"

static inline bool
agree(void *ctx)
{
    (void)ctx;
    return true;
}

/* fl_unpark_fn */
static inline bool
unpark_it(void *ctx, fl_waiter *first, bool more)
{
    (void)ctx;
    (void)more;
    return first != NULL;
}

/* fl_requeue_fn */
static inline bool
requeue_it(void *ctx, fl_waiter *waiter)
{
    (void)ctx;
    (void)waiter;
    return true;
}

static inline void
ignore_left(void *ctx, bool left)
{
    (void)ctx;
    (void)left;
}

static inline size_t
as_many_as_there_are(void *ctx)
{
    (void)ctx;
    return SIZE_MAX;
}

static inline void
just_take(void *ctx, fl_waiter *waiter)
{
    (void)ctx;
    (void)waiter;
}

/* Returns how many there were. */
static inline size_t
unpark_all(const void *key)
{
    static const fl_unpark_ops ops = {.begin = as_many_as_there_are, .take = just_take, .end = ignore_left};
    return fl_lot_unpark_many(key, &ops, NULL);
}

static inline void
queue_up(fl_waiter *waiter, const void *key)
{
    CHECK_EQUAL(fl_waiter_init(waiter, false), 0);
    CHECK(fl_lot_enqueue(waiter, key, agree, NULL));
}

static inline void
queue_all(fl_waiter *waiters, int count, const void *key)
{
    for (int i = 0; i < count; i++) {
        queue_up(&waiters[i], key);
    }
}

/* The waiter has been unparked: its sleep returns at once. */
static inline void
expect_unparked(fl_waiter *waiter)
{
    CHECK_EQUAL(fl_lot_sleep(waiter, FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    fl_waiter_fini(waiter);
}

/* The waiter is still queued, and leaves. */
static inline void
expect_queued(fl_waiter *waiter)
{
    CHECK(fl_lot_cancel(waiter));
    fl_waiter_fini(waiter);
}

typedef struct {
    fl_waiter *const *expected;
    size_t count, seen;
} order;

static inline void
check_next(void *ctx, const fl_waiter *waiter)
{
    order *self = ctx;
    CHECK(self->seen < self->count);
    CHECK(self->expected[self->seen] == waiter);
    self->seen++;
}

static inline void
check_order(const void *key, fl_waiter *const *expected, size_t count)
{
    order walk = {.expected = expected, .count = count};
    CHECK_EQUAL(fl_lot_walk(key, check_next, &walk), count);
    CHECK_EQUAL(walk.seen, count);
}

#define CHECK_ORDER(key, ...)                                 \
    do {                                                      \
        fl_waiter *const list[] = {__VA_ARGS__};              \
        check_order(key, list, sizeof list / sizeof list[0]); \
    } while (0)

static inline void
check_nobody(const void *key)
{
    CHECK_EQUAL(fl_lot_count(key), 0);
}

/* Finds `wanted` keys in `keys[1..count)` that share keys[0]'s bucket, whatever the hash function: the second key of a
 * bucket hangs on the first one's waiter. */
static inline void
find_colliding_keys(const char *keys, size_t count, const void **found, size_t wanted)
{
    size_t have = 0;
    fl_waiter first;
    fl_waiter probe;
    queue_up(&first, keys);
    CHECK_EQUAL(fl_waiter_init(&probe, false), 0);
    for (size_t i = 1; i < count && have < wanted; i++) {
        CHECK(fl_lot_enqueue(&probe, &keys[i], agree, NULL));
        if (first.next_queue == &probe) {
            found[have++] = &keys[i];
        }
        CHECK(fl_lot_cancel(&probe));
    }
    fl_waiter_fini(&probe);
    expect_queued(&first);
    CHECK_EQUAL(have, wanted);
}

#endif
