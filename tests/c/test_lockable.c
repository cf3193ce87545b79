/* core/lockable.h: waiting for a lock with a runtime that polls, interrupts and gives up. */

#include "check.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "mutex_helpers.h"

static bool
give_up(void *ctx, int polls)
{
    (void)ctx;
    (void)polls;
    return false;
}

static void
test_hand_off_is_for_those_who_have_waited_long(void)
{
    fl_waiter waiter = {.since_ns = fl_clock_now_ns() + 3600 * INT64_C(1000000000)};
    CHECK(!fl_lock_hands_off(fl_lock_waited_ns(&waiter)));
    waiter.since_ns = fl_clock_now_ns() - FL_FAIR_NS;
    CHECK(fl_lock_hands_off(fl_lock_waited_ns(&waiter)));
    CHECK(!fl_lock_hands_off(FL_FAIR_NS - 1));
}

/* K1: a waiter that was woken takes the lock before anything can go wrong. */
static void
test_k1_woken_waiter_tries_before_it_polls(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    fake_blocker blocker = make_fake_blocker(true, give_up, NULL);
    queue_for(&waiter, &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(waiter.designated);
    CHECK_EQUAL(fl_lot_sleep(&waiter, FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    fl_lock_result result = fl_lock_wait_as(&fl_mutex_ops.wait, &mutex, &waiter, FL_DEADLINE_NEVER, &blocker.base);
    CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
    CHECK_EQUAL(blocker.polls, 0);
    CHECK_EQUAL(blocker.detaches, 0);
    fl_waiter_fini(&waiter);
}

static void
test_poll_gives_up_before_the_sleep(void)
{
    static fl_mutex mutex = {FL_MUTEX_HELD}; /* nowhere where an earlier test had one, which would be backed off from */
    fake_blocker blocker = make_fake_blocker(true, give_up, NULL);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_NEVER, &blocker.base), FL_LOCK_GIVEN_UP);
    CHECK_EQUAL(blocker.polls, 1);
    CHECK_EQUAL(blocker.detaches, 0); /* it has not slept */
    check_nobody(&mutex);
}

static void
test_timeout_detaches_once(void)
{
    static fl_mutex mutex = {FL_MUTEX_HELD}; /* nowhere where an earlier test had one, which would be backed off from */
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, deadline_ns, &blocker.base), FL_LOCK_TIMED_OUT);
    CHECK_EQUAL(blocker.polls, 1);
    CHECK_EQUAL(blocker.detaches, 1);
    CHECK(!blocker.detached);
}

/* A waiter that has been handed the lock before has nothing to do. */
static void
test_handed_off_waiter_has_the_lock(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    CHECK_EQUAL(fl_waiter_init(&waiter, false), 0);
    waiter.handed_off = true;
    fake_blocker blocker = make_fake_blocker(true, give_up, NULL);
    fl_lock_result result = fl_lock_wait_as(&fl_mutex_ops.wait, &mutex, &waiter, FL_DEADLINE_PASSED, &blocker.base);
    CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
    CHECK(fl_mutex_is_locked(&mutex));
    fl_waiter_fini(&waiter);
}

static bool
release_in_poll(void *ctx, int polls)
{
    if (polls == 1) {
        CHECK(fl_mutex_unlock(ctx));
    }
    return true;
}

/* T14: a handler that releases the lock, or takes it for its thread. */
static void
test_t14_lock_released_in_poll(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fake_blocker blocker = make_fake_blocker(true, release_in_poll, &mutex);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_PASSED, &blocker.base), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(blocker.polls, 1);
    CHECK_EQUAL(blocker.detaches, 0);
}

typedef struct {
    fl_rmutex mutex;
    flag held, release, released;
    flag interrupted; /* that poll() runs */
    flag finished;
    int poll; /* the first one comes before the sleep, the second one after the first interruption */
    bool takes_in_poll;
    fl_lock_result result;
} scene;

static void *
hold_until_told(void *arg)
{
    scene *self = arg;
    CHECK_EQUAL(fl_rmutex_try_lock(&self->mutex), FL_LOCK_ACQUIRED);
    raise_flag(&self->held, 1);
    await_flag(&self->release, 1);
    CHECK(fl_rmutex_unlock(&self->mutex));
    raise_flag(&self->released, 1);
    await_flag(&self->finished, 1);
    return NULL;
}

static bool
take_in_poll(void *ctx, int polls)
{
    scene *self = ctx;
    if (polls != self->poll) {
        return true;
    }
    check_nobody(&self->mutex); /* L5: it has left the queue, and cannot be handed the lock while this runs */
    raise_flag(&self->interrupted, 1);
    await_flag(&self->released, 1);
    if (self->takes_in_poll) {
        CHECK_EQUAL(fl_rmutex_try_lock(&self->mutex), FL_LOCK_ACQUIRED);
    }
    return self->takes_in_poll;
}

static void *
lock_interrupted(void *arg)
{
    scene *self = arg;
    fake_blocker blocker = make_fake_blocker(true, take_in_poll, self);
    self->result = fl_lock_wait(&fl_rmutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, &blocker.base);
    CHECK_EQUAL(blocker.polls, self->poll); /* no sleep after the one that took the lock, or gave up */
    CHECK_EQUAL(fl_rmutex_depth(&self->mutex), self->takes_in_poll ? 2 : 0);
    raise_flag(&self->finished, 1);
    return NULL;
}

static void
lock_with_poll(int poll, bool takes)
{
    scene self = {.poll = poll, .takes_in_poll = takes};
    pthread_t holder = start_thread(hold_until_told, &self);
    await_flag(&self.held, 1);
    pthread_t waiter = start_thread(lock_interrupted, &self);
    interrupt_until(waiter, &self.interrupted, 1);
    raise_flag(&self.release, 1);
    join_thread(holder);
    join_thread(waiter);
    CHECK_EQUAL(self.result, takes ? FL_LOCK_ACQUIRED : FL_LOCK_GIVEN_UP);
    check_nobody(&self.mutex);
}

static void
test_t14_poll_takes_the_same_rmutex(void)
{
    lock_with_poll(1, true);
    lock_with_poll(2, true);
}

static void
test_t14_poll_gives_up(void)
{
    lock_with_poll(1, false);
    lock_with_poll(2, false);
}

/* ---- interruptions and wake-ups at the same time ---- */

enum { THREADS = 4, ROUNDS = 1500 };

typedef struct {
    fl_mutex mutex;
    int counter; /* under mutex */
    fl_atomic_u64 locked, given_up;
    fl_atomic_u64 running;
    flag stop;
} storm;

static bool
give_up_sometimes(void *ctx, int polls)
{
    (void)polls;
    return random_below(ctx, 8) != 0;
}

static void *
lock_in_a_storm(void *arg)
{
    storm *self = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    for (int i = 0; i < ROUNDS; i++) {
        fake_blocker blocker = make_fake_blocker(true, give_up_sometimes, &random);
        fl_lock_result result = fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, &blocker.base);
        if (result == FL_LOCK_GIVEN_UP) {
            (void)fl_add_relaxed_u64(&self->given_up, 1);
            continue;
        }
        CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
        self->counter++;
        if (i % 4 == 0) {
            pause_briefly(); /* long enough for others to be interrupted */
        }
        CHECK(fl_mutex_unlock(&self->mutex));
        (void)fl_add_relaxed_u64(&self->locked, 1);
    }
    (void)fl_add_relaxed_u64(&self->running, UINT64_MAX);
    await_flag(&self->stop, 1); /* a target for signals until then */
    return NULL;
}

/* A wake-up that meets an interruption is not lost: somebody would wait for ever. */
static void
test_t18_interruptions_race_releases(void)
{
    storm self = {.running = THREADS};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(lock_in_a_storm, &self);
    }
    while (fl_load_relaxed_u64(&self.running)) {
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQUAL(pthread_kill(threads[i], SIGUSR1), 0);
        }
        pause_briefly();
    }
    raise_flag(&self.stop, 1);
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(self.counter, self.locked);
    CHECK_EQUAL(self.locked + self.given_up, THREADS * ROUNDS);
    CHECK(self.given_up > 0);
    CHECK(!fl_mutex_is_locked(&self.mutex));
    check_nobody(&self.mutex);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_hand_off_is_for_those_who_have_waited_long);
    RUN(test_k1_woken_waiter_tries_before_it_polls);
    RUN(test_poll_gives_up_before_the_sleep);
    RUN(test_timeout_detaches_once);
    RUN(test_handed_off_waiter_has_the_lock);
    RUN(test_t14_lock_released_in_poll);
    RUN(test_t14_poll_takes_the_same_rmutex);
    RUN(test_t14_poll_gives_up);
    RUN(test_t18_interruptions_race_releases);
    return 0;
}
