/* core/cond.h, step by step: one thread plays those that wait, or is in control of them. */

#include "check.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

static const fl_cond_lock NO_LOCK = {NULL, NULL};

typedef struct {
    fl_cond cond;
    fl_mutex mutex;
} pair;

static fl_cond_lock
lock_of(pair *self)
{
    return (fl_cond_lock){.lock = &self->mutex, .ops = &fl_mutex_ops};
}

/* The word while the calling thread has a loose hold, and nobody waits. */
#define LOOSE_HOLD (fl_thread_register() | FL_WORD_LOOSE)

static void
lock_mutex(fl_mutex *mutex)
{
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
}

/* As a thread that finds the mutex held. */
static void
queue_for_mutex(fl_waiter *waiter, fl_mutex *mutex, int64_t since_ns)
{
    CHECK_EQUAL(fl_waiter_init(waiter, false), 0);
    waiter->since_ns = since_ns;
    CHECK(fl_lock_enqueue(&fl_mutex_ops.wait, mutex, waiter));
}

static void
queue_at(fl_waiter *waiters, int count, fl_cond *cond)
{
    for (int i = 0; i < count; i++) {
        CHECK_EQUAL(fl_waiter_init(&waiters[i], true), 0);
        fl_cond_enqueue(cond, &waiters[i]);
    }
}

static void
test_t06_notify_counts(void)
{
    fl_cond cond;
    fl_cond_init(&cond);
    CHECK_EQUAL(fl_cond_notify(&cond, 1, NO_LOCK), 0);
    fl_waiter w[5];
    queue_at(w, 5, &cond);
    CHECK_EQUAL(fl_cond_notify(&cond, 0, NO_LOCK), 0);
    CHECK_EQUAL(fl_cond_notify(&cond, 1, NO_LOCK), 1);
    CHECK(w[0].notified && !w[1].notified);
    CHECK_ORDER(&cond, &w[1], &w[2], &w[3], &w[4]);
    CHECK_EQUAL(fl_cond_notify(&cond, 2, NO_LOCK), 2);
    CHECK_ORDER(&cond, &w[3], &w[4]);
    CHECK_EQUAL(fl_cond_notify(&cond, 7, NO_LOCK), 2); /* more than there are */
    CHECK_EQUAL(fl_cond_notify(&cond, SIZE_MAX, NO_LOCK), 0);
    CHECK_EQUAL(fl_load_relaxed_u32(&cond.word), 0);
    for (int i = 0; i < 5; i++) {
        CHECK(w[i].notified);
        expect_unparked(&w[i]);
    }
}

/* What a fork leaves behind: PARKED says what is true of the queue afterwards, and nobody is notified. */
static void
test_after_fork_counts_who_is_there(void)
{
    fl_cond cond = {0};
    fl_waiter waiter;
    CHECK_EQUAL(fl_cond_waiting(&cond), 0);
    queue_at(&waiter, 1, &cond);
    CHECK_EQUAL(fl_cond_waiting(&cond), 1);
    fl_cond_after_fork(&cond);
    CHECK(fl_cond_may_have_waiters(&cond));
    CHECK(!waiter.notified);
    expect_queued(&waiter);
    CHECK_EQUAL(fl_cond_waiting(&cond), 0);
    CHECK(fl_cond_may_have_waiters(&cond)); /* left over */
    fl_cond_after_fork(&cond);
    CHECK(!fl_cond_may_have_waiters(&cond));
}

static void
test_notify_after_everybody_timed_out(void)
{
    fl_cond cond = {0};
    fl_waiter w[2];
    queue_at(w, 2, &cond);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(fl_lot_sleep(&w[i], FL_DEADLINE_PASSED, NULL), FL_WAIT_TIMED_OUT);
        CHECK(!w[i].notified);
        fl_waiter_fini(&w[i]);
    }
    CHECK_EQUAL(fl_cond_notify(&cond, 2, NO_LOCK), 0);
    CHECK_EQUAL(fl_load_relaxed_u32(&cond.word), 0);
}

/* C3: the lock is held, so the notified go to its queue, and each release wakes one. */
static void
test_t12_notified_wait_for_a_held_lock(void)
{
    pair self = {.mutex = {LOOSE_HOLD}};
    fl_waiter w[3];
    queue_at(w, 3, &self.cond);
    CHECK_EQUAL(fl_cond_notify(&self.cond, 2, lock_of(&self)), 2);
    CHECK_ORDER(&self.cond, &w[2]);
    CHECK_ORDER(&self.mutex, &w[0], &w[1]);
    CHECK_EQUAL(fl_load_relaxed_u64(&self.mutex.word), LOOSE_HOLD | FL_WORD_PARKED);
    for (int i = 0; i < 2; i++) {
        CHECK(w[i].notified);
        CHECK_EQUAL(fl_load_relaxed_u32(&w[i].parker.state), FL_PARKER_AWAKE); /* not woken yet */
    }
    w[0].since_ns = w[1].since_ns = INT64_MAX / 2; /* no hand-off */
    CHECK_EQUAL(fl_mutex_ops.release_all(&self.mutex, NULL), 1);
    CHECK_ORDER(&self.mutex, &w[1]);
    CHECK(!w[0].designated); /* so the next release wakes the next, whether this one has come yet or not */
    expect_unparked(&w[0]);
    CHECK(fl_mutex_try_lock(&self.mutex));
    CHECK(fl_mutex_unlock(&self.mutex));
    expect_unparked(&w[1]);
    expect_queued(&w[2]);
}

static void
test_notified_are_woken_where_the_lock_is_free(void)
{
    pair self = {.mutex = {0}};
    fl_waiter w[2];
    queue_at(w, 2, &self.cond);
    CHECK_EQUAL(fl_cond_notify(&self.cond, 2, lock_of(&self)), 2);
    check_nobody(&self.mutex);
    CHECK_EQUAL(fl_load_relaxed_u64(&self.mutex.word), 0);
    for (int i = 0; i < 2; i++) {
        CHECK(w[i].notified && !w[i].handed_off);
        expect_unparked(&w[i]);
    }
}

/* C2: a notified waiter in the queue of the lock neither times out nor is interrupted. */
typedef struct {
    fl_waiter waiter;
    flag returned;
} patient;

static bool
never_polled(void *ctx, int polls)
{
    (void)ctx;
    CHECK_EQUAL(polls, 0);
    return false;
}

static void *
sleep_on(void *arg)
{
    patient *self = arg;
    fake_blocker blocker = make_fake_blocker(true, never_polled, NULL);
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    CHECK_EQUAL(fl_lot_sleep(&self->waiter, deadline_ns, &blocker.base), FL_WAIT_UNPARKED);
    raise_flag(&self->returned, 1);
    return NULL;
}

static void
test_t01_notified_waiter_does_not_time_out(void)
{
    pair self = {.mutex = {LOOSE_HOLD}};
    patient waiter = {.returned = 0};
    queue_at(&waiter.waiter, 1, &self.cond);
    CHECK_EQUAL(fl_cond_notify(&self.cond, 1, lock_of(&self)), 1);
    pthread_t thread = start_thread(sleep_on, &waiter);
    int64_t end_ns = fl_clock_now_ns() + 20 * NS_PER_MS;
    while (fl_clock_now_ns() < end_ns) {
        CHECK_EQUAL(pthread_kill(thread, SIGUSR1), 0);
        pause_briefly();
        CHECK_EQUAL(fl_load_acquire_u32(&waiter.returned), 0);
        CHECK_ORDER(&self.mutex, &waiter.waiter);
    }
    CHECK(fl_mutex_unlock(&self.mutex));
    join_thread(thread);
    CHECK(waiter.waiter.handed_off); /* it has waited for 20 ms since it was notified */
    fl_waiter_fini(&waiter.waiter);
}

/* ---- whole waits ---- */

static void
test_wait_without_the_lock(void)
{
    pair self = {.mutex = {0}};
    CHECK_EQUAL(fl_cond_wait(&self.cond, lock_of(&self), FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOT_HELD);
    CHECK_EQUAL(fl_cond_wait(&self.cond, lock_of(&self), FL_DEADLINE_PASSED, NULL, NULL), FL_COND_NOT_HELD);
    check_nobody(&self.cond);
    CHECK(!fl_mutex_is_locked(&self.mutex));
}

static void
test_wait_that_times_out(void)
{
    pair self = {.mutex = {LOOSE_HOLD}};
    int64_t deadline_ns = fl_deadline_after_ns(2 * NS_PER_MS);
    CHECK_EQUAL(fl_cond_wait(&self.cond, lock_of(&self), deadline_ns, NULL, NULL), FL_COND_TIMED_OUT);
    CHECK(fl_clock_now_ns() >= deadline_ns);
    CHECK(fl_mutex_is_locked(&self.mutex));
    check_nobody(&self.cond);
    CHECK_EQUAL(fl_cond_wait(&self.cond, lock_of(&self), FL_DEADLINE_PASSED, NULL, NULL), FL_COND_TIMED_OUT);
    CHECK(fl_mutex_is_locked(&self.mutex));
}

static bool
give_up(void *ctx, int polls)
{
    (void)ctx;
    (void)polls;
    return false;
}

/* A wait without time lets others have the lock, and no more: it is never queued, so it cannot take a notification. */
static void
test_t06_give_way(void)
{
    pair self = {.mutex = {LOOSE_HOLD}};
    fake_blocker blocker = make_fake_blocker(false, give_up, NULL);
    fl_waiter waiter;
    queue_for_mutex(&waiter, &self.mutex, INT64_MAX / 2);
    CHECK_EQUAL(fl_cond_give_way(lock_of(&self), &blocker.base), FL_COND_TIMED_OUT);
    CHECK_EQUAL(blocker.polls, 0);
    CHECK(fl_mutex_is_locked(&self.mutex));
    expect_unparked(&waiter); /* it could have had the lock */
    queue_for_mutex(&waiter, &self.mutex, 1);
    CHECK_EQUAL(fl_cond_give_way(lock_of(&self), &blocker.base), FL_COND_LOCK_LOST);
    CHECK(waiter.handed_off); /* it has it */
    expect_unparked(&waiter);
    CHECK(fl_mutex_unlock(&self.mutex));
    CHECK_EQUAL(fl_cond_give_way(lock_of(&self), &blocker.base), FL_COND_NOT_HELD);
    CHECK_EQUAL(blocker.polls, 1);
}

static void
test_t05_depth_is_restored(void)
{
    const uint64_t depths[] = {1, 2, 1000};
    for (int i = 0; i < 3; i++) {
        fl_cond cond = {0};
        fl_rmutex mutex = {0};
        fl_cond_lock lock = {.lock = &mutex, .ops = &fl_rmutex_ops};
        CHECK_EQUAL(fl_cond_wait(&cond, lock, FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOT_HELD);
        CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_ACQUIRED);
        fl_rmutex_restore(&mutex, depths[i]);
        CHECK_EQUAL(fl_cond_wait(&cond, lock, fl_deadline_after_ns(1), NULL, NULL), FL_COND_TIMED_OUT);
        CHECK_EQUAL(fl_rmutex_depth(&mutex), depths[i]);
        CHECK_EQUAL(fl_cond_give_way(lock, NULL), FL_COND_TIMED_OUT);
        CHECK_EQUAL(fl_rmutex_depth(&mutex), depths[i]);
        CHECK(fl_rmutex_is_owned(&mutex));
    }
}

static void
test_t04_wait_given_up_before_it_begins(void)
{
    pair self = {.mutex = {LOOSE_HOLD}};
    fake_blocker blocker = make_fake_blocker(true, give_up, NULL);
    fl_cond_result result = fl_cond_wait(&self.cond, lock_of(&self), FL_DEADLINE_NEVER, &blocker.base, NULL);
    CHECK_EQUAL(result, FL_COND_GIVEN_UP);
    CHECK_EQUAL(blocker.polls, 1);
    CHECK(fl_mutex_is_locked(&self.mutex));
    check_nobody(&self.cond);
}

typedef struct {
    fake_blocker blocker, back;
    pair pair;
    fl_waiter rival;
} latecomer;

/* The wait has released the lock: somebody takes it, and somebody else waits for it. */
static void
take_and_queue(fl_blocker *base)
{
    latecomer *self = (latecomer *)base;
    fake_detach(base);
    CHECK(fl_mutex_try_lock(&self->pair.mutex));
    queue_for_mutex(&self->rival, &self->pair.mutex, fl_clock_now_ns());
}

/* The wait is over, and wants the lock. */
static void
see_who_is_first(fl_blocker *base)
{
    latecomer *self = (latecomer *)((fake_blocker *)base)->ctx;
    fake_detach(base);
    CHECK_EQUAL(fl_lot_count(&self->pair.mutex), 2);
    CHECK(self->rival.next != NULL && self->rival.prev == NULL); /* the rival, who was there before */
    expect_queued(&self->rival);
    CHECK(fl_mutex_unlock(&self->pair.mutex));
}

/* A wait that has timed out begins to wait for the lock then, however long it has waited for a notification. */
static void
test_timed_out_waiter_is_the_last_in_the_locks_queue(void)
{
    latecomer self = {.pair = {.mutex = {LOOSE_HOLD}}};
    self.blocker = make_fake_blocker(false, NULL, NULL);
    self.blocker.base.detach = take_and_queue;
    self.back = make_fake_blocker(false, NULL, &self);
    self.back.base.detach = see_who_is_first;
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    fl_cond_result result =
        fl_cond_wait(&self.pair.cond, lock_of(&self.pair), deadline_ns, &self.blocker.base, &self.back.base);
    CHECK_EQUAL(result, FL_COND_TIMED_OUT);
    CHECK_EQUAL(self.back.detaches, 1);
    CHECK(fl_mutex_unlock(&self.pair.mutex));
}

typedef struct {
    pair pair;
    int64_t timeout_ns;
    fl_cond_result result;
} timed_waiter;

static void *
wait_timed(void *arg)
{
    timed_waiter *self = arg;
    lock_mutex(&self->pair.mutex);
    /* The lock goes straight to the thread that waits for it: see there. */
    wait_until_parked(&self->pair.mutex, 1);
    spin_ns(FL_FAIR_NS);
    int64_t deadline_ns = fl_deadline_after_ns(self->timeout_ns);
    self->result = fl_cond_wait(&self->pair.cond, lock_of(&self->pair), deadline_ns, NULL, NULL);
    CHECK(fl_mutex_unlock(&self->pair.mutex));
    return NULL;
}

/* Defect 1 of the standard library: a waiter whose time is up, but which has not got the lock back yet, swallows a
 * notification. */
static void
test_t01_timed_out_waiter_takes_no_notification(void)
{
    for (int64_t timeout_ns = 1; timeout_ns < 10 * NS_PER_MS; timeout_ns *= 100) {
        timed_waiter self = {.timeout_ns = timeout_ns};
        pthread_t thread = start_thread(wait_timed, &self);
        while (!fl_mutex_is_locked(&self.pair.mutex)) {
            pause_briefly();
        }
        lock_mutex(&self.pair.mutex);           /* handed over by the wait, so this thread holds it until it says so */
        wait_until_parked(&self.pair.mutex, 1); /* its time is up, and it wants the lock back */
        fl_waiter other;
        queue_at(&other, 1, &self.pair.cond);
        CHECK_EQUAL(fl_cond_notify(&self.pair.cond, 1, lock_of(&self.pair)), 1);
        CHECK(other.notified);
        CHECK_EQUAL(fl_cond_notify(&self.pair.cond, 1, lock_of(&self.pair)), 0);
        CHECK(fl_mutex_unlock(&self.pair.mutex));
        join_thread(thread);
        CHECK_EQUAL(self.result, FL_COND_TIMED_OUT);
        expect_unparked(&other);
    }
}

/* ---- interruptions ---- */

typedef struct {
    pair pair;
    bool goes_on;    /* what the poll() of the wait returns */
    bool gets_lock;  /* what the poll() of taking the lock back returns */
    flag polling;    /* poll() runs, and the waiter keeps its place */
    flag decided;    /* poll() may return */
    flag wants_lock; /* poll() of taking the lock back has run */
    fl_cond_result result;
} interrupted;

static bool
poll_until_decided(void *ctx, int polls)
{
    interrupted *self = ctx;
    if (polls == 1) {
        return true; /* before it was queued */
    }
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    return self->goes_on;
}

static bool
poll_for_lock(void *ctx, int polls)
{
    (void)polls;
    interrupted *self = ctx;
    raise_flag(&self->wants_lock, 1);
    return self->gets_lock;
}

static void *
wait_interrupted(void *arg)
{
    interrupted *self = arg;
    fake_blocker blocker = make_fake_blocker(true, poll_until_decided, self);
    fake_blocker back = make_fake_blocker(false, poll_for_lock, self);
    lock_mutex(&self->pair.mutex);
    self->result = fl_cond_wait(&self->pair.cond, lock_of(&self->pair), FL_DEADLINE_NEVER, &blocker.base, &back.base);
    CHECK(!blocker.detached && !back.detached);
    if (self->result != FL_COND_LOCK_LOST) {
        CHECK(fl_mutex_unlock(&self->pair.mutex));
    }
    return NULL;
}

/* Returns, with the lock held, while poll() runs, and with another one queued behind. */
static pthread_t
interrupt_wait(interrupted *self, fl_waiter *other)
{
    pthread_t thread = start_thread(wait_interrupted, self);
    interrupt_until(thread, &self->polling, 1);
    lock_mutex(&self->pair.mutex);
    queue_at(other, 1, &self->pair.cond);
    CHECK_EQUAL(fl_lot_count(&self->pair.cond), 2);
    return thread;
}

static void
decide_and_join(interrupted *self, pthread_t thread)
{
    raise_flag(&self->decided, 1);
    CHECK(fl_mutex_unlock(&self->pair.mutex));
    join_thread(thread);
}

static void
test_t02_interrupted_wait_gives_up(void)
{
    interrupted self = {.gets_lock = true};
    fl_waiter other;
    pthread_t thread = interrupt_wait(&self, &other);
    decide_and_join(&self, thread);
    CHECK_EQUAL(self.result, FL_COND_GIVEN_UP);
    CHECK(!other.notified);
    CHECK_ORDER(&self.pair.cond, &other);
    expect_queued(&other);
}

static void
test_t02_notified_while_polling_goes_through(void)
{
    interrupted self = {.goes_on = true, .gets_lock = true};
    fl_waiter other;
    pthread_t thread = interrupt_wait(&self, &other);
    CHECK_EQUAL(fl_cond_notify(&self.pair.cond, 1, lock_of(&self.pair)), 1);
    CHECK_ORDER(&self.pair.cond, &other);
    check_nobody(&self.pair.mutex); /* a thread that runs a handler is never queued for the lock, and never handed it */
    CHECK(fl_mutex_unlock(&self.pair.mutex));
    CHECK(fl_mutex_try_lock(&self.pair.mutex));
    decide_and_join(&self, thread);
    CHECK_EQUAL(self.result, FL_COND_NOTIFIED);
    CHECK(!other.notified);
    expect_queued(&other);
}

/* C4 */
static void
test_t02_notification_is_passed_on(void)
{
    for (int others = 0; others < 2; others++) {
        interrupted self = {.gets_lock = true};
        fl_waiter other;
        pthread_t thread = interrupt_wait(&self, &other);
        CHECK_EQUAL(fl_cond_notify(&self.pair.cond, 1, lock_of(&self.pair)), 1);
        CHECK(!other.notified);
        if (others == 0) {
            expect_queued(&other); /* nobody is left to pass it on to */
        }
        decide_and_join(&self, thread);
        CHECK_EQUAL(self.result, FL_COND_GIVEN_UP);
        CHECK_EQUAL(fl_lot_count(&self.pair.cond), 0);
        if (others) {
            CHECK(other.notified);
            expect_unparked(&other);
        }
    }
}

/* The wait is over, and then the lock cannot be had. */
static void
test_t03_lock_lost_passes_the_notification_on(void)
{
    for (int notified = 0; notified < 2; notified++) {
        interrupted self = {.goes_on = notified, .gets_lock = false};
        fl_waiter other;
        pthread_t thread = interrupt_wait(&self, &other);
        CHECK_EQUAL(fl_cond_notify(&self.pair.cond, (size_t)notified, lock_of(&self.pair)), notified);
        raise_flag(&self.decided, 1);
        join_thread(thread); /* it does not wait for the lock, which is held here */
        CHECK_EQUAL(self.result, FL_COND_LOCK_LOST);
        CHECK_EQUAL(fl_load_acquire_u32(&self.wants_lock), 1);
        CHECK_EQUAL(other.notified, notified);
        CHECK(fl_mutex_unlock(&self.pair.mutex));
        if (notified) {
            expect_unparked(&other);
        }
        else {
            expect_queued(&other);
        }
    }
}

static void
test_interrupted_wait_keeps_its_place(void)
{
    interrupted self = {.goes_on = true, .gets_lock = true};
    fl_waiter other;
    pthread_t thread = interrupt_wait(&self, &other);
    raise_flag(&self.decided, 1);
    for (int i = 0; i < 10; i++) {
        pause_briefly();
        CHECK_EQUAL(fl_lot_count(&self.pair.cond), 2);
    }
    CHECK_EQUAL(fl_cond_notify(&self.pair.cond, 1, lock_of(&self.pair)), 1); /* it is still the first */
    CHECK(!other.notified);
    decide_and_join(&self, thread);
    CHECK_EQUAL(self.result, FL_COND_NOTIFIED);
    expect_queued(&other);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t06_notify_counts);
    RUN(test_after_fork_counts_who_is_there);
    RUN(test_notify_after_everybody_timed_out);
    RUN(test_t12_notified_wait_for_a_held_lock);
    RUN(test_notified_are_woken_where_the_lock_is_free);
    RUN(test_t01_notified_waiter_does_not_time_out);
    RUN(test_wait_without_the_lock);
    RUN(test_wait_that_times_out);
    RUN(test_timed_out_waiter_is_the_last_in_the_locks_queue);
    RUN(test_t06_give_way);
    RUN(test_t05_depth_is_restored);
    RUN(test_t04_wait_given_up_before_it_begins);
    RUN(test_t01_timed_out_waiter_takes_no_notification);
    RUN(test_t02_interrupted_wait_gives_up);
    RUN(test_t02_notified_while_polling_goes_through);
    RUN(test_t02_notification_is_passed_on);
    RUN(test_t03_lock_lost_passes_the_notification_on);
    RUN(test_interrupted_wait_keeps_its_place);
    return 0;
}
