/* Opening (core/event.h E5, core/sema.h S6): the word is final, and who waits goes on in the other place. */

#include "check.h"
#include "core/mutex.h"
#include "core/sema.h"
#include "event_helpers.h"

static const fl_cond_lock NO_LOCK = {NULL, NULL};

/* ---- the event ---- */

static void
test_e5_word_is_final(void)
{
    const uint32_t words[][2] = {
        {FL_EVENT_CLEAR, FL_EVENT_OPENED_CLEAR},
        {FL_EVENT_PARKED, FL_EVENT_OPENED_CLEAR},
        {FL_EVENT_SET, FL_EVENT_OPENED_SET},
        {0, 0}, /* not initialised: nothing to open */
    };
    for (int i = 0; i < 4; i++) {
        fl_event event = {words[i][0]};
        fl_cond cond;
        fl_cond_init(&cond);
        for (int again = 0; again < 2; again++) {
            fl_event_open(&event, &cond);
            CHECK_EQUAL(word_of(&event), words[i][1]);
        }
        CHECK(!fl_event_is_closed(&event));
        CHECK(!fl_event_is_set(&event));
        CHECK_EQUAL(fl_event_was_opened_set(&event), i == 2);
        CHECK(!fl_event_set(&event));
        CHECK(!fl_event_set_slow(&event));
        CHECK(!fl_event_clear(&event));
        CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_NEVER, NULL), FL_EVENT_OPENED);
        CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_PASSED, NULL), FL_EVENT_OPENED);
        CHECK_EQUAL(word_of(&event), words[i][1]);
        CHECK_EQUAL(fl_load_relaxed_u32(&cond.word), 0);
        check_nobody(&event);
    }
}

/* Whoever waits is told by a notification, needs no lock for it, and keeps its place by age. */
static void
test_e5_c5_waiters_go_to_the_condition(void)
{
    enum { COUNT = 3 };
    fl_event event = {FL_EVENT_CLEAR};
    fl_cond cond;
    fl_mutex lock;
    fl_cond_init(&cond);
    fl_mutex_init(&lock);
    event_waiter waiters[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        start_waiters(&waiters[i], 1, &event);
        wait_until_parked(&event, i + 1);
    }
    fl_event_open(&event, &cond);
    check_nobody(&event);
    CHECK_EQUAL(fl_lot_walk(&cond, NULL, NULL), COUNT);
    CHECK(!fl_event_set(&event));
    CHECK_EQUAL(fl_lot_walk(&cond, NULL, NULL), COUNT);
    CHECK(fl_mutex_try_lock(&lock));
    const fl_cond_lock held = {&lock, &fl_mutex_ops};
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(fl_cond_notify(&cond, 1, held), 1);
        join_waiters(&waiters[i], 1, FL_EVENT_WAS_SET); /* while the lock is held */
    }
    CHECK_EQUAL(fl_load_relaxed_u32(&cond.word), 0);
    check_nobody(&lock);
    CHECK(fl_mutex_unlock(&lock));
}

static void
test_e5_moved_waiter_times_out(void)
{
    fl_event event = {FL_EVENT_CLEAR};
    fl_cond cond;
    fl_cond_init(&cond);
    event_waiter waiter = {.event = &event, .timeout_ns = 200 * NS_PER_MS};
    waiter.thread = start_thread(wait_for_event, &waiter);
    wait_until_parked(&event, 1);
    fl_event_open(&event, &cond);
    join_waiters(&waiter, 1, FL_EVENT_TIMED_OUT);
    check_nobody(&cond);
    CHECK_EQUAL(fl_cond_notify(&cond, 1, NO_LOCK), 0);
}

typedef struct {
    fl_event event;
    fl_cond cond;
} opened_in_poll;

static bool
open_when_queued(void *arg, int polls)
{
    opened_in_poll *self = arg;
    if (polls > 1) {
        fl_event_open(&self->event, &self->cond);
    }
    return true;
}

/* A handler that interrupted the wait opens the event: its waiter cannot be moved, and begins anew. */
static void
test_e5_polling_waiter_begins_anew(void)
{
    opened_in_poll scene = {.event = {FL_EVENT_CLEAR}};
    fl_cond_init(&scene.cond);
    fake_blocker blocker = make_fake_blocker(true, open_when_queued, &scene);
    CHECK_EQUAL(fl_event_wait(&scene.event, FL_DEADLINE_NEVER, &blocker.base), FL_EVENT_OPENED);
    CHECK(blocker.polls >= 2);
    check_nobody(&scene.event);
    check_nobody(&scene.cond);
    CHECK_EQUAL(fl_load_relaxed_u32(&scene.cond.word), 0);
}

/* ---- opening against set(), clear() and waits ---- */

enum { ROUNDS = 2000 };

typedef struct {
    fl_event event;
    fl_cond cond;
    fl_atomic_u64 sets; /* successful ones */
} race;

static void *
set_and_clear(void *arg)
{
    race *self = arg;
    for (int i = 0; i < 20; i++) {
        if (fl_event_set(&self->event)) {
            (void)fl_add_relaxed_u64(&self->sets, 1);
        }
    }
    return NULL;
}

static void *
open_it(void *arg)
{
    race *self = arg;
    fl_event_open(&self->event, &self->cond);
    return NULL;
}

/* Nobody sleeps for ever: a waiter was woken by a set(), is in the condition's queue, or found the event opened.  A set()
 * that succeeded is not forgotten. */
static void
test_e5_race(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        race self = {.event = {FL_EVENT_CLEAR}};
        fl_cond_init(&self.cond);
        event_waiter waiter;
        start_waiters(&waiter, 1, &self.event);
        pthread_t setter = start_thread(set_and_clear, &self);
        pthread_t opener = start_thread(open_it, &self);
        join_thread(setter);
        join_thread(opener);
        CHECK(!fl_event_is_closed(&self.event));
        CHECK_EQUAL(fl_event_was_opened_set(&self.event), self.sets > 0);
        (void)fl_cond_notify(&self.cond, SIZE_MAX, NO_LOCK);
        join_thread(waiter.thread);
        CHECK(waiter.result == FL_EVENT_WAS_SET || waiter.result == FL_EVENT_OPENED);
    }
}

/* ---- the semaphore ---- */

static void
test_s6_word_is_final(void)
{
    const uint64_t permits[] = {0, 1, 7, FL_SEMA_MAX};
    for (int i = 0; i < 4; i++) {
        fl_sema sema;
        fl_sema_init(&sema, permits[i]);
        for (int again = 0; again < 2; again++) {
            fl_sema_open(&sema);
            CHECK(fl_sema_is_opened(&sema));
            CHECK_EQUAL(fl_sema_permits(&sema), permits[i]);
        }
        uint64_t word = sema.word;
        CHECK(!fl_sema_try_acquire(&sema));
        CHECK(!fl_sema_release_fast(&sema, FL_SEMA_MAX));
        CHECK(!fl_sema_release(&sema, 1, FL_SEMA_MAX));
        CHECK(!fl_sema_release_slow(&sema, 1, FL_SEMA_MAX));
        CHECK(!fl_sema_ops.mark_parked(&sema, NULL));
        CHECK_EQUAL(fl_sema_ops.try_lock(&sema, NULL), FL_LOCK_OPENED);
        CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, &sema, FL_DEADLINE_NEVER, NULL), FL_LOCK_OPENED);
        CHECK_EQUAL(sema.word, word);
    }
}

typedef struct {
    fl_sema sema;
    fl_atomic_u64 acquired;
    fl_atomic_u64 opened;
} sema_race;

static void *
acquire_once(void *arg)
{
    sema_race *self = arg;
    switch (fl_lock_wait(&fl_sema_ops, &self->sema, FL_DEADLINE_NEVER, NULL)) {
        case FL_LOCK_ACQUIRED:
            (void)fl_add_relaxed_u64(&self->acquired, 1);
            break;
        case FL_LOCK_OPENED:
            (void)fl_add_relaxed_u64(&self->opened, 1);
            break;
        default:
            CHECK(false);
    }
    return NULL;
}

static void *
open_sema(void *arg)
{
    sema_race *self = arg;
    fl_sema_open(&self->sema);
    return NULL;
}

/* Every waiter comes back, and the permits add up. */
static void
test_s6_race(void)
{
    enum { WAITERS = 3, RELEASES = 2 };
    for (int round = 0; round < ROUNDS / 2; round++) {
        sema_race self = {.acquired = 0};
        fl_sema_init(&self.sema, 0);
        pthread_t waiters[WAITERS];
        for (int i = 0; i < WAITERS; i++) {
            waiters[i] = start_thread(acquire_once, &self);
        }
        pthread_t opener = start_thread(open_sema, &self);
        uint64_t released = 0;
        for (int i = 0; i < RELEASES; i++) {
            released += fl_sema_release(&self.sema, 1, FL_SEMA_MAX);
        }
        join_thread(opener);
        for (int i = 0; i < WAITERS; i++) {
            join_thread(waiters[i]);
        }
        CHECK_EQUAL(self.acquired + self.opened, WAITERS);
        CHECK_EQUAL(self.acquired + fl_sema_permits(&self.sema), released);
        check_nobody(&self.sema);
    }
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_e5_word_is_final);
    RUN(test_e5_c5_waiters_go_to_the_condition);
    RUN(test_e5_moved_waiter_times_out);
    RUN(test_e5_polling_waiter_begins_anew);
    RUN(test_e5_race);
    RUN(test_s6_word_is_final);
    RUN(test_s6_race);
    return 0;
}
