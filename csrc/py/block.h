/* How a Python thread waits: the one place where threads are detached from the interpreter and attached again,
 * where signal handlers run, and where a wait that cannot end is refused. */

#ifndef FL_BLOCK_H
#define FL_BLOCK_H

#include "core/blocker.h"
#include "core/lockable.h"
#include "py/compat.h"

typedef struct {
    fl_blocker base;
    PyThreadState *tstate; /* while detached */
} fl_py_blocker;

/* The blocker of a wait that signals interrupt: in the interpreter's main thread their handlers run at once, and an
 * exception from one ends the wait. */
void fl_py_blocker_init(fl_py_blocker *blocker, int64_t deadline_ns);

/* The blocker of a wait that goes on whatever signals arrive: taking a condition's lock back. */
void fl_py_blocker_init_uninterruptible(fl_py_blocker *blocker);

/* Waits until `deadline_ns` for a lock that was just found busy.  Returns 1 where it was acquired, 0 where it was not in
 * time, -1 with an exception, and for a semaphore FL_PY_OPENED where it was opened: nothing has happened then.  The caller
 * has a reference to the lock's object. */
#define FL_PY_OPENED 2
int fl_py_lock_wait(const fl_wait_ops *ops, void *lock, int64_t deadline_ns);

/* Sets the exception for a result that is neither acquired nor timed out.  Always returns -1. */
int fl_py_lock_error(fl_lock_result result);

/* Whether the interpreter has no other thread. */
bool fl_py_is_alone(void);

/* Lets other threads run for a millisecond. */
void fl_py_pause(void);

/* Finds out which thread runs signal handlers.  Called when the module is executed.  Returns 0, or -1 with an exception. */
int fl_py_block_init(void);

#endif
