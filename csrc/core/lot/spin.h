/* Spinning: what a thread does before it sleeps, and before it asks for its runtime.
 *
 * Only core/lot/ spins, so every primitive profits; other files set this up.  The thread that spins is detached.  It
 * holds no mutex, and no lock that was handed to it.  (The loop in which core/lot/bucket.c tries a mutex is another
 * thing: it is short, and may run attached.)  A thread spins for three things:
 *
 * 1. Its wake-up.  To wake a sleeping thread costs the waker a system call, and the sleeper the time that an idle
 *    processor takes to come back: 10 to 30 us.  A thread that is woken while it spins pays neither.
 * 2. The runtime of its waker, where the runtime has one lock for all threads (the GIL).  The waker usually goes on for
 *    a moment before it detaches.  A thread that asks for the GIL meanwhile goes to sleep on it, and has to be woken by
 *    the system after all.
 * 3. Nothing: it leaves a lock that it wants back to others for a while (core/lot/back_off.h).
 *
 * For the first two the loop has two phases.  In the first it keeps its processor and looks every few cycles
 * (FL_SPIN_RELAX_NS).  In the second it lets others have the processor between two looks (FL_SPIN_YIELD_NS).  The
 * second is as long as a wake-up by the system: if one thread of two has slept, the other must not go to sleep before
 * it answers, or they take turns at it for ever.
 *
 * A spin does not begin where it cannot pay:
 *   - the thread may run on one processor only;
 *   - as many threads spin already as there are processors;
 *   - more threads have to arrive at its barrier than there are processors, which need them;
 *   - the deadline is near;
 *   - it did not pay lately in this bucket, or after this waker (fl_spin_history), apart from a trial now and then;
 *   - it is switched off, as PYFASTLOCK_SPIN=0 in the environment does.
 * The parking lot lets a waiter spin that is the first in its queue, because the others are not woken next, and all
 * waiters that will be woken together.
 *
 * The phases limit when the last look or yield begins.  Where other threads want the processor a yield lasts as long as
 * the scheduler lets them run.  After a yield of FL_SPIN_DISPLACED_NS the spin ends, and counts as several that failed.
 *
 * Nothing depends on any of this but speed.  So the words here are relaxed, and updates of a history may be lost. */

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

/* A yield that lasts longer than this gave the processor to threads that have work for a whole slice of the scheduler:
 * a sleeper would have been woken earlier.  Threads that hand locks over to one another keep it for tens of
 * microseconds. */
#define FL_SPIN_DISPLACED_NS INT64_C(1000000)

/* Each phase of the wait for the runtime: the waker executes a statement or two before it detaches.  If it takes longer
 * it does something else first. */
#define FL_SPIN_RUNTIME_NS INT64_C(5000)

/* What the waits of one bucket, or after one waker, have taught.
 *   FAILURES   the low bits: a spin in vain adds one, a yield that lasted too long several, up to
 *              FL_SPIN_FAILURES_MAX; a success halves them
 *   SKIPS      the other bits: how many waits skip the spin before the next trial; 1 at FL_SPIN_FAILURES_ALLOWED
 *              failures, and twice as many for each further one
 * So where waits are long, one trial follows 2 ** (MAX - ALLOWED), 64, waits without. */
typedef fl_atomic_u32 fl_spin_history;

enum { FL_SPIN_FAILURES_ALLOWED = 4, FL_SPIN_FAILURES_MAX = 10, FL_SPIN_FAILURES_BITS = 8 };

_Static_assert(FL_SPIN_FAILURES_MAX < 1 << FL_SPIN_FAILURES_BITS, "FAILURES fits below SKIPS");
_Static_assert(FL_SPIN_FAILURES_MAX - FL_SPIN_FAILURES_ALLOWED < 32 - FL_SPIN_FAILURES_BITS,
               "SKIPS fits above FAILURES");

/* ---- waiting ---- */

/* Spins until the parker's wake-up has come, or it is not worth while any more.  Called detached.  Does not block.  The
 * caller sleeps on the parker afterwards in any case (P2). */
void fl_spin_for_wake(fl_parker *parker, fl_spin_history *history, int64_t deadline_ns);

/* Notes that the calling thread, which has a serial, has its runtime and is about to wake somebody who will want it. */
void fl_spin_runtime_held(void);

/* Notes that the calling thread has detached from its runtime. */
void fl_spin_runtime_left(void);

/* Spins until the thread with that serial has detached, if it is known to have its runtime.  Called detached.  Does not
 * block. */
void fl_spin_for_runtime(uint64_t serial);

/* ---- for core/lot/ ---- */

/* Whether the calling thread may spin at all: it has more than one processor, and spinning is not switched off. */
bool fl_spin_is_possible(void);

/* Whether so many threads can run at once on the processors of the calling thread, and spinning is not switched off. */
bool fl_spin_fits(uint64_t threads);

/* Spins for `ns` whatever happens, without a second phase.  Called detached.  Returns false at once where enough
 * threads spin already.  Does not block. */
bool fl_spin_for_ns(int64_t ns);

/* Whether `deadline_ns` is less than `ns` away. */
bool fl_spin_is_near(int64_t deadline_ns, int64_t ns);

/* Whether this wait is one to spin for.  Asked once a wait: a wait that is to be skipped is counted here. */
bool fl_spin_is_due(fl_spin_history *history);

/* Notes whether the spin has paid. */
void fl_spin_learn(fl_spin_history *history, bool has_paid);

/* ---- for whoever sets it up ---- */

/* Says that the runtime has one lock that all its threads need.  Called before any thread waits.  Without this nobody
 * spins for a runtime; with it nobody backs off. */
void fl_spin_set_exclusive_runtime(void);

/* Whether the runtime has one lock. */
bool fl_spin_has_exclusive_runtime(void);

/* How many threads spin now: never more than there are processors.  For tests. */
uint32_t fl_spin_count(void);

/* Switches all of it on (the default) or off.  For tests. */
void fl_spin_enable(bool on);

/* For core/fork.c: forgets the spinners and the wakers that are not in the child. */
void fl_spin_after_fork_in_child(void);

/* Reads the environment.  Called once, before anything else here. */
void fl_spin_init(void);

#endif
