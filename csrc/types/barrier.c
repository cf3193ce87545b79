/* The methods of pyfastlock.Barrier, over core/barrier.h. */

#include "types/barrier.h"

#include "py/define.h"
#include "py/method.h"
#include "types/contention.h"

const void *
fl_barrier_key(PyObject *self)
{
    return fl_barrier_core(self);
}

PyObject *
fl_barrier_of_key(const void *key)
{
    return (PyObject *)((char *)key - offsetof(fl_barrier_object, barrier));
}

static PyObject *
raise_misfit(PyObject *self, const char *method, fl_call call)
{
    return fl_raise_misfit(fl_state_of(self), "Barrier", method, self, call);
}

/* ---- open barriers ---- */

PyObject *
fl_barrier_call_open(PyObject *self, const char *method, fl_call call)
{
    return fl_inside_call(self, fl_state_of(self)->stdlib_barrier, method, call);
}

static PyObject *
barrier_getstate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_inside_getstate(self, &fl_barrier_inside);
}

/* The barrier was opened after the thread had arrived: it goes on waiting in `threading`'s algorithm. */
static PyObject *
go_on_waiting(PyObject *self, uint64_t index, int64_t deadline_ns)
{
    PyObject *function = PyMapping_GetItemString(fl_state_of(self)->methods, "go_on_waiting");
    PyObject *left = function ? fl_inside_time_left(deadline_ns) : NULL;
    PyObject *result = left ? PyObject_CallFunction(function, "OKO", self, (unsigned long long)index, left) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(function);
    return result;
}

/* The barrier was opened after the thread had arrived, and an exception is set: the thread leaves.  The exception stays
 * set; where leaving raises, that exception takes its place. */
static void
leave_open(PyObject *self)
{
    PyObject *exception = fl_take_exception();
    PyObject *function = PyMapping_GetItemString(fl_state_of(self)->methods, "leave_barrier");
    PyObject *result = function ? PyObject_CallOneArg(function, self) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(result);
    if (result) {
        fl_set_exception(exception);
    }
    else {
        Py_XDECREF(exception);
    }
}

/* ---- waiting ---- */

/* fl_barrier_action.run: `if action: action()`. */
static bool
run_action(void *ctx)
{
    PyObject *action = ctx;
    int wanted = PyObject_IsTrue(action);
    if (wanted <= 0) {
        return wanted == 0;
    }
    PyObject *result = PyObject_CallNoArgs(action);
    Py_XDECREF(result);
    return result != NULL;
}

/* Waits with a good timeout.  `call` is the call of wait(), for a barrier that is open. */
static PyObject *
wait_with(PyObject *self, fl_call call, int64_t timeout_ns, fl_py_blocker *blocker)
{
    uint64_t index;
    int64_t deadline_ns = fl_deadline_after_ns(timeout_ns);
    PyObject *callable = Py_XNewRef(fl_barrier_of(self)->action);
    fl_barrier_action action = {.run = callable && callable != Py_None ? run_action : NULL, .ctx = callable};
    fl_contention_wait record;
    fl_contention_begin(&record, self, FL_FOR_BARRIER);
    fl_barrier_result result = fl_barrier_wait(fl_barrier_core(self), timeout_ns, action, &index, &blocker->base);
    fl_contention_end(&record, fl_py_has_blocked(blocker), 0);
    Py_XDECREF(callable);
    switch (result) {
        case FL_BARRIER_PASSED:
            return PyLong_FromUnsignedLongLong(index);
        case FL_BARRIER_BROKEN:
            PyErr_SetNone(fl_state_of(self)->broken_barrier_error);
            break;
        case FL_BARRIER_REENTERED:
            PyErr_SetString(PyExc_RuntimeError, "the action of a barrier cannot wait for it");
            break;
        case FL_BARRIER_NO_MEMORY:
            return PyErr_NoMemory();
        case FL_BARRIER_OPENED:
            return fl_barrier_call_open(self, "wait", call);
        case FL_BARRIER_MOVED:
            return go_on_waiting(self, index, deadline_ns);
        case FL_BARRIER_MOVED_GIVEN_UP:
            leave_open(self);
            break;
        case FL_BARRIER_GIVEN_UP: /* poll(), or the action, has set the exception */
            break;
    }
    return NULL;
}

/* The blocker of a wait whose timeout is wrong.  As in the standard library a thread that does not have to wait does
 * not notice; for one that has to wait poll() raises. */
typedef struct {
    fl_py_blocker blocker;
    PyObject *exception;
} misfit_blocker;

static bool
raise_exception(fl_blocker *base)
{
    misfit_blocker *self = (misfit_blocker *)base;
    fl_set_exception(Py_NewRef(self->exception));
    return false;
}

/* Waits with a wrong timeout.  An exception is set, which says what is wrong. */
static PyObject *
wait_with_misfit(PyObject *self, fl_call call)
{
    misfit_blocker misfit = {.exception = fl_take_exception()};
    fl_py_blocker_init(&misfit.blocker, FL_DEADLINE_NEVER);
    misfit.blocker.base.poll = raise_exception;
    PyObject *result = wait_with(self, call, FL_DEADLINE_NEVER, &misfit.blocker);
    Py_DECREF(misfit.exception);
    return result;
}

PyDoc_STRVAR(barrier_wait_doc,
             "wait($self, /, timeout=None)\n"
             "--\n"
             "\n"
             "Wait until all parties have called this; return a number from 0 to parties - 1,\n"
             "another one in each thread.\n"
             "\n"
             "timeout: how many seconds to wait at most; None takes the barrier's default.\n"
             "         A wait that times out breaks the barrier.\n"
             "\n"
             "The last thread to arrive runs the barrier's action, if it has one, before all\n"
             "go on.  An exception in it breaks the barrier and is raised there.  A thread\n"
             "whose wait is ended by an exception from a signal handler has not arrived.\n"
             "\n"
             "Raises BrokenBarrierError where the barrier is broken, or is broken or reset\n"
             "during the wait; RuntimeError in the barrier's own action; ValueError for NaN;\n"
             "OverflowError for a timeout above TIMEOUT_MAX;\n"
             FL_ENDLESS_WAIT_DOC
             "\n"
             "Mirrors threading.Barrier.wait, which hangs in the barrier's own action, and may\n"
             "give two threads the same number where a wait was interrupted.");

static PyObject *
barrier_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout;
    int64_t timeout_ns = FL_DEADLINE_NEVER;
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 1, 0, &timeout)) {
        return raise_misfit(self, "wait", call);
    }
    if (!fl_barrier_is_closed(self)) {
        return fl_barrier_call_open(self, "wait", call);
    }
    PyObject *used = timeout && timeout != Py_None ? timeout : fl_barrier_of(self)->timeout;
    used = Py_NewRef(used ? used : Py_None);
    bool fits = fl_check_addable(used) == 0 && fl_parse_timeout(self, used, &timeout_ns) == 0;
    bool never_fits = fl_is_nan(used);
    Py_DECREF(used);
    if (fits) {
        fl_py_blocker blocker;
        fl_py_blocker_init(&blocker, timeout_ns);
        return wait_with(self, call, timeout_ns, &blocker);
    }
    return never_fits ? NULL : wait_with_misfit(self, call);
}

/* ---- breaking ---- */

PyDoc_STRVAR(barrier_reset_doc,
             "reset($self, /)\n"
             "--\n"
             "\n"
             "Make the barrier empty and unbroken; threads that wait raise BrokenBarrierError.\n"
             "\n"
             "Does not wait for an action that runs.\n"
             "\n"
             "Mirrors threading.Barrier.reset, which waits for such an action.");

static PyObject *
barrier_reset(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "reset", (fl_call){args, nargs, kwnames});
    }
    if (!fl_barrier_is_ready(self) || !fl_barrier_reset(fl_barrier_core(self))) {
        return fl_barrier_call_open(self, "reset", (fl_call){args, nargs, kwnames});
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(barrier_abort_doc,
             "abort($self, /)\n"
             "--\n"
             "\n"
             "Break the barrier: threads that wait, and those that come until it is reset,\n"
             "raise BrokenBarrierError.\n"
             "\n"
             "Does not wait for an action that runs.\n"
             "\n"
             "Mirrors threading.Barrier.abort, which waits for such an action.");

static PyObject *
barrier_abort(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "abort", (fl_call){args, nargs, kwnames});
    }
    if (!fl_barrier_is_ready(self) || !fl_barrier_abort(fl_barrier_core(self))) {
        return fl_barrier_call_open(self, "abort", (fl_call){args, nargs, kwnames});
    }
    Py_RETURN_NONE;
}

PyMethodDef fl_barrier_methods[] = {
    {"wait", FL_FASTCALL(barrier_wait), METH_FASTCALL | METH_KEYWORDS, barrier_wait_doc},
    {"reset", FL_FASTCALL(barrier_reset), METH_FASTCALL | METH_KEYWORDS, barrier_reset_doc},
    {"abort", FL_FASTCALL(barrier_abort), METH_FASTCALL | METH_KEYWORDS, barrier_abort_doc},
    {"__getstate__", barrier_getstate, METH_NOARGS, fl_getstate_doc},
    {NULL, NULL, 0, NULL},
};
