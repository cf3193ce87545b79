/* What the files of pyfastlock.Condition use of each other: condition.c, condition_lock.c, condition_wait.c and
 * condition_replaced.c. */

#ifndef FL_CONDITION_H
#define FL_CONDITION_H

#include "py/method.h"
#include "types/types.h"

/* Returns the lock, of any kind: a borrowed reference, or NULL with an exception where __init__ has not been called or
 * the garbage collector has cleared the lock.  The caller takes a reference before it runs Python code.  Runs none
 * itself. */
PyObject *fl_condition_get_lock(fl_condition_object *self);

/* Returns whether the calling thread holds the lock: 1, 0, or -1 with an exception.  A lock that does not know its
 * holder says whether any thread holds it.  Runs Python code where the lock is foreign. */
int fl_condition_owns(fl_condition_object *self);

/* ---- replaced methods: condition_replaced.c ---- */

/* A method is replaced where a subclass, an attribute of the instance or an assignment to the type hides ours. */
enum {
    FL_REPLACED_WAIT = 1 << 0,
    FL_REPLACED_NOTIFY = 1 << 1,
    FL_REPLACED_IS_OWNED = 1 << 2,
    FL_REPLACED_RELEASE_SAVE = 1 << 3,
    FL_REPLACED_ACQUIRE_RESTORE = 1 << 4,
    FL_REPLACED_ACQUIRE = 1 << 5,
    FL_REPLACED_RELEASE = 1 << 6,
    /* The methods that a wait calls to handle its lock. */
    FL_REPLACED_LOCK = FL_REPLACED_IS_OWNED | FL_REPLACED_RELEASE_SAVE | FL_REPLACED_ACQUIRE_RESTORE,
};

/* Returns which methods are replaced: some FL_REPLACED_ bits, 0 for none, or -1 with an exception.  Python code runs
 * only where fl_condition_is_stock does not hold. */
int fl_condition_replaced_slow(fl_condition_object *self);

/* Returns whether the Condition has been seen with no method replaced, and its type is unchanged since.  Runs no Python
 * code. */
static inline bool
fl_condition_is_stock(fl_condition_object *self)
{
    uint32_t version = fl_type_version(Py_TYPE(self));
    return self->dict == NULL && version != 0 && fl_load_relaxed_u32(&self->stock_version) == version;
}

static inline int
fl_condition_replaced(fl_condition_object *self)
{
    return FL_LIKELY(fl_condition_is_stock(self)) ? 0 : fl_condition_replaced_slow(self);
}

/* Returns whether the method `name`, which has one of the bits above, is replaced: 1, 0, or -1 with an exception.  Runs
 * Python code where fl_condition_replaced does. */
int fl_condition_has_replaced(PyObject *self, const char *name);

/* ---- methods ----
 *
 * They take their arguments as their PyMethodDef in condition.c says, and return a new reference, or NULL with an
 * exception.  They run Python code for bad arguments, replaced methods and foreign locks. */

/* Waiting and notifying: condition_wait.c.  The waits block.  After a wait its caller holds the lock again, also where
 * the wait raises.  It does not in three cases: the interpreter shuts down (FL_COND_LOCK_LOST, and fl_foreign_wait), a
 * thread has ended with the lock (FL_COND_ORPHANED, and fl_foreign_wait), or a foreign lock raises for seconds
 * (fl_foreign_wait). */
PyObject *fl_condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_wait_for(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_notify_all(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_notifyAll(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

extern const char fl_condition_wait_doc[];
extern const char fl_condition_wait_for_doc[];
extern const char fl_condition_notify_doc[];
extern const char fl_condition_notify_all_doc[];
extern const char fl_condition_notifyAll_doc[];

/* What the lock does: condition_lock.c.  Those that take the lock block. */
PyObject *fl_condition_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_release(PyObject *self, PyObject *ignored);
PyObject *fl_condition_locked(PyObject *self, PyObject *ignored);
PyObject *fl_condition_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_is_owned(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_release_save(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_acquire_restore(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *fl_condition_at_fork_reinit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

extern const char fl_condition_acquire_doc[];
extern const char fl_condition_release_doc[];
extern const char fl_condition_locked_doc[];
extern const char fl_condition_enter_doc[];
extern const char fl_condition_exit_doc[];
extern const char fl_condition_is_owned_doc[];
extern const char fl_condition_release_save_doc[];
extern const char fl_condition_acquire_restore_doc[];
extern const char fl_condition_at_fork_reinit_doc[];

/* `__enter__` and `__exit__` for py/bound.h: condition_lock.c. */
PyObject *fl_condition_bound_enter(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *fl_condition_bound_exit(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
