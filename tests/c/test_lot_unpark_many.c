/* core/lot/parking_lot.h: fl_lot_unpark_many, by one thread. */

#include "check.h"
#include "lot_helpers.h"

enum { KEYS = 16 * 1024, COUNT = 5 };

static char keys[KEYS];

typedef struct {
    fl_waiter *first; /* of COUNT that lie side by side */
    size_t most;
    int begins, takes, ends;
    bool left;
} unpark_call;

static bool
is_awake(fl_waiter *waiter)
{
    return fl_load_relaxed_u32(&waiter->parker.state) == FL_PARKER_WOKEN;
}

static size_t
begin(void *ctx)
{
    unpark_call *self = ctx;
    CHECK_EQUAL(self->begins++, 0);
    CHECK_EQUAL(self->takes, 0);
    CHECK_EQUAL(self->ends, 0);
    return self->most;
}

static void
take(void *ctx, fl_waiter *waiter)
{
    unpark_call *self = ctx;
    CHECK_EQUAL(self->begins, 1);
    CHECK_EQUAL(self->ends, 0);
    CHECK(waiter == &self->first[self->takes]); /* in their order */
    CHECK(waiter->queued);
    CHECK(!is_awake(waiter));
    waiter->handed_off = self->takes % 2;
    waiter->place = (uint32_t)(10 + self->takes++);
}

/* Those who were taken are out of the queue, and woken when the mutex is free again; who is polling is woken here
 * (L7). */
static void
end(void *ctx, bool left)
{
    unpark_call *self = ctx;
    CHECK_EQUAL(self->begins, 1);
    CHECK_EQUAL(self->ends++, 0);
    self->left = left;
    for (int i = 0; i < self->takes; i++) {
        CHECK(!self->first[i].queued);
        CHECK_EQUAL(is_awake(&self->first[i]), self->first[i].polling);
    }
}

static const fl_unpark_ops recording = {.begin = begin, .take = take, .end = end};

static void
check_unpark(fl_waiter *first, const void *key, size_t most, size_t taken, bool left)
{
    unpark_call call = {.first = first, .most = most};
    CHECK_EQUAL(fl_lot_unpark_many(key, &recording, &call), taken);
    CHECK_EQUAL(call.begins, 1);
    CHECK_EQUAL(call.takes, taken);
    CHECK_EQUAL(call.ends, 1);
    CHECK_EQUAL(call.left, left);
    for (size_t i = 0; i < taken; i++) {
        CHECK(is_awake(&first[i]));
        CHECK_EQUAL(first[i].handed_off, i % 2);
        CHECK_EQUAL(first[i].place, 10 + i);
        expect_unparked(&first[i]);
    }
}

static void
test_nobody(void)
{
    check_unpark(NULL, keys, 0, 0, false);
    check_unpark(NULL, keys, SIZE_MAX, 0, false);
}

static void
test_none_some_all_of_a_queue(void)
{
    const size_t mosts[] = {0, 1, COUNT - 1, COUNT, COUNT + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof mosts / sizeof mosts[0]; i++) {
        fl_waiter w[COUNT];
        queue_all(w, COUNT, keys);
        size_t taken = mosts[i] < COUNT ? mosts[i] : COUNT;
        check_unpark(w, keys, mosts[i], taken, taken < COUNT);
        CHECK_EQUAL(fl_lot_count(keys), COUNT - taken);
        for (size_t j = taken; j < COUNT; j++) {
            expect_queued(&w[j]); /* the queue is whole */
        }
        check_nobody(keys);
    }
}

static void
test_rest_of_the_queue_keeps_its_order(void)
{
    fl_waiter w[COUNT];
    fl_waiter behind;
    queue_all(w, COUNT, keys);
    check_unpark(w, keys, 2, 2, true);
    queue_up(&behind, keys);
    CHECK_ORDER(keys, &w[2], &w[3], &w[4], &behind);
    check_unpark(&w[2], keys, 2, 2, true);
    CHECK_ORDER(keys, &w[4], &behind);
    CHECK_EQUAL(unpark_all(keys), 2);
    expect_unparked(&w[4]);
    expect_unparked(&behind);
}

static void
test_other_keys_of_the_bucket_stay(void)
{
    const void *key[3] = {keys};
    find_colliding_keys(keys, KEYS, &key[1], 2);
    for (int which = 0; which < 3; which++) {
        fl_waiter w[3][2];
        for (int i = 0; i < 3; i++) {
            queue_all(w[i], 2, key[i]);
        }
        check_unpark(w[which], key[which], SIZE_MAX, 2, false);
        check_nobody(key[which]);
        for (int i = 0; i < 3; i++) {
            if (i != which) {
                CHECK_ORDER(key[i], &w[i][0], &w[i][1]);
                expect_queued(&w[i][0]);
                expect_queued(&w[i][1]);
            }
        }
    }
}

/* A waiter that is queued while its thread runs code of the runtime. */
static void
queue_polling(fl_waiter *waiter, const void *key)
{
    CHECK_EQUAL(fl_waiter_init(waiter, true), 0);
    waiter->polling = true;
    CHECK(fl_lot_enqueue(waiter, key, agree, NULL));
}

static void
test_l7_polling_waiters_are_woken_under_the_mutex(void)
{
    for (unsigned polling = 0; polling < 1 << 3; polling++) {
        fl_waiter w[3];
        for (int i = 0; i < 3; i++) {
            if ((polling >> i) & 1) {
                queue_polling(&w[i], keys);
            }
            else {
                queue_up(&w[i], keys);
            }
        }
        check_unpark(w, keys, SIZE_MAX, 3, false);
        check_nobody(keys);
    }
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_nobody);
    RUN(test_none_some_all_of_a_queue);
    RUN(test_rest_of_the_queue_keeps_its_order);
    RUN(test_other_keys_of_the_bucket_stay);
    RUN(test_l7_polling_waiters_are_woken_under_the_mutex);
    return 0;
}
