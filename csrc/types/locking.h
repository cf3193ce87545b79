/* Locking, as Python calls it: acquire(), release() and what belongs to them, for all three types that have them.
 *
 * A Lock, an RLock and a Condition have the same methods over two kinds of mutexes.  Each function here takes the kind and
 * the mutex.  In lock.c and rlock.c the kind is a constant, and the compiler drops the other half; a Condition knows it at
 * run time only.
 *
 * A fast path is inline and one attempt; what follows it is called last, so that the fast path saves no registers.
 *
 * `self` is the object that the call was made on: for its module, and for the exceptions of bad calls. */

#ifndef FL_LOCKING_H
#define FL_LOCKING_H

#include "core/mutex.h"
#include "core/rmutex.h"
#include "py/args.h"
#include "py/bound.h"
#include "py/compat.h"

typedef enum {
    FL_FOREIGN,   /* a Condition's lock that is not one of ours: nothing here takes it */
    FL_PLAIN,     /* an fl_mutex */
    FL_RECURSIVE, /* an fl_rmutex */
} fl_lock_kind;

/* How the core waits for a mutex of that kind; NULL for FL_FOREIGN. */
static inline const fl_lock_ops *
fl_locking_ops(fl_lock_kind kind)
{
    return kind == FL_RECURSIVE ? &fl_rmutex_ops : kind == FL_PLAIN ? &fl_mutex_ops : NULL;
}

static inline bool
fl_locking_is_locked(fl_lock_kind kind, void *mutex)
{
    return kind == FL_RECURSIVE ? fl_rmutex_is_locked(mutex) : fl_mutex_is_locked(mutex);
}

/* Whether the calling thread holds the mutex; a plain one does not know its holder, and says whether anybody does. */
static inline bool
fl_locking_is_owned(fl_lock_kind kind, void *mutex)
{
    return kind == FL_RECURSIVE ? fl_rmutex_is_owned(mutex) : fl_mutex_is_locked(mutex);
}

/* acquire() without arguments.  Returns True, or NULL with an exception. */
PyObject *fl_locking_lock_slow(fl_lock_kind kind, void *mutex);

static inline PyObject *
fl_locking_lock(fl_lock_kind kind, void *mutex)
{
    bool taken = kind == FL_RECURSIVE ? fl_rmutex_try_lock_fast(mutex) : fl_mutex_try_lock_fast(mutex);
    if (FL_LIKELY(taken)) {
        Py_RETURN_TRUE;
    }
    return fl_locking_lock_slow(kind, mutex);
}

/* release().  Returns None, or NULL with an exception where the mutex is not held. */
PyObject *fl_locking_unlock_slow(fl_lock_kind kind, void *mutex, fl_wake_policy policy);

static inline PyObject *
fl_locking_unlock(fl_lock_kind kind, void *mutex, fl_wake_policy policy)
{
    bool released = kind == FL_RECURSIVE ? fl_rmutex_unlock_fast(mutex) : fl_mutex_unlock_fast(mutex);
    if (FL_LIKELY(released)) {
        Py_RETURN_NONE;
    }
    return fl_locking_unlock_slow(kind, mutex, policy);
}

/* acquire(*args).  Returns a bool, or NULL with an exception.  Each kind has a function of its own: a timed acquire() of a
 * free lock does not pay for the other one. */
PyObject *fl_locking_acquire_plain(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames);
PyObject *fl_locking_acquire_recursive(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames);

/* The same by the kind. */
static inline PyObject *
fl_locking_acquire_with(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    return kind == FL_RECURSIVE ? fl_locking_acquire_recursive(mutex, self, args, nargs, kwnames)
                                : fl_locking_acquire_plain(mutex, self, args, nargs, kwnames);
}

/* acquire(*args), with the usual call first. */
static inline PyObject *
fl_locking_acquire(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_locking_lock(kind, mutex);
    }
    return fl_locking_acquire_with(kind, mutex, self, args, nargs, kwnames);
}

/* acquire(*args), by another name of it, `method`: for a call that the standard library judges first. */
PyObject *fl_locking_acquire_as(fl_lock_kind kind, void *mutex, PyObject *self, const char *method, fl_call call);

/* __exit__(*args), after the standard library has judged the arguments. */
PyObject *fl_locking_exit_with(fl_lock_kind kind, void *mutex, PyObject *self, fl_call call, fl_wake_policy policy);

/* _release_save(): (count, owner) of a recursive mutex, None of a plain one.  NULL with an exception where the mutex is not
 * held, or the pair cannot be made: then it stays held. */
PyObject *fl_locking_release_save(fl_lock_kind kind, void *mutex);

/* _acquire_restore(saved), whatever signals arrive.  Returns None, or NULL with an exception. */
PyObject *fl_locking_acquire_restore(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *saved);

/* ---- for the types Lock and RLock: types/locking_methods.h ---- */

/* How their objects begin. */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
} fl_locking_object;

void fl_locking_dealloc(PyObject *self);

/* For a tp_new: the exception for arguments that `stdlib` does not take.  0, or -1 with it. */
int fl_locking_check_new(PyObject *stdlib, PyObject *args, PyObject *kwargs);

extern PyMemberDef fl_locking_members[];

extern const char fl_locking_enter_doc[];
extern const char fl_locking_exit_doc[];
extern const char fl_locking_at_fork_reinit_doc[];

/* The arguments of acquire(), in its docstring. */
#define FL_LOCKING_ARGUMENTS_DOC                                                     \
    "blocking: False to return at once, whether the lock is free or not.\n"          \
    "timeout:  how many seconds to wait at most; -1 waits without a limit.\n"        \
    "\n"                                                                             \
    "In the main thread the wait is interrupted by signals: their handlers run at\n" \
    "once, an exception from one leaves the lock alone and is raised here, and\n"    \
    "otherwise the wait goes on to its original deadline.\n"                         \
    "\n"                                                                             \
    "Raises ValueError for a timeout that is negative or NaN, or given with\n"       \
    "blocking=False, and OverflowError for one above TIMEOUT_MAX"

#endif
