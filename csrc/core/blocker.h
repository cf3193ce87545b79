/* What the core asks of the runtime above it around a sleep.
 *
 * The core knows no Python.  A thread that is about to sleep gives up what it holds of its runtime (the GIL, or its
 * attachment to a free-threaded interpreter): it *detaches*.  It takes that back afterwards: it *attaches*.  In between
 * the runtime may want to run signal handlers.  These functions do all of it.  A thread without a runtime passes NULL
 * instead of a blocker. */

#ifndef FL_BLOCKER_H
#define FL_BLOCKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fl_blocker fl_blocker;

/* What is done about a wait that would last for ever. */
typedef enum {
    FL_DEADLOCK_FAILS,   /* it ends, in vain */
    FL_DEADLOCK_IS_OVER, /* it goes on: the deadlock has been broken meanwhile */
    FL_DEADLOCK_IS_TOLD, /* it goes on, and nobody looks at it again */
} fl_deadlock_verdict;

struct fl_blocker {
    /* Runs what is pending.  Called attached: before the first sleep of a wait, after every interruption, and before a
     * thread that has tried a lock in vain queues for it anew.  False gives the wait up.  It may run any code, and so
     * may use any lock. */
    bool (*poll)(fl_blocker *self);

    /* Called on the way into a sleep and on the way out of it.  The calling thread holds no mutex of the core.  detach
     * always returns, and waits for nothing of the core: another thread may depend on it (L8).  attach may never
     * return, because the runtime may end the thread there. */
    void (*detach)(fl_blocker *self);
    void (*attach)(fl_blocker *self);

    /* Whether a signal ends the sleep.  True for one thread at most, which attach never ends: its waiters may stay
     * queued while poll runs. */
    bool interruptible;

    /* For poll: whether the wait ends at a deadline, whatever other threads do.  Correct whenever poll is called.
     * Whoever makes the blocker sets it for the beginning of the wait; the core changes it where a deadline begins to
     * count, or is refused. */
    bool timed;

    /* When a condition's notification ended the wait; 0: none did.  The core sets it. */
    int64_t notified_ns;

    /* Whether the wait may end because it would last for ever (core/deadlock.h). */
    bool may_fail;

    /* Asked, attached, when the wait for `lock` since `since_ns` would last for ever.  May run any code.  NULL: such
     * waits fail. */
    fl_deadlock_verdict (*judge)(const void *lock, int64_t since_ns);

    /* Which runtime the thread waits in, where a process has several. */
    const void *runtime;
};

/* What follows does nothing for a thread without a runtime. */

/* Returns what poll() returns; true without a runtime. */
static inline bool
fl_blocker_poll(fl_blocker *blocker)
{
    return blocker == NULL || blocker->poll(blocker);
}

/* Detaches.  Does not wait for anything of the core. */
static inline void
fl_blocker_detach(fl_blocker *blocker)
{
    if (blocker) {
        blocker->detach(blocker);
    }
}

/* Attaches.  May wait for other threads of the runtime, and may never return. */
static inline void
fl_blocker_attach(fl_blocker *blocker)
{
    if (blocker) {
        blocker->attach(blocker);
    }
}

/* Whether a signal ends the calling thread's sleep; false without a runtime. */
static inline bool
fl_blocker_is_interruptible(const fl_blocker *blocker)
{
    return blocker && blocker->interruptible;
}

/* Whether the wait may end because it would last for ever.  It may without a runtime. */
static inline bool
fl_blocker_may_fail(const fl_blocker *blocker)
{
    return blocker == NULL || blocker->may_fail;
}

/* What is done about the wait for `lock`, which would last for ever. */
static inline fl_deadlock_verdict
fl_blocker_judge(const fl_blocker *blocker, const void *lock, int64_t since_ns)
{
    return blocker && blocker->judge ? blocker->judge(lock, since_ns) : FL_DEADLOCK_FAILS;
}

/* The runtime that the thread waits in; NULL without one. */
static inline const void *
fl_blocker_runtime(const fl_blocker *blocker)
{
    return blocker ? blocker->runtime : NULL;
}

/* Tells the caller of the wait when it was notified. */
static inline void
fl_blocker_set_notified(fl_blocker *blocker, int64_t notified_ns)
{
    if (blocker) {
        blocker->notified_ns = notified_ns;
    }
}

/* Tells poll() whether the wait ends at a deadline. */
static inline void
fl_blocker_set_timed(fl_blocker *blocker, bool timed)
{
    if (blocker) {
        blocker->timed = timed;
    }
}

#endif
