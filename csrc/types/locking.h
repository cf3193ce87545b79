/* Locking, as Python calls it: acquire(), release() and what belongs to them, for the three types that have them.
 *
 * Lock, RLock and Condition have the same methods over two kinds of mutexes.  Each function here takes the kind and the
 * mutex.  In lock.c and rlock.c the kind is a constant, and the compiler drops the code for the other kind.  A
 * Condition knows the kind only at run time.
 *
 * A fast path is inline and makes one attempt.  It calls the slow path as its last step, and so saves no registers.
 *
 * Each function that stands for a method returns the method's result, a new reference, or NULL with an exception.  The
 * caller holds a reference to the object that the mutex lies in.  `self` is the object that the method was called on, a
 * lock or a Condition; it leads to the module's state and to the exceptions of bad calls.
 *
 * A function that takes a mutex blocks while another thread holds it, and runs signal handlers meanwhile.  A function
 * that parses arguments may run Python code.  All others do neither. */

#ifndef FL_LOCKING_H
#define FL_LOCKING_H

#include "core/mutex.h"
#include "core/rmutex.h"
#include "py/args.h"
#include "py/bound.h"
#include "py/compat.h"

typedef enum {
    FL_FOREIGN,   /* a Condition's lock that is not one of ours; only fl_locking_ops takes this kind */
    FL_PLAIN,     /* an fl_mutex; to take it is a loose hold (M1) */
    FL_RECURSIVE, /* an fl_rmutex */
    FL_SCOPED,    /* an fl_mutex that a with-statement takes; only functions that take a mutex take this kind */
} fl_lock_kind;

/* Returns what the core does with a mutex of that kind, or NULL for FL_FOREIGN. */
static inline const fl_lock_ops *
fl_locking_ops(fl_lock_kind kind)
{
    return kind == FL_RECURSIVE ? &fl_rmutex_ops : kind == FL_PLAIN ? &fl_mutex_ops : NULL;
}

/* Returns how the core waits for a mutex of that kind. */
static inline const fl_wait_ops *
fl_locking_wait_ops(fl_lock_kind kind)
{
    return kind == FL_RECURSIVE ? &fl_rmutex_ops.wait : kind == FL_PLAIN ? &fl_mutex_ops.wait : &fl_mutex_scoped_ops;
}

/* Returns whether any thread holds the mutex. */
static inline bool
fl_locking_is_locked(fl_lock_kind kind, void *mutex)
{
    return kind == FL_RECURSIVE ? fl_rmutex_is_locked(mutex) : fl_mutex_is_locked(mutex);
}

/* Returns whether the calling thread holds the mutex; for a plain mutex whether any thread does. */
static inline bool
fl_locking_is_owned(fl_lock_kind kind, void *mutex)
{
    return kind == FL_RECURSIVE ? fl_rmutex_is_owned(mutex) : fl_mutex_is_locked(mutex);
}

/* Takes the mutex if it is free and nobody waits for it.  Returns whether it did. */
static inline bool
fl_locking_try_lock_fast(fl_lock_kind kind, void *mutex)
{
    return kind == FL_RECURSIVE ? fl_rmutex_try_lock_fast(mutex)
           : kind == FL_SCOPED  ? fl_mutex_try_enter_fast(mutex)
                                : fl_mutex_try_lock_fast(mutex);
}

/* acquire() without arguments, and __enter__(): takes the mutex, and returns True. */
PyObject *fl_locking_lock_slow(fl_lock_kind kind, void *mutex);

static inline PyObject *
fl_locking_lock(fl_lock_kind kind, void *mutex)
{
    if (FL_LIKELY(fl_locking_try_lock_fast(kind, mutex))) {
        Py_RETURN_TRUE;
    }
    return fl_locking_lock_slow(kind, mutex);
}

/* acquire(False): takes the mutex if it is free or the calling thread may take it once more.  Returns whether it
 * did. */
PyObject *fl_locking_try_lock_slow(fl_lock_kind kind, void *mutex);

static inline PyObject *
fl_locking_try_lock(fl_lock_kind kind, void *mutex)
{
    if (fl_locking_is_locked(kind, mutex) && !(kind == FL_RECURSIVE && fl_rmutex_is_owned(mutex))) {
        Py_RETURN_FALSE;
    }
    if (FL_LIKELY(fl_locking_try_lock_fast(kind, mutex))) {
        Py_RETURN_TRUE;
    }
    return fl_locking_try_lock_slow(kind, mutex);
}

/* release(): releases the mutex once, and returns None.  RuntimeError where the mutex is not held, or, if it is
 * recursive, not by the calling thread.  `policy` says whom the release wakes: core/lock_word.h. */
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

/* acquire(...) with any arguments: returns whether it has taken the mutex.  Each kind has a function of its own, so
 * that a timed acquire() of a free lock does not pay for the other kind. */
PyObject *fl_locking_acquire_plain(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames);
PyObject *fl_locking_acquire_recursive(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *kwnames);

/* Does the same for a mutex of the given kind. */
static inline PyObject *
fl_locking_acquire_with(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    return kind == FL_RECURSIVE ? fl_locking_acquire_recursive(mutex, self, args, nargs, kwnames)
                                : fl_locking_acquire_plain(mutex, self, args, nargs, kwnames);
}

/* Does the same for `method`, another name of acquire, whose arguments may be restricted: the standard library checks
 * the arguments first. */
PyObject *fl_locking_acquire_as(fl_lock_kind kind, void *mutex, PyObject *self, const char *method, fl_call call);

/* __exit__(...) with any arguments: the standard library checks the arguments, then the mutex is released as by
 * release(). */
PyObject *fl_locking_exit_with(fl_lock_kind kind, void *mutex, PyObject *self, fl_call call, fl_wake_policy policy);

/* _release_save(): releases the mutex as often as it is held.  Returns the pair (count, owner) for a recursive mutex,
 * None for a plain one.  Where it raises nothing has been released. */
PyObject *fl_locking_release_save(fl_lock_kind kind, void *mutex);

/* _acquire_restore(saved): takes the mutex as often as _release_save() released it, and returns None.  Signals do not
 * interrupt the wait, and their handlers run later. */
PyObject *fl_locking_acquire_restore(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *saved);

/* ---- for the types Lock and RLock: types/locking_methods.h ---- */

/* How the objects of the two types begin. */
typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
} fl_locking_object;

/* The tp_dealloc of both types.  Runs the callbacks of weak references. */
void fl_locking_dealloc(PyObject *self);

/* Checks the arguments of a tp_new: where there are any, `stdlib`, the standard library's constructor, is called with
 * them.  Returns 0, or -1 with the exception that it raises. */
int fl_locking_check_new(PyObject *stdlib, PyObject *args, PyObject *kwargs);

extern PyMemberDef fl_locking_members[];

extern const char fl_locking_locked_doc[];
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
    "blocking=False; OverflowError for one above TIMEOUT_MAX"

#endif
