/* The parker: the place where one blocked thread sleeps until one other thread wakes it.
 *
 * A parker serves one wait.  It lies in the waiter (core/lot/waiter.h) and is set up before the waiter is queued.  It
 * may be discarded as soon as the sleep has returned FL_SLEEP_WOKEN, or when it is certain that nobody will wake it
 * because its waiter has been taken out of the queue again.
 *
 * States of `state`, changed by
 *   AWAKE   the sleeper runs (it is not in a system call)             sleeper
 *   ASLEEP  the sleeper is in, or on its way into, a system call      sleeper, from AWAKE
 *   WOKEN   the wake-up has come                                      waker, from either; final
 *
 * P1  The waker moves to WOKEN exactly once.  Where it found AWAKE it touches the parker no more; where it found ASLEEP
 *     it posts exactly one token.
 * P2  The sleeper that sees WOKEN after it had stored ASLEEP takes that token before it returns.  So when the sleep has
 *     returned FL_SLEEP_WOKEN no waker will touch the parker, and its memory is free for other use.
 * P3  What the waker wrote before fl_parker_wake is visible to the sleeper when the sleep has returned FL_SLEEP_WOKEN.
 *
 * There are two ways to sleep, and the build chooses one.  semaphore.c is for C libraries with sem_clockwait (glibc
 * 2.30): the token is a POSIX semaphore.  A signal interrupts its wait, so that Ctrl-C in Python takes effect at once.
 * condvar.c is for the others: a pthread mutex and condition variable.  A signal does not interrupt that wait.  It has
 * no ASLEEP and no token; the mutex makes P1 to P3 true.  FL_PARK_CONDVAR chooses it everywhere, for tests.
 *
 * An interruptible thread sleeps in slices, with both.  It looks for signals between two slices, because a signal that
 * arrives just before the system call does not interrupt it, and neither does one that the system delivers to another
 * thread of the process.  In semaphore.c the slices double from 1 to 256 ms: a signal that did not interrupt the call
 * arrived about when it began, and is found after the first slice.  In condvar.c every signal waits for the end of a
 * slice, so all slices are short. */

#ifndef FL_PARK_H
#define FL_PARK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/atomic.h"
#include "platform/compiler.h"

#if !defined(FL_PARK_CONDVAR) && defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 30)
#define FL_PARK_SEMAPHORE 1
#include <semaphore.h>
#else
#define FL_PARK_SEMAPHORE 0
#endif

enum { FL_PARKER_AWAKE, FL_PARKER_ASLEEP, FL_PARKER_WOKEN };

typedef struct {
    fl_atomic_u32 state; /* FL_PARKER_* */
    int64_t slice_ns;    /* how long the next interruptible sleep lasts at most; the sleeper's own */
#if FL_PARK_SEMAPHORE
    sem_t token;
#else
    pthread_mutex_t mutex; /* guards the change of state to WOKEN */
    pthread_cond_t woken;
#endif
} fl_parker;

typedef enum {
    FL_SLEEP_WOKEN,
    FL_SLEEP_TIMED_OUT,   /* the deadline has passed; a wake-up may still come */
    FL_SLEEP_INTERRUPTED, /* a signal has arrived, or the slice is over; a wake-up may still come */
} fl_sleep_result;

/* Sets up a parker in state AWAKE.  Returns 0, or ENOMEM or EAGAIN where the system lacks resources.  Does not
 * block. */
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
 * takes the token (P2) and makes the writes of the waker visible (P3). */
static inline bool
fl_parker_is_woken(fl_parker *parker)
{
    return fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN;
}

/* Wakes the owner: ends its sleep, or the next one at once.  Called once for a wait, by any thread.  Does not block for
 * longer than the owner takes to leave or to enter its sleep. */
void fl_parker_wake(fl_parker *parker);

#endif
