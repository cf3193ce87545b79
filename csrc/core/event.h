/* The event: threads wait until it is set.
 *
 * One word:
 *   0        unborn: not initialised yet, or never, where somebody else has run it from the beginning
 *   CLEAR    clear, nobody waits
 *   SET      set; nobody waits
 *   PARKED   clear, threads may be queued
 *   OPENED_CLEAR, OPENED_SET   opened: somebody else runs it from now on; it was clear or set until then
 *
 * The two OPENED values are final, and only fl_event_init_unborn changes 0.  Setting and clearing leave all three
 * alone, and nobody queues.
 *
 * E1  A waiter queues itself under the mutex of the word's bucket, if the word is not SET; it makes it PARKED.
 * E2  PARKED becomes SET under that mutex only, in one step with taking everybody out of the queue.  So exactly those
 *     are woken who waited when it was set, even if it is clear again before they run.
 * E3  Every other change of the word is one compare-and-swap.  Only the wait enters the runtime.  So a signal handler
 *     or a finalizer never finds a function of its own thread half done.
 * E4  A waiter keeps its place while signal handlers run (L5): an event that is set and cleared meanwhile has woken it.
 * E5  Opening takes everybody out of the queue in one step with the change of the word, and moves them to a condition,
 *     whose notification ends their wait as setting the event would have.  Those are moved, too, whose signal handlers
 *     run (E4): a handler may open the event, set it and clear it.  The condition must live until they have gone.
 * E6  Only attached threads change the word, where the runtime has one lock (platform/attached.h).
 *
 * The word may be PARKED while nobody is queued (after a timeout).
 *
 * Memory ordering.  Setting releases, also where the event is set already.  Finding it set acquires, or is followed by
 * a look that does.  Every change of the word is a compare-and-swap, so that look may come when the event is clear
 * again.  Clearing acquires: a thread that clears it and then looks at the data sees what was written before the last
 * set that it took away. */

#ifndef FL_EVENT_H
#define FL_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/cond.h"
#include "platform/atomic.h"
#include "platform/attached.h"
#include "platform/compiler.h"

enum {
    FL_EVENT_CLEAR = 1,
    FL_EVENT_SET = 2,
    FL_EVENT_PARKED = 3,
    FL_EVENT_OPENED_CLEAR = 4,
    FL_EVENT_OPENED_SET = 5,
};

_Static_assert(0 < FL_EVENT_CLEAR && FL_EVENT_SET < FL_EVENT_OPENED_CLEAR && FL_EVENT_PARKED < FL_EVENT_OPENED_CLEAR &&
                   FL_EVENT_OPENED_CLEAR < FL_EVENT_OPENED_SET,
               "the words of an event that is run here lie between 0 and the opened ones");

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

/* Sets up an event that is clear, and that nobody waits for. */
static inline void
fl_event_init(fl_event *event)
{
    fl_store_relaxed_u32(&event->word, FL_EVENT_CLEAR);
}

/* Whether fl_event_init has not been called, for an event whose memory was zeroed. */
static inline bool
fl_event_is_unborn(fl_event *event)
{
    return fl_load_relaxed_u32(&event->word) == 0;
}

/* Does what fl_event_init does, if nobody has done it yet.  Returns whether nobody had.  An event has nothing but its
 * word, so there is nothing to release. */
static inline bool
fl_event_init_unborn(fl_event *event)
{
    uint32_t word = 0;
    return fl_cas_relaxed_u32(&event->word, &word, FL_EVENT_CLEAR);
}

/* Whether the event is run here: it is initialised, and not opened. */
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

/* Whether the event is set; false where it is not run here. */
static inline bool
fl_event_is_set(fl_event *event)
{
    return fl_load_acquire_u32(&event->word) == FL_EVENT_SET;
}

/* Does what fl_event_set does, where the event is not clear or threads may be queued. */
bool fl_event_set_slow(fl_event *event);

/* Sets the event and wakes all who wait.  Returns false, and does nothing, where the event is not run here.  Does not
 * block for longer than a queue operation. */
static inline bool
fl_event_set(fl_event *event)
{
    return FL_LIKELY(fl_attached_swap_release_u32(&event->word, FL_EVENT_CLEAR, FL_EVENT_SET)) || /* E6 */
           fl_event_set_slow(event);
}

/* Clears the event.  Returns false, and does nothing, where the event is not run here.  Does not block. */
static inline bool
fl_event_clear(fl_event *event)
{
    return FL_LIKELY(fl_attached_swap_acquire_u32(&event->word, FL_EVENT_SET, FL_EVENT_CLEAR)) || /* E6 */
           fl_event_is_closed(event);
}

/* Waits until the event is set or `deadline_ns` has passed.  Blocks. */
fl_event_result fl_event_wait(fl_event *event, int64_t deadline_ns, fl_blocker *blocker);

#endif
