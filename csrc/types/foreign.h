/* A Condition's lock that is not one of ours: any object with acquire() and release().  It may have `_release_save`,
 * `_acquire_restore` and `_is_owned`; then these are called instead.  Every function here runs Python code, and blocks
 * where a method of the lock blocks.  The caller holds a reference to the lock. */

#ifndef FL_FOREIGN_H
#define FL_FOREIGN_H

#include "core/cond.h"
#include "py/args.h"
#include "py/compat.h"
#include "py/state.h"

/* Calls lock.name(*call), or lock.otherwise() where the lock has no `name`.  Returns a new reference to the result, or
 * NULL with an exception. */
PyObject *fl_foreign_call(PyObject *lock, const char *name, const char *otherwise, fl_call call);

/* Returns whether the calling thread holds the lock: 1, 0, or -1 with an exception.  A lock without `_is_owned` does
 * not know its holder: then the answer is whether any thread holds it. */
int fl_foreign_is_owned(PyObject *lock);

/* Releases the lock, which the calling thread holds.  Returns a new reference to what fl_foreign_acquire_restore needs:
 * the result of `_release_save`, or None where the lock has no such method.  NULL with an exception. */
PyObject *fl_foreign_release_save(PyObject *lock);

/* Takes the lock again.  Returns 0, or -1 with an exception. */
int fl_foreign_acquire_restore(PyObject *lock, PyObject *saved);

/* Does a whole wait for the condition.  The caller holds the lock; the wait releases it, and takes it back in the end.
 * Returns 1 where the thread was notified, 0 where it was not in time, -1 with an exception.
 *
 * The lock is held again in all three cases: if an exception interrupts taking it back, that is repeated, and the
 * exception is raised when the lock is held (F1 to F5 in foreign.c).  The wait gives up on two occasions only: taking
 * the lock back has raised for FL_FOREIGN_PATIENCE_NS, or the interpreter shuts down.  Then it raises without the lock.
 *
 * `lock` is the Condition itself where the Condition's own lock methods were replaced. */
int fl_foreign_wait(fl_state *state, fl_cond *cond, PyObject *lock, int64_t deadline_ns);

#endif
