/* core/lot/back_off.h: threads that leave a lock to others before they queue for it. */

#include "core/lot/back_off.h"

#include "check.h"
#include "core/fork.h"
#include "core/lot/bucket.h"
#include "core/lot/spin.h"
#include "fake_blocker.h"
#include "mutex_helpers.h"
#include "platform/cpu.h"

static int keys[5];

typedef struct {
    fake_blocker blocker;
    int asked, decided_at;
    int64_t asked_ns[FL_BACK_OFF_TIMES];
} back_off;

static bool
is_decided(void *arg)
{
    back_off *self = arg;
    CHECK(!self->blocker.detached);
    CHECK_EQUAL(fl_spin_count(), 0);
    self->asked_ns[self->asked++] = fl_clock_now_ns();
    CHECK_EQUAL(self->blocker.detaches, self->asked);
    return self->asked == self->decided_at;
}

/* Whether the calling thread leaves the lock alone at all. */
static bool
backs_off(const void *lock, int64_t deadline_ns)
{
    back_off self = {.blocker = make_fake_blocker(false, NULL, NULL)};
    CHECK(!fl_back_off(lock, deadline_ns, &self.blocker.base, is_decided, &self));
    CHECK_EQUAL(self.blocker.detaches, self.asked);
    return self.asked > 0;
}

/* What the history of the lock's bucket has counted. */
static uint32_t
failures_of(const void *lock)
{
    uint32_t history = fl_load_relaxed_u32(&fl_bucket_of(lock)->back_offs);
    return history & ((1u << FL_SPIN_FAILURES_BITS) - 1);
}

static void
test_backs_off_from_what_was_released_last(void)
{
    const void *key = &keys[0];
    const void *other_key = &keys[1];
    CHECK(!backs_off(key, FL_DEADLINE_NEVER));
    fl_back_off_remember(key);
    CHECK(backs_off(key, FL_DEADLINE_NEVER));
    CHECK(backs_off(key, fl_deadline_after_ns(INT64_C(3600) * 1000 * NS_PER_MS)));
    CHECK(!backs_off(key, FL_DEADLINE_PASSED));
    CHECK(!backs_off(key, fl_deadline_after_ns(FL_BACK_OFF_NS)));
    CHECK(!backs_off(other_key, FL_DEADLINE_NEVER));
    fl_spin_enable(false);
    CHECK(!backs_off(key, FL_DEADLINE_NEVER));
    fl_spin_enable(true);
    CHECK(backs_off(key, FL_DEADLINE_NEVER));
    fl_back_off_remember(other_key);
    CHECK(!backs_off(key, FL_DEADLINE_NEVER));
    CHECK(backs_off(other_key, FL_DEADLINE_NEVER));
}

static void
test_t24_backs_off_detached_and_asks_attached(void)
{
    for (int decided_at = 0; decided_at <= FL_BACK_OFF_TIMES; decided_at++) {
        back_off self = {.blocker = make_fake_blocker(false, NULL, NULL), .decided_at = decided_at};
        fl_back_off_remember(&keys[2]);
        int64_t then_ns = fl_clock_now_ns();
        bool decided = fl_back_off(&keys[2], FL_DEADLINE_NEVER, &self.blocker.base, is_decided, &self);
        CHECK_EQUAL(decided, decided_at != 0);
        CHECK_EQUAL(self.asked, decided_at ? decided_at : FL_BACK_OFF_TIMES);
        for (int i = 0; i < self.asked; i++) {
            CHECK(self.asked_ns[i] - then_ns >= FL_BACK_OFF_NS << i);
            then_ns = self.asked_ns[i];
        }
        CHECK_EQUAL(self.blocker.polls, 0);
    }
}

/* Each that did not help makes the next ones rarer; one that did makes them more frequent. */
static void
test_backs_off_less_where_it_did_not_help(void)
{
    const void *key = &keys[3];
    fl_back_off_remember(key);
    for (uint32_t i = 0; i < FL_SPIN_FAILURES_ALLOWED; i++) {
        CHECK_EQUAL(failures_of(key), i);
        CHECK(backs_off(key, FL_DEADLINE_NEVER));
    }
    CHECK(!backs_off(key, FL_DEADLINE_NEVER)); /* it did not pay */
    CHECK_EQUAL(failures_of(key), FL_SPIN_FAILURES_ALLOWED);
    back_off trial = {.blocker = make_fake_blocker(false, NULL, NULL), .decided_at = 1};
    CHECK(fl_back_off(key, FL_DEADLINE_NEVER, &trial.blocker.base, is_decided, &trial));
    CHECK_EQUAL(failures_of(key), FL_SPIN_FAILURES_ALLOWED / 2);
    CHECK(backs_off(key, FL_DEADLINE_NEVER));
}

static void
detach_and_release(fl_blocker *base)
{
    fake_blocker *self = (fake_blocker *)base;
    fake_detach(base);
    CHECK(fl_mutex_unlock_slow(self->ctx, FL_WAKE_NEXT, NULL));
}

/* How often a thread detaches to get a mutex back that it has released with that policy, and that another thread has
 * taken since. */
static int
detaches_to_lock_again(fl_wake_policy policy)
{
    fl_mutex mutex = {LOOSE_HOLD};
    fl_waiter waiter;
    queue_for(&waiter, &mutex, JUST_CAME);
    CHECK(fl_mutex_unlock_slow(&mutex, policy, NULL));
    CHECK(fl_mutex_try_lock(&mutex));
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, deadline_ns, &blocker.base), FL_LOCK_TIMED_OUT);
    fake_blocker releaser = make_fake_blocker(false, NULL, &mutex);
    releaser.base.detach = detach_and_release;
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_NEVER, &releaser.base), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(releaser.detaches, 1);
    expect_unparked(&waiter);
    return blocker.detaches;
}

static void
test_backs_off_where_the_release_designated(void)
{
    CHECK_EQUAL(detaches_to_lock_again(FL_WAKE_ONE), FL_BACK_OFF_TIMES + 1);
    fl_back_off_remember(&keys[0]);
    CHECK_EQUAL(detaches_to_lock_again(FL_WAKE_NEXT), 1);
}

static void
test_no_back_off_with_one_runtime_for_all(void)
{
    fl_back_off_remember(&keys[4]);
    CHECK(!backs_off(&keys[4], FL_DEADLINE_NEVER));
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    if (fl_cpu_count() > 1) {
        RUN(test_backs_off_from_what_was_released_last);
        RUN(test_t24_backs_off_detached_and_asks_attached);
        RUN(test_backs_off_less_where_it_did_not_help);
        RUN(test_backs_off_where_the_release_designated);
    }
    else {
        puts("  there is one processor: nobody backs off");
    }
    fl_spin_set_exclusive_runtime();
    RUN(test_no_back_off_with_one_runtime_for_all);
    return 0;
}
