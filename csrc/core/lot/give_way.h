/* Giving way: leaving a free lock to the waiter that is on its way to it.
 *
 * A designated waiter (core/lock_word.h) has to attach before it can try the lock.  Where the runtime has one lock, the
 * GIL, it gets that when the thread that runs blocks, or after the interpreter's switch interval, 5 ms.  A thread that
 * takes and releases the lock again and again does neither, and meanwhile no release hands the lock over.  So a thread
 * that would wait for the lock if it were held leaves it alone, once the designated waiter has been on its way for
 * FL_GIVE_WAY_NS: it queues, and detaches.  Then the designated waiter attaches, takes the lock, and its release wakes
 * the first in the queue.
 *
 * The lock is left alone for FL_GIVE_WAY_LIMIT_NS at most.  The runtime may have ended the designated waiter's thread
 * in attach(), and whoever is left must not wait for it.
 *
 * Without a GIL nobody gives way: a waiter that is woken needs nothing but a processor.
 *
 * A bucket remembers when a waiter of one of its keys was designated last.  So where another lock of the same bucket
 * has designated a waiter since, a thread gives way too late.  Nothing depends on it but how long threads wait. */

#ifndef FL_GIVE_WAY_H
#define FL_GIVE_WAY_H

#include <stdbool.h>
#include <stdint.h>

/* How long a designated waiter is passed over: docs/performance.md has what other values would give. */
#define FL_GIVE_WAY_NS INT64_C(1000000)

/* Twice the interpreter's switch interval. */
#define FL_GIVE_WAY_LIMIT_NS INT64_C(10000000)

/* Notes that the calling thread has just designated a waiter of `key`. */
void fl_give_way_begin(const void *key);

/* Whether to leave the free lock `key`, which has a designated waiter, to that waiter.  It looks at the clock once in a
 * few calls of a thread.  Does not block. */
bool fl_give_way_is_due(const void *key);

#endif
