/* What the core asks of the runtime above it around a sleep.
 *
 * The core knows no Python.  A thread that is about to sleep gives up whatever it holds of its runtime (the GIL, its
 * attachment to a free-threaded interpreter) and takes it back afterwards; and the runtime may want to run signal
 * handlers in between.  All of that is behind these functions.  A thread without a runtime passes NULL. */

#ifndef FL_BLOCKER_H
#define FL_BLOCKER_H

#include <stdbool.h>

typedef struct fl_blocker fl_blocker;

struct fl_blocker {
    /* Called attached, before the first sleep of a wait and after every interruption: runs what is pending.  False
     * gives the wait up.  It may run any code, and so may use any lock. */
    bool (*poll)(fl_blocker *self);

    /* Called on the way into a sleep and out of it.  No mutex of the core is held.  detach always returns, and does not
     * wait for anything of the core: another thread may depend on it (L8).  attach may never return (the runtime may
     * end the thread there). */
    void (*detach)(fl_blocker *self);
    void (*attach)(fl_blocker *self);

    /* Whether a signal ends the sleep.  True at most for one thread, which attach never ends: its waiters may stay
     * queued while poll runs. */
    bool interruptible;

    /* For poll: whether the wait ends at a deadline, whatever others do.  Right when poll is called: who makes the blocker
     * says what the wait begins with, and the core keeps it where a deadline begins to count or is refused. */
    bool timed;
};

#endif
