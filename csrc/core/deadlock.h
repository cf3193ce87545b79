/* Deadlocks: threads that wait for each other's mutexes, and owners that have ended.
 *
 * An edge T -> U: a waiter of T is *stuck* in the queue of a mutex that U *owns*: a recursive one, or a plain one with
 * a scoped hold (M1).  A waiter is stuck if it has no deadline, or was notified: then nothing but that mutex's release
 * ends its wait.  A cycle of edges is a deadlock: each of its threads sleeps until another one of them releases, and
 * none does.  One member, the *victim*, is taken out of its queue, and its wait ends as FL_LOCK_DEADLOCK.  Everybody
 * else goes on when the victim gives up what it holds.
 *
 * Whoever queues for a mutex looks, when it has spun and before each sleep: first at one bucket after the other (the
 * *filter*), then, where that closed a cycle, with all buckets and the registry locked.
 *
 * D1  No false alarm.  With everything locked all edges are seen in one instant.  An edge T -> U ends in these ways
 *     only: U releases its mutex (D7), T's waiter leaves its queue, the process forks.  T's waiter leaves by being
 *     unparked, which is U's release; by a deadline, which a stuck waiter has not; or by an interruption.  A queued
 *     thread runs nothing but the core until its waiter is out of the queue, so U, which is in the cycle as well, does
 *     not release.  An interruption takes T out before its handler runs, so T's edge is not there then.  (A handler
 *     that would have come later could have released T's own mutexes.  It comes too late: the victim has its
 *     exception.)
 * D2  No deadlock is overlooked.  The last edge of a cycle comes from a thread that queues by itself (D3).  It is in
 *     its queue, and in the registry as standing there, before it looks; of two that queue at once the one that takes
 *     the registry's mutex last sees the other.
 * D3  A notification may add an edge, too: it moves a waiter into the queue of a mutex.  Only who holds that mutex
 *     moves waiters (C3).  So the edge leads to a thread that runs, and becomes part of a cycle when that thread
 *     queues.  The same is true of an edge whose mutex changes hands.  (A cycle may be overlooked where a third thread
 *     releases a plain mutex in the middle of its holder's notification.)
 * D4  A filter that finds no cycle may be right only for a moment: a thread that it saw running queues next.  Then that
 *     one looks after this one stood in its queue.
 * D5  One victim a cycle: the look that finds it takes it out under the same mutexes, so the next look finds no cycle.
 *     The victim is who looks, if its wait may fail (`may_fail`), and otherwise another member.  If no member's may,
 *     they wait on.  (Taking a condition's lock back may not fail.  Such waits alone make no cycle: to wait a thread
 *     must hold the condition's lock, so of two that wait inside each other's locks each would have begun first.  That
 *     is not so where a signal handler takes a lock during a wait and keeps it, or where a program takes locks back by
 *     _acquire_restore().)
 * D6  An owner whose serial the registry does not have has ended, or did not come along in a fork (U3, U4).  It will
 *     never release.  Whoever queues for its mutex finds out when it looks; whoever is queued already is taken out by
 *     the end of the thread.  Of the two that do both at once, one sees the other, as in D2.  Such a wait fails also
 *     where it may not fail in a cycle: nobody else could end it.  (Of a plain mutex somebody could, see D7: there such
 *     a wait goes on.)
 * D7  A plain mutex may be released by any thread, so nobody owns it while its hold is loose: to take it twice and to
 *     wait for another thread's release is a way to wait for a signal.  A scoped hold has an owner, as its thread
 *     releases it at the end of its block.  What D1 says is true of programs that keep to that.  Where a third thread
 *     would have released the mutex, the victim has its exception although its wait would have ended; by that release
 *     the program would have broken the owner's block (M3).  Where the runtime sees that a block's end is not in its
 *     thread's hands, it takes no exception, and waits again without looking.
 * D8  Who waits for a plain mutex of which it has a scoped hold itself is a cycle of one thread.  The look sees the
 *     owner without the bucket's mutex, so it may be a hand-off to the waiter; with everything locked the waiter is in
 *     no queue then.
 * D9  A deadlock may be told only (`judge` of the blocker), and the threads wait on.  The victim tells it while it is
 *     out of its queue, and *resigns*: it queues anew, and from then on its waiter is stuck for no look.  An edge is
 *     part of one cycle at most, so no look finds that cycle again, whoever looks and however often.  A resigned wait
 *     is in no deadlock that comes later either.
 *
 * What the mutex of a queued waiter's bucket guards: the waiter, and with it the word that it waits for, which its
 * caller keeps alive. */

#ifndef FL_DEADLOCK_H
#define FL_DEADLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lot/waiter.h"

/* What is done about deadlocks. */
typedef enum {
    FL_DEADLOCKS_RAISE,  /* they are looked for, and end a wait */
    FL_DEADLOCKS_REPORT, /* they are looked for, and told: the runtime's judge() has to see to that */
    FL_DEADLOCKS_OFF,    /* nobody looks */
} fl_deadlock_mode;

/* Takes the mode from PYFASTLOCK_DEADLOCKS in the environment: report or off; anything else means raise.  For the
 * setting up. */
void fl_deadlock_init(void);

/* May be changed at any time.  A look that has begun goes by what was there before. */
void fl_deadlock_set_mode(fl_deadlock_mode mode);
fl_deadlock_mode fl_deadlock_get_mode(void);

/* For a thread that has queued the stuck waiter for a mutex and is about to sleep; it is detached and holds
 * no mutex of the core.  Returns true if it has taken the waiter out, which is idle then, and `deadlocked`.  May take
 * out, and wake, another member of the cycle instead. */
bool fl_deadlock_look(fl_waiter *waiter);

/* For the end of a thread that the registry has forgotten: takes out all who are stuck in queues of its mutexes, and
 * wakes them. */
void fl_deadlock_thread_ended(uint64_t serial);

/* Whether the thread with that serial can release nothing any more: it has ended, or did not come along in a fork.
 * Does not block for longer than a queue operation. */
bool fl_deadlock_is_gone(uint64_t serial);

/* Called with each waiter of a chain and the serial of the owner of what it is queued for. */
typedef void fl_deadlock_visit_fn(void *ctx, const fl_waiter *waiter, uint64_t owner);

/* For a thread that was taken out of the queue of `word`: follows the edges from the owner of `word`, with everything
 * locked, and calls `visit`, unless it is NULL, for each.  Returns how many threads are in the cycle, with the calling
 * one, if they lead to that, and 0 if they do not: then the deadlock is over.  Takes some 50 us. */
size_t fl_deadlock_walk(const void *word, fl_deadlock_visit_fn *visit, void *ctx);

/* ---- for those who show waits ---- */

/* The serial of the thread that holds what the waiter is queued for; 0 where nobody does, or nobody is known to.  Under
 * the mutex of the waiter's bucket. */
uint64_t fl_deadlock_owner(const fl_waiter *waiter);

/* Whether the waiter is an edge: it is stuck for something that has an owner, and its thread stands with it.  With
 * everything locked. */
bool fl_deadlock_is_edge(const fl_waiter *waiter);

/* Tries for some milliseconds to lock everything, for a caller that may have interrupted who holds some of it.  Returns
 * whether it has.  A signal handler may call these two. */
bool fl_deadlock_try_lock_everything(void);
void fl_deadlock_unlock_everything(void);

#endif
