/* The word of a lock: who holds it, and what a release has to do for those who wait.  Both mutexes are made of it.
 *
 *   bits     name     meaning
 *   16..63   holder   who holds the lock, and how; 0: it is free
 *   17..63              the serial of the thread that holds it; 0 where that is not known
 *   16                  LOOSE: another thread may be the one that releases it.  Without LOOSE the holder does.
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
 * W1  The holder is set by whoever takes the lock, with a compare-and-swap, or by a release that hands the lock over,
 *     so that it is free at no moment in between.
 * W2  PARKED is set and cleared under the mutex of the word's bucket.  It may be set while nobody is queued; it is
 *     never clear while somebody is.
 * W3  A FL_WAKE_ONE release that wakes a waiter without handing the lock over sets WOKEN, under that mutex.  While
 *     WOKEN is set such releases wake nobody, so at most one waiter is designated.  That waiter clears WOKEN in the
 *     compare-and-swap with which it takes the lock or finds it held.  A FL_WAKE_NEXT release wakes a waiter in any
 *     case and does not change WOKEN.  Where the first waiter has waited for FL_WAKE_NEXT_NS, it is a FL_WAKE_ONE
 *     release.
 * W4  A release that finds PARKED clear is one compare-and-swap; so is a FL_WAKE_ONE release that finds WOKEN set.  No
 *     wake-up is lost by that.  While somebody is queued one of two things is true:
 *       - The lock is held.  Its holder will release it and find PARKED.  Then it wakes a waiter, or it finds WOKEN and
 *         the second is true.
 *       - A woken waiter, designated or not, is on its way to try the lock.  If it takes the lock the first is true.
 *         If it finds the lock held the first is true as well; a designated one clears WOKEN in that same step.
 * W5  A designated waiter does try the lock.  It is woken at once, or by a thread that does nothing else before (L8),
 *     and on its way nothing lets it give up (K1).  Two things can stop it before it tries.  The runtime may end the
 *     thread in attach(); then it ends every other possible waiter too.  And in the child of a fork the thread does not
 *     exist.  Therefore WOKEN is a number: that of the process in the line of its ancestors.  In another process it
 *     means nothing, and the next release there clears it.  (The number comes round after 32,767 forks, each in the
 *     child of the one before.  It would be mistaken only in a lock that nobody has used since.)
 * W6  While the word has no flag only attached threads change it, where the runtime has one lock.  So the fast paths
 *     need no compare-and-swap (platform/attached.h): they change such words only.  One function changes the word
 *     detached: a woken waiter that finds the lock held sets PARKED, before it sleeps again.  If it is designated WOKEN
 *     is set, and the fast paths leave the word alone.  If it is not, and the word has no flag, it attaches first and
 *     tries the lock.  (Such are those whom a FL_WAKE_NEXT release or a notification has woken, and between whose
 *     wake-up and attempt another thread was quicker.)
 *
 * What WOKEN is for.  Without it every release wakes one more waiter while the one before is still on its way.  A
 * thread that takes the lock again and again would wake all the others, only to send them back to sleep.
 *
 * Memory ordering.  Taking the lock acquires, releasing it releases; a hand-off passes through the waiter's parker
 * (P3).  After the store that releases it, a release does not touch the word again: the next holder may free it. */

#ifndef FL_LOCK_WORD_H
#define FL_LOCK_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lot/waiter.h"
#include "core/thread.h"
#include "platform/atomic.h"
#include "platform/attached.h"

#define FL_WORD_PARKED UINT64_C(1)
#define FL_WORD_FLAGS UINT64_C(0xFFFF)
#define FL_WORD_WOKEN (FL_WORD_FLAGS & ~FL_WORD_PARKED)
#define FL_WORD_LOOSE UINT64_C(0x10000)

_Static_assert((FL_WORD_FLAGS | FL_WORD_LOOSE) == FL_THREAD_SERIAL_STEP - 1, "a serial has the bits from 17 on: U2");
_Static_assert((FL_WORD_FLAGS & FL_WORD_LOOSE) == 0, "LOOSE belongs to the holder");
_Static_assert((FL_WORD_PARKED & FL_WORD_WOKEN) == 0 && (FL_WORD_PARKED | FL_WORD_WOKEN) == FL_WORD_FLAGS,
               "PARKED and WOKEN share the low bits");

/* Whom a release wakes. */
typedef enum {
    FL_WAKE_ONE,  /* nobody where a waiter is designated already; otherwise one, which is designated then */
    FL_WAKE_NEXT, /* one, also where another is designated: for a condition, whose threads need one another's work */
} fl_wake_policy;

/* Once the first waiter has waited this long, FL_WAKE_NEXT acts as FL_WAKE_ONE: with so many contenders another wake-up
 * only sends one back to sleep. */
#define FL_WAKE_NEXT_NS INT64_C(250000)

/* WOKEN as this process writes it (W5).  Written in the child of a fork only, while that has one thread. */
extern uint64_t fl_word_woken;

/* Who holds the lock, and how; 0 for nobody. */
static inline uint64_t
fl_word_holder(uint64_t seen)
{
    return seen & ~FL_WORD_FLAGS;
}

/* The serial of the thread that has taken the lock; 0 where that is not known, and where the lock is free. */
static inline uint64_t
fl_word_thread(uint64_t seen)
{
    return seen & ~(FL_WORD_FLAGS | FL_WORD_LOOSE);
}

/* The serial of the thread that has to release the lock; 0 where another one may, and where the lock is free. */
static inline uint64_t
fl_word_owner(uint64_t seen)
{
    return seen & FL_WORD_LOOSE ? 0 : fl_word_thread(seen);
}

/* Whether a word that was `seen` just now is promised. */
bool fl_word_is_promised_slow(fl_atomic_u64 *word, uint64_t seen);

/* Whether to wait for the lock although it is free (core/lot/give_way.h); false where the runtime has no lock.  Does
 * not block. */
static inline bool
fl_word_is_promised(fl_atomic_u64 *word)
{
    if (!FL_RUNTIME_LOCK) {
        return false;
    }
    uint64_t seen = fl_load_relaxed_u64(word);
    return fl_word_holder(seen) == 0 && (seen & FL_WORD_WOKEN) && fl_word_is_promised_slow(word, seen);
}

/* Takes the lock for `taker` if it is free (W1).  Returns whether it was.  Does not block. */
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

/* Does the same for the thread of `waiter`, which may be NULL.  The waiter is not designated afterwards, whatever the
 * result (W3). */
bool fl_word_try_take_as(fl_atomic_u64 *word, uint64_t taker, fl_waiter *waiter);

/* If the lock is held, marks it as having waiters (W2) and returns true; then the waiter is one for a key of that
 * `kind`, and not designated any more.
 * The same if the lock is free, another waiter is designated, and this one gives way to it.  Returns false as well
 * where the calling thread is not `attached` and may not mark the lock (W6).  Called under the mutex of the word's
 * bucket. */
bool fl_word_mark_parked(fl_atomic_u64 *word, fl_waiter *waiter, fl_wait_kind kind, bool attached);

/* Releases the lock.  Where `policy` says that a waiter is to be woken it is the one that has waited longest; one that
 * has waited for FL_FAIR_NS (core/lockable.h) is handed the lock, too.  `later` as for fl_lot_unpark_one.  Returns
 * false, and does nothing, where the lock is not held.  Does not block for longer than a queue operation. */
bool fl_word_release(fl_atomic_u64 *word, fl_wake_policy policy, fl_waiter *later);

/* For core/fork.c: gives the process its own WOKEN (W5). */
void fl_word_after_fork_in_child(void);

#endif
