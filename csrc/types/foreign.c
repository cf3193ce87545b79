#include "types/foreign.h"

#include "py/block.h"

static const fl_cond_lock NOT_OURS = {NULL, NULL};

/* lock.name, NULL where there is none, or NULL with an exception. */
static PyObject *
optional_method(PyObject *lock, const char *name)
{
    PyObject *text = PyUnicode_InternFromString(name);
    PyObject *method = text ? fl_get_optional_attr(lock, text) : NULL;
    Py_XDECREF(text);
    return method;
}

PyObject *
fl_foreign_call(PyObject *lock, const char *name, const char *otherwise, fl_call call)
{
    PyObject *method = optional_method(lock, name);
    if (method == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_CallMethod(lock, otherwise, NULL);
    }
    PyObject *result = PyObject_Vectorcall(method, call.args, (size_t)call.nargs, call.kwnames);
    Py_DECREF(method);
    return result;
}

/* Whether a lock that cannot tell is held: an attempt to take it answers. */
static int
probe(PyObject *lock)
{
    PyObject *result = PyObject_CallMethod(lock, "acquire", "O", Py_False);
    int acquired = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    if (acquired <= 0) {
        return acquired < 0 ? -1 : 1;
    }
    result = PyObject_CallMethod(lock, "release", NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int
fl_foreign_is_owned(PyObject *lock)
{
    PyObject *method = optional_method(lock, "_is_owned");
    if (method == NULL) {
        return PyErr_Occurred() ? -1 : probe(lock);
    }
    PyObject *result = PyObject_CallNoArgs(method);
    int owned = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    Py_DECREF(method);
    return owned;
}

PyObject *
fl_foreign_release_save(PyObject *lock)
{
    PyObject *method = optional_method(lock, "_release_save");
    if (method) {
        PyObject *saved = PyObject_CallNoArgs(method);
        Py_DECREF(method);
        return saved;
    }
    PyObject *released = PyErr_Occurred() ? NULL : PyObject_CallMethod(lock, "release", NULL);
    Py_XDECREF(released);
    return released ? Py_NewRef(Py_None) : NULL;
}

int
fl_foreign_acquire_restore(PyObject *lock, PyObject *saved)
{
    PyObject *result;
    PyObject *method = optional_method(lock, "_acquire_restore");
    if (method) {
        result = PyObject_CallOneArg(method, saved);
        Py_DECREF(method);
    }
    else {
        result = PyErr_Occurred() ? NULL : PyObject_CallMethod(lock, "acquire", NULL);
    }
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* After an attempt to take the lock back that raised: whether it is held all the same.  A lock written in C that
 * raises has not been taken, and the attempt may be repeated.  One written in Python may have been, if the
 * exception came late, and repeating would wait for ourselves: it is asked whether we own it or, where it cannot
 * tell, tried until it is free.  1, 0 to repeat, or -1 to give up. */
static int
is_held_after_failure(PyObject *lock)
{
    PyObject *method = optional_method(lock, "_is_owned");
    PyObject *acquire = optional_method(lock, "acquire");
    bool asks = method != NULL;
    bool in_python = acquire && (PyMethod_Check(acquire) || PyFunction_Check(acquire));
    Py_XDECREF(acquire);
    Py_XDECREF(method);
    if (asks) {
        return fl_foreign_is_owned(lock) > 0;
    }
    for (int i = 0; in_python && i < FL_FOREIGN_PROBES; i++) {
        PyObject *result = PyObject_CallMethod(lock, "acquire", "O", Py_False);
        int acquired = result ? PyObject_IsTrue(result) : 0;
        Py_XDECREF(result);
        PyErr_Clear();
        if (acquired > 0) {
            return 1;
        }
        fl_py_pause();
    }
    return in_python ? -1 : 0;
}

/* Takes the lock back, whatever it takes.  The first exception of all that happened meanwhile is set afterwards. */
static void
take_back(PyObject *lock, PyObject *saved)
{
    PyObject *first = fl_take_exception();
    int held = 0;
    for (int attempt = 0; held == 0 && attempt < FL_FOREIGN_ATTEMPTS; attempt++) {
        if (fl_foreign_acquire_restore(lock, saved) == 0) {
            break;
        }
        PyObject *exception = fl_take_exception();
        if (first == NULL) {
            first = exception;
        }
        else {
            Py_XDECREF(exception);
        }
        held = is_held_after_failure(lock);
        PyErr_Clear();
    }
    if (first) {
        fl_set_exception(first);
    }
}

/* The waiter's notification goes to another one, because an exception leaves wait(). */
static void
pass_on(fl_cond *cond, const fl_waiter *waiter)
{
    if (waiter->notified) {
        (void)fl_cond_notify(cond, 1, NOT_OURS);
    }
}

static int
wait_as(fl_cond *cond, PyObject *lock, fl_waiter *waiter, int64_t deadline_ns)
{
    fl_py_blocker blocker;
    fl_py_blocker_init(&blocker, deadline_ns);
    if (!blocker.base.poll(&blocker.base)) {
        return -1;
    }
    waiter->polling = true; /* while Python code releases the lock */
    fl_cond_enqueue(cond, waiter);
    PyObject *saved = fl_foreign_release_save(lock);
    fl_lot_end_polling(waiter);
    if (saved == NULL) {
        (void)fl_lot_cancel(waiter);
        pass_on(cond, waiter);
        return -1;
    }
    (void)fl_lot_sleep(waiter, deadline_ns, &blocker.base);
    take_back(lock, saved);
    Py_DECREF(saved);
    if (PyErr_Occurred()) {
        pass_on(cond, waiter);
        return -1;
    }
    return waiter->notified;
}

int
fl_foreign_wait(fl_cond *cond, PyObject *lock, int64_t deadline_ns)
{
    /* Allocated, because releasing the lock runs Python code while the waiter is queued (L5).  A thread that the
     * interpreter ends there leaves it behind. */
    fl_waiter *waiter = PyMem_RawMalloc(sizeof *waiter);
    if (waiter == NULL || fl_waiter_init(waiter, true) != 0) {
        PyMem_RawFree(waiter);
        PyErr_NoMemory();
        return -1;
    }
    int notified = wait_as(cond, lock, waiter, deadline_ns);
    fl_waiter_fini(waiter);
    PyMem_RawFree(waiter);
    return notified;
}
