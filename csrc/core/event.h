/* The event: threads wait until it is set.
 *
 * One word:
 *   0        clear, nobody waits
 *   SET      set; nobody waits
 *   PARKED   clear, threads may be queued
 *
 * E1  A waiter queues itself under the mutex of the word's bucket, if the word is not SET; it makes it PARKED.
 * E2  PARKED becomes SET under that mutex only, in one step with taking everybody out of the queue.  So exactly those
 *     are woken who waited when it was set, even if it is clear again before they run.
 * E3  Everything else is one compare-and-swap.  No runtime is entered from any function here but the wait, so a signal
 *     handler or a finalizer never finds one of them half done in its own thread.
 * E4  A waiter keeps its place while signal handlers run (L5): an event that is set and cleared meanwhile has woken it.
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
#include "platform/atomic.h"
#include "platform/compiler.h"

enum { FL_EVENT_SET = 1, FL_EVENT_PARKED = 2 };

typedef struct {
    fl_atomic_u32 word;
} fl_event;

typedef enum {
    FL_EVENT_WAS_SET,
    FL_EVENT_TIMED_OUT,
    FL_EVENT_GIVEN_UP, /* the blocker's poll() returned false */
    FL_EVENT_NO_MEMORY,
} fl_event_result;

static inline void
fl_event_init(fl_event *event)
{
    fl_store_relaxed_u32(&event->word, 0);
}

static inline bool
fl_event_is_set(fl_event *event)
{
    return fl_load_acquire_u32(&event->word) == FL_EVENT_SET;
}

/* Sets the event and wakes all who wait. */
void fl_event_set_slow(fl_event *event);

static inline void
fl_event_set(fl_event *event)
{
    uint32_t word = 0;
    if (FL_UNLIKELY(!fl_cas_release_u32(&event->word, &word, FL_EVENT_SET))) {
        fl_event_set_slow(event);
    }
}

static inline void
fl_event_clear(fl_event *event)
{
    uint32_t word = FL_EVENT_SET;
    (void)fl_cas_acquire_u32(&event->word, &word, 0);
}

/* Waits until the event is set or `deadline_ns` has passed. */
fl_event_result fl_event_wait(fl_event *event, int64_t deadline_ns, fl_blocker *blocker);

#endif
