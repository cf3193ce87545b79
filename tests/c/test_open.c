/* Opening (core/event.h E5, core/sema.h S6, core/barrier.h B9): the word is final, and who waits goes on in the other
 * place. */

#include "barrier_helpers.h"
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
    CHECK_EQUAL(fl_lot_count(&cond), COUNT);
    CHECK(!fl_event_set(&event));
    CHECK_EQUAL(fl_lot_count(&cond), COUNT);
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
    bool notifies;
} opened_in_poll;

static bool
open_when_queued(void *arg, int polls)
{
    opened_in_poll *self = arg;
    if (polls > 1) {
        fl_event_open(&self->event, &self->cond);
        check_nobody(&self->event);
    }
    if (polls > 1 && self->notifies) {
        CHECK_EQUAL(fl_cond_notify(&self->cond, 1, NO_LOCK), 1);
    }
    return true;
}

/* A handler that interrupted the wait opens the event: its waiter is moved as any other, so that a notification by the
 * handler is its own, and without one it waits on to its deadline. */
static void
test_e4_e5_polling_waiter_is_moved(void)
{
    for (int notifies = 0; notifies < 2; notifies++) {
        opened_in_poll scene = {.event = {FL_EVENT_CLEAR}, .notifies = notifies};
        fl_cond_init(&scene.cond);
        fake_blocker blocker = make_fake_blocker(true, open_when_queued, &scene);
        int64_t deadline_ns = notifies ? FL_DEADLINE_NEVER : fl_deadline_after_ns(100 * NS_PER_MS);
        fl_event_result expected = notifies ? FL_EVENT_WAS_SET : FL_EVENT_TIMED_OUT;
        CHECK_EQUAL(fl_event_wait(&scene.event, deadline_ns, &blocker.base), expected);
        CHECK(blocker.polls >= 2);
        check_nobody(&scene.event);
        check_nobody(&scene.cond);
    }
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

/* Nobody sleeps for ever: a waiter was woken by a set(), is in the condition's queue, or found the event opened.  A
 * set() that succeeded is not forgotten. */
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
        fl_cond cond;
        fl_sema_init(&sema, permits[i]);
        fl_cond_init(&cond);
        for (int again = 0; again < 2; again++) {
            fl_sema_open(&sema, &cond);
            CHECK(fl_sema_is_opened(&sema));
            CHECK_EQUAL(fl_sema_permits(&sema), permits[i]);
        }
        uint64_t word = sema.word;
        fl_waiter waiter;
        CHECK(!fl_sema_try_acquire(&sema));
        CHECK(!fl_sema_release_fast(&sema, FL_SEMA_MAX));
        CHECK(!fl_sema_release(&sema, 1, FL_SEMA_MAX));
        CHECK(!fl_sema_release_slow(&sema, 1, FL_SEMA_MAX));
        CHECK(!fl_sema_ops.mark_parked(&sema, &waiter, true));
        CHECK_EQUAL(fl_sema_ops.try_lock(&sema, NULL), FL_LOCK_OPENED);
        CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, &sema, FL_DEADLINE_NEVER, NULL), FL_LOCK_OPENED);
        CHECK_EQUAL(sema.word, word);
    }
}

typedef struct {
    fl_sema sema;
    fl_cond cond;
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
    fl_sema_open(&self->sema, &self->cond);
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
        fl_cond_init(&self.cond);
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
        (void)fl_cond_notify(&self.cond, SIZE_MAX, NO_LOCK);
        for (int i = 0; i < WAITERS; i++) {
            join_thread(waiters[i]);
        }
        CHECK_EQUAL(self.acquired + self.opened, WAITERS);
        CHECK_EQUAL(self.acquired + fl_sema_permits(&self.sema), released);
        check_nobody(&self.sema);
    }
}

/* ---- the barrier ---- */

static void
check_opened(fl_barrier *barrier, uint64_t count, bool broken)
{
    uint64_t index;
    for (int again = 0; again < 2; again++) {
        CHECK(fl_barrier_is_opened(barrier));
        CHECK_EQUAL(fl_barrier_waiting(barrier), count);
        CHECK_EQUAL(fl_barrier_is_broken(barrier), broken);
        CHECK(!fl_barrier_abort(barrier));
        CHECK(!fl_barrier_reset(barrier));
        CHECK_EQUAL(arrive_here(barrier, &index), FL_BARRIER_OPENED);
        CHECK(fl_barrier_open(barrier));
    }
    check_nobody(barrier);
}

static void
test_b9_word_is_final(void)
{
    fl_barrier empty, broken, of_one;
    fl_barrier_init(&empty, 2);
    fl_barrier_init(&broken, 2);
    fl_barrier_init(&of_one, 1); /* no fast path either */
    CHECK(fl_barrier_abort(&broken));
    CHECK(fl_barrier_open(&empty) && fl_barrier_open(&broken) && fl_barrier_open(&of_one));
    check_opened(&empty, 0, false);
    check_opened(&broken, 0, true);
    check_opened(&of_one, 0, false);
}

static void
test_b9_waiters_keep_their_places(void)
{
    enum { COUNT = 3 };
    fl_barrier barrier;
    fl_barrier_init(&barrier, COUNT + 1);
    party parties[COUNT];
    start_parties(parties, COUNT, &barrier);
    CHECK(fl_barrier_open(&barrier));
    for (size_t i = 0; i < COUNT; i++) {
        join_party(&parties[i], FL_BARRIER_MOVED);
        CHECK_EQUAL(parties[i].index, i);
    }
    check_opened(&barrier, COUNT, false);
}

typedef struct {
    fl_barrier barrier;
    bool goes_on;
} barrier_scene;

static bool
open_barrier_when_queued(void *arg, int polls)
{
    barrier_scene *self = arg;
    if (polls == 1) {
        return true; /* not queued yet */
    }
    CHECK(fl_barrier_open(&self->barrier));
    return self->goes_on;
}

/* A handler that interrupted the wait opens the barrier: its thread has arrived, and counts whether it goes on or
 * not. */
static void
test_b9_opened_by_a_handler(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        barrier_scene scene = {.goes_on = goes_on};
        fl_barrier_init(&scene.barrier, 2);
        fake_blocker blocker = make_fake_blocker(true, open_barrier_when_queued, &scene);
        party self = {.barrier = &scene.barrier, .blocker = &blocker};
        (void)arrive(&self);
        CHECK_EQUAL(self.result, goes_on ? FL_BARRIER_MOVED : FL_BARRIER_MOVED_GIVEN_UP);
        CHECK_EQUAL(self.index, 0);
        check_opened(&scene.barrier, 1, false);
    }
}

static bool
try_to_open(void *barrier)
{
    CHECK(!fl_barrier_open(barrier));
    CHECK(!fl_barrier_is_opened(barrier));
    return true;
}

static void
test_b9_refused_while_the_action_runs(void)
{
    fl_barrier barrier;
    fl_barrier_init(&barrier, 1);
    party self = {.barrier = &barrier, .action = {.run = try_to_open, .ctx = &barrier}};
    (void)arrive(&self);
    CHECK_EQUAL(self.result, FL_BARRIER_PASSED);
    CHECK(fl_barrier_open(&barrier));
}

static void *
open_barrier(void *barrier)
{
    CHECK(fl_barrier_open(barrier));
    return NULL;
}

/* A round either ends before the barrier is opened, or nobody passes: then those who have arrived are counted. */
static void
test_b9_race(void)
{
    enum { COUNT = 3 };
    for (int round = 0; round < ROUNDS / 2; round++) {
        fl_barrier barrier;
        fl_barrier_init(&barrier, COUNT);
        party parties[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            parties[i] = (party){.barrier = &barrier};
            start_party(&parties[i]);
        }
        pthread_t opener = start_thread(open_barrier, &barrier);
        join_thread(opener);
        uint64_t passed = 0, moved = 0, places = 0;
        for (size_t i = 0; i < COUNT; i++) {
            join_thread(parties[i].thread);
            passed += parties[i].result == FL_BARRIER_PASSED;
            moved += parties[i].result == FL_BARRIER_MOVED;
            places |= parties[i].result == FL_BARRIER_MOVED ? UINT64_C(1) << parties[i].index : 0;
            CHECK(parties[i].result == FL_BARRIER_PASSED || parties[i].result == FL_BARRIER_MOVED ||
                  parties[i].result == FL_BARRIER_OPENED);
        }
        CHECK(passed == 0 || passed == COUNT);
        CHECK_EQUAL(fl_barrier_waiting(&barrier), moved);
        CHECK_EQUAL(places, (UINT64_C(1) << moved) - 1);
    }
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_e5_word_is_final);
    RUN(test_e5_c5_waiters_go_to_the_condition);
    RUN(test_e5_moved_waiter_times_out);
    RUN(test_e4_e5_polling_waiter_is_moved);
    RUN(test_e5_race);
    RUN(test_s6_word_is_final);
    RUN(test_s6_race);
    RUN(test_b9_word_is_final);
    RUN(test_b9_waiters_keep_their_places);
    RUN(test_b9_opened_by_a_handler);
    RUN(test_b9_refused_while_the_action_runs);
    RUN(test_b9_race);
    return 0;
}
