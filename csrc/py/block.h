/* How a Python thread waits.  Only here threads detach from the interpreter and attach to it again, only here signal
 * handlers run, and only here a wait that cannot end is refused. */

#ifndef FL_BLOCK_H
#define FL_BLOCK_H

#include "core/blocker.h"
#include "core/lockable.h"
#include "py/compat.h"

typedef fl_deadlock_verdict fl_py_judge_fn(const void *lock, int64_t since_ns);

/* What the core asks of Python around a sleep.  It lies on the stack of the thread that waits. */
typedef struct {
    fl_blocker base;
    PyThreadState *tstate; /* while detached, and afterwards; NULL before */
} fl_py_blocker;

/* Whether the thread has been detached since the blocker was set up. */
static inline bool
fl_py_has_blocked(const fl_py_blocker *blocker)
{
    return blocker->tstate != NULL;
}

/* Sets up the blocker of a wait that signals interrupt.  In the thread that runs signal handlers they run at once, and
 * an exception from one ends the wait.  Runs no Python code. */
void fl_py_blocker_init(fl_py_blocker *blocker, int64_t deadline_ns);

/* From `must` on, until it is taken back, no wait of the calling thread is the victim of a cycle (core/deadlock.h): it
 * takes a lock back that it has to get, perhaps by way of Python code.  Calls may be nested. */
void fl_py_must_get(bool must);

/* Sets up the blocker of a wait that goes on whatever signals arrive: the wait for a condition's lock after the wait
 * for the condition.  Runs no Python code. */
void fl_py_blocker_init_uninterruptible(fl_py_blocker *blocker);

/* fl_py_lock_wait: the semaphore was opened, and nothing has been acquired. */
#define FL_PY_OPENED 2

/* fl_py_lock_wait: the wait for a recursive mutex would last for ever, and nothing has been acquired. */
#define FL_PY_DEADLOCK 3

/* Waits until `deadline_ns` for a lock, or for a permit of a semaphore: by fl_lock_wait where it was just found busy,
 * or by fl_lock_give_way.  Returns 1 where it was acquired, 0 where it was not in time, and -1 with an exception.
 * FL_PY_OPENED is for semaphores only, FL_PY_DEADLOCK for recursive mutexes; neither has an exception.  Blocks, and
 * runs signal handlers.  Sets `blocker` up, which tells afterwards whether the thread was detached.  The caller holds a
 * reference to the object that `lock` lies in. */
int fl_py_lock_wait(fl_py_blocker *blocker, fl_lock_wait_fn *wait, const fl_wait_ops *ops, void *lock,
                    int64_t deadline_ns);

/* Sets the exception for FL_LOCK_OVERFLOW or FL_LOCK_NO_MEMORY.  FL_LOCK_GIVEN_UP has its exception already.  Always
 * returns -1. */
int fl_py_lock_error(fl_lock_result result);

/* Returns whether the interpreter has no thread but the calling one.  Runs no Python code. */
bool fl_py_is_alone(void);

/* Detaches for a millisecond, so that other threads run.  Runs no signal handlers. */
void fl_py_pause(void);

/* Detaches, and calls `work` with `arg`, which may block, and touches nothing of the runtime. */
void fl_py_detached(void (*work)(void *arg), void *arg);

/* Is asked, attached, about waits that would last for ever: see fl_blocker.  It may run Python code.  Whoever has the
 * objects of the waits defines it. */
extern fl_py_judge_fn *const fl_py_judge;

/* Tells the core which thread runs signal handlers, and whether there is a GIL.  For the module's execution.  Returns
 * 0, or -1 with an exception.  May run Python code: it imports modules. */
int fl_py_block_init(void);

#endif
