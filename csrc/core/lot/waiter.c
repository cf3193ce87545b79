#include "core/lot/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/thread.h"
#include "platform/clock.h"

/* Field by field: the parker is set up by itself, and the links are written when the waiter is queued. */
int
fl_waiter_init(fl_waiter *waiter, bool keeps_place)
{
    waiter->queued = false;
    waiter->notified = false;
    waiter->handed_off = false;
    waiter->designated = false;
    waiter->gives_way = false;
    waiter->polling = false;
    waiter->deadlocked = false;
    waiter->scoped = false;
    waiter->resigned = false;
    waiter->may_fail = false;
    waiter->kind = FL_FOR_NOTHING;
    waiter->deadline_ns = FL_DEADLINE_NEVER;
    waiter->runtime = NULL;
    waiter->is_first = false;
    waiter->is_woken_with_all = false;
    waiter->wants_no_lock = false;
    waiter->was_interrupted = false;
    waiter->is_patient = false;
    waiter->place = 0;
    waiter->waker = 0;
    waiter->owed = NULL;
    waiter->on_leave = NULL;
    waiter->keeps_place = keeps_place;
    waiter->thread = fl_thread_register();
    waiter->standing = fl_thread_standing();
    waiter->since_ns = 0;
    return waiter->thread ? fl_parker_init(&waiter->parker) : ENOMEM;
}

void
fl_waiter_fini(fl_waiter *waiter)
{
    assert(!waiter->queued && !waiter->owed);
    fl_parker_destroy(&waiter->parker);
}

fl_waiter *
fl_waiter_begin(fl_waiter *storage, const fl_blocker *blocker)
{
    fl_waiter *waiter = fl_blocker_is_interruptible(blocker) ? malloc(sizeof *waiter) : storage; /* L5 */
    if (waiter && fl_waiter_init(waiter, true) != 0) {
        if (waiter != storage) {
            free(waiter);
        }
        return NULL;
    }
    if (waiter) {
        waiter->runtime = fl_blocker_runtime(blocker);
    }
    return waiter;
}

void
fl_waiter_end(fl_waiter *waiter, fl_waiter *storage)
{
    fl_waiter_fini(waiter);
    if (waiter != storage) {
        free(waiter);
    }
}
