/* core/lot/parking_lot.h: waiters that go back to the queue of what they wait for, as long as others are quicker. */

#include "check.h"
#include "core/cond.h"
#include "core/fork.h"
#include "core/mutex.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

enum { TIMES = 5 };

static int key;

typedef struct {
    fl_waiter waiter;
    int64_t deadline_ns;
    int taken; /* how often the goal is found taken; under the bucket's mutex */
    int asked;
    bool hands_off;
    fl_wait_result result;
    int detaches;
} seeker;

/* fl_lot_goal.validate */
static bool
is_taken(void *arg)
{
    seeker *self = arg;
    return self->asked++ < self->taken;
}

static void *
seek(void *arg)
{
    seeker *self = arg;
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    fl_lot_goal goal = {&key, is_taken, self, NULL};
    self->result = fl_lot_sleep_for(&self->waiter, self->deadline_ns, &blocker.base, &goal);
    self->detaches = blocker.detaches;
    return NULL;
}

/* fl_unpark_fn */
static bool
unpark_seeker(void *arg, fl_waiter *first, bool more)
{
    seeker *self = arg;
    (void)more;
    if (first) {
        first->handed_off = self->hands_off;
    }
    return first != NULL;
}

static void
test_goes_back_without_attaching(void)
{
    seeker self = {.deadline_ns = FL_DEADLINE_NEVER, .taken = TIMES};
    queue_up(&self.waiter, &key);
    pthread_t thread = start_thread(seek, &self);
    for (int i = 0; i <= TIMES; i++) {
        wait_until_parked(&key, 1);
        fl_lot_unpark_one(&key, unpark_seeker, &self, NULL);
    }
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_UNPARKED);
    CHECK_EQUAL(self.asked, TIMES + 1);
    CHECK_EQUAL(self.detaches, 1);
    check_nobody(&key);
    fl_waiter_fini(&self.waiter);
}

static void
test_hand_over_ends_it(void)
{
    seeker self = {.deadline_ns = FL_DEADLINE_NEVER, .taken = TIMES, .hands_off = true};
    queue_up(&self.waiter, &key);
    pthread_t thread = start_thread(seek, &self);
    fl_lot_unpark_one(&key, unpark_seeker, &self, NULL);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_WAIT_UNPARKED);
    CHECK_EQUAL(self.asked, 0);
    fl_waiter_fini(&self.waiter);
}

/* The deadline is that of the whole wait. */
static void
test_t15_times_out_after_going_back(void)
{
    seeker self = {.deadline_ns = fl_deadline_after_ns(20 * NS_PER_MS), .taken = 1};
    queue_up(&self.waiter, &key);
    fl_lot_unpark_one(&key, unpark_seeker, &self, NULL);
    (void)seek(&self);
    CHECK_EQUAL(self.result, FL_WAIT_TIMED_OUT);
    CHECK_EQUAL(self.asked, 1);
    CHECK(fl_clock_now_ns() >= self.deadline_ns);
    check_nobody(&key);
    fl_waiter_fini(&self.waiter);
}

/* It goes to its place: who came later does not pass it. */
static void
test_t28_keeps_its_place(void)
{
    seeker self = {.deadline_ns = FL_DEADLINE_NEVER, .taken = 1};
    fl_waiter later;
    queue_up(&self.waiter, &key);
    queue_up(&later, &key);
    fl_lot_unpark_one(&key, unpark_seeker, &self, NULL);
    pthread_t thread = start_thread(seek, &self);
    wait_until_parked(&key, 2);
    CHECK_ORDER(&key, &self.waiter, &later);
    fl_lot_unpark_one(&key, unpark_seeker, &self, NULL);
    join_thread(thread);
    expect_queued(&later);
    fl_waiter_fini(&self.waiter);
}

/* ---- a condition's waiter, once it is notified, waits for the lock like that ---- */

typedef struct {
    fl_cond cond;
    fl_mutex mutex;
    fl_cond_result result;
    int detaches, detaches_back;
} scene;

static void *
wait_for_notification(void *arg)
{
    scene *self = arg;
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    fake_blocker back = make_fake_blocker(false, NULL, NULL);
    fl_cond_lock lock = {&self->mutex, &fl_mutex_ops};
    CHECK(fl_mutex_try_lock(&self->mutex));
    self->result = fl_cond_wait(&self->cond, lock, FL_DEADLINE_NEVER, &blocker.base, &back.base);
    self->detaches = blocker.detaches;
    self->detaches_back = back.detaches;
    CHECK(fl_mutex_unlock(&self->mutex));
    return NULL;
}

static void
test_notified_waiter_goes_back_to_the_lock(void)
{
    scene self;
    fl_cond_init(&self.cond);
    fl_mutex_init(&self.mutex);
    pthread_t thread = start_thread(wait_for_notification, &self);
    wait_until_parked(&self.cond, 1);
    while (!fl_mutex_try_lock(&self.mutex)) {
        pause_briefly();
    }
    fl_cond_lock lock = {&self.mutex, &fl_mutex_ops};
    CHECK_EQUAL(fl_cond_notify(&self.cond, 1, lock), 1);
    wait_until_parked(&self.mutex, 1);
    /* As if the lock had been released and taken again before the waiter runs; it cannot tell. */
    for (int i = 0; i < TIMES; i++) {
        fl_lot_unpark_one(&self.mutex, unpark_it, NULL, NULL);
        wait_until_parked(&self.mutex, 1);
    }
    CHECK(fl_mutex_unlock(&self.mutex));
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_COND_NOTIFIED);
    CHECK_EQUAL(self.detaches, 1);
    CHECK_EQUAL(self.detaches_back, 0);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_goes_back_without_attaching);
    RUN(test_hand_over_ends_it);
    RUN(test_t15_times_out_after_going_back);
    RUN(test_t28_keeps_its_place);
    RUN(test_notified_waiter_goes_back_to_the_lock);
    return 0;
}
