/* Helpers for the tests of the event. */

#ifndef FL_TESTS_EVENT_HELPERS_H
#define FL_TESTS_EVENT_HELPERS_H

#include "core/event.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

/* A thread that waits once.  Zero is: for ever, without a runtime. */
typedef struct {
    fl_event *event;
    int64_t timeout_ns; /* 0: none */
    fake_blocker *blocker;
    fl_event_result result;
    pthread_t thread;
} event_waiter;

static inline void *
wait_for_event(void *arg)
{
    event_waiter *self = arg;
    int64_t deadline_ns = self->timeout_ns ? fl_deadline_after_ns(self->timeout_ns) : FL_DEADLINE_NEVER;
    self->result = fl_event_wait(self->event, deadline_ns, self->blocker ? &self->blocker->base : NULL);
    CHECK(self->blocker == NULL || !self->blocker->detached);
    return NULL;
}

static inline void
start_waiters(event_waiter *waiters, size_t count, fl_event *event)
{
    for (size_t i = 0; i < count; i++) {
        waiters[i] = (event_waiter){.event = event};
        waiters[i].thread = start_thread(wait_for_event, &waiters[i]);
    }
}

static inline void
join_waiters(event_waiter *waiters, size_t count, fl_event_result result)
{
    for (size_t i = 0; i < count; i++) {
        join_thread(waiters[i].thread);
        CHECK_EQUAL(waiters[i].result, result);
    }
}

static inline uint32_t
word_of(fl_event *event)
{
    return fl_load_relaxed_u32(&event->word);
}

#endif
