#include "types/locking.h"

#include "platform/clock.h"
#include "py/block.h"
#include "py/define.h"
#include "types/contention.h"
#include "types/types.h"
#include "types/waits.h"

/* The standard library's lock of that kind, which raises the exceptions of bad calls. */
static inline fl_stdlib
stdlib_of(fl_lock_kind kind, PyObject *self)
{
    return (fl_stdlib){self, kind == FL_RECURSIVE};
}

/* ---- acquiring ---- */

/* For a wait that has ended as a deadlock.  Returns 0 where it can begin anew, with `ops`, or -1 with an exception. */
static int
wait_again(void *mutex, int64_t since_ns, fl_wait_ops *ops)
{
    int raised = fl_waits_raise_deadlock(fl_lock_of(mutex), since_ns);
    if (raised == FL_WAITS_DOUBTFUL) {
        ops->look = NULL;
    }
    return raised < 0 ? -1 : 0;
}

static fl_wait_kind
wait_kind(fl_lock_kind kind)
{
    return kind == FL_RECURSIVE ? FL_FOR_RMUTEX : FL_FOR_MUTEX;
}

/* Returns a bool, or NULL with an exception. */
static FL_SLOW PyObject *
wait_within(fl_lock_wait_fn *wait, fl_lock_kind kind, void *mutex, int64_t timeout_ns)
{
    fl_wait_ops ops = *fl_locking_wait_ops(kind);
    int64_t deadline_ns = fl_deadline_after_ns(timeout_ns);
    int64_t since_ns = fl_clock_now_ns();
    int acquired;
    do {
        fl_py_blocker blocker;
        fl_contention_wait record;
        fl_contention_begin(&record, fl_lock_of(mutex), wait_kind(kind));
        acquired = fl_py_lock_wait(&blocker, wait, &ops, mutex, deadline_ns);
        fl_contention_end(&record, fl_py_has_blocked(&blocker), 0);
        if (acquired == FL_PY_DEADLOCK && wait_again(mutex, since_ns, &ops) < 0) {
            return NULL;
        }
    } while (acquired == FL_PY_DEADLOCK);
    return acquired < 0 ? NULL : fl_bool(acquired);
}

/* Takes the mutex within the timeout.  Returns a bool, or NULL with an exception.  It does not call try_lock(): that
 * goes through a table of functions, and these are inline. */
static inline PyObject *
lock_within(fl_lock_kind kind, void *mutex, int64_t timeout_ns)
{
    if (timeout_ns != 0 && FL_UNLIKELY(fl_word_is_promised(mutex))) {
        return wait_within(fl_lock_give_way, kind, mutex, timeout_ns);
    }
    fl_lock_result tried = FL_LOCK_BUSY;
    if (kind == FL_RECURSIVE) {
        tried = fl_rmutex_try_lock(mutex);
    }
    else if (kind == FL_SCOPED ? fl_mutex_try_enter(mutex) : fl_mutex_try_lock(mutex)) {
        tried = FL_LOCK_ACQUIRED;
    }
    if (tried == FL_LOCK_ACQUIRED) {
        Py_RETURN_TRUE;
    }
    if (tried != FL_LOCK_BUSY) {
        (void)fl_py_lock_error(tried);
        return NULL;
    }
    if (timeout_ns == 0) {
        Py_RETURN_FALSE;
    }
    return wait_within(fl_lock_wait, kind, mutex, timeout_ns);
}

static FL_NOINLINE PyObject *
lock_plain(fl_lock_kind kind, void *mutex, int64_t timeout_ns)
{
    return lock_within(kind == FL_SCOPED ? FL_SCOPED : FL_PLAIN, mutex, timeout_ns);
}

static FL_NOINLINE PyObject *
lock_recursive(void *mutex, int64_t timeout_ns)
{
    return lock_within(FL_RECURSIVE, mutex, timeout_ns);
}

/* By itself, so that it is cheap to take a recursive mutex once more. */
FL_NOINLINE PyObject *
fl_locking_lock_slow(fl_lock_kind kind, void *mutex)
{
    if (kind != FL_RECURSIVE) {
        return lock_plain(kind, mutex, FL_DEADLINE_NEVER);
    }
    return lock_within(FL_RECURSIVE, mutex, FL_DEADLINE_NEVER);
}

/* Takes the mutex within the timeout, after an attempt that was not enough. */
static inline PyObject *
lock_within_slow(fl_lock_kind kind, void *mutex, int64_t timeout_ns)
{
    return kind == FL_RECURSIVE ? lock_recursive(mutex, timeout_ns) : lock_plain(kind, mutex, timeout_ns);
}

PyObject *
fl_locking_try_lock_slow(fl_lock_kind kind, void *mutex)
{
    return lock_within_slow(kind, mutex, 0);
}

static FL_SLOW PyObject *
acquire_any(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout_ns;
    if (fl_parse_acquire(stdlib_of(kind, self), (fl_call){args, nargs, kwnames}, &timeout_ns) < 0) {
        return NULL;
    }
    return lock_within_slow(kind, mutex, timeout_ns);
}

static inline PyObject *
acquire_with(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout_ns = fl_parse_plain_acquire(args, nargs, kwnames);
    if (FL_UNLIKELY(timeout_ns == FL_NOT_PLAIN)) {
        return acquire_any(kind, mutex, self, args, nargs, kwnames);
    }
    if (timeout_ns == 0) {
        return fl_locking_try_lock(kind, mutex);
    }
    if (FL_LIKELY(fl_locking_try_lock_fast(kind, mutex))) {
        Py_RETURN_TRUE;
    }
    return lock_within_slow(kind, mutex, timeout_ns);
}

PyObject *
fl_locking_acquire_plain(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return acquire_with(FL_PLAIN, mutex, self, args, nargs, kwnames);
}

PyObject *
fl_locking_acquire_recursive(void *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return acquire_with(FL_RECURSIVE, mutex, self, args, nargs, kwnames);
}

FL_SLOW PyObject *
fl_locking_acquire_as(fl_lock_kind kind, void *mutex, PyObject *self, const char *method, fl_call call)
{
    if (fl_check_with_stdlib(stdlib_of(kind, self), false, method, call) < 0) {
        return NULL;
    }
    return fl_locking_acquire_with(kind, mutex, self, call.args, call.nargs, call.kwnames);
}

/* ---- releasing ---- */

static PyObject *
not_held(fl_lock_kind kind)
{
    const char *text = kind == FL_RECURSIVE ? "cannot release un-acquired lock" : "release unlocked lock";
    PyErr_SetString(PyExc_RuntimeError, text);
    return NULL;
}

FL_NOINLINE PyObject *
fl_locking_unlock_slow(fl_lock_kind kind, void *mutex, fl_wake_policy policy)
{
    bool released =
        kind == FL_RECURSIVE ? fl_rmutex_unlock_slow(mutex, policy) : fl_mutex_unlock_slow(mutex, policy, NULL);
    return released ? Py_NewRef(Py_None) : not_held(kind);
}

FL_SLOW PyObject *
fl_locking_exit_with(fl_lock_kind kind, void *mutex, PyObject *self, fl_call call, fl_wake_policy policy)
{
    if (fl_check_with_stdlib(stdlib_of(kind, self), true, "__exit__", call) < 0) {
        return NULL;
    }
    return fl_locking_unlock(kind, mutex, policy);
}

/* ---- for a condition ---- */

PyObject *
fl_locking_release_save(fl_lock_kind kind, void *mutex)
{
    if (kind != FL_RECURSIVE) {
        return fl_locking_unlock(kind, mutex, FL_WAKE_NEXT);
    }
    if (!fl_rmutex_is_owned(mutex)) {
        return not_held(kind);
    }
    /* The pair is made before the release: if it cannot be made, the mutex stays held. */
    PyObject *saved = Py_BuildValue("(Kk)", fl_rmutex_depth(mutex), PyThread_get_thread_ident());
    if (saved) {
        (void)fl_rmutex_release_all(mutex, NULL);
    }
    return saved;
}

/* Gets the depth out of the pair (depth, owner).  Returns false, without an exception, where `saved` is not a tuple of
 * two numbers that fit. */
static bool
depth_of(PyObject *saved, uint64_t *depth)
{
    if (!PyTuple_CheckExact(saved) || PyTuple_GET_SIZE(saved) != 2 || !PyLong_CheckExact(PyTuple_GET_ITEM(saved, 0)) ||
        !PyLong_CheckExact(PyTuple_GET_ITEM(saved, 1))) {
        return false;
    }
    *depth = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(saved, 0));
    if (!PyErr_Occurred()) {
        (void)PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(saved, 1));
    }
    bool fits = !PyErr_Occurred();
    PyErr_Clear();
    return fits;
}

/* Does the same for anything that the running interpreter's RLock takes.  Some versions take any sequence, and numbers
 * modulo their word.  Returns 0, or -1 with an exception. */
static int
parse_saved(PyObject *self, PyObject *saved, uint64_t *depth)
{
    if (!depth_of(saved, depth)) {
        if (fl_check_with_stdlib((fl_stdlib){self, true}, false, "_acquire_restore", (fl_call){&saved, 1, NULL}) < 0) {
            return -1;
        }
        PyObject *count = PySequence_GetItem(saved, 0);
        *depth = count ? PyLong_AsUnsignedLongLongMask(count) : 0;
        Py_XDECREF(count);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    if (*depth == 0) {
        PyErr_SetString(PyExc_ValueError, "the recursion count must be positive");
        return -1;
    }
    return 0;
}

PyObject *
fl_locking_acquire_restore(fl_lock_kind kind, void *mutex, PyObject *self, PyObject *saved)
{
    uint64_t depth = 1;
    if (kind == FL_RECURSIVE && parse_saved(self, saved, &depth) < 0) {
        return NULL;
    }
    fl_py_blocker blocker;
    fl_contention_wait record;
    fl_wait_ops ops = *fl_locking_wait_ops(kind);
    int64_t since_ns = fl_clock_now_ns();
    fl_lock_result taken = ops.try_lock(mutex, NULL);
    while (taken == FL_LOCK_BUSY || taken == FL_LOCK_DEADLOCK) {
        if (taken == FL_LOCK_DEADLOCK && wait_again(mutex, since_ns, &ops) < 0) {
            return NULL;
        }
        fl_contention_begin(&record, fl_lock_of(mutex), wait_kind(kind));
        fl_py_blocker_init_uninterruptible(&blocker);
        taken = fl_lock_wait(&ops, mutex, FL_DEADLINE_NEVER, &blocker.base);
        fl_contention_end(&record, fl_py_has_blocked(&blocker), 0);
    }
    if (taken != FL_LOCK_ACQUIRED) {
        (void)fl_py_lock_error(taken);
        return NULL;
    }
    fl_locking_ops(kind)->restore(mutex, depth);
    Py_RETURN_NONE;
}

/* ---- for the types Lock and RLock ---- */

FL_DOC(fl_locking_locked_doc,
       "locked($self, /)\n"
       "--\n"
       "\n"
       "Return whether the lock is held, by any thread.\n"
       "\n"
       "Mirrors threading.Lock.locked, and threading.RLock.locked of Python 3.14.");

FL_DOC(fl_locking_enter_doc,
       "__enter__($self, /)\n"
       "--\n"
       "\n"
       "Take the lock, waiting for it if need be, and return True.\n"
       "\n"
       "Raises what acquire() raises.\n"
       "\n"
       "Mirrors threading.Lock.__enter__ and threading.RLock.__enter__.");

FL_DOC(fl_locking_exit_doc,
       FL_EXIT_SIGNATURE "--\n"
                         "\n"
                         "Release the lock as release() does; exceptions pass through.\n"
                         "\n"
                         "exc_info: the exception that ends the block, in three parts; not used.\n"
                         "\n"
                         "Raises RuntimeError as release() does.\n"
                         "\n"
                         "Mirrors threading.Lock.__exit__ and threading.RLock.__exit__.");

FL_DOC(fl_locking_at_fork_reinit_doc,
       "_at_fork_reinit($self, /)\n"
       "--\n"
       "\n"
       "Make the lock free, whoever held it.  For the child of a fork only.\n"
       "\n"
       "Mirrors threading.Lock._at_fork_reinit and threading.RLock._at_fork_reinit.");

PyMemberDef fl_locking_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_locking_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

void
fl_locking_dealloc(PyObject *self)
{
    fl_object_freed(self);
    if (((fl_locking_object *)self)->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

int
fl_locking_check_new(PyObject *stdlib, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) == 0 && (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0)) {
        return 0;
    }
    PyObject *made = PyObject_Call(stdlib, args, kwargs);
    Py_XDECREF(made);
    return made ? 0 : -1;
}
