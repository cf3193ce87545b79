/* Spinning: what a thread does before it sleeps, and before it asks for its runtime.  Only core/lot/parking_lot.c spins, so
 * that every primitive has it; the others that include this set it up.
 *
 * Three waits are worth it, all of a thread that is detached and holds no mutex, and no lock that was handed to it:
 *
 * 1. For its wake-up.  To wake a sleeping thread costs the waker a system call and the sleeper the time that an idle
 *    processor takes to come back: 10 to 30 us.  Whoever is woken while it spins pays neither.
 * 2. For the runtime of its waker (where the runtime has one lock, the GIL).  The waker usually goes on for a moment
 *    before it detaches.  Whoever asks for the GIL meanwhile goes to sleep on it, and has to be woken by the system
 *    after all.
 * 3. For others to have a lock that it has released and wants back (where the runtime has no one lock).  Two threads that take
 *    turns at every section pay for the way of the lock between their processors each time.  Whoever has designated a waiter
 *    (core/lock_word.h) and finds the lock taken when it comes back *backs off*: leaves it alone for a while, tries, and does
 *    so once more before it queues.
 *
 * The first two have two phases.  First the loop keeps its processor and looks every few cycles (FL_SPIN_RELAX_NS), then it lets
 * others have the processor between two looks (FL_SPIN_YIELD_NS).  The second is as long as a wake-up by the system: if
 * one thread of two has slept, the other must not go to sleep before it answers, or they take turns at it for ever.
 *
 * It does not begin where it cannot pay:
 *   - the thread may run on one processor only;
 *   - as many threads spin already as there are processors;
 *   - the deadline is near;
 *   - it did not pay lately (fl_spin_history: of this bucket, or of this waker), apart from a trial now and then;
 *   - it is switched off, as PYFASTLOCK_SPIN=0 in the environment does.
 * The parking lot lets those spin that are first in their queue, as others will be woken before the rest, and all of
 * those that will be woken together.
 *
 * The phases bound when the last look or yield begins.  Where other threads want the processor a yield lasts as long as
 * the scheduler lets them run; after one of FL_SPIN_DISPLACED_NS the spin ends, and counts as several that failed.
 *
 * Nothing depends on any of this but speed: the words here are relaxed, and updates of a history may be lost. */

#ifndef FL_SPIN_H
#define FL_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "park/park.h"
#include "platform/atomic.h"

/* The first phase: a hand-over between two running threads takes 0.2 to 2 us. */
#define FL_SPIN_RELAX_NS INT64_C(2000)

/* The second phase: a wake-up by the system takes 10 to 30 us. */
#define FL_SPIN_YIELD_NS INT64_C(30000)

/* A yield that lasts longer than this gave the processor to threads that have work for a whole slice of the scheduler's:
 * the wake-up of a sleeper would have come first.  Our own threads, which hand over to one another, keep it for tens of
 * microseconds. */
#define FL_SPIN_DISPLACED_NS INT64_C(1000000)

/* Each phase of the wait for the runtime: the waker has a statement or two to go, or it does something else first. */
#define FL_SPIN_RUNTIME_NS INT64_C(5000)

/* How long a thread that wants back what it has released leaves it to the others, before its first attempt: time for
 * some forty short sections, so that the cost of moving a lock between processors, half a microsecond, is shared by
 * them.  The wait before each further attempt is twice as long; together they take no longer than a wake-up by the
 * system. */
#define FL_SPIN_BACK_OFF_NS INT64_C(5000)
enum { FL_SPIN_BACK_OFFS = 2 };

/* What the waits of one bucket, or after one waker, have taught.
 *   FAILURES   the low bits: a spin in vain adds one, a yield that lasted too long several, up to
 *              FL_SPIN_FAILURES_MAX; a success halves them
 *   SKIPS      the others: how many waits are still to be slept through at once before the next trial; 1 at
 *              FL_SPIN_FAILURES_ALLOWED failures, and twice as many for each further one
 * So where waits are long, one trial follows 2 ** (MAX - ALLOWED), 64, waits without. */
typedef fl_atomic_u32 fl_spin_history;

enum { FL_SPIN_FAILURES_ALLOWED = 4, FL_SPIN_FAILURES_MAX = 10, FL_SPIN_FAILURES_BITS = 8 };

/* Spins until the parker's wake-up has come, or it is not worth while.  Does not block.  The caller sleeps on the
 * parker afterwards in any case (P2). */
void fl_spin_for_wake(fl_parker *parker, fl_spin_history *history, int64_t deadline_ns);

/* The calling thread, which is registered, has its runtime, and is about to wake somebody who will want it. */
void fl_spin_runtime_held(void);

/* The calling thread has detached from its runtime. */
void fl_spin_runtime_left(void);

/* Spins until the thread of that serial has detached, as far as it is known to hold the runtime at all. */
void fl_spin_for_runtime(uint64_t serial);

/* The calling thread has designated a waiter for a lock, and not for a condition.  It remembers the last lock of
 * which that is true. */
void fl_spin_designated(const void *lock);

/* Whether the calling thread should back off now, before it queues for the lock, which it could not have at once.  Asked once a
 * wait: where it did not pay lately, asking counts. */
bool fl_spin_backs_off(const void *lock, fl_spin_history *history, int64_t deadline_ns);

/* Does so for a while, the i-th time of one wait, from 0.  False, and at once, where there are spinners enough.  Does not
 * block. */
bool fl_spin_back_off(int i);

/* It has done so, and got the lock or not. */
void fl_spin_backed_off(fl_spin_history *history, bool got_it);

/* Whether the calling thread may spin at all: it has more than one processor, and spinning is not switched off. */
bool fl_spin_is_possible(void);

/* The runtime has one lock that all its threads need.  Without this nobody waits for a runtime; with it nobody backs off. */
void fl_spin_set_exclusive_runtime(void);

/* How many threads spin now: never more than there are processors.  For tests. */
uint32_t fl_spin_count(void);

/* Switches all of it on (the default) or off.  For tests. */
void fl_spin_enable(bool on);

/* In the child of a fork its only thread is the only one that may be in here. */
void fl_spin_after_fork_in_child(void);

/* Called once, before anything else here.  Reads the environment. */
void fl_spin_init(void);

#endif
