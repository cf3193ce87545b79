/* core/lot/parking_lot.h: `on_leave`, which is asked when a waiter is about to leave its queue without having been
 * unparked. */

#include "check.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

static int key;

/* What on_leave is to answer, and what it was told.  Written under the bucket's mutex, read where nobody sleeps. */
static fl_leave answer = FL_LEAVES;
static int timeouts, other_leaves;
static flag refused;

static fl_leave
record_leave(fl_waiter *waiter, bool timed_out)
{
    CHECK(waiter->queued); /* it is asked before anything changes */
    CHECK(waiter->key == &key);
    timeouts += timed_out;
    other_leaves += !timed_out;
    if (timed_out && answer == FL_STAYS) {
        raise_flag(&refused, 1);
    }
    return answer;
}

static void
expect_leaves(int by_timeout, int otherwise)
{
    CHECK_EQUAL(timeouts, by_timeout);
    CHECK_EQUAL(other_leaves, otherwise);
    timeouts = other_leaves = 0;
}

static void
queue_with_on_leave(fl_waiter *waiter, bool keeps_place)
{
    CHECK_EQUAL(fl_waiter_init(waiter, keeps_place), 0);
    waiter->on_leave = record_leave;
    CHECK(fl_lot_enqueue(waiter, &key, agree, NULL));
}

/* ---- without threads ---- */

static void
test_timeout_asks_once(void)
{
    for (int keeps_place = 0; keeps_place < 2; keeps_place++) {
        fl_waiter waiter;
        queue_with_on_leave(&waiter, keeps_place);
        CHECK_EQUAL(fl_lot_sleep(&waiter, FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
        expect_leaves(1, 0);
        check_nobody(&key);
        fl_waiter_fini(&waiter);
    }
}

/* One that times out takes the others of its key with it, whether they sleep, poll or have not slept yet. */
static void
test_timeout_that_unparks_all(void)
{
    int other_key = 0;
    for (size_t which = 0; which < 3; which++) {
        fl_waiter w[3];
        fl_waiter other;
        queue_up(&other, &other_key);
        for (int i = 0; i < 3; i++) {
            queue_with_on_leave(&w[i], true);
        }
        w[(which + 1) % 3].polling = true;
        answer = FL_LEAVES_WITH_ALL;
        CHECK_EQUAL(fl_lot_sleep(&w[which], FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
        answer = FL_LEAVES;
        expect_leaves(1, 0); /* the others do not leave by themselves */
        check_nobody(&key);
        expect_unparked(&w[(which + 1) % 3]);
        expect_unparked(&w[(which + 2) % 3]);
        fl_waiter_fini(&w[which]);
        CHECK_ORDER(&other_key, &other);
        expect_queued(&other);
    }
}

static void
test_cancel_tells_and_is_not_refused(void)
{
    for (answer = FL_STAYS; answer <= FL_LEAVES_WITH_ALL; answer++) {
        fl_waiter waiter;
        queue_with_on_leave(&waiter, true);
        CHECK(fl_lot_cancel(&waiter));
        expect_leaves(0, 1);
        check_nobody(&key);
        fl_waiter_fini(&waiter);
    }
    answer = FL_LEAVES;
}

static void
test_unparked_waiter_does_not_leave(void)
{
    fl_waiter w[2];
    queue_with_on_leave(&w[0], true);
    queue_with_on_leave(&w[1], true);
    CHECK_EQUAL(unpark_all(&key), 2);
    CHECK_EQUAL(fl_lot_sleep(&w[0], FL_DEADLINE_PASSED, NULL), FL_WAIT_UNPARKED); /* L2 */
    CHECK(!fl_lot_cancel(&w[1]));
    expect_leaves(0, 0);
    fl_waiter_fini(&w[0]);
    fl_waiter_fini(&w[1]);
}

/* ---- sleepers ---- */

typedef struct {
    bool keeps_place, interruptible;
    int64_t deadline_ns;
    bool goes_on;        /* what poll() returns */
    flag polling;        /* poll() runs */
    flag decided;        /* poll() may return */
    flag polled;         /* poll() has returned once */
    int polls, detaches; /* once joined */
    fl_wait_result result;
    fl_waiter *waiter;
} sleeper;

static bool
poll_when_decided(void *ctx, int polls)
{
    (void)polls;
    sleeper *self = ctx;
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    raise_flag(&self->polled, 1);
    return self->goes_on;
}

static void *
sleep_in_queue(void *arg)
{
    sleeper *self = arg;
    fake_blocker blocker = make_fake_blocker(self->interruptible, poll_when_decided, self);
    fl_waiter waiter;
    self->waiter = &waiter;
    queue_with_on_leave(&waiter, self->keeps_place);
    self->result = fl_lot_sleep(&waiter, self->deadline_ns, &blocker.base);
    CHECK(!blocker.detached);
    CHECK(!waiter.queued && !waiter.polling);
    self->polls = blocker.polls;
    self->detaches = blocker.detaches;
    fl_waiter_fini(&waiter);
    return NULL;
}

static void
test_refused_timeout_sleeps_on_until_unparked(void)
{
    answer = FL_STAYS;
    sleeper self = {.keeps_place = true, .deadline_ns = fl_deadline_after_ns(NS_PER_MS)};
    refused = 0;
    pthread_t thread = start_thread(sleep_in_queue, &self);
    await_flag(&refused, 1);
    CHECK_ORDER(&key, self.waiter); /* it has kept its place */
    spin_ns(3 * NS_PER_MS);
    CHECK_ORDER(&key, self.waiter);
    CHECK_EQUAL(unpark_all(&key), 1);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_UNPARKED);
    expect_leaves(1, 0);           /* its deadline is gone: it asks no second time */
    CHECK_EQUAL(self.detaches, 1); /* and it has slept on without a look at the runtime */
    answer = FL_LEAVES;
}

/* A refused timeout does not make it deaf for signals. */
static void
test_refused_timeout_can_still_be_interrupted(void)
{
    answer = FL_STAYS;
    sleeper self = {.keeps_place = true, .interruptible = true, .deadline_ns = FL_DEADLINE_PASSED};
    refused = 0;
    pthread_t thread = start_thread(sleep_in_queue, &self);
    await_flag(&refused, 1);
    interrupt_until(thread, &self.polling, 1);
    CHECK_ORDER(&key, self.waiter);
    raise_flag(&self.decided, 1);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_GIVEN_UP);
    expect_leaves(1, 1);
    check_nobody(&key);
    answer = FL_LEAVES;
}

static void
test_interruption_leaves_and_is_not_refused(void)
{
    for (answer = FL_STAYS; answer <= FL_LEAVES_WITH_ALL; answer++) {
        sleeper self = {.interruptible = true, .goes_on = true, .deadline_ns = FL_DEADLINE_NEVER};
        pthread_t thread = start_thread(sleep_in_queue, &self);
        interrupt_until(thread, &self.polling, 1);
        check_nobody(&key);
        expect_leaves(0, 1); /* before poll() */
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, FL_WAIT_INTERRUPTED);
        expect_leaves(0, 0);
    }
    answer = FL_LEAVES;
}

static void
test_waiter_that_keeps_its_place_leaves_when_given_up(void)
{
    for (answer = FL_STAYS; answer <= FL_LEAVES_WITH_ALL; answer++) {
        sleeper self = {.keeps_place = true, .interruptible = true, .deadline_ns = FL_DEADLINE_NEVER};
        pthread_t thread = start_thread(sleep_in_queue, &self);
        interrupt_until(thread, &self.polling, 1);
        CHECK_ORDER(&key, self.waiter);
        expect_leaves(0, 0);
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, FL_WAIT_GIVEN_UP);
        expect_leaves(0, 1);
        check_nobody(&key);
    }
    answer = FL_LEAVES;
}

static void
test_waiter_that_goes_on_does_not_leave(void)
{
    sleeper self = {.keeps_place = true, .interruptible = true, .goes_on = true, .deadline_ns = FL_DEADLINE_NEVER};
    pthread_t thread = start_thread(sleep_in_queue, &self);
    raise_flag(&self.decided, 1);
    interrupt_until(thread, &self.polled, 1);
    CHECK_ORDER(&key, self.waiter);
    CHECK_EQUAL(unpark_all(&key), 1);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_UNPARKED);
    CHECK(self.polls >= 1 && self.detaches == self.polls + 1);
    expect_leaves(0, 0);
}

static void
test_waiter_unparked_while_it_polls_does_not_leave(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        sleeper self = {
            .keeps_place = true, .interruptible = true, .goes_on = goes_on, .deadline_ns = FL_DEADLINE_NEVER};
        pthread_t thread = start_thread(sleep_in_queue, &self);
        interrupt_until(thread, &self.polling, 1);
        CHECK_EQUAL(unpark_all(&key), 1);
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, goes_on ? FL_WAIT_UNPARKED : FL_WAIT_GIVEN_UP);
        CHECK_EQUAL(self.polls, 1);
        CHECK_EQUAL(self.detaches, 1);
        expect_leaves(0, 0);
    }
}

/* ---- where a waiter lives ---- */

static void
test_l5_waiter_that_may_poll_in_its_place_is_allocated(void)
{
    fake_blocker deaf = make_fake_blocker(false, NULL, NULL);
    fake_blocker interruptible = make_fake_blocker(true, NULL, NULL);
    fl_waiter storage;
    fl_waiter *waiter = fl_waiter_begin(&storage, NULL);
    CHECK(waiter == &storage && waiter->keeps_place);
    fl_waiter_end(waiter, &storage);
    waiter = fl_waiter_begin(&storage, &deaf.base);
    CHECK(waiter == &storage && waiter->keeps_place);
    fl_waiter_end(waiter, &storage);
    waiter = fl_waiter_begin(&storage, &interruptible.base);
    CHECK(waiter != NULL && waiter != &storage && waiter->keeps_place);
    CHECK(waiter->on_leave == NULL && !waiter->queued && !waiter->handed_off && !waiter->notified);
    fl_waiter_end(waiter, &storage); /* LeakSanitizer sees where it is not freed */
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_timeout_asks_once);
    RUN(test_timeout_that_unparks_all);
    RUN(test_cancel_tells_and_is_not_refused);
    RUN(test_unparked_waiter_does_not_leave);
    RUN(test_refused_timeout_sleeps_on_until_unparked);
    RUN(test_refused_timeout_can_still_be_interrupted);
    RUN(test_interruption_leaves_and_is_not_refused);
    RUN(test_waiter_that_keeps_its_place_leaves_when_given_up);
    RUN(test_waiter_that_goes_on_does_not_leave);
    RUN(test_waiter_unparked_while_it_polls_does_not_leave);
    RUN(test_l5_waiter_that_may_poll_in_its_place_is_allocated);
    return 0;
}
