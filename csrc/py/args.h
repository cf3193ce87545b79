/* Arguments of calls.
 *
 * A good call is parsed here, fast.  A bad one raises what the running interpreter's standard library raises for
 * it, in type and text, and these differ from version to version.  So the text is not written here: the bad call is
 * made again, on something that knows what is wrong with it.  Where the standard library's function is written in
 * C, that is a fresh lock of its own; where it is written in Python, the function of the same signature in
 * pyfastlock._methods, because that text comes from the interpreter. */

#ifndef FL_ARGS_H
#define FL_ARGS_H

#include "py/compat.h"
#include "py/state.h"

/* A call as METH_FASTCALL | METH_KEYWORDS gets it.  `nargs` counts the positional ones, without flags. */
typedef struct {
    PyObject *const *args;
    Py_ssize_t nargs;
    PyObject *kwnames; /* a tuple, or NULL */
} fl_call;

/* Binds the call to `count` parameters of these names, of which the first `required` must be there.  Missing ones
 * are NULL, the others borrowed.  Returns false, without an exception, where the call does not fit. */
bool fl_bind(fl_call call, const char *const *names, int count, int required, PyObject **values);

/* Calls `callable` with `first` (unless NULL) and then the arguments of the call. */
PyObject *fl_call_with(PyObject *callable, PyObject *first, fl_call call);

/* Raises what the Python function `_methods.<path>` raises for the call, with `self` as its first argument.
 * Always returns NULL. */
PyObject *fl_raise_misfit(fl_state *state, const char *owner, const char *method, PyObject *self, fl_call call);

/* The same for a call as tp_init gets it.  A TypeError that is set is replaced; any other exception stays, because it does not
 * say that the call is bad. */
PyObject *fl_raise_misfit_tuple(fl_state *state, const char *owner, const char *method, PyObject *self, PyObject *args,
                                PyObject *kwargs);

/* The standard library's type that stands for one of ours: threading.Lock or threading.RLock.  It is looked up when
 * it is needed. */
typedef struct {
    PyObject *self; /* the object on which the call was made */
    bool recursive;
} fl_stdlib;

/* Makes the call `method(...)` on a new lock of the standard library, which is acquired first if `acquired` (so
 * that nothing blocks).  Returns -1 with the exception that it raises, or 0 where the running interpreter finds
 * nothing wrong with it. */
int fl_check_with_stdlib(fl_stdlib stdlib, bool acquired, const char *method, fl_call call);

/* The same for the call of a constructor of the standard library. */
int fl_check_constructor(PyObject *stdlib_type, fl_call call);

/* Parses acquire(blocking=True, timeout=-1) into a timeout in nanoseconds: 0 for an attempt without waiting,
 * FL_DEADLINE_NEVER for a wait without a limit.  fl_deadline_after_ns() makes a deadline of it.  Returns 0, or -1
 * with an exception. */
int fl_parse_acquire(fl_stdlib stdlib, fl_call call, int64_t *timeout_ns);

#define FL_NOT_PLAIN INT64_C(-1)

/* The same for the usual calls: blocking True or False, or True and a timeout that is a good int or float;
 * FL_NOT_PLAIN for any other one.  It gets the parts of the call one by one, in registers: a structure of them is
 * copied through memory in a way that processors stall at. */
int64_t fl_parse_plain_acquire_slow(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

static inline int64_t
fl_parse_plain_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs == 1 && kwnames == NULL && args[0] == Py_False) {
        return 0;
    }
    return fl_parse_plain_acquire_slow(args, nargs, kwnames);
}

/* The same for wait(timeout) in the style of the standard library's Condition: None waits without a limit, and 0 or
 * less not at all.  NaN is a ValueError. */
int fl_parse_timeout(PyObject *self, PyObject *timeout, int64_t *timeout_ns);

/* self.name(), whatever a subclass or an attribute has made of it. */
PyObject *fl_call_method(PyObject *self, const char *name);

/* Whether the timeout is a float that is not a number. */
bool fl_is_nan(PyObject *timeout);

/* For the methods of the standard library that add the timeout to a time before they use it, which is where they find a
 * wrong type.  0, or -1 with an exception. */
int fl_check_addable(PyObject *timeout);

#endif
