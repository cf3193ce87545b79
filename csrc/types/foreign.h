/* A Condition's lock that is not one of ours: anything with acquire() and release(), and perhaps `_release_save`,
 * `_acquire_restore` and `_is_owned`, which are used where they are there.  Everything here runs Python code. */

#ifndef FL_FOREIGN_H
#define FL_FOREIGN_H

#include "core/cond.h"
#include "py/args.h"
#include "py/compat.h"
#include "py/state.h"

/* 1 where the calling thread holds the lock, or anybody if it does not know; 0 where not; -1 with an exception. */
int fl_foreign_is_owned(PyObject *lock);

/* What _release_save() returns, None where the lock has none and was released; or NULL with an exception. */
PyObject *fl_foreign_release_save(PyObject *lock);

/* Takes the lock back.  Returns 0, or -1 with an exception. */
int fl_foreign_acquire_restore(PyObject *lock, PyObject *saved);

/* A whole wait with a lock that is held.  Returns 1 where it was notified, 0 where it was not in time, -1 with an
 * exception.  The lock is held again afterwards: an attempt to take it back that is interrupted is repeated, and
 * the exception raised when it is held (F1 to F5 in foreign.c).  `lock` may be the Condition itself, where its own methods
 * of a lock were replaced. */
int fl_foreign_wait(fl_state *state, fl_cond *cond, PyObject *lock, int64_t deadline_ns);

/* lock.name(*call), or lock.otherwise() where it has no `name`. */
PyObject *fl_foreign_call(PyObject *lock, const char *name, const char *otherwise, fl_call call);

#endif
