/* core/mutex.h: its states, by one thread. */

#include "check.h"
#include "mutex_helpers.h"

static void
test_states_without_waiters(void)
{
    fl_mutex mutex;
    fl_mutex_init(&mutex);
    CHECK(!fl_mutex_is_locked(&mutex));
    CHECK(!fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK(fl_mutex_is_locked(&mutex));
    CHECK(!fl_mutex_try_lock(&mutex)); /* not recursive */
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(!fl_mutex_unlock(&mutex));
    CHECK_EQUAL(word_of(&mutex), 0);
}

static void
test_t29_free_mutex_with_waiters_can_be_taken(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, JUST_CAME);
    queue_for(&w[1], &mutex, JUST_CAME);
    CHECK_EQUAL(word_of(&mutex), LOOSE_HOLD | FL_WORD_PARKED);
    CHECK(fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
    CHECK_EQUAL(word_of(&mutex), FL_WORD_PARKED);
    CHECK(!w[0].handed_off);
    expect_unparked(&w[0]);
    CHECK(fl_mutex_try_lock(&mutex)); /* barging */
    CHECK_EQUAL(word_of(&mutex), LOOSE_HOLD | FL_WORD_PARKED);
    CHECK(fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
    CHECK_EQUAL(word_of(&mutex), 0); /* the last one has been woken */
    expect_unparked(&w[1]);
}

static void
test_unlock_with_parked_but_nobody_queued(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    queue_for(&waiter, &mutex, JUST_CAME);
    expect_queued(&waiter); /* as after a timeout */
    CHECK_EQUAL(word_of(&mutex), LOOSE_HOLD | FL_WORD_PARKED);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_EQUAL(word_of(&mutex), 0);
    CHECK(!fl_mutex_unlock(&mutex));
}

/* Another release was faster. The waiter that it woke is on its way, and the next one stays queued. */
static void
test_t18_release_that_comes_too_late(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, JUST_CAME);
    queue_for(&w[1], &mutex, JUST_CAME);
    w[1].since_ns = WAITS_FOR_EVER; /* a hand-over would be due */
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(!fl_mutex_unlock(&mutex));
    CHECK(!fl_mutex_unlock_slow(&mutex, FL_WAKE_ONE, NULL));
    CHECK(!fl_mutex_unlock_slow(&mutex, FL_WAKE_NEXT, NULL));
    CHECK_EQUAL(word_of(&mutex), fl_word_woken | FL_WORD_PARKED);
    CHECK(!w[1].handed_off);
    CHECK_ORDER(&mutex, &w[1]);
    expect_unparked(&w[0]);
    expect_queued(&w[1]);
}

static void
test_free_mutex_takes_no_waiter(void)
{
    fl_mutex mutex = {0};
    fl_waiter waiter;
    CHECK_EQUAL(fl_waiter_init(&waiter, false), 0);
    CHECK(!fl_lock_enqueue(&fl_mutex_ops.wait, &mutex, &waiter));
    CHECK_EQUAL(word_of(&mutex), 0);
    fl_waiter_fini(&waiter);
}

static void
test_t28_waiter_of_long_standing_is_handed_the_mutex(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter w[2];
    queue_for(&w[0], &mutex, WAITS_FOR_EVER);
    queue_for(&w[1], &mutex, WAITS_FOR_EVER);
    for (int i = 0; i < 2; i++) {
        CHECK(fl_mutex_unlock(&mutex));
        CHECK(!fl_mutex_try_lock(&mutex)); /* held all the time */
        CHECK(w[i].handed_off);
        expect_unparked(&w[i]);
    }
    CHECK_EQUAL(word_of(&mutex), LOOSE_HOLD);
    CHECK(fl_mutex_unlock(&mutex));
}

static void
test_ops(void)
{
    fl_mutex mutex = {0};
    CHECK(!fl_mutex_ops.is_owned(&mutex));
    CHECK_EQUAL(fl_mutex_ops.release_all(&mutex, NULL), 0);
    CHECK_EQUAL(fl_mutex_ops.wait.try_lock(&mutex, NULL), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_mutex_ops.wait.try_lock(&mutex, NULL), FL_LOCK_BUSY);
    CHECK(fl_mutex_ops.is_owned(&mutex));
    CHECK_EQUAL(fl_mutex_ops.release_all(&mutex, NULL), 1);
    CHECK(!fl_mutex_is_locked(&mutex));
}

/* ---- who holds it, and how (M2) ---- */

static void *
unlock_for_another(void *arg)
{
    CHECK(!fl_mutex_ops.is_own(arg));
    CHECK(fl_mutex_unlock(arg));
    return NULL;
}

static void
test_the_word_shows_who_holds_it(void)
{
    fl_mutex mutex = {0};
    uint64_t self = fl_thread_register();
    CHECK(fl_mutex_try_lock_fast(&mutex));
    CHECK_EQUAL(word_of(&mutex), self | FL_WORD_LOOSE);
    CHECK(fl_word_thread(word_of(&mutex)) == self && fl_word_owner(word_of(&mutex)) == 0);
    CHECK(fl_mutex_ops.is_own(&mutex));
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(!fl_mutex_ops.is_own(&mutex));
    CHECK(fl_mutex_try_enter_fast(&mutex));
    CHECK(!fl_mutex_try_enter_fast(&mutex) && !fl_mutex_try_enter(&mutex) && !fl_mutex_try_lock_fast(&mutex));
    CHECK_EQUAL(word_of(&mutex), self);
    CHECK(fl_word_thread(word_of(&mutex)) == self && fl_word_owner(word_of(&mutex)) == self);
    CHECK(fl_mutex_ops.is_own(&mutex));
    join_thread(start_thread(unlock_for_another, &mutex)); /* M3 */
    CHECK(!fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_enter(&mutex));
    CHECK_EQUAL(word_of(&mutex), self);
    CHECK(fl_mutex_unlock(&mutex));
}

static void
test_a_hand_off_shows_how_the_waiter_holds_it(void)
{
    for (int scoped = 0; scoped < 2; scoped++) {
        fl_mutex mutex = {LOOSE_HOLD};
        fl_waiter waiter;
        CHECK_EQUAL(fl_waiter_init(&waiter, false), 0);
        waiter.since_ns = WAITS_FOR_EVER;
        CHECK(fl_lock_enqueue(scoped ? &fl_mutex_scoped_ops : &fl_mutex_ops.wait, &mutex, &waiter));
        waiter.thread = 4711 * FL_THREAD_SERIAL_STEP;
        CHECK(fl_mutex_unlock(&mutex));
        CHECK(waiter.handed_off);
        CHECK_EQUAL(word_of(&mutex), waiter.thread | (scoped ? 0 : FL_WORD_LOOSE));
        expect_unparked(&waiter);
    }
}

static void
test_a_condition_notes_only_a_block_of_its_own_thread(void)
{
    const struct {
        uint64_t word;
        bool scoped;
    } holds[] = {{fl_thread_register(), true},
                 {fl_thread_register() | FL_WORD_PARKED, true},
                 {LOOSE_HOLD, false},
                 {FL_MUTEX_HELD, false},
                 {4711 * FL_THREAD_SERIAL_STEP, false}};
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        fl_mutex mutex = {holds[i].word};
        fl_waiter waiter;
        CHECK_EQUAL(fl_waiter_init(&waiter, true), 0);
        fl_mutex_ops.note_hold(&mutex, &waiter);
        CHECK_EQUAL(waiter.scoped, holds[i].scoped);
        fl_waiter_fini(&waiter);
    }
}

static void
test_timed_lock(void)
{
    fl_mutex mutex = {LOOSE_HOLD};
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_PASSED, NULL), FL_LOCK_TIMED_OUT);
    int64_t deadline_ns = fl_deadline_after_ns(3 * NS_PER_MS);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, deadline_ns, NULL), FL_LOCK_TIMED_OUT);
    CHECK(fl_clock_now_ns() >= deadline_ns);
    check_nobody(&mutex);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_PASSED, NULL), FL_LOCK_ACQUIRED);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_states_without_waiters);
    RUN(test_t29_free_mutex_with_waiters_can_be_taken);
    RUN(test_unlock_with_parked_but_nobody_queued);
    RUN(test_t18_release_that_comes_too_late);
    RUN(test_free_mutex_takes_no_waiter);
    RUN(test_t28_waiter_of_long_standing_is_handed_the_mutex);
    RUN(test_ops);
    RUN(test_the_word_shows_who_holds_it);
    RUN(test_a_hand_off_shows_how_the_waiter_holds_it);
    RUN(test_a_condition_notes_only_a_block_of_its_own_thread);
    RUN(test_timed_lock);
    return 0;
}
