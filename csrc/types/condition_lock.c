/* The methods that a Condition has from its lock. */

#include "py/bound.h"
#include "py/define.h"
#include "types/condition.h"
#include "types/foreign.h"

static const fl_call NO_ARGUMENTS = {NULL, 0, NULL};

/* fl_foreign_call on the Condition's lock. */
static FL_SLOW PyObject *
call_foreign(fl_condition_object *self, const char *name, const char *otherwise, fl_call call)
{
    PyObject *lock = fl_condition_get_lock(self);
    if (lock == NULL) {
        return NULL;
    }
    Py_INCREF(lock);
    PyObject *result = fl_foreign_call(lock, name, otherwise, call);
    Py_DECREF(lock);
    return result;
}

/* acquire() without arguments. */
static inline PyObject *
acquire(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    if (FL_LIKELY(kind != FL_FOREIGN)) {
        return fl_locking_lock(kind, self->mutex);
    }
    return call_foreign(self, "acquire", "acquire", NO_ARGUMENTS);
}

/* __enter__() without arguments. */
static inline PyObject *
enter(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    if (FL_LIKELY(kind == FL_RECURSIVE)) {
        return fl_locking_lock(FL_RECURSIVE, self->mutex);
    }
    if (kind == FL_PLAIN) {
        return fl_locking_lock(FL_SCOPED, self->mutex);
    }
    return call_foreign(self, "__enter__", "acquire", NO_ARGUMENTS);
}

static FL_SLOW PyObject *
acquire_with(PyObject *self, fl_call call)
{
    fl_condition_object *condition = fl_condition_of(self);
    fl_lock_kind kind = fl_condition_kind(condition);
    if (kind != FL_FOREIGN) {
        return fl_locking_acquire_with(kind, condition->mutex, self, call.args, call.nargs, call.kwnames);
    }
    return call_foreign(condition, "acquire", "acquire", call);
}

static inline PyObject *
release(PyObject *self)
{
    fl_condition_object *condition = fl_condition_of(self);
    fl_lock_kind kind = fl_condition_kind(condition);
    if (FL_LIKELY(kind != FL_FOREIGN)) {
        return fl_locking_unlock(kind, condition->mutex, FL_WAKE_NEXT);
    }
    return call_foreign(condition, "release", "release", NO_ARGUMENTS);
}

FL_DOC(fl_condition_acquire_doc,
       "acquire($self, /, blocking=True, timeout=-1)\n"
       "--\n"
       "\n"
       "Take the lock, and return whether it was taken: its acquire().\n"
       "\n"
       "blocking: False to return at once, whether the lock is free or not.\n"
       "timeout:  how many seconds to wait at most; -1 waits without a limit.\n"
       "\n"
       "A lock that is not of this module gets the arguments as they are.\n"
       "\n"
       "Raises what the lock's acquire() raises.\n"
       "\n"
       "Mirrors threading.Condition.acquire.");

PyObject *
fl_condition_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return acquire(fl_condition_of(self));
    }
    return acquire_with(self, (fl_call){args, nargs, kwnames});
}

FL_DOC(fl_condition_release_doc,
       "release($self, /)\n"
       "--\n"
       "\n"
       "Release the lock: its release().\n"
       "\n"
       "Raises what the lock's release() raises: RuntimeError where it is not held.\n"
       "\n"
       "Mirrors threading.Condition.release.");

PyObject *
fl_condition_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return release(self);
}

FL_DOC(fl_condition_locked_doc,
       "locked($self, /)\n"
       "--\n"
       "\n"
       "Return whether the lock is held, by any thread: its locked().\n"
       "\n"
       "Raises AttributeError where the lock has no such method.\n"
       "\n"
       "Mirrors threading.Condition.locked of Python 3.14.");

PyObject *
fl_condition_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fl_condition_object *condition = fl_condition_of(self);
    fl_lock_kind kind = fl_condition_kind(condition);
    if (kind != FL_FOREIGN) {
        return fl_bool(fl_locking_is_locked(kind, condition->mutex));
    }
    return call_foreign(condition, "locked", "locked", NO_ARGUMENTS);
}

FL_DOC(fl_condition_enter_doc,
       "__enter__($self, /)\n"
       "--\n"
       "\n"
       "Take the lock, waiting for it if need be, and return True.\n"
       "\n"
       "Raises what the lock's acquire() raises.\n"
       "\n"
       "Mirrors threading.Condition.__enter__.");

static FL_NOINLINE PyObject *
enter_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "__enter__", self, (fl_call){args, nargs, kwnames});
    }
    return enter(fl_condition_of(self));
}

PyObject *
fl_condition_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL && fl_condition_kind(fl_condition_of(self)) == FL_RECURSIVE)) {
        return fl_locking_lock(FL_RECURSIVE, fl_condition_of(self)->mutex);
    }
    return enter_with(self, args, nargs, kwnames);
}

FL_DOC(fl_condition_exit_doc,
       "__exit__($self, /, *args)\n"
       "--\n"
       "\n"
       "Release the lock; exceptions pass through.\n"
       "\n"
       "args: the exception that ends the block, in three parts.\n"
       "\n"
       "Raises what the lock's release() raises: RuntimeError where it is not held.\n"
       "\n"
       "Mirrors threading.Condition.__exit__.");

static FL_NOINLINE PyObject *
exit_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_condition_object *condition = fl_condition_of(self);
    fl_call call = {args, nargs, kwnames};
    if (kwnames) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "__exit__", self, call);
    }
    fl_lock_kind kind = fl_condition_kind(condition);
    if (kind == FL_FOREIGN) {
        return call_foreign(condition, "__exit__", "release", call);
    }
    if (nargs != 3) {
        return fl_locking_exit_with(kind, condition->mutex, self, call, FL_WAKE_NEXT);
    }
    return release(self);
}

PyObject *
fl_condition_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 3 && kwnames == NULL && fl_condition_kind(fl_condition_of(self)) == FL_RECURSIVE)) {
        return fl_locking_unlock(FL_RECURSIVE, fl_condition_of(self)->mutex, FL_WAKE_NEXT);
    }
    return exit_with(self, args, nargs, kwnames);
}

FL_DOC(fl_condition_is_owned_doc,
       "_is_owned($self, /)\n"
       "--\n"
       "\n"
       "Return whether the lock is held: by the calling thread, or, where the lock does\n"
       "not know, by any.\n"
       "\n"
       "Mirrors threading.Condition._is_owned.");

/* Raises for a call of one of the methods below with wrong arguments.  Always returns NULL.  A Condition of the
 * standard library over an RLock has the RLock's method, which is written in C; any other has a method written in
 * Python. */
static PyObject *
raise_misfit(PyObject *self, const char *method, fl_call call)
{
    bool recursive = fl_condition_kind(fl_condition_of(self)) == FL_RECURSIVE;
    if (recursive && fl_check_with_stdlib((fl_stdlib){self, true}, true, method, call) < 0) {
        return NULL;
    }
    return fl_raise_misfit(fl_state_of(self), "Condition", method, self, call);
}

PyObject *
fl_condition_is_owned(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "_is_owned", (fl_call){args, nargs, kwnames});
    }
    int owned = fl_condition_owns(fl_condition_of(self));
    return owned < 0 ? NULL : fl_bool(owned);
}

FL_DOC(fl_condition_release_save_doc,
       "_release_save($self, /)\n"
       "--\n"
       "\n"
       "Release the lock however often it is held, and return what _acquire_restore()\n"
       "needs.\n"
       "\n"
       "Raises RuntimeError where the lock is not held.\n"
       "\n"
       "Mirrors threading.Condition._release_save.");

PyObject *
fl_condition_release_save(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_condition_object *condition = fl_condition_of(self);
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "_release_save", (fl_call){args, nargs, kwnames});
    }
    fl_lock_kind kind = fl_condition_kind(condition);
    if (kind != FL_FOREIGN) {
        return fl_locking_release_save(kind, condition->mutex);
    }
    PyObject *lock = fl_condition_get_lock(condition);
    return lock ? fl_foreign_release_save(lock) : NULL;
}

FL_DOC(fl_condition_acquire_restore_doc,
       "_acquire_restore($self, x, /)\n"
       "--\n"
       "\n"
       "Take the lock as often as _release_save() released it.\n"
       "\n"
       "x: what _release_save() returned.\n"
       "\n"
       "Raises what the lock raises for it.\n"
       "\n"
       "Mirrors threading.Condition._acquire_restore.");

PyObject *
fl_condition_acquire_restore(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_condition_object *condition = fl_condition_of(self);
    if (nargs != 1 || kwnames) {
        return raise_misfit(self, "_acquire_restore", (fl_call){args, nargs, kwnames});
    }
    PyObject *state = args[0];
    fl_lock_kind kind = fl_condition_kind(condition);
    if (kind != FL_FOREIGN) {
        return fl_locking_acquire_restore(kind, condition->mutex, self, state);
    }
    PyObject *lock = fl_condition_get_lock(condition);
    if (lock == NULL || fl_foreign_acquire_restore(lock, state) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

FL_DOC(fl_condition_at_fork_reinit_doc,
       "_at_fork_reinit($self, /)\n"
       "--\n"
       "\n"
       "Make the lock free, whoever held it.  For the child of a fork only, where no\n"
       "other thread waits any more.\n"
       "\n"
       "Mirrors threading.Condition._at_fork_reinit.");

PyObject *
fl_condition_at_fork_reinit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return fl_raise_misfit(
            fl_state_of(self), "Condition", "_at_fork_reinit", self, (fl_call){args, nargs, kwnames});
    }
    fl_condition_object *condition = fl_condition_of(self);
    fl_cond_after_fork(&condition->cond);
    PyObject *lock = fl_condition_get_lock(condition);
    return lock ? PyObject_CallMethod(lock, "_at_fork_reinit", NULL) : NULL;
}

PyObject *
fl_condition_bound_enter(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_enter(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return enter(fl_condition_of(fl_bound_self(callable)));
}

PyObject *
fl_condition_bound_exit(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *self = fl_bound_self(callable);
    if (FL_UNLIKELY(!fl_bound_is_plain_exit(callable, nargsf, kwnames) ||
                    fl_condition_kind(fl_condition_of(self)) == FL_FOREIGN)) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return release(self);
}
