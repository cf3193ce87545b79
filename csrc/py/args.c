#include "py/args.h"

#include <math.h>

#include "platform/clock.h"
#include "platform/compiler.h"

/* ---- binding ---- */

static int
index_of(PyObject *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (fl_is_name(name, names[i])) {
            return i;
        }
    }
    return -1;
}

bool
fl_bind(fl_call call, const char *const *names, int count, int required, PyObject **values)
{
    if (call.nargs > count) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        values[i] = i < call.nargs ? call.args[i] : NULL;
    }
    Py_ssize_t keywords = call.kwnames ? PyTuple_GET_SIZE(call.kwnames) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        int index = index_of(PyTuple_GET_ITEM(call.kwnames, i), names, count);
        if (index < 0 || values[index]) {
            return false;
        }
        values[index] = call.args[call.nargs + i];
    }
    for (int i = 0; i < required; i++) {
        if (values[i] == NULL) {
            return false;
        }
    }
    return true;
}

/* ---- bad calls ---- */

/* object.name, a new reference, or NULL with an exception.  The name is interned, because the interpreter's cache of
 * methods keeps the string that it is asked with. */
static PyObject *
get_attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value = interned ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return value;
}

PyObject *
fl_optional_attribute(PyObject *object, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *value = interned ? fl_get_optional_attr(object, interned) : NULL;
    Py_XDECREF(interned);
    return value;
}

PyObject *
fl_call_method(PyObject *self, const char *name)
{
    PyObject *method = get_attribute(self, name);
    PyObject *result = method ? PyObject_CallNoArgs(method) : NULL;
    Py_XDECREF(method);
    return result;
}

PyObject *
fl_call_with(PyObject *callable, PyObject *first, fl_call call)
{
    Py_ssize_t extra = first != NULL;
    Py_ssize_t total = extra + call.nargs + (call.kwnames ? PyTuple_GET_SIZE(call.kwnames) : 0);
    PyObject **args = PyMem_New(PyObject *, (size_t)total + 1);
    if (args == NULL) {
        return PyErr_NoMemory();
    }
    args[0] = first;
    for (Py_ssize_t i = extra; i < total; i++) {
        args[i] = call.args[i - extra];
    }
    PyObject *result = PyObject_Vectorcall(callable, args, (size_t)(extra + call.nargs), call.kwnames);
    PyMem_Free(args);
    return result;
}

PyObject *
fl_call_with_tuple(PyObject *callable, PyObject *first, PyObject *args, PyObject *kwargs)
{
    PyObject *head = PyTuple_Pack(1, first);
    PyObject *all = head ? PySequence_Concat(head, args) : NULL;
    PyObject *result = all ? PyObject_Call(callable, all, kwargs) : NULL;
    Py_XDECREF(all);
    Py_XDECREF(head);
    return result;
}

/* pyfastlock._methods.<owner>.<method>, a new reference, or NULL with an exception. */
static PyObject *
signature(fl_state *state, const char *owner, const char *method)
{
    PyObject *type = PyMapping_GetItemString(state->methods, owner);
    PyObject *function = type ? get_attribute(type, method) : NULL;
    Py_XDECREF(type);
    return function;
}

/* The bad call was made once more, with this result.  It should have raised; if it has not, this raises.  Always
 * returns NULL. */
static PyObject *
misfit(PyObject *result, const char *owner, const char *method)
{
    if (result) {
        Py_DECREF(result);
        PyErr_Format(PyExc_TypeError, "%s.%s(): bad arguments", owner, method);
    }
    return NULL;
}

PyObject *
fl_raise_misfit(fl_state *state, const char *owner, const char *method, PyObject *self, fl_call call)
{
    PyObject *function = signature(state, owner, method);
    PyObject *result = function ? fl_call_with(function, self, call) : NULL;
    Py_XDECREF(function);
    return misfit(result, owner, method);
}

PyObject *
fl_raise_misfit_tuple(fl_state *state, const char *owner, const char *method, PyObject *self, PyObject *args,
                      PyObject *kwargs)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError)) {
        return NULL;
    }
    PyErr_Clear();
    PyObject *function = signature(state, owner, method);
    PyObject *result = function ? fl_call_with_tuple(function, self, args, kwargs) : NULL;
    Py_XDECREF(function);
    return misfit(result, owner, method);
}

int
fl_check_with_stdlib(fl_stdlib stdlib, bool acquired, const char *method, fl_call call)
{
    int status = -1;
    PyObject *function = NULL;
    fl_state *state = fl_state_of(stdlib.self);
    PyObject *lock = PyObject_CallNoArgs(stdlib.recursive ? state->stdlib_rlock : state->stdlib_lock);
    if (lock == NULL) {
        if (PyErr_ExceptionMatches(PyExc_RuntimeError)) { /* "can't allocate lock", in some versions */
            PyErr_NoMemory();
        }
        return -1;
    }
    if (acquired) {
        PyObject *taken = PyObject_CallMethod(lock, "acquire", NULL);
        Py_XDECREF(taken);
        if (taken == NULL) {
            goto done;
        }
    }
    function = get_attribute(lock, method);
    if (function) {
        PyObject *result = fl_call_with(function, NULL, call);
        status = result ? 0 : -1;
        Py_XDECREF(result);
    }
done:
    Py_XDECREF(function);
    Py_DECREF(lock);
    return status;
}

int
fl_check_constructor(PyObject *stdlib_type, fl_call call)
{
    PyObject *result = fl_call_with(stdlib_type, NULL, call);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* ---- counts ---- */

int
fl_is_less(PyObject *value, long least)
{
    PyObject *limit = PyLong_FromLong(least);
    int less = limit ? PyObject_RichCompareBool(value, limit, Py_LT) : -1;
    Py_XDECREF(limit);
    return less;
}

int
fl_as_count(PyObject *value, uint64_t *count)
{
    PyObject *index = PyNumber_Index(value);
    if (index == NULL) {
        return -1;
    }
    *count = PyLong_AsUnsignedLongLong(index);
    if (*count == UINT64_MAX && PyErr_Occurred()) { /* too large, or negative: `<` and __index__ may disagree */
        PyErr_Clear();
    }
    Py_DECREF(index);
    return 0;
}

/* ---- timeouts ---- */

static const int64_t UNSET_NS = INT64_C(-1000000000); /* the default of acquire(), -1 second */

typedef enum {
    SECONDS_OK,
    SECONDS_BAD,   /* the standard library has to say whether anything is wrong, and what; no exception is set */
    SECONDS_ERROR, /* an exception is set */
} seconds_status;

static seconds_status
scale(double seconds, int64_t *ns)
{
    return fl_scale_seconds(seconds, ns) ? SECONDS_OK : SECONDS_BAD;
}

static seconds_status
seconds_as_ns(PyObject *seconds, int64_t *ns)
{
    if (PyFloat_Check(seconds)) {
        return scale(PyFloat_AS_DOUBLE(seconds), ns);
    }
    if (!PyIndex_Check(seconds)) {
        return SECONDS_BAD;
    }
    PyObject *index = PyNumber_Index(seconds);
    if (index == NULL) {
        return SECONDS_ERROR;
    }
    double value = PyLong_AsDouble(index);
    Py_DECREF(index);
    if (value == -1.0 && PyErr_Occurred()) { /* beyond the range of a double */
        PyErr_Clear();
        return SECONDS_BAD;
    }
    return scale(value, ns);
}

/* Parses a timeout that we refuse and the running interpreter takes: a very long one or, from 3.15 on, any number with
 * a __float__.  Returns 0, or -1 with an exception. */
static int
real_as_ns(PyObject *seconds, bool blocking, int64_t *timeout_ns)
{
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (value == -1.0 || value > 0) {
        *timeout_ns = FL_DEADLINE_NEVER; /* stays where scale() finds the timeout too long */
        (void)(value > 0 && scale(value, timeout_ns));
    }
    if (!blocking || value == 0) {
        *timeout_ns = 0;
    }
    if (value == -1.0 || value >= 0) {
        return 0;
    }
    PyErr_SetString(PyExc_ValueError, "timeout value is not a number");
    return -1;
}

/* Parses `blocking`: 1, 0, or -1 with an exception.  Versions differ in what they take instead of True and False. */
static int
parse_blocking(fl_stdlib stdlib, PyObject *blocking, fl_call call)
{
    if (blocking == Py_True || blocking == Py_False) {
        return blocking == Py_True;
    }
    if (PyLong_CheckExact(blocking)) {
        int overflow;
        long number = PyLong_AsLongAndOverflow(blocking, &overflow);
        if (!overflow && (number == 0 || number == 1)) {
            return (int)number;
        }
    }
    if (fl_check_with_stdlib(stdlib, false, "acquire", call) < 0) {
        return -1;
    }
    return PyObject_IsTrue(blocking);
}

FL_SLOW int
fl_parse_acquire(fl_stdlib stdlib, fl_call call, int64_t *timeout_ns)
{
    static const char *const names[] = {"blocking", "timeout"};
    PyObject *values[2] = {NULL, NULL};
    int64_t parsed_ns = UNSET_NS;
    seconds_status status = SECONDS_BAD;
    int blocking = 1;
    if (fl_bind(call, names, 2, 0, values)) {
        if (values[0] && (blocking = parse_blocking(stdlib, values[0], call)) < 0) {
            return -1;
        }
        status = values[1] ? seconds_as_ns(values[1], &parsed_ns) : SECONDS_OK;
    }
    if (status == SECONDS_ERROR) {
        return -1;
    }
    bool good = status == SECONDS_OK && (parsed_ns == UNSET_NS || (blocking && parsed_ns >= 0));
    if (!good) {
        if (fl_check_with_stdlib(stdlib, false, "acquire", call) < 0) {
            return -1;
        }
        if (values[1] == NULL) {
            PyErr_SetString(PyExc_TypeError, "acquire(): bad arguments");
            return -1;
        }
        return real_as_ns(values[1], blocking, timeout_ns);
    }
    if (!blocking) {
        *timeout_ns = 0;
    }
    else {
        *timeout_ns = parsed_ns == UNSET_NS ? FL_DEADLINE_NEVER : parsed_ns;
    }
    return 0;
}

bool
fl_is_nan(PyObject *timeout)
{
    return PyFloat_Check(timeout) && isnan(PyFloat_AS_DOUBLE(timeout));
}

int
fl_check_addable(PyObject *timeout)
{
    if (timeout == Py_None || PyFloat_Check(timeout)) {
        return 0;
    }
    PyObject *now = PyFloat_FromDouble(0.0);
    PyObject *sum = now ? PyNumber_Add(now, timeout) : NULL;
    Py_XDECREF(now);
    Py_XDECREF(sum);
    return sum ? 0 : -1;
}

/* Returns whether timeout > 0: 1, 0, or -1 with an exception.  NaN counts as positive; fl_parse_acquire refuses it. */
static int
is_positive(PyObject *timeout)
{
    if (PyFloat_CheckExact(timeout) || fl_is_nan(timeout)) {
        return !(PyFloat_AS_DOUBLE(timeout) <= 0);
    }
    if (PyLong_CheckExact(timeout)) {
        int overflow;
        long number = PyLong_AsLongAndOverflow(timeout, &overflow);
        return overflow ? overflow > 0 : number > 0;
    }
    PyObject *zero = PyLong_FromLong(0);
    int positive = zero ? PyObject_RichCompareBool(timeout, zero, Py_GT) : -1;
    Py_XDECREF(zero);
    return positive;
}

int
fl_parse_timeout(PyObject *self, PyObject *timeout, int64_t *timeout_ns)
{
    if (timeout == Py_None) {
        *timeout_ns = FL_DEADLINE_NEVER;
        return 0;
    }
    *timeout_ns = fl_plain_seconds_as_ns(timeout);
    if (*timeout_ns != FL_NOT_PLAIN) {
        return 0;
    }
    int positive = is_positive(timeout);
    if (positive < 0) {
        return -1;
    }
    if (!positive) {
        *timeout_ns = 0;
        return 0;
    }
    PyObject *args[] = {Py_True, timeout};
    return fl_parse_acquire((fl_stdlib){self, false}, (fl_call){.args = args, .nargs = 2}, timeout_ns);
}
