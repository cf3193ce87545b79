/* The event: threads wait until it is set.
 *
 * One word:
 *   0        not an event: not initialised, or opened without a memory of what it was
 *   CLEAR    clear, nobody waits
 *   SET      set; nobody waits
 *   PARKED   clear, threads may be queued
 *   OPENED_CLEAR, OPENED_SET   opened: somebody else runs it from now on; it was clear or set until then
 *
 * 0 and the two OPENED values are final.  Setting and clearing leave them alone, and nobody queues.
 *
 * E1  A waiter queues itself under the mutex of the word's bucket, if the word is not SET; it makes it PARKED.
 * E2  PARKED becomes SET under that mutex only, in one step with taking everybody out of the queue.  So exactly those
 *     are woken who waited when it was set, even if it is clear again before they run.
 * E3  Everything else is one compare-and-swap.  No runtime is entered from any function here but the wait, so a signal
 *     handler or a finalizer never finds one of them half done in its own thread.
 * E4  A waiter keeps its place while signal handlers run (L5): an event that is set and cleared meanwhile has woken it.
 * E5  Opening takes everybody out of the queue in one step with the change of the word, and moves them to a condition,
 *     whose notification ends their wait as setting the event would have.  Those are moved, too, whose signal handlers run
 *     (E4): a handler may open the event, set it and clear it.  The condition must live until they have gone.
 *
 * PARKED while nobody is queued is legal (after a timeout).
 *
 * Memory ordering.  Setting releases, also where it is set already; finding it set acquires, and so does clearing: who
 * clears it and then looks at the data sees what was written before the last set that it took away. */

#ifndef FL_EVENT_H
#define FL_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/cond.h"
#include "platform/atomic.h"
#include "platform/compiler.h"

enum {
    FL_EVENT_CLEAR = 1,
    FL_EVENT_SET = 2,
    FL_EVENT_PARKED = 3,
    FL_EVENT_OPENED_CLEAR = 4,
    FL_EVENT_OPENED_SET = 5,
};

typedef struct {
    fl_atomic_u32 word;
} fl_event;

typedef enum {
    FL_EVENT_WAS_SET,
    FL_EVENT_TIMED_OUT,
    FL_EVENT_GIVEN_UP, /* the blocker's poll() returned false */
    FL_EVENT_NO_MEMORY,
    FL_EVENT_OPENED, /* the event is not run here: nothing has happened */
} fl_event_result;

/* The event is clear, and nobody waits. */
static inline void
fl_event_init(fl_event *event)
{
    fl_store_relaxed_u32(&event->word, FL_EVENT_CLEAR);
}

static inline bool
fl_event_is_unborn(fl_event *event)
{
    return fl_load_relaxed_u32(&event->word) == 0;
}

/* fl_event_init(), if that has not been done.  Returns whether it had not. */
static inline bool
fl_event_init_unborn(fl_event *event)
{
    uint32_t word = 0;
    return fl_cas_release_u32(&event->word, &word, FL_EVENT_CLEAR);
}

/* Whether the event is run here: initialised, and not opened. */
static inline bool
fl_event_is_closed(fl_event *event)
{
    uint32_t word = fl_load_acquire_u32(&event->word);
    return word != 0 && word < FL_EVENT_OPENED_CLEAR;
}

/* Hands the event over: from now on every function here leaves it alone, and the waits go on in the queue of `cond`
 * (E5).  Does nothing where the event is not run here.  Does not block for longer than a queue operation. */
void fl_event_open(fl_event *event, fl_cond *cond);

/* Of an opened event: whether it was set when it was opened. */
static inline bool
fl_event_was_opened_set(fl_event *event)
{
    return fl_load_relaxed_u32(&event->word) == FL_EVENT_OPENED_SET;
}

/* False where the event is not run here. */
static inline bool
fl_event_is_set(fl_event *event)
{
    return fl_load_acquire_u32(&event->word) == FL_EVENT_SET;
}

/* Sets the event and wakes all who wait.  Returns false, and nothing has happened, where the event is not run here. */
bool fl_event_set_slow(fl_event *event);

static inline bool
fl_event_set(fl_event *event)
{
    uint32_t word = FL_EVENT_CLEAR;
    return FL_LIKELY(fl_cas_release_u32(&event->word, &word, FL_EVENT_SET)) || fl_event_set_slow(event);
}

/* Clears the event.  Results as of fl_event_set(). */
static inline bool
fl_event_clear(fl_event *event)
{
    uint32_t word = FL_EVENT_SET;
    return fl_cas_acquire_u32(&event->word, &word, FL_EVENT_CLEAR) || word == FL_EVENT_CLEAR || word == FL_EVENT_PARKED;
}

/* Waits until the event is set or `deadline_ns` has passed. */
fl_event_result fl_event_wait(fl_event *event, int64_t deadline_ns, fl_blocker *blocker);

#endif
