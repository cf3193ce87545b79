/* The parker: the place where one blocked thread sleeps until one other thread wakes it.
 *
 * A parker serves one wait.  It lies in the waiter (core/lot/parking_lot.h), is set up before the waiter is queued, and may
 * be discarded as soon as the sleep has returned FL_SLEEP_WOKEN, or when it is certain that nobody will wake it because
 * its waiter has been taken out of the queue again.
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
 * Two ways to sleep, chosen when the code is built.  Where the C library has sem_clockwait (glibc 2.30) the token
 * is a POSIX semaphore, because its wait is interrupted by a signal and Python's Ctrl-C has to be able to end a
 * wait.  Elsewhere it is a pthread mutex and condition variable, whose wait goes on.  FL_PARK_CONDVAR chooses the
 * second way everywhere, for tests.
 *
 * An interruptible thread sleeps in slices in any case.  A signal that arrives on the way into the system call does
 * not interrupt it, and neither does one that the system gives to another thread of the process.  Where signals
 * interrupt the sleep the slices double from 1 to 256 ms, beginning anew when the sleeper has been woken: what they
 * are for is nearly always over after the first. */

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
    int64_t slice_ns;    /* how long the next interruptible sleep lasts at most; the sleeper's */
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
    FL_SLEEP_INTERRUPTED, /* a signal may have arrived, or the slice is over; a wake-up may still come */
} fl_sleep_result;

/* Sets up a parker in state AWAKE.  Returns 0, or ENOMEM or EAGAIN where the system lacks resources. */
int fl_parker_init(fl_parker *parker);

/* Back to AWAKE, for another sleep of the same wait.  Not while anybody may wake it. */
static inline void
fl_parker_reset(fl_parker *parker)
{
    fl_store_relaxed_u32(&parker->state, FL_PARKER_AWAKE);
}

/* Discards a parker that nobody will wake any more (P2). */
void fl_parker_destroy(fl_parker *parker);

/* Blocks the calling thread, the parker's owner, until it is woken, `deadline_ns` has passed or, if `interruptible`, a
 * signal arrives.  May be called again after anything but FL_SLEEP_WOKEN.  Leaves errno alone. */
fl_sleep_result fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible);

/* Whether the wake-up has come; the sleep then returns at once, and is still needed (P2, P3). */
static inline bool
fl_parker_is_woken(fl_parker *parker)
{
    return fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN;
}

/* Wakes the owner, now or in its next sleep.  Called once for a parker, by any thread.  Never blocks. */
void fl_parker_wake(fl_parker *parker);

#endif
