/* The parts of pyfastlock.Condition, for its type. */

#ifndef FL_CONDITION_H
#define FL_CONDITION_H

#include "types/types.h"

/* The lock that is not one of ours.  A borrowed reference, or NULL with an exception where __init__ was not
 * called or the garbage collector took it. */
PyObject *fl_condition_foreign_lock(fl_condition_object *self);

/* Whether the calling thread holds the lock; for one that does not know, whether anybody does.  -1 with an
 * exception. */
int fl_condition_owns(fl_condition_object *self);

/* Which methods a subclass, an attribute of the instance or an assignment to the type has replaced. */
enum {
    FL_REPLACED_WAIT = 1 << 0,
    FL_REPLACED_NOTIFY = 1 << 1,
    FL_REPLACED_IS_OWNED = 1 << 2,
    FL_REPLACED_RELEASE_SAVE = 1 << 3,
    FL_REPLACED_ACQUIRE_RESTORE = 1 << 4,
    FL_REPLACED_ACQUIRE = 1 << 5,
    FL_REPLACED_RELEASE = 1 << 6,
    /* What a wait does with its lock. */
    FL_REPLACED_LOCK = FL_REPLACED_IS_OWNED | FL_REPLACED_RELEASE_SAVE | FL_REPLACED_ACQUIRE_RESTORE,
};

/* Some of the above, 0 where nothing is replaced, or -1 with an exception. */
int fl_condition_replaced_slow(fl_condition_object *self);

/* Whether it is known that nothing is replaced.  Two loads and a comparison. */
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

/* Whether the Condition's method of this name, one of those above, is replaced: 1, 0, or -1 with an exception. */
int fl_condition_has_replaced(PyObject *self, const char *name);

/* Waiting and notifying, in condition_wait.c. */
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

/* The methods of the lock, in condition_lock.c. */
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

/* For py/bound.h. */
PyObject *fl_condition_bound_enter(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *fl_condition_bound_exit(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

#endif
