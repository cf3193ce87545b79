/* The word of a lock: who holds it, and what a release has to do for those who wait.  Both mutexes are made of it.
 *
 *   bits     name     meaning
 *   16..63   holder   whoever holds the lock, in whatever way its kind writes that; 0: it is free
 *    1..15   WOKEN    a waiter was woken without being handed the lock, and has not tried it yet: it is *designated*
 *    0       PARKED   threads may be queued
 *
 *   holder WOKEN PARKED
 *     0      0     0      free, nobody waits
 *     H      0     0      held, nobody waits
 *     H      0     1      held, threads may be queued: the release wakes the first
 *     0      1    0/1     free, and the designated waiter is on its way; whoever gets there first takes it (barging)
 *     H      1    0/1     held by one who was quicker than the designated waiter: the release need not wake anybody
 *     0      0     1      free; if anybody is queued, a waiter that is not designated is on its way
 *
 * W1  The holder is set by whoever takes the lock, with a compare-and-swap, or by a release that hands the lock over, so
 *     that it is free at no moment in between.
 * W2  PARKED is set and cleared under the mutex of the word's bucket.  It may be set while nobody is queued; it is never
 *     clear while somebody is.
 * W3  WOKEN is set under that mutex, by a release as FL_WAKE_ONE says that takes a waiter out of the queue and wakes it.  While
 *     it is set such a release wakes nobody, so there is one designated waiter at most.  It ends its designation itself, in one
 *     step with taking the lock, or with seeing that the lock is held: as it goes back into the queue (then under the mutex)
 *     or goes elsewhere.  A release as FL_WAKE_NEXT says wakes a waiter in any case, designates nobody, and leaves a
 *     designation alone.
 * W4  So a release that finds PARKED clear, or with FL_WAKE_ONE somebody designated, is one compare-and-swap; and no wake-up
 *     is lost.  Where somebody is queued, the lock is held, or somebody is on the way to try it, designated or not.  In the
 *     first case the holder's release comes, and finds PARKED: it wakes one, or leaves it to a designated waiter, which is
 *     the second case.  In the second that waiter takes the lock, and its own release comes; or it sees the lock held, if it
 *     is designated in the very step that clears WOKEN: the first case.
 * W5  A designated waiter does come.  It is woken at once, or by a thread that does nothing else before (L8), and from there
 *     to its attempt there is nothing that lets it give up (K1).  Two things can end it there.  The runtime ends it as it
 *     attaches: then it does so with all other threads that could wait.  And in the child of a fork the thread does not
 *     exist: therefore WOKEN is a number, that of the process in the line of its ancestors, and means nothing in another
 *     one, where the next release clears it.  (It comes round after 32,767 forks, each in the child of the one before; it
 *     would take a lock that nobody has used since.)
 *
 * What it is for.  Without WOKEN every release wakes one more thread while the one before is still on its way, and a thread
 * that takes the lock again and again wakes all the others, only to see them go to sleep.
 *
 * Memory ordering.  Taking the lock acquires, releasing it releases; a hand-over passes through the waiter's parker (P3).
 * After the store that releases it, a release does not touch the word again: the next holder may free it. */

#ifndef FL_LOCK_WORD_H
#define FL_LOCK_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lot/parking_lot.h"
#include "core/thread.h"
#include "platform/atomic.h"

#define FL_WORD_PARKED UINT64_C(1)
#define FL_WORD_FLAGS (FL_THREAD_SERIAL_STEP - 1) /* T2 */

/* Whom a release wakes. */
typedef enum {
    FL_WAKE_ONE,  /* a waiter, which is designated, unless one is already */
    FL_WAKE_NEXT, /* a waiter, designated or not: for a condition, whose threads need one another's work */
} fl_wake_policy;

/* Where the first waiter has waited for so long FL_WAKE_NEXT is FL_WAKE_ONE: there are more threads than the lock goes round
 * among quickly, and it helps none of them to be woken in vain. */
#define FL_WAKE_NEXT_NS INT64_C(250000)

/* WOKEN as this process writes it (W5).  Written in the child of a fork only, while that has one thread. */
extern uint64_t fl_word_woken;

/* Whoever holds the lock, 0 for nobody. */
static inline uint64_t
fl_word_holder(uint64_t seen)
{
    return seen & ~FL_WORD_FLAGS;
}

/* Takes the lock for `taker` if it is free. */
static inline bool
fl_word_try_take(fl_atomic_u64 *word, uint64_t taker)
{
    uint64_t seen = fl_load_relaxed_u64(word);
    while (fl_word_holder(seen) == 0) {
        if (fl_cas_acquire_u64(word, &seen, seen | taker)) {
            return true;
        }
    }
    return false;
}

/* The same for a waiter, or for NULL.  Whatever the result, a waiter that was designated is not any more (W3). */
bool fl_word_try_take_as(fl_atomic_u64 *word, uint64_t taker, fl_waiter *waiter);

/* If the lock is held, marks it as having waiters and returns true; then the waiter is not designated any more.  Under the
 * mutex of the word's bucket. */
bool fl_word_mark_parked(fl_atomic_u64 *word, fl_waiter *waiter);

/* Releases the lock, and wakes the waiter that has waited longest or hands the lock to it, as the policy says.  `heir`: the
 * holder after a hand-over, or 0 for the serial of the waiter's thread.  `later` as for fl_lot_unpark_one.  False where the
 * lock is not held.  Never blocks for longer than a queue operation. */
bool fl_word_release(fl_atomic_u64 *word, uint64_t heir, fl_wake_policy policy, fl_waiter *later);

/* For core/fork.c. */
void fl_word_after_fork_in_child(void);

#endif
