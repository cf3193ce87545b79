/* Waits as Python's objects: what pyfastlock.waits() shows, and what a DeadlockError tells. */

#ifndef FL_WAITS_H
#define FL_WAITS_H

#include "core/blocker.h"
#include "core/lot/waiter.h"
#include "py/compat.h"

/* The object that the waiter waits for, a borrowed reference.  Under the mutex of the waiter's bucket.  Does nothing
 * but read the waiter. */
PyObject *fl_waits_object(const fl_waiter *waiter);

/* Returns a list with a tuple for each thread that waits for an object of ours, in any interpreter; or NULL with an
 * exception.  The tuple is (thread's ident, object, owner's ident, fate, seconds, timeout, loose):
 *   object    what it waits for; None where that belongs to another interpreter
 *   owner     who holds that; 0 where nobody, or nobody known, does
 *   fate      what has become of the owner: 0 it lives, 1 it has ended, 2 it did not come along in a fork
 *   seconds   how long it has waited; for a lock after a notification, since that
 *   timeout   how many seconds the whole wait may last, or None
 *   loose     whether another thread than the owner may release the object (D7)
 * Runs no Python code while others are held up. */
PyObject *fl_waits_list(void);

/* For a thread whose wait for `lock`, a Lock or an RLock, since `since_ns`, has ended as a deadlock.  Returns -1 with a
 * DeadlockError, or another exception where that cannot be made; 0 where the deadlock is over, and the thread can wait
 * again; FL_WAITS_DOUBTFUL where it may be none, and the thread is to wait on without looking: another thread may end a
 * block in which a Lock is held.  Runs Python code. */
#define FL_WAITS_DOUBTFUL 1
int fl_waits_raise_deadlock(PyObject *lock, int64_t since_ns);

#endif
