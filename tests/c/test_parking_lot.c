/* core/lot/parking_lot.h: the queues, by one thread. */

#include "check.h"
#include "lot_helpers.h"

enum { KEYS = 16 * 1024, COLLIDING = 4 };

static int key_a;
static int key_b;
static char keys[KEYS];

static void
unpark_next(const void *key)
{
    fl_lot_unpark_one(key, unpark_it, NULL, NULL);
}

static void
test_fifo(void)
{
    fl_waiter w[4];
    queue_all(w, 4, &key_a);
    CHECK_ORDER(&key_a, &w[0], &w[1], &w[2], &w[3]);
    check_nobody(&key_b);
    for (int i = 0; i < 4; i++) {
        CHECK_EQUAL(fl_lot_count(&key_a), 4 - i);
        unpark_next(&key_a);
        expect_unparked(&w[i]);
    }
    check_nobody(&key_a);
}

static bool
refuse(void *ctx)
{
    ++*(int *)ctx;
    return false;
}

static void
test_enqueue_asks_first(void)
{
    int asked = 0;
    fl_waiter waiter;
    CHECK_EQUAL(fl_waiter_init(&waiter, false), 0);
    CHECK(!fl_lot_enqueue(&waiter, &key_a, refuse, &asked));
    CHECK_EQUAL(asked, 1);
    check_nobody(&key_a);
    CHECK(!waiter.queued);
    fl_waiter_fini(&waiter);
}

static void
test_cancel_at_head_middle_and_tail(void)
{
    fl_waiter w[7];
    queue_all(w, 6, &key_a);
    expect_queued(&w[0]);
    CHECK_ORDER(&key_a, &w[1], &w[2], &w[3], &w[4], &w[5]);
    expect_queued(&w[3]);
    CHECK_ORDER(&key_a, &w[1], &w[2], &w[4], &w[5]);
    expect_queued(&w[5]);
    CHECK_ORDER(&key_a, &w[1], &w[2], &w[4]);
    queue_up(&w[6], &key_a); /* behind the tail that there is now */
    CHECK_ORDER(&key_a, &w[1], &w[2], &w[4], &w[6]);
    expect_queued(&w[1]);
    expect_queued(&w[2]);
    CHECK_ORDER(&key_a, &w[4], &w[6]);
    queue_up(&w[0], &key_a);
    CHECK_ORDER(&key_a, &w[4], &w[6], &w[0]);
    expect_queued(&w[0]);
    expect_queued(&w[4]);
    expect_queued(&w[6]);
    check_nobody(&key_a);
    queue_up(&w[0], &key_a);
    CHECK_ORDER(&key_a, &w[0]);
    expect_queued(&w[0]);
}

static void
test_cancel_of_an_unparked_waiter(void)
{
    fl_waiter waiter;
    queue_up(&waiter, &key_a);
    unpark_next(&key_a);
    CHECK(!fl_lot_cancel(&waiter));
    fl_waiter_fini(&waiter);
}

static void
test_timeout_leaves_the_queue(void)
{
    fl_waiter w[3];
    queue_all(w, 3, &key_a);
    CHECK_EQUAL(fl_lot_sleep(&w[1], FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
    CHECK_ORDER(&key_a, &w[0], &w[2]);
    CHECK_EQUAL(fl_lot_sleep(&w[0], fl_deadline_after_ns(NS_PER_MS), NULL), FL_WAIT_TIMED_OUT);
    CHECK_ORDER(&key_a, &w[2]);
    /* The waiter can be used again. */
    w[0].since_ns = 0;
    CHECK(fl_lot_enqueue(&w[0], &key_a, agree, NULL));
    CHECK_ORDER(&key_a, &w[2], &w[0]);
    unpark_next(&key_a);
    unpark_next(&key_a);
    expect_unparked(&w[2]);
    expect_unparked(&w[0]);
    fl_waiter_fini(&w[1]);
}

/* L9: a thread that lost the race for what it was woken for has not lost its turn, and neither has one that left for a
 * signal handler while an older one was the first. */
static void
test_t28_waiter_that_comes_back_goes_to_its_place(void)
{
    fl_waiter w[4];
    for (int i = 0; i < 4; i++) {
        queue_up(&w[i], &key_a);
        spin_ns(1000);
    }
    unpark_next(&key_a);
    CHECK_EQUAL(fl_lot_sleep(&w[0], FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    CHECK_ORDER(&key_a, &w[1], &w[2], &w[3]);
    CHECK(fl_lot_enqueue(&w[0], &key_a, agree, NULL));
    CHECK_ORDER(&key_a, &w[0], &w[1], &w[2], &w[3]);
    for (int i = 0; i < 4; i++) {
        CHECK(fl_lot_cancel(&w[i]));
        CHECK(fl_lot_enqueue(&w[i], &key_a, agree, NULL));
        CHECK_EQUAL(w[i].is_first, i == 0);
        CHECK_ORDER(&key_a, &w[0], &w[1], &w[2], &w[3]);
    }
    for (int i = 0; i < 4; i++) {
        expect_queued(&w[i]);
    }
}

/* L9, in any order of coming, with ages that are equal, and beside another key of the bucket. */
static void
test_t28_queue_is_in_the_order_of_age(void)
{
    enum { WAITERS = 12, ROUNDS = 2000 };
    const void *same[1] = {NULL};
    uint64_t random = 1;
    fl_waiter bystander;
    find_colliding_keys(keys, KEYS, same, 1);
    queue_up(&bystander, same[0]);
    for (int round = 0; round < ROUNDS; round++) {
        fl_waiter w[WAITERS];
        fl_waiter *sorted[WAITERS];
        size_t count = 0;
        for (int i = 0; i < WAITERS; i++) {
            CHECK_EQUAL(fl_waiter_init(&w[i], false), 0);
            w[i].since_ns = 1 + random_below(&random, WAITERS);
            size_t place = count++;
            for (; place > 0 && sorted[place - 1]->since_ns > w[i].since_ns; place--) {
                sorted[place] = sorted[place - 1];
            }
            sorted[place] = &w[i];
            CHECK(fl_lot_enqueue(&w[i], keys, agree, NULL));
            CHECK_EQUAL(w[i].is_first, place == 0);
            check_order(keys, sorted, count);
        }
        for (int i = 0; i < WAITERS; i++) {
            if (round % 2) {
                expect_queued(&w[i]);
            }
            else {
                unpark_next(keys);
                expect_unparked(sorted[i]);
            }
        }
        CHECK_ORDER(same[0], &bystander);
    }
    expect_queued(&bystander);
}

typedef struct {
    int calls;
    fl_waiter *first;
    bool more, result;
} unpark_call;

static bool
record_unpark(void *ctx, fl_waiter *first, bool more)
{
    unpark_call *self = ctx;
    self->calls++;
    self->first = first;
    self->more = more;
    if (first) {
        CHECK(first->queued); /* it decides before anything changes */
        first->handed_off = self->result;
    }
    return self->result;
}

static void
test_unpark_one_asks_once_and_obeys(void)
{
    unpark_call call = {.result = true};
    fl_lot_unpark_one(&key_a, record_unpark, &call, NULL);
    CHECK(call.calls == 1 && call.first == NULL && !call.more);
    fl_waiter w[2];
    queue_all(w, 2, &key_a);
    call.result = false;
    fl_lot_unpark_one(&key_a, record_unpark, &call, NULL);
    CHECK(call.calls == 2 && call.first == &w[0] && call.more);
    CHECK_ORDER(&key_a, &w[0], &w[1]);
    call.result = true;
    fl_lot_unpark_one(&key_a, record_unpark, &call, NULL);
    CHECK(call.calls == 3 && call.first == &w[0] && call.more);
    CHECK(w[0].handed_off && !w[1].handed_off);
    fl_lot_unpark_one(&key_a, record_unpark, &call, NULL);
    CHECK(call.calls == 4 && call.first == &w[1] && !call.more);
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
}

/* Queues two waiters for each of some keys of one bucket, takes those of one key out, and looks at the others. */
static void
take_out_key(int which)
{
    const void *key[COLLIDING + 1] = {keys};
    find_colliding_keys(keys, KEYS, &key[1], COLLIDING);
    fl_waiter w[COLLIDING + 1][3];
    for (int i = 0; i <= COLLIDING; i++) {
        queue_up(&w[i][0], key[i]);
        spin_ns(1000);
        queue_up(&w[i][1], key[i]);
    }
    CHECK(fl_lot_cancel(&w[which][0])); /* the link between the keys moves on to the second waiter, */
    CHECK(fl_lot_enqueue(&w[which][0], key[which], agree, NULL)); /* and back again, */
    CHECK_ORDER(key[which], &w[which][0], &w[which][1]);
    expect_queued(&w[which][0]); /* and on again */
    for (int i = 0; i <= COLLIDING; i++) {
        queue_up(&w[i][2], key[i]);
    }
    expect_queued(&w[which][1]);
    expect_queued(&w[which][2]);
    check_nobody(key[which]);
    for (int i = 0; i <= COLLIDING; i++) {
        if (i != which) {
            CHECK_ORDER(key[i], &w[i][0], &w[i][1], &w[i][2]);
            if (i % 2) {
                CHECK_EQUAL(unpark_all(key[i]), 3);
            }
            for (int j = 0; j < 3; j++) {
                if (i % 2) {
                    expect_unparked(&w[i][j]);
                }
                else {
                    expect_queued(&w[i][j]);
                }
            }
        }
        check_nobody(key[i]);
    }
}

static void
test_keys_of_one_bucket_do_not_meet(void)
{
    for (int which = 0; which <= COLLIDING; which++) {
        take_out_key(which);
    }
}

/* Taken out from the middle, head and tail in turn. The assertions of the core see the queue whole after each step. */
static void
test_five_thousand_waiters(void)
{
    enum { COUNT = 5000 };
    fl_waiter *w = calloc(COUNT, sizeof *w);
    bool *gone = calloc(COUNT, sizeof *gone);
    CHECK(w && gone);
    queue_all(w, COUNT, &key_a);
    uint64_t random = 5;
    for (int i = 0; i < COUNT / 2; i++) {
        int64_t victim = random_below(&random, COUNT);
        while (gone[victim]) {
            victim = (victim + 1) % COUNT;
        }
        gone[victim] = true;
        if (i % 2) {
            expect_queued(&w[victim]);
        }
        else {
            CHECK_EQUAL(fl_lot_sleep(&w[victim], FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
            fl_waiter_fini(&w[victim]);
        }
    }
    CHECK_EQUAL(fl_lot_count(&key_a), COUNT - COUNT / 2);
    for (int i = 0; i < COUNT; i++) {
        if (!gone[i]) {
            unpark_next(&key_a);
            expect_unparked(&w[i]); /* those that are left, in their order */
        }
    }
    check_nobody(&key_a);
    free(gone);
    free(w);
}

static void
test_waiters_know_their_thread_and_time(void)
{
    int64_t before_ns = fl_clock_now_ns();
    fl_waiter waiter;
    queue_up(&waiter, &key_a);
    CHECK(waiter.thread != 0);
    int64_t since_ns = waiter.since_ns;
    CHECK(since_ns >= before_ns && since_ns <= fl_clock_now_ns());
    CHECK(fl_lot_cancel(&waiter));
    spin_ns(1000);
    CHECK(fl_lot_enqueue(&waiter, &key_a, agree, NULL));
    CHECK_EQUAL(waiter.since_ns, since_ns); /* once: it does not lose its turn by queueing again */
    expect_queued(&waiter);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_fifo);
    RUN(test_enqueue_asks_first);
    RUN(test_cancel_at_head_middle_and_tail);
    RUN(test_cancel_of_an_unparked_waiter);
    RUN(test_timeout_leaves_the_queue);
    RUN(test_t28_waiter_that_comes_back_goes_to_its_place);
    RUN(test_t28_queue_is_in_the_order_of_age);
    RUN(test_unpark_one_asks_once_and_obeys);
    RUN(test_keys_of_one_bucket_do_not_meet);
    RUN(test_five_thousand_waiters);
    RUN(test_waiters_know_their_thread_and_time);
    return 0;
}
