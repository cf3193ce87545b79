#include "core/event.h"

#include "core/parking_lot.h"
#include "platform/clock.h"

/* ---- setting ---- */

/* Makes the event set unless it is PARKED, which needs the bucket's mutex (E2).  Returns whether it is set. */
static bool
set_unless_parked(fl_event *event)
{
    uint32_t word = fl_load_relaxed_u32(&event->word);
    while (word != FL_EVENT_PARKED) {
        if (fl_cas_release_u32(&event->word, &word, FL_EVENT_SET)) { /* SET again, too: for the memory ordering */
            return true;
        }
    }
    return false;
}

static size_t
unpark_all(void *ctx)
{
    (void)ctx;
    return SIZE_MAX;
}

static void
take(void *ctx, fl_waiter *waiter)
{
    (void)ctx;
    (void)waiter;
}

/* Under the mutex the word is PARKED or, where another thread has been here in between, anything. */
static void
make_set(void *ctx, bool left)
{
    fl_event *event = ctx;
    uint32_t word = fl_load_relaxed_u32(&event->word);
    (void)left; /* never */
    while (!fl_cas_release_u32(&event->word, &word, FL_EVENT_SET)) {
    }
}

FL_SLOW void
fl_event_set_slow(fl_event *event)
{
    static const fl_unpark_ops ops = {.begin = unpark_all, .take = take, .end = make_set};
    if (!set_unless_parked(event)) {
        (void)fl_lot_unpark_many(event, &ops, event);
    }
}

/* ---- waiting ---- */

/* E1 */
static bool
mark_parked(void *arg)
{
    fl_event *event = arg;
    uint32_t word = fl_load_acquire_u32(&event->word);
    while (word == 0) {
        if (fl_cas_acquire_u32(&event->word, &word, FL_EVENT_PARKED)) {
            return true;
        }
    }
    return word == FL_EVENT_PARKED;
}

static fl_event_result
wait_as(fl_event *event, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    waiter->is_woken_with_all = true; /* E2 */
    if (!fl_lot_enqueue(waiter, event, mark_parked, event)) {
        return FL_EVENT_WAS_SET;
    }
    switch (fl_lot_sleep(waiter, deadline_ns, blocker)) {
        case FL_WAIT_UNPARKED:
            return FL_EVENT_WAS_SET;
        case FL_WAIT_TIMED_OUT:
            return fl_event_is_set(event) ? FL_EVENT_WAS_SET : FL_EVENT_TIMED_OUT;
        case FL_WAIT_INTERRUPTED: /* never: it keeps its place */
        case FL_WAIT_GIVEN_UP:
            break;
    }
    return FL_EVENT_GIVEN_UP;
}

fl_event_result
fl_event_wait(fl_event *event, int64_t deadline_ns, fl_blocker *blocker)
{
    if (fl_event_is_set(event)) {
        return FL_EVENT_WAS_SET;
    }
    if (deadline_ns == FL_DEADLINE_PASSED) {
        return FL_EVENT_TIMED_OUT;
    }
    if (blocker && !blocker->poll(blocker)) {
        return FL_EVENT_GIVEN_UP;
    }
    fl_waiter storage;
    fl_waiter *waiter = fl_waiter_begin(&storage, blocker);
    if (waiter == NULL) {
        return FL_EVENT_NO_MEMORY;
    }
    fl_event_result result = wait_as(event, waiter, deadline_ns, blocker);
    fl_waiter_end(waiter, &storage);
    return result;
}
