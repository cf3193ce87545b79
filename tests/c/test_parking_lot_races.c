/* core/lot/parking_lot.h: several threads on the same queues.  Every waiter is freed as soon as its wait has ended, so
 * that AddressSanitizer sees whoever touches it later. */

#include "check.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

enum { WAITERS = 4, WAITS = 1500 };

static int from;
static int to;

typedef struct {
    pthread_t thread;
    uint64_t random;
    uint64_t unparked, left; /* how its waits have ended */
    bool cancels;
} waiting_thread;

static void
wait_once(waiting_thread *self, int64_t longest_ns)
{
    fl_waiter *waiter = malloc(sizeof *waiter);
    CHECK(waiter != NULL);
    queue_up(waiter, &from);
    bool unparked;
    if (self->cancels && random_below(&self->random, 2)) {
        spin_ns(random_below(&self->random, longest_ns));
        unparked = !fl_lot_cancel(waiter);
    }
    else {
        int64_t deadline_ns = fl_deadline_after_ns(random_below(&self->random, longest_ns));
        fl_wait_result result = fl_lot_sleep(waiter, deadline_ns, NULL);
        CHECK(result == FL_WAIT_UNPARKED || result == FL_WAIT_TIMED_OUT);
        unparked = result == FL_WAIT_UNPARKED;
    }
    CHECK(!waiter->queued);
    fl_waiter_fini(waiter);
    free(waiter);
    if (unparked) {
        self->unparked++;
    }
    else {
        self->left++;
    }
}

static fl_atomic_u64 waiting;

static void *
wait_often(void *arg)
{
    waiting_thread *self = arg;
    for (int i = 0; i < WAITS; i++) {
        wait_once(self, 50 * 1000);
    }
    (void)fl_add_relaxed_u64(&waiting, UINT64_MAX);
    return NULL;
}

static bool
count_unparked(void *ctx, fl_waiter *first, bool more)
{
    (void)more;
    *(uint64_t *)ctx += first != NULL;
    return first != NULL;
}

/* One in two goes to the other queue; whoever is woken is counted. */
static bool
requeue_half(void *ctx, fl_waiter *waiter)
{
    (void)waiter;
    uint64_t *count = ctx;
    return ++*count % 2;
}

/* Runs the waiters, and `wake(random)` all the time; it returns how many it has taken out of the queues for good. */
static void
race_waiters(uint64_t (*wake)(uint64_t *random), bool cancels)
{
    waiting_thread threads[WAITERS];
    fl_store_relaxed_u64(&waiting, WAITERS);
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = (waiting_thread){.random = 100 + (uint64_t)i, .cancels = cancels};
        threads[i].thread = start_thread(wait_often, &threads[i]);
    }
    uint64_t random = 3;
    uint64_t woken = 0;
    while (fl_load_relaxed_u64(&waiting)) {
        woken += wake(&random);
        spin_ns(random_below(&random, 20 * 1000));
    }
    uint64_t unparked = 0;
    uint64_t left = 0;
    for (int i = 0; i < WAITERS; i++) {
        join_thread(threads[i].thread);
        unparked += threads[i].unparked;
        left += threads[i].left;
    }
    CHECK_EQUAL(unparked + left, WAITERS * WAITS);
    CHECK_EQUAL(unparked, woken); /* L1: one of the two, never both, never neither */
    CHECK(unparked > 0 && left > 0);
    check_nobody(&from);
    check_nobody(&to);
}

static uint64_t
wake_one_or_all(uint64_t *random)
{
    uint64_t woken = 0;
    if (random_below(random, 8)) {
        fl_lot_unpark_one(&from, count_unparked, &woken, NULL);
        return woken;
    }
    return unpark_all(&from);
}

static void
test_t06_timeouts_race_unparks(void)
{
    race_waiters(wake_one_or_all, false);
}

static void
test_cancels_race_unparks(void)
{
    race_waiters(wake_one_or_all, true);
}

static uint64_t
requeue_and_wake(uint64_t *random)
{
    static uint64_t decisions;
    uint64_t woken = 0;
    uint64_t before = decisions;
    size_t taken =
        fl_lot_requeue(&from, &to, 1 + (size_t)random_below(random, WAITERS), requeue_half, ignore_left, &decisions);
    CHECK_EQUAL(decisions - before, taken);
    for (uint64_t i = before + 1; i <= decisions; i++) {
        woken += i % 2 == 0;
    }
    spin_ns(random_below(random, 10 * 1000));
    if (random_below(random, 2)) {
        fl_lot_unpark_one(&to, count_unparked, &woken, NULL);
    }
    return woken;
}

static void
test_t06_timeouts_race_requeues(void)
{
    race_waiters(requeue_and_wake, false);
}

static void
test_cancels_race_requeues(void)
{
    race_waiters(requeue_and_wake, true);
}

/* ---- two threads that requeue in opposite directions ---- */

enum { SHUTTLES = 20000 };

static void *
requeue_back(void *arg)
{
    for (int i = 0; i < SHUTTLES; i++) {
        (void)fl_lot_requeue(&to, &from, 1, requeue_it, ignore_left, arg);
    }
    return NULL;
}

/* L6: in the order of their addresses, or this comes to a standstill. */
static void
test_opposite_requeues(void)
{
    fl_waiter w[3];
    queue_all(w, 3, &from);
    pthread_t thread = start_thread(requeue_back, NULL);
    for (int i = 0; i < SHUTTLES; i++) {
        (void)fl_lot_requeue(&from, &to, 1, requeue_it, ignore_left, NULL);
    }
    join_thread(thread);
    CHECK_EQUAL(fl_lot_count(&from) + fl_lot_count(&to), 3);
    for (int i = 0; i < 3; i++) {
        expect_queued(&w[i]);
    }
}

/* ---- interruptions ---- */

typedef struct {
    bool keeps_place;
    bool goes_on;
    flag polling; /* poll() runs */
    flag decided; /* poll() may return */
    flag returned;
    fl_waiter waiter;
    fl_wait_result result;
} interrupted;

static bool
poll_until_decided(void *ctx, int polls)
{
    (void)polls; /* more than one where slices end */
    interrupted *self = ctx;
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    return self->goes_on;
}

static void *
sleep_interrupted(void *arg)
{
    interrupted *self = arg;
    fake_blocker blocker = make_fake_blocker(true, poll_until_decided, self);
    CHECK_EQUAL(fl_waiter_init(&self->waiter, self->keeps_place), 0);
    CHECK(fl_lot_enqueue(&self->waiter, &from, agree, NULL));
    self->result = fl_lot_sleep(&self->waiter, FL_DEADLINE_NEVER, &blocker.base);
    CHECK(!blocker.detached);
    CHECK(!self->waiter.queued && !self->waiter.polling);
    fl_waiter_fini(&self->waiter);
    raise_flag(&self->returned, 1);
    return NULL;
}

/* Returns while poll() runs. */
static pthread_t
interrupt_sleep(interrupted *self)
{
    pthread_t thread = start_thread(sleep_interrupted, self);
    interrupt_until(thread, &self->polling, 1);
    return thread;
}

static void
test_l5_waiter_leaves_the_queue_to_poll(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        interrupted self = {.goes_on = goes_on};
        pthread_t thread = interrupt_sleep(&self);
        check_nobody(&from);
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, goes_on ? FL_WAIT_INTERRUPTED : FL_WAIT_GIVEN_UP);
    }
}

static void
test_waiter_that_keeps_its_place_polls_in_it(void)
{
    interrupted self = {.keeps_place = true, .goes_on = true};
    pthread_t thread = interrupt_sleep(&self);
    fl_waiter behind;
    queue_up(&behind, &from);
    CHECK_ORDER(&from, &self.waiter, &behind);
    CHECK(self.waiter.polling);
    raise_flag(&self.decided, 1);
    /* It sleeps on, in its place; no result yet. */
    for (int i = 0; i < 10; i++) {
        pause_briefly();
        CHECK_ORDER(&from, &self.waiter, &behind);
        CHECK_EQUAL(fl_load_acquire_u32(&self.returned), 0);
    }
    fl_lot_unpark_one(&from, unpark_it, NULL, NULL);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_UNPARKED);
    CHECK_ORDER(&from, &behind);
    expect_queued(&behind);
}

static void
test_waiter_that_keeps_its_place_gives_up(void)
{
    interrupted self = {.keeps_place = true};
    pthread_t thread = interrupt_sleep(&self);
    CHECK_ORDER(&from, &self.waiter);
    raise_flag(&self.decided, 1);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_GIVEN_UP);
    check_nobody(&from);
}

static void
test_waiter_is_unparked_while_it_polls(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        interrupted self = {.keeps_place = true, .goes_on = goes_on};
        pthread_t thread = interrupt_sleep(&self);
        fl_lot_unpark_one(&from, unpark_it, NULL, NULL);
        check_nobody(&from);
        CHECK_EQUAL(fl_load_acquire_u32(&self.returned), 0);
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, goes_on ? FL_WAIT_UNPARKED : FL_WAIT_GIVEN_UP);
    }
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t06_timeouts_race_unparks);
    RUN(test_cancels_race_unparks);
    RUN(test_t06_timeouts_race_requeues);
    RUN(test_cancels_race_requeues);
    RUN(test_opposite_requeues);
    RUN(test_l5_waiter_leaves_the_queue_to_poll);
    RUN(test_waiter_that_keeps_its_place_polls_in_it);
    RUN(test_waiter_that_keeps_its_place_gives_up);
    RUN(test_waiter_is_unparked_while_it_polls);
    return 0;
}
