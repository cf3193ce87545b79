/* The methods of pyfastlock.Semaphore and pyfastlock.BoundedSemaphore, over core/sema.h. */

#include "types/semaphore.h"

#include "py/define.h"
#include "py/method.h"
#include "types/contention.h"
#include "types/inside.h"

FL_NOINLINE PyObject *
fl_semaphore_call_open(PyObject *self, const char *owner, const char *method, fl_call call)
{
    fl_state *state = fl_state_of(self);
    bool bounded = owner[0] == 'B';
    return fl_inside_call(self, bounded ? state->stdlib_bounded_semaphore : state->stdlib_semaphore, method, call);
}

static inline bool
is_bounded(PyObject *self)
{
    return PyObject_TypeCheck(self, fl_state_of(self)->bounded_semaphore_type);
}

static PyObject *
raise_misfit(PyObject *self, const char *owner, const char *method, fl_call call)
{
    return fl_raise_misfit(fl_state_of(self), owner, method, self, call);
}

/* ---- acquire ---- */

PyDoc_STRVAR(semaphore_acquire_doc,
             "acquire($self, /, blocking=True, timeout=None)\n"
             "--\n"
             "\n"
             "Take one of the permits, and return whether one was taken.\n"
             "\n"
             "blocking: False to return at once, whether one is free or not.\n"
             "timeout:  how many seconds to wait at most; None waits without a limit.\n"
             "\n"
             "In the main thread the wait is interrupted by signals: their handlers run at\n"
             "once, an exception from one takes no permit and is raised here, and otherwise\n"
             "the wait goes on to its original deadline.\n"
             "\n"
             "Raises ValueError for a timeout that is NaN or given with blocking=False;\n"
             "OverflowError for one above TIMEOUT_MAX;\n"
             FL_ENDLESS_WAIT_DOC
             "\n"
             "Mirrors threading.Semaphore.acquire, which never ends where the timeout is NaN.");

/* The semaphore was opened before a permit was taken: goes on in `threading`'s algorithm. */
static PyObject *
acquire_open(PyObject *self, int64_t deadline_ns)
{
    PyObject *function = PyMapping_GetItemString(fl_state_of(self)->methods, "go_on_acquiring");
    PyObject *left = function ? fl_inside_time_left(deadline_ns) : NULL;
    PyObject *stdlib = fl_state_of(self)->stdlib_semaphore;
    PyObject *result = left ? PyObject_CallFunctionObjArgs(function, stdlib, self, left, NULL) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(function);
    return result;
}

/* Waits for a permit after an attempt that got none: no permit was free, or the semaphore was opened meanwhile. */
static PyObject *
wait_within(PyObject *self, int64_t timeout_ns)
{
    int64_t deadline_ns = fl_deadline_after_ns(timeout_ns);
    if (timeout_ns == 0 && fl_semaphore_is_closed(self)) {
        Py_RETURN_FALSE;
    }
    fl_py_blocker blocker;
    fl_contention_wait record;
    fl_contention_begin(&record, self, FL_FOR_SEMA);
    int acquired = fl_py_lock_wait(&blocker, fl_lock_wait, &fl_sema_ops, fl_semaphore_core(self), deadline_ns);
    fl_contention_end(&record, fl_py_has_blocked(&blocker), 0);
    if (acquired == FL_PY_OPENED) {
        return acquire_open(self, deadline_ns);
    }
    return acquired < 0 ? NULL : fl_bool(acquired);
}

static PyObject *
acquire_as(PyObject *self, fl_call call)
{
    static const char *const names[] = {"blocking", "timeout"};
    PyObject *values[2];
    int64_t timeout_ns = FL_DEADLINE_NEVER;
    if (!fl_bind(call, names, 2, 0, values)) {
        return raise_misfit(self, "Semaphore", "acquire", call);
    }
    int blocking = values[0] ? PyObject_IsTrue(values[0]) : 1;
    PyObject *timeout = values[1] ? values[1] : Py_None;
    if (blocking < 0) {
        return NULL;
    }
    if (!blocking && timeout != Py_None) {
        PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    if (!fl_is_nan(timeout) && fl_sema_try_acquire(fl_semaphore_core(self))) {
        Py_RETURN_TRUE;
    }
    if (fl_check_addable(timeout) < 0 || fl_parse_timeout(self, timeout, &timeout_ns) < 0) {
        return NULL;
    }
    return wait_within(self, blocking ? timeout_ns : 0);
}

static FL_NOINLINE PyObject *
acquire_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_call call = {args, nargs, kwnames};
    if (FL_UNLIKELY(!fl_semaphore_is_closed(self))) {
        return fl_semaphore_call_open(self, "Semaphore", "acquire", call);
    }
    if (nargs == 1 && kwnames == NULL && args[0] == Py_False) {
        return fl_sema_try_acquire(fl_semaphore_core(self)) ? Py_NewRef(Py_True) : wait_within(self, 0);
    }
    return acquire_as(self, call);
}

static PyObject *
semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL && fl_sema_try_acquire(fl_semaphore_core(self)))) {
        Py_RETURN_TRUE;
    }
    return acquire_with(self, args, nargs, kwnames);
}

/* ---- release ---- */

PyDoc_STRVAR(semaphore_release_doc,
             "release($self, /, n=1)\n"
             "--\n"
             "\n"
             "Give n permits back, and wake as many of the threads that wait for one.\n"
             "\n"
             "n: how many permits, an int.\n"
             "\n"
             "May be called from signal handlers and finalizers, whatever they interrupted.\n"
             "\n"
             "Raises ValueError where n is less than one, TypeError where it is not an int,\n"
             "and OverflowError where there would be more than 2**62 - 1 permits.\n"
             "\n"
             "Mirrors threading.Semaphore.release, which hangs in a handler that interrupted\n"
             "it.");

PyDoc_STRVAR(bounded_release_doc,
             "release($self, /, n=1)\n"
             "--\n"
             "\n"
             "Give n permits back, and wake as many of the threads that wait for one.\n"
             "\n"
             "n: how many permits, an int.\n"
             "\n"
             "May be called from signal handlers and finalizers, whatever they interrupted.\n"
             "\n"
             "Raises ValueError where n is less than one, or where there would be more\n"
             "permits than at first, and TypeError where n is not an int; nothing has happened\n"
             "then.\n"
             "\n"
             "Mirrors threading.BoundedSemaphore.release, which hangs in a handler that\n"
             "interrupted it.");

static FL_NOINLINE PyObject *
release_count(PyObject *self, const char *owner, uint64_t count)
{
    if (fl_semaphore_is_ready(self) && fl_sema_release(fl_semaphore_core(self), count, fl_semaphore_bound(self))) {
        Py_RETURN_NONE;
    }
    if (!fl_semaphore_is_closed(self)) {
        PyObject *n = PyLong_FromUnsignedLongLong(count);
        PyObject *result = n ? fl_semaphore_call_open(self, owner, "release", (fl_call){&n, 1, NULL}) : NULL;
        Py_XDECREF(n);
        return result;
    }
    if (is_bounded(self)) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
    }
    else {
        PyErr_SetString(PyExc_OverflowError, "the semaphore's value would be too large");
    }
    return NULL;
}

static FL_NOINLINE PyObject *
release_with(PyObject *self, const char *owner, fl_call call)
{
    static const char *const names[] = {"n"};
    PyObject *n;
    uint64_t count = 1;
    if (!fl_semaphore_is_closed(self)) {
        return fl_semaphore_call_open(self, owner, "release", call);
    }
    if (!fl_bind(call, names, 1, 0, &n)) {
        return raise_misfit(self, owner, "release", call);
    }
    int less = n ? fl_is_less(n, 1) : 0;
    if (less > 0) {
        PyErr_SetString(PyExc_ValueError, "n must be one or more");
    }
    if (less != 0 || (n && fl_as_count(n, &count) < 0)) {
        return NULL;
    }
    return release_count(self, owner, count);
}

static inline PyObject *
release_one(PyObject *self, const char *owner)
{
    if (FL_LIKELY(fl_sema_release_fast(fl_semaphore_core(self), fl_semaphore_bound(self)))) {
        Py_RETURN_NONE;
    }
    return release_count(self, owner, 1);
}

static PyObject *
semaphore_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return release_one(self, "Semaphore");
    }
    return release_with(self, "Semaphore", (fl_call){args, nargs, kwnames});
}

static PyObject *
bounded_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return release_one(self, "BoundedSemaphore");
    }
    return release_with(self, "BoundedSemaphore", (fl_call){args, nargs, kwnames});
}

PyDoc_STRVAR(semaphore_exit_doc,
             "__exit__($self, /, t, v, tb)\n"
             "--\n"
             "\n"
             "Give a permit back; exceptions pass through.\n"
             "\n"
             "t, v, tb: the exception that ends the block; not used.\n"
             "\n"
             "Raises what release() raises.\n"
             "\n"
             "Mirrors threading.Semaphore.__exit__.");

static PyObject *
semaphore_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"t", "v", "tb"};
    PyObject *values[3];
    fl_call call = {args, nargs, kwnames};
    if (FL_UNLIKELY((nargs != 3 || kwnames) && !fl_bind(call, names, 3, 3, values))) {
        return raise_misfit(self, "Semaphore", "__exit__", call);
    }
    fl_method_watch *watch = fl_semaphore_of(self)->watch;
    if (FL_LIKELY(watch && fl_method_watch_holds(watch, Py_TYPE(self)) && fl_instance_is_bare(self))) {
        return release_one(self, watch->owner);
    }
    PyObject *result = fl_call_method(self, "release"); /* release() is replaced, or we cannot tell */
    Py_XDECREF(result);
    return result ? Py_NewRef(Py_None) : NULL;
}

PyMethodDef fl_semaphore_methods[] = {
    {"acquire", FL_FASTCALL(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS, semaphore_acquire_doc},
    {"release", FL_FASTCALL(semaphore_release), METH_FASTCALL | METH_KEYWORDS, semaphore_release_doc},
    {"__exit__", FL_FASTCALL(semaphore_exit), METH_FASTCALL | METH_KEYWORDS, semaphore_exit_doc},
    {"__getstate__", fl_semaphore_getstate, METH_NOARGS, fl_getstate_doc},
    {NULL, NULL, 0, NULL},
};

PyMethodDef fl_bounded_semaphore_methods[] = {
    {"release", FL_FASTCALL(bounded_release), METH_FASTCALL | METH_KEYWORDS, bounded_release_doc},
    {NULL, NULL, 0, NULL},
};
