/* Backing off: leaving a lock to others for some microseconds before queueing for it.
 *
 * Two threads that take turns at a lock in every section pay for the way of the lock, and of what it guards, between
 * their processors each time: half a microsecond.  So a thread that has released a lock to a designated waiter
 * (core/lock_word.h) and finds it taken when it wants it back does not queue at once.  It leaves the lock alone for a
 * while, tries it, and does so once more.  The others meanwhile take it several times in a row.
 *
 * Only a thread that has designated a waiter backs off, in a release of its own.  If every thread did, two threads that
 * hand over to each other would wait for nothing; the same is true of a release for a condition.
 *
 * Nobody backs off where the runtime has one lock (the GIL): its threads take turns at that lock anyway.  A back-off is
 * a spin, and does not begin where a spin cannot pay (core/lot/spin.h).  Nothing depends on it but speed. */

#ifndef FL_BACK_OFF_H
#define FL_BACK_OFF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "platform/compiler.h"

/* How long the lock is left alone before the first attempt: time for some forty short sections, which share the cost of
 * moving the lock to another processor.  Each further attempt comes after twice that time; together they take no longer
 * than a wake-up by the system. */
#define FL_BACK_OFF_NS INT64_C(5000)
enum { FL_BACK_OFF_TIMES = 2 };

/* For the functions below: the lock that is remembered, or NULL. */
extern FL_THREAD_LOCAL const void *fl_back_off_last;

/* Notes that the calling thread designated a waiter of `lock` in a FL_WAKE_ONE release.  Only the last such lock is
 * remembered, and none where the runtime has one lock. */
void fl_back_off_remember(const void *lock);

/* Backs off from the remembered lock. */
bool fl_back_off_slow(const void *lock, int64_t deadline_ns, fl_blocker *blocker, bool (*is_decided)(void *ctx),
                      void *ctx);

/* If the calling thread has just released `lock` to a designated waiter, it leaves the lock alone for some
 * microseconds, detached, then calls is_decided(ctx) attached, and does both once more.  Returns true as soon as
 * is_decided does; false where it never does, or where a back-off would not pay.  Blocks only to attach. */
static inline bool
fl_back_off(const void *lock, int64_t deadline_ns, fl_blocker *blocker, bool (*is_decided)(void *ctx), void *ctx)
{
    return FL_UNLIKELY(fl_back_off_last == lock) && fl_back_off_slow(lock, deadline_ns, blocker, is_decided, ctx);
}

#endif
