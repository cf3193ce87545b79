#include "core/event.h"

#include "core/lot/parking_lot.h"
#include "platform/clock.h"

/* ---- setting ---- */

static inline bool
is_closed_word(uint32_t word)
{
    return word != 0 && word < FL_EVENT_OPENED_CLEAR;
}

typedef enum { IS_SET, IS_PARKED, IS_NOT_OURS } set_result;

/* Makes the event set unless it is PARKED, which needs the bucket's mutex (E2), or not run here. */
static set_result
set_unless_parked(fl_event *event)
{
    uint32_t word = fl_load_relaxed_u32(&event->word);
    while (word != FL_EVENT_PARKED) {
        if (!is_closed_word(word)) {
            return IS_NOT_OURS;
        }
        if (fl_cas_release_u32(&event->word, &word, FL_EVENT_SET)) { /* also where it is SET: for the memory ordering */
            return IS_SET;
        }
    }
    return IS_PARKED;
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

typedef struct {
    fl_event *event;
    bool is_set;
} setting;

/* Runs under the mutex.  The word is PARKED, or anything else where another thread had the mutex in between. */
static void
make_set(void *arg, bool left)
{
    setting *ctx = arg;
    uint32_t word = fl_load_relaxed_u32(&ctx->event->word);
    (void)left; /* never */
    do {
        ctx->is_set = is_closed_word(word);
    } while (ctx->is_set && !fl_cas_release_u32(&ctx->event->word, &word, FL_EVENT_SET));
}

FL_SLOW bool
fl_event_set_slow(fl_event *event)
{
    static const fl_unpark_ops ops = {.begin = unpark_all, .take = take, .end = make_set};
    setting ctx = {.event = event};
    switch (set_unless_parked(event)) {
        case IS_SET:
            return true;
        case IS_NOT_OURS:
            return false;
        case IS_PARKED:
            break;
    }
    (void)fl_lot_unpark_many(event, &ops, &ctx);
    return ctx.is_set;
}

/* ---- opening (E5) ---- */

/* Runs last under the mutexes.  PARKED stays while the mutex is held; the other words may still change. */
static void
make_opened(void *ctx)
{
    fl_event *event = ctx;
    uint32_t word = fl_load_relaxed_u32(&event->word);
    while (is_closed_word(word)) {
        uint32_t opened = word == FL_EVENT_SET ? FL_EVENT_OPENED_SET : FL_EVENT_OPENED_CLEAR;
        if (fl_cas_release_u32(&event->word, &word, opened)) {
            return;
        }
    }
}

void
fl_event_open(fl_event *event, fl_cond *cond)
{
    if (fl_event_is_closed(event)) {
        fl_cond_adopt(cond, event, make_opened, event);
    }
}

/* ---- waiting ---- */

/* E1.  It acquires nothing: whoever is not queued looks at the word again. */
static bool
mark_parked(void *arg)
{
    fl_event *event = arg;
    uint32_t word = fl_load_relaxed_u32(&event->word);
    while (word == FL_EVENT_CLEAR) {
        if (fl_cas_relaxed_u32(&event->word, &word, FL_EVENT_PARKED)) {
            return true;
        }
    }
    return word == FL_EVENT_PARKED;
}

static fl_event_result
wait_as(fl_event *event, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    waiter->is_woken_with_all = true; /* E2; and it keeps its place: E4 */
    waiter->kind = FL_FOR_EVENT;
    waiter->deadline_ns = deadline_ns;
    if (!fl_lot_enqueue(waiter, event, mark_parked, event)) {
        return fl_event_is_closed(event) ? FL_EVENT_WAS_SET : FL_EVENT_OPENED;
    }
    switch (fl_lot_sleep(waiter, deadline_ns, blocker)) {
        case FL_WAIT_UNPARKED:
            return FL_EVENT_WAS_SET; /* or notified in the condition that it was moved to */
        case FL_WAIT_TIMED_OUT:
            return fl_event_is_set(event) ? FL_EVENT_WAS_SET : FL_EVENT_TIMED_OUT;
        case FL_WAIT_INTERRUPTED: /* never: it keeps its place */
        case FL_WAIT_DEADLOCKED:  /* never: anybody may set an event */
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
    if (!fl_event_is_closed(event)) {
        return FL_EVENT_OPENED;
    }
    if (deadline_ns == FL_DEADLINE_PASSED) {
        return FL_EVENT_TIMED_OUT;
    }
    if (!fl_blocker_poll(blocker)) {
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
