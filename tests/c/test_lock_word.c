/* core/lock_word.h: who is woken by a release, and who relies on whom. */

#include "check.h"
#include "core/cond.h"
#include "core/fork.h"
#include "core/rmutex.h"
#include "fork_helpers.h"
#include "mutex_helpers.h"

#define WORD(holder, woken, parked) ((holder) | ((woken) ? fl_word_woken : 0) | ((parked) ? FL_WORD_PARKED : 0))
#define CHECK_WORD(mutex, holder, woken, parked) CHECK_EQUAL(word_of(mutex), WORD(holder, woken, parked))

enum { TIMES = 1000 };

/* The waiter was woken; now it tries the lock. */
static bool
takes(fl_waiter *waiter, fl_mutex *mutex)
{
    return fl_mutex_ops.wait.try_lock(mutex, waiter) == FL_LOCK_ACQUIRED;
}

static void
take_and_release(fl_mutex *mutex)
{
    CHECK(fl_mutex_try_lock(mutex));
    CHECK(fl_mutex_unlock(mutex));
}

static void
test_w3_one_is_on_its_way_at_a_time(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[3];
    for (int i = 0; i < 3; i++) {
        queue_for(&w[i], &mutex, JUST_CAME);
    }
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_WORD(&mutex, 0, true, true);
    for (int i = 0; i < TIMES; i++) {
        take_and_release(&mutex);
    }
    CHECK_WORD(&mutex, 0, true, true);
    CHECK_ORDER(&mutex, &w[1], &w[2]);
    for (int i = 0; i < 3; i++) {
        CHECK(w[i].designated);
        CHECK(takes(&w[i], &mutex));
        CHECK(!w[i].designated);
        CHECK_WORD(&mutex, LOOSE_HOLD, false, i < 2);
        CHECK(fl_mutex_unlock(&mutex)); /* wakes the next */
        CHECK_WORD(&mutex, 0, i < 2, i < 1);
        expect_unparked(&w[i]);
    }
}

/* W4: a designated waiter that fails has seen the lock held, and its holder's release wakes. */
static void
test_w4_designated_waiter_finds_the_lock_held(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, JUST_CAME);
    queue_for(&w[1], &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK_WORD(&mutex, LOOSE_HOLD, true, true);
    CHECK(!takes(&w[0], &mutex));
    CHECK(!w[0].designated);
    CHECK_WORD(&mutex, LOOSE_HOLD, false, true);
    expect_unparked(&w[0]); /* and gives up */
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(w[1].designated);
    check_nobody(&mutex);
    CHECK(takes(&w[1], &mutex));
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_WORD(&mutex, 0, false, false);
    expect_unparked(&w[1]);
}

static void
test_w4_designated_waiter_goes_back_to_the_queue(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    queue_for(&waiter, &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_EQUAL(fl_lot_sleep(&waiter, FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    CHECK(!fl_lock_enqueue(&fl_mutex_ops.wait, &mutex, &waiter)); /* it is free: nothing to wait for */
    CHECK(waiter.designated);
    CHECK_WORD(&mutex, 0, true, false);
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK(fl_lock_enqueue(&fl_mutex_ops.wait, &mutex, &waiter));
    CHECK(!waiter.designated);
    CHECK_WORD(&mutex, LOOSE_HOLD, false, true);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(waiter.designated);
    CHECK(takes(&waiter, &mutex));
    expect_unparked(&waiter);
}

/* Who comes and queues ends nobody's designation. */
static void
test_w3_another_waiter_leaves_the_designation_alone(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK_WORD(&mutex, LOOSE_HOLD, true, false);
    queue_for(&w[1], &mutex, JUST_CAME);
    CHECK_WORD(&mutex, LOOSE_HOLD, true, true);
    CHECK(!takes(&w[1], &mutex));
    CHECK_WORD(&mutex, LOOSE_HOLD, true, true);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_ORDER(&mutex, &w[1]);
    CHECK(takes(&w[0], &mutex));
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(takes(&w[1], &mutex));
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
}

/* A release for a condition wakes one each time, designated or not. */
static void
test_wake_next_wakes_one_each_time(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[3];
    for (int i = 0; i < 3; i++) {
        queue_for(&w[i], &mutex, JUST_CAME);
    }
    CHECK(fl_mutex_unlock(&mutex));
    for (int i = 1; i < 3; i++) {
        CHECK(fl_mutex_try_lock(&mutex));
        CHECK(fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
        CHECK(!w[i].designated);
        CHECK_WORD(&mutex, 0, true, i < 2); /* the first one still is */
        expect_unparked(&w[i]);
    }
    CHECK(takes(&w[0], &mutex));
    CHECK_WORD(&mutex, LOOSE_HOLD, false, false);
    expect_unparked(&w[0]);
}

/* Tries to have a waiter that has waited for FL_WAKE_NEXT_NS, but not for FL_FAIR_NS, woken for a condition.  On a busy
 * machine it may be handed the lock. */
static bool
is_designated_for_a_condition(fl_mutex *mutex, fl_waiter *first, fl_waiter *second)
{
    CHECK(fl_mutex_try_lock(mutex));
    queue_for(first, mutex, fl_clock_now_ns() - FL_WAKE_NEXT_NS);
    queue_for(second, mutex, first->since_ns);
    CHECK(fl_mutex_unlock_slow(mutex, FL_WAKE_NEXT, NULL));
    if (first->handed_off) {
        expect_unparked(first);
        expect_queued(second);
        fl_mutex_init(mutex);
        return false;
    }
    CHECK(first->designated);
    CHECK_WORD(mutex, 0, true, true);
    return true;
}

static void
test_wake_next_designates_who_has_waited_for_some_time(void)
{
    fl_mutex mutex = {0};
    fl_waiter w[2];
    while (!is_designated_for_a_condition(&mutex, &w[0], &w[1])) {
    }
    for (int i = 0; i < TIMES; i++) {
        CHECK(fl_mutex_try_lock(&mutex));
        CHECK(fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
    }
    CHECK_ORDER(&mutex, &w[1]);
    CHECK(takes(&w[0], &mutex));
    w[1].since_ns = JUST_CAME;
    CHECK(fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
    CHECK(!w[1].designated);
    CHECK_WORD(&mutex, 0, false, false);
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
}

/* Its turn by age has a waiter only when nobody is on the way any more. */
static void
test_t28_hand_over_comes_after_the_designated_waiter(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_lock(&mutex));
    queue_for(&w[1], &mutex, WAITS_FOR_EVER);
    w[1].thread = 4711 * FL_THREAD_SERIAL_STEP;
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_ORDER(&mutex, &w[1]);
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK(!takes(&w[0], &mutex));
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(w[1].handed_off && !w[1].designated);
    CHECK_WORD(&mutex, w[1].thread | FL_WORD_LOOSE, false, false);
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
}

static void
test_recursive_mutex_designates_too(void)
{
    fl_rmutex mutex = {0};
    fl_waiter w[2];
    CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_ACQUIRED);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(fl_waiter_init(&w[i], false), 0);
        w[i].since_ns = JUST_CAME;
        w[i].thread = 4711 * FL_THREAD_SERIAL_STEP; /* a thread does not wait for what it owns */
        CHECK(fl_lock_enqueue(&fl_rmutex_ops.wait, &mutex, &w[i]));
    }
    CHECK(fl_rmutex_unlock(&mutex));
    CHECK(w[0].designated);
    for (int i = 0; i < TIMES; i++) {
        CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_ACQUIRED);
        CHECK(fl_rmutex_unlock(&mutex));
    }
    CHECK_ORDER(&mutex, &w[1]);
    CHECK_EQUAL(fl_rmutex_ops.wait.try_lock(&mutex, &w[0]), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_is_owned(&mutex));
    CHECK(!w[0].designated);
    CHECK(fl_rmutex_unlock(&mutex));
    CHECK(w[1].designated);
    CHECK_EQUAL(fl_rmutex_ops.release_all(&mutex, NULL), 0);
    expect_unparked(&w[0]);
    expect_unparked(&w[1]);
}

/* ---- a wait() of somebody who does not hold the lock, although it is held ---- */

typedef struct {
    fl_mutex mutex; /* first, as it is what the operations get */
    fl_cond cond;
    fl_lock_ops ops;
    bool hands_over;
    int releases; /* that the waiter has asked for */
} misuse;

/* What others may do between the moment when the waiter queues itself and the one when it finds out. */
static uint64_t
release_for_others_first(void *lock, fl_waiter *later)
{
    misuse *self = lock;
    if (self->releases++ > 0) {
        return fl_mutex_ops.release_all(&self->mutex, later);
    }
    if (self->hands_over) {
        CHECK(fl_mutex_unlock(&self->mutex));
        CHECK_EQUAL(fl_mutex_ops.release_all(&self->mutex, later), 0);
        CHECK(fl_mutex_try_lock(&self->mutex));
    }
    CHECK_EQUAL(fl_cond_notify(&self->cond, 1, (fl_cond_lock){self, &self->ops}), 1);
    if (self->hands_over) {
        spin_ns(FL_FAIR_NS);
    }
    CHECK(fl_mutex_unlock(&self->mutex));
    return self->hands_over ? 0 : fl_mutex_ops.release_all(&self->mutex, later);
}

/* However long the machine takes for the next steps, the notified waiter is not handed the lock for its age. */
static bool
mark_parked_as_just_come(void *lock, fl_waiter *waiter, bool attached)
{
    waiter->since_ns = JUST_CAME;
    return fl_mutex_ops.wait.mark_parked(lock, waiter, attached);
}

static void
wait_without_the_lock(bool hands_over)
{
    misuse self = {.mutex = {LOOSE_HOLD}, .ops = fl_mutex_ops, .hands_over = hands_over};
    self.ops.release_all = release_for_others_first;
    if (!hands_over) {
        self.ops.wait.mark_parked = mark_parked_as_just_come;
    }
    fl_cond_lock lock = {&self, &self.ops};
    CHECK_EQUAL(fl_cond_wait(&self.cond, lock, FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOT_HELD);
    CHECK_WORD(&self.mutex, 0, false, false);
    check_nobody(&self.mutex);
    check_nobody(&self.cond);
}

/* The owner of a recursive mutex is known, and so the wait ends before the waiter can be handed it. */
static void
test_t18_wait_of_who_is_not_the_owner(void)
{
    fl_rmutex mutex = {4711 * FL_THREAD_SERIAL_STEP, 0};
    fl_cond cond = {0};
    fl_cond_lock lock = {&mutex, &fl_rmutex_ops};
    CHECK_EQUAL(fl_cond_wait(&cond, lock, FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOT_HELD);
    CHECK_EQUAL(fl_load_relaxed_u32(&cond.word), 0); /* it was never queued */
    CHECK_EQUAL(fl_rmutex_owner(&mutex), 4711 * FL_THREAD_SERIAL_STEP);
}

/* W5, K1: the waiter leaves with an error, and neither its designation nor the lock goes with it. */
static void
test_t18_wake_up_that_is_not_wanted(void)
{
    wait_without_the_lock(false);
}

static void
test_t18_hand_over_that_is_not_wanted(void)
{
    wait_without_the_lock(true);
}

/* ---- fork ---- */

/* W5: the designated waiter of the parent is not in the child, where a release must wake all the same. */
static void
release_to_own_waiter(void *arg)
{
    fl_mutex *mutex = arg;
    fl_waiter waiter;
    uint64_t before = word_of(mutex);
    CHECK(fl_mutex_try_lock(mutex));
    CHECK_EQUAL(word_of(mutex), LOOSE_HOLD | before);
    queue_for(&waiter, mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(mutex));
    CHECK(waiter.designated);
    check_nobody(mutex);
    CHECK_WORD(mutex, 0, true, false);
    CHECK(takes(&waiter, mutex));
    CHECK_WORD(mutex, LOOSE_HOLD, false, false);
    expect_unparked(&waiter);
}

static void
test_t34_designation_ends_with_a_fork(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    queue_for(&waiter, &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    uint64_t before = word_of(&mutex);
    CHECK_EQUAL(before, fl_word_woken);
    in_child(release_to_own_waiter, &mutex);
    CHECK_EQUAL(word_of(&mutex), before);
    CHECK_EQUAL(fl_word_woken, before);
    CHECK(takes(&waiter, &mutex));
    expect_unparked(&waiter);
}

/* So it cannot come to be that of a process far down the line. */
static void
release_without_waiters(void *arg)
{
    take_and_release(arg);
    CHECK_WORD((fl_mutex *)arg, 0, false, false);
}

static void
release_with_waiters(void *arg)
{
    fl_mutex *mutex = arg;
    fl_waiter w[2];
    CHECK(fl_mutex_try_lock(mutex));
    queue_for(&w[0], mutex, JUST_CAME);
    queue_for(&w[1], mutex, JUST_CAME);
    CHECK(fl_mutex_unlock_slow(mutex, FL_WAKE_NEXT, NULL));
    CHECK_WORD(mutex, 0, false, true);
    expect_unparked(&w[0]);
    expect_queued(&w[1]);
}

static void
test_t34_number_of_another_process_goes_with_a_release(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    queue_for(&waiter, &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock(&mutex));
    in_child(release_without_waiters, &mutex);
    in_child(release_with_waiters, &mutex);
    CHECK(takes(&waiter, &mutex));
    expect_unparked(&waiter);
}

static void
fork_again_and_again(void *arg)
{
    (void)arg;
    const uint64_t first = fl_word_woken;
    uint64_t forks = 0;
    do {
        uint64_t before = fl_word_woken;
        fl_word_after_fork_in_child();
        CHECK(fl_word_woken != before);
        CHECK(fl_word_woken != 0);
        CHECK_EQUAL(fl_word_woken & ~FL_WORD_FLAGS, 0);
        CHECK_EQUAL(fl_word_woken & FL_WORD_PARKED, 0);
        forks++;
    } while (fl_word_woken != first);
    CHECK_EQUAL(forks, 32767);
}

static void
test_t34_numbers_of_processes(void)
{
    in_child(fork_again_and_again, NULL);
}

/* ---- threads ---- */

enum { THREADS = 6, ROUNDS = 6000 };

typedef struct {
    fl_mutex mutex;
    fl_cond cond;
    gate start;
    int counter; /* not atomic: the mutex guards it */
    fl_atomic_u64 locked, seeds;
} contest;

/* Every way to release and to wait, on one mutex. */
static void *
lock_in_many_ways(void *arg)
{
    contest *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    fl_cond_lock lock = {&self->mutex, &fl_mutex_ops};
    pass_gate(&self->start);
    for (int i = 0; i < ROUNDS; i++) {
        if (random_below(&random, 4) == 0) {
            int64_t deadline_ns = fl_deadline_after_ns(random_below(&random, 50 * 1000));
            if (fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, deadline_ns, NULL) != FL_LOCK_ACQUIRED) {
                continue;
            }
        }
        else {
            lock_mutex(&self->mutex);
        }
        self->counter++;
        (void)fl_add_relaxed_u64(&self->locked, 1);
        switch (random_below(&random, 4)) {
            case 0:
                (void)fl_cond_notify(&self->cond, SIZE_MAX, lock);
                CHECK(fl_mutex_unlock_slow(&self->mutex, FL_WAKE_NEXT, NULL));
                break;
            case 1:
                (void)fl_cond_wait(&self->cond, lock, fl_deadline_after_ns(50 * 1000), NULL, NULL);
                CHECK(fl_mutex_unlock_slow(&self->mutex, FL_WAKE_NEXT, NULL));
                break;
            default:
                CHECK(fl_mutex_unlock(&self->mutex));
        }
    }
    return NULL;
}

/* A wake-up that is lost leaves somebody asleep for ever. */
static void
test_w4_no_wake_up_is_lost(void)
{
    contest self = {.start.count = THREADS};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(lock_in_many_ways, &self);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(self.counter, self.locked);
    CHECK_WORD(&self.mutex, 0, false, false);
    check_nobody(&self.mutex);
    check_nobody(&self.cond);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_w3_one_is_on_its_way_at_a_time);
    RUN(test_w4_designated_waiter_finds_the_lock_held);
    RUN(test_w4_designated_waiter_goes_back_to_the_queue);
    RUN(test_w3_another_waiter_leaves_the_designation_alone);
    RUN(test_wake_next_wakes_one_each_time);
    RUN(test_wake_next_designates_who_has_waited_for_some_time);
    RUN(test_t28_hand_over_comes_after_the_designated_waiter);
    RUN(test_recursive_mutex_designates_too);
    RUN(test_t18_wait_of_who_is_not_the_owner);
    RUN(test_t18_wake_up_that_is_not_wanted);
    RUN(test_t18_hand_over_that_is_not_wanted);
    RUN(test_t34_designation_ends_with_a_fork);
    RUN(test_t34_number_of_another_process_goes_with_a_release);
    RUN(test_t34_numbers_of_processes);
    RUN(test_w4_no_wake_up_is_lost);
    return 0;
}
