/* The parker: the place where one blocked thread sleeps until one other thread wakes it.
 *
 * A parker serves one wait.  It lies in the waiter (core/lot/waiter.h) and is set up before the waiter is queued.  It
 * may be discarded as soon as the sleep has returned FL_SLEEP_WOKEN, or when it is certain that nobody will wake it
 * because its waiter has been taken out of the queue again.
 *
 * States of `state`, changed by
 *   AWAKE   the sleeper has made no system call                       sleeper, before the waiter is queued
 *   ASLEEP  the sleeper may be in one, or be on its way into it       sleeper, from AWAKE
 *   WOKEN   the wake-up has come                                      waker, from either; final
 *
 * P1  The waker moves to WOKEN exactly once.  That is its last use of the parker's memory.  Where it found ASLEEP it
 *     makes one system call, for which the parker is an address and no more.
 * P2  The sleep returns FL_SLEEP_WOKEN only where it has seen WOKEN.  So then no waker will touch the parker, and its
 *     memory is free for other use.  The system call of P1 may come later still.  Whoever sleeps at that address then
 *     is woken for nothing, which all who sleep on a futex expect: parkers, and the C library's mutexes.
 * P3  What the waker wrote before fl_parker_wake is visible to the sleeper when the sleep has returned FL_SLEEP_WOKEN.
 *
 * There are two ways to sleep, and the system chooses one.  futex.c is for Linux, whatever its C library: the state is
 * the word on which the thread sleeps.  A signal interrupts that sleep, so that Ctrl-C in Python takes effect at once.
 * condvar.c is for all others: a pthread mutex and condition variable.  A signal does not interrupt that wait.  It has
 * no ASLEEP and no late system call; the mutex makes P1 to P3 true.  FL_PARK_CONDVAR chooses it everywhere, for tests.
 *
 * An interruptible thread sleeps in slices, with both.  It looks for signals between two slices, because a signal that
 * arrives just before the system call does not interrupt it, and neither does one that the system delivers to another
 * thread of the process.  The first slice lasts 1 ms, and each one twice as long as the one before.  In futex.c they
 * grow to 256 ms: a signal that did not interrupt the call arrived about when it began, and is found after the first
 * slice.  In condvar.c every signal waits for the end of a slice, so they grow to 4 ms only.
 *
 * A slice also has a deadline, and a futex call with a deadline is one that every signal handler ends.  Without one, a
 * handler that was set with SA_RESTART would let it go on. */

#ifndef FL_PARK_H
#define FL_PARK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/atomic.h"

#if defined(__linux__) && !defined(FL_PARK_CONDVAR)
#define FL_PARK_FUTEX 1
#else
#define FL_PARK_FUTEX 0
#endif

enum { FL_PARKER_AWAKE, FL_PARKER_ASLEEP, FL_PARKER_WOKEN };

typedef struct {
    fl_atomic_u32 state; /* FL_PARKER_* */
    uint32_t slice_ns;   /* how long the next interruptible sleep lasts at most; the sleeper's own */
#if !FL_PARK_FUTEX
    pthread_mutex_t mutex; /* guards the change of state to WOKEN */
    pthread_cond_t woken;
#endif
} fl_parker;

typedef enum {
    FL_SLEEP_WOKEN,
    FL_SLEEP_TIMED_OUT,   /* the deadline has passed; a wake-up may still come */
    FL_SLEEP_INTERRUPTED, /* a signal has arrived, or the slice is over; a wake-up may still come */
} fl_sleep_result;

/* Sets up a parker in state AWAKE.  Returns 0, or ENOMEM or EAGAIN where the system lacks resources, which a futex does
 * not need.  Does not block. */
int fl_parker_init(fl_parker *parker);

/* Makes it AWAKE again, for another sleep of the same wait.  Not while its waiter is queued.  Does not block. */
static inline void
fl_parker_reset(fl_parker *parker)
{
    fl_store_relaxed_u32(&parker->state, FL_PARKER_AWAKE);
}

/* Discards a parker that nobody will wake any more (P2).  Does not block. */
void fl_parker_destroy(fl_parker *parker);

/* Blocks the calling thread, which owns the parker, until it is woken or `deadline_ns` has passed; if it is
 * `interruptible` also until a signal arrives or a slice is over.  May be called again after any result but
 * FL_SLEEP_WOKEN.  Leaves errno alone. */
fl_sleep_result fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible);

/* Whether the wake-up has come.  Where it has, fl_parker_sleep returns at once, and has to be called all the same: it
 * makes the writes of the waker visible (P3), and in condvar.c it waits until the waker has left the parker (P2). */
static inline bool
fl_parker_is_woken(fl_parker *parker)
{
    return fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN;
}

/* Wakes the owner: ends its sleep, or the next one at once.  Called once for a wait, by any thread.  Does not block for
 * longer than the owner takes to leave or to enter its sleep. */
void fl_parker_wake(fl_parker *parker);

#endif
