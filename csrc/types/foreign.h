/* A Condition's lock that is not one of ours: anything with acquire() and release(), and perhaps `_release_save`,
 * `_acquire_restore` and `_is_owned`, which are used where they are there.  Everything here runs Python code. */

#ifndef FL_FOREIGN_H
#define FL_FOREIGN_H

#include "core/cond.h"
#include "py/args.h"
#include "py/compat.h"

/* 1 where the calling thread holds the lock, or anybody if it does not know; 0 where not; -1 with an exception. */
int fl_foreign_is_owned(PyObject *lock);

/* What _release_save() returns, None where the lock has none and was released; or NULL with an exception. */
PyObject *fl_foreign_release_save(PyObject *lock);

/* Takes the lock back.  Returns 0, or -1 with an exception. */
int fl_foreign_acquire_restore(PyObject *lock, PyObject *saved);

/* A whole wait with a lock that is held.  Returns 1 where it was notified, 0 where it was not in time, -1 with an
 * exception.  The lock is held again afterwards: an attempt to take it back that is interrupted is repeated, and
 * the exception raised when it is held.  Given up is only a lock that fails FL_FOREIGN_ATTEMPTS times, or one
 * written in Python without `_is_owned` that was interrupted and then is not free in FL_FOREIGN_PROBES tries. */
int fl_foreign_wait(fl_cond *cond, PyObject *lock, int64_t deadline_ns);

/* More than anybody can press Ctrl-C during one wait, few enough for a lock that is broken for good. */
enum { FL_FOREIGN_ATTEMPTS = 100 };

/* One a millisecond: longer than locks are held, shorter than a hang. */
enum { FL_FOREIGN_PROBES = 5000 };

/* lock.name(*call), or lock.otherwise() where it has no `name`. */
PyObject *fl_foreign_call(PyObject *lock, const char *name, const char *otherwise, fl_call call);

#endif
