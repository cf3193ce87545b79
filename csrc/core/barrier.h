/* The barrier: threads wait until as many as there are parties have arrived, and then all go on.
 *
 * One word, changed under the mutex of its bucket only:
 *
 *   phase       what a thread that arrives finds
 *     FILLING   it waits, or is the last and lets all go
 *     ACTING    all have arrived, and the last one runs the action; it waits until that is over, as a guest
 *     BROKEN    it does not wait
 *     OPENED    somebody else runs the barrier from now on: it begins there.  Final; count is what it was until then
 *   count       how many have arrived and not gone on
 *   generation  how often all who waited have been sent away
 *
 *   FILLING --the last arrives, there is an action--> ACTING
 *   FILLING --the last arrives, there is none--> FILLING, next generation: all go on
 *   ACTING  --the action returns--> FILLING, next generation: all go on
 *   ACTING  --the action raises--> BROKEN
 *   ACTING  --its thread is not there any more, after a fork--> BROKEN, when somebody arrives or has polled
 *   FILLING --a wait times out--> BROKEN
 *   any     --abort--> BROKEN
 *   any     --reset--> FILLING, next generation: all who wait find it broken
 *   FILLING, BROKEN --open--> OPENED: all who wait go on waiting elsewhere
 *
 * B1  Whoever has arrived is in the queue of the word (except the last one), and count is the number of those threads.
 *     A waiter that is interrupted, or whose thread did not survive a fork, is subtracted in the step that takes it
 *     out.  Guests are in the same queue while the phase is ACTING, and do not count.
 * B2  All are taken out in one step with the change of phase or generation that ends their wait.  `handed_off` tells
 *     each whether it goes on or the barrier was broken.  So the barrier does not drain: the next generation may fill
 *     at once.  Guests arrive anew.
 * B3  Indices are dealt when all go on, in the order of the queue, so that they are unique whoever left before.
 * B4  A wait does not time out while the phase is ACTING: its generation is complete, and is sent away when the action
 *     is over.  So the wait has no deadline from there on.  A guest has no deadline yet: its time begins when it
 *     arrives, as in the standard library, where it would wait for the condition's lock until then.
 * B5  abort and reset do not wait for the action.  The thread that runs the action finds another phase or generation
 *     afterwards, and its own wait has failed.
 * B6  A waiter keeps its place while signal handlers run (L5).
 * B7  Every wait is ended by somebody.  While the phase is FILLING that is the last to arrive, or the wait's deadline.
 *     While it is ACTING that is the actor alone, whatever the timeout.  The actor may not be able to end it any more:
 *     - After a fork the actor may be in the parent.  The only waits that outlive a fork are those in whose signal
 *       handler it happened.  A thread that goes on waiting after its handler looks for that, and breaks the barrier; a
 *       thread that arrives, or opens it, does the same.
 *     - While the runtime shuts down the actor may stand still for ever.  poll() is told that the wait is not `timed`,
 *       and refuses it as one that nobody ends.
 *     - An action that does not return keeps those who wait for it until abort or reset.
 * B8  A thread that has to wait asks poll() before it is queued: as one that arrives, or as a guest, and again where it
 *     becomes the other one.  A thread that need not wait never asks, whatever poll() would say.
 * B9  Opening is refused while the phase is ACTING: what the action is about to end cannot go on elsewhere.  Otherwise
 *     it takes out all who have arrived, in one step with the change of phase, and deals them the places in which they
 *     arrived.  They still count, for whoever runs the barrier now.  From then on abort and reset change nothing here.
 *
 * Memory ordering.  All who go on together see what each of them did before it arrived.  A thread that finds the
 * barrier broken sees what happened before it was broken.
 *
 * The barrier must not be freed while a call is in one of its functions. */

#ifndef FL_BARRIER_H
#define FL_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "platform/atomic.h"

/* The largest number of parties. */
#define FL_BARRIER_MAX UINT32_MAX

typedef struct {
    fl_atomic_u64 word;
    uint64_t parties; /* constant */
    uint64_t actor;   /* the thread that runs the action, while the phase is ACTING; under the bucket's mutex */
} fl_barrier;

typedef enum {
    FL_BARRIER_PASSED,
    FL_BARRIER_BROKEN,    /* it was broken or reset, or this wait has timed out and broken it */
    FL_BARRIER_GIVEN_UP,  /* the blocker's poll(), or the action, returned false */
    FL_BARRIER_REENTERED, /* the action itself called: nobody else could let it go on */
    FL_BARRIER_NO_MEMORY,
    FL_BARRIER_OPENED, /* it is not run here: the thread has not arrived */
    FL_BARRIER_MOVED,  /* it was opened after the thread had arrived, as number `*index`: the wait goes on elsewhere */
    FL_BARRIER_MOVED_GIVEN_UP, /* the same, and poll() returned false: the thread still counts there */
} fl_barrier_result;

/* Sets up a barrier for `parties` threads, from 1 to FL_BARRIER_MAX, of which none has arrived. */
void fl_barrier_init(fl_barrier *barrier, uint64_t parties);

/* What the last to arrive does before all go on.  `run` is called attached, with no mutex held, and may run any code.
 * It returns whether it went well. */
typedef struct {
    bool (*run)(void *ctx); /* or NULL */
    void *ctx;
} fl_barrier_action;

/* Arrives, and waits for the others: for `timeout_ns` from the arrival at most, without a limit if that is
 * FL_DEADLINE_NEVER.  Where it returns FL_BARRIER_PASSED `*index` is a number below `parties`, another one for each
 * thread.  The blocker's poll() is called only if the thread has to wait (B8).  Blocks. */
fl_barrier_result fl_barrier_wait(fl_barrier *barrier, int64_t timeout_ns, fl_barrier_action action, uint64_t *index,
                                  fl_blocker *blocker);

/* Breaks the barrier; all who wait find it broken.  Returns false, and does nothing, where it is opened.  Does not
 * block for longer than a queue operation, as all that follow. */
bool fl_barrier_abort(fl_barrier *barrier);

/* Makes the barrier empty and whole; all who wait find it broken.  Returns false, and does nothing, where it is
 * opened. */
bool fl_barrier_reset(fl_barrier *barrier);

/* Hands the barrier over (B9).  Returns whether it is opened: false while an action runs. */
bool fl_barrier_open(fl_barrier *barrier);

/* Whether the barrier is opened, which is final. */
bool fl_barrier_is_opened(fl_barrier *barrier);

/* Whether the barrier is broken, or was when it was opened.  Other threads may change that at once. */
bool fl_barrier_is_broken(fl_barrier *barrier);

/* How many threads have arrived and not gone on, or had when it was opened.  Other threads may change that at once. */
uint64_t fl_barrier_waiting(fl_barrier *barrier);

#endif
