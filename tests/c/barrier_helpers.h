/* Helpers for the tests of the barrier. */

#ifndef FL_TESTS_BARRIER_HELPERS_H
#define FL_TESTS_BARRIER_HELPERS_H

#include "core/barrier.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

/* A thread that waits once.  Zero is: for ever, without an action, without a runtime. */
typedef struct {
    fl_barrier *barrier;
    int64_t timeout_ns; /* 0: none; below: no time at all */
    fl_barrier_action action;
    fake_blocker *blocker;
    fl_barrier_result result;
    uint64_t index;
    flag returned;
    pthread_t thread;
} party;

static inline void *
arrive(void *arg)
{
    party *self = arg;
    int64_t timeout_ns = self->timeout_ns ? self->timeout_ns : FL_DEADLINE_NEVER;
    fl_blocker *blocker = self->blocker ? &self->blocker->base : NULL;
    self->index = UINT64_MAX;
    self->result = fl_barrier_wait(self->barrier, timeout_ns, self->action, &self->index, blocker);
    CHECK(self->blocker == NULL || !self->blocker->detached);
    raise_flag(&self->returned, 1);
    return NULL;
}

static inline void
start_party(party *self)
{
    self->thread = start_thread(arrive, self);
}

/* They arrive one after the other, in their order. */
static inline void
start_parties(party *parties, size_t count, fl_barrier *barrier)
{
    size_t before = fl_lot_count(barrier);
    for (size_t i = 0; i < count; i++) {
        parties[i] = (party){.barrier = barrier};
        start_party(&parties[i]);
        wait_until_parked(barrier, before + i + 1);
    }
}

static inline void
join_party(party *self, fl_barrier_result result)
{
    join_thread(self->thread);
    CHECK_EQUAL(self->result, result);
}

static inline void
join_parties(party *parties, size_t count, fl_barrier_result result)
{
    for (size_t i = 0; i < count; i++) {
        join_party(&parties[i], result);
    }
}

/* By the calling thread. */
static inline fl_barrier_result
arrive_here(fl_barrier *barrier, uint64_t *index)
{
    party self = {.barrier = barrier};
    (void)arrive(&self);
    *index = self.index;
    return self.result;
}

/* Whether a thread that arrives now waits for others. */
static inline bool
would_wait(fl_barrier *barrier)
{
    return !fl_barrier_is_broken(barrier) && fl_barrier_waiting(barrier) + 1 != barrier->parties;
}

/* The same as fl_barrier_abort() and fl_barrier_reset(), of a barrier that is not opened. */
static inline void
abort_barrier(fl_barrier *barrier)
{
    CHECK(fl_barrier_abort(barrier));
}

static inline void
reset_barrier(fl_barrier *barrier)
{
    CHECK(fl_barrier_reset(barrier));
}

/* The calling thread is the last to arrive, without an action. */
static inline void
complete(fl_barrier *barrier)
{
    uint64_t index;
    CHECK(!would_wait(barrier));
    CHECK_EQUAL(arrive_here(barrier, &index), FL_BARRIER_PASSED);
    CHECK_EQUAL(index, barrier->parties - 1);
}

/* Nobody waits, and nobody has arrived. */
static inline void
check_empty(fl_barrier *barrier, bool broken)
{
    check_nobody(barrier);
    CHECK_EQUAL(fl_barrier_waiting(barrier), 0);
    CHECK_EQUAL(fl_barrier_is_broken(barrier), broken);
}

/* ---- actions ---- */

/* An action that is at work until the test has decided. */
typedef struct {
    fl_barrier *barrier;
    bool result;
    int runs;
    flag running, decided;
    void (*during)(fl_barrier *barrier); /* or NULL: runs before it is decided */
} slow_action;

static inline bool
act_slowly(void *ctx)
{
    slow_action *self = ctx;
    self->runs++;
    if (self->during) {
        self->during(self->barrier);
    }
    raise_flag(&self->running, 1);
    await_flag(&self->decided, 1);
    return self->result;
}

static inline fl_barrier_action
action_of(slow_action *self)
{
    return (fl_barrier_action){.run = act_slowly, .ctx = self};
}

/* Starts the last party and returns while its action is at work. */
static inline void
start_actor(party *actor, slow_action *action, fl_barrier *barrier)
{
    action->barrier = barrier;
    *actor = (party){.barrier = barrier, .action = action_of(action)};
    start_party(actor);
    await_flag(&action->running, 1);
}

/* ---- handlers ---- */

/* A poll() that runs, in the queue, as long as the test wants. */
typedef struct {
    fake_blocker blocker;
    bool goes_on;
    int first; /* which poll() is the first one in the queue */
    bool gave_up;
    flag polling, decided, polled;
} handler;

static inline bool
handle(void *ctx, int polls)
{
    handler *self = ctx;
    if (polls < self->first) {
        return true;
    }
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    raise_flag(&self->polled, 1);
    CHECK(!self->gave_up); /* it is not asked twice */
    self->gave_up = !self->goes_on;
    return self->goes_on;
}

/* Starts a party and returns while its poll() runs in the queue. */
static inline void
start_interrupted(party *self, handler *with, fl_barrier *barrier)
{
    with->first = 2;
    with->blocker = make_fake_blocker(true, handle, with);
    *self = (party){.barrier = barrier, .blocker = &with->blocker};
    start_party(self);
    interrupt_until(self->thread, &with->polling, 1);
}

#endif
