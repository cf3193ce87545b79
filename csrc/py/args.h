/* Arguments of calls.
 *
 * A good call is parsed here, fast.  A bad call raises the exception that the running interpreter's standard library
 * raises for it, of the same type and with the same text.  Types and texts differ from version to version, so none is
 * written here: the bad call is made once more, on something that raises the right exception.  That is
 *   - a new lock of the standard library, where the standard library's method is written in C;
 *   - the function of the same signature in pyfastlock._methods, where the method is written in Python: the interpreter
 *     makes such a text out of the signature.
 *
 * A function may run Python code unless its contract says that it runs none.  None waits for another thread. */

#ifndef FL_ARGS_H
#define FL_ARGS_H

#include "platform/clock.h"
#include "py/compat.h"
#include "py/state.h"

/* ---- calls ---- */

/* A call, as a function with METH_FASTCALL | METH_KEYWORDS gets it.  All references are borrowed. */
typedef struct {
    PyObject *const *args;
    Py_ssize_t nargs;  /* how many arguments are positional; without the flags of a vectorcall */
    PyObject *kwnames; /* a tuple of the names of the other arguments, or NULL */
} fl_call;

/* Returns whether `name`, a str, is the ASCII string `text`.  Runs no Python code. */
static inline bool
fl_is_name(PyObject *name, const char *text)
{
    size_t length = strlen(text);
    return PyUnicode_IS_ASCII(name) && (size_t)PyUnicode_GET_LENGTH(name) == length &&
           memcmp(PyUnicode_1BYTE_DATA(name), text, length) == 0;
}

/* Writes into `values` the arguments that the call gives to `count` parameters of these names: borrowed references, and
 * NULL for a parameter that the call leaves out.  The call has to give the first `required` parameters.  Returns
 * whether the call fits; sets no exception where it does not.  Runs no Python code. */
bool fl_bind(fl_call call, const char *const *names, int count, int required, PyObject **values);

/* Calls `callable` with `first` (unless that is NULL) and then the arguments of the call.  Returns a new reference to
 * the result, or NULL with an exception. */
PyObject *fl_call_with(PyObject *callable, PyObject *first, fl_call call);

/* Calls callable(first, *args, **kwargs); `kwargs` may be NULL.  Returns a new reference to the result, or NULL with an
 * exception. */
PyObject *fl_call_with_tuple(PyObject *callable, PyObject *first, PyObject *args, PyObject *kwargs);

/* Returns object.name, a new reference; NULL without an exception where there is no such attribute; NULL with an
 * exception where looking fails.  May run Python code. */
PyObject *fl_optional_attribute(PyObject *object, const char *name);

/* Calls self.name(), whatever a subclass or an attribute has made of it.  Returns a new reference to the result, or
 * NULL with an exception. */
PyObject *fl_call_method(PyObject *self, const char *name);

/* ---- bad calls ---- */

/* Raises what the function pyfastlock._methods.<owner>.<method> raises for this call, with `self` as its first
 * argument.  Always returns NULL. */
PyObject *fl_raise_misfit(fl_state *state, const char *owner, const char *method, PyObject *self, fl_call call);

/* Does the same for a call as tp_init gets it.  It replaces a TypeError that is set already.  Any other exception
 * stays, because it does not say that the call is bad. */
PyObject *fl_raise_misfit_tuple(fl_state *state, const char *owner, const char *method, PyObject *self, PyObject *args,
                                PyObject *kwargs);

/* Which lock of the standard library stands for the object that a call was made on. */
typedef struct {
    PyObject *self; /* that object, borrowed; it leads to the module's state */
    bool recursive; /* threading.RLock(), not threading.Lock() */
} fl_stdlib;

/* Makes the call `method(...)` on a new lock of the standard library.  `acquired`: the lock is taken before, for a
 * method that needs a held lock.  Returns -1 with the exception that the call raises, or 0 where the running
 * interpreter finds nothing wrong with the call.  The call does not wait: nobody else has the new lock, and a caller
 * that sets `acquired` does not name a method that takes a plain lock. */
int fl_check_with_stdlib(fl_stdlib stdlib, bool acquired, const char *method, fl_call call);

/* Makes the call on `stdlib_type`, a constructor of the standard library, and drops the result.  Returns -1 with the
 * exception that the call raises, or 0. */
int fl_check_constructor(PyObject *stdlib_type, fl_call call);

/* ---- counts ---- */

/* Returns whether `value` is less than `least`: 1, 0, or -1 with an exception.  `value` is anything that can be
 * compared with an int. */
int fl_is_less(PyObject *value, long least);

/* Writes `value` into `count`, and UINT64_MAX for anything larger.  The caller knows that `value` is not negative.
 * Returns 0, or -1 with an exception: TypeError where `value` is no whole number. */
int fl_as_count(PyObject *value, uint64_t *count);

/* ---- timeouts ----
 *
 * They are in nanoseconds.  0 does not wait, and FL_DEADLINE_NEVER waits without a limit.  fl_deadline_after_ns() makes
 * a deadline of a timeout. */

/* Parses the arguments of acquire(blocking=True, timeout=-1) into a timeout.  Returns 0, or -1 with an exception. */
int fl_parse_acquire(fl_stdlib stdlib, fl_call call, int64_t *timeout_ns);

/* Not a timeout: the call has to be parsed by fl_parse_acquire. */
#define FL_NOT_PLAIN INT64_C(-1)

/* Makes nanoseconds of seconds.  Rounds away from zero, because a short timeout must not become one of 0.  Returns
 * false where the number is too large, or NaN.  Runs no Python code. */
static inline bool
fl_scale_seconds(double seconds, int64_t *ns)
{
    double scaled = seconds * 1e9;
    if (!(scaled > -(double)FL_DEADLINE_NEVER && scaled < (double)FL_DEADLINE_NEVER)) {
        return false; /* NaN, too: each comparison with it is false */
    }
    int64_t truncated = (int64_t)scaled;
    double rest = scaled - (double)truncated;
    *ns = truncated + (rest > 0) - (rest < 0);
    return true;
}

/* Makes nanoseconds of exactly an int of one digit, or exactly a float, where it is not negative and not too large.
 * Returns FL_NOT_PLAIN for anything else, without an exception.  Runs no Python code. */
static inline int64_t
fl_plain_seconds_as_ns(PyObject *seconds)
{
    int64_t ns = FL_NOT_PLAIN;
    long number;
    if (PyLong_CheckExact(seconds)) {
        return fl_as_digit(seconds, &number) && number >= 0 ? number * INT64_C(1000000000) : FL_NOT_PLAIN;
    }
    if (PyFloat_CheckExact(seconds) && fl_scale_seconds(PyFloat_AS_DOUBLE(seconds), &ns) && ns >= 0) {
        return ns;
    }
    return FL_NOT_PLAIN;
}

/* Parses the arguments of acquire() where the call is a usual one: it gives no more than `blocking`, which is True or
 * False, or no more than a `timeout` that fl_plain_seconds_as_ns takes, or True and such a timeout by position.
 * Returns the timeout, or FL_NOT_PLAIN for any other call, without an exception.  Runs no Python code.
 *
 * It calls nothing, so the caller saves no registers for it.  The parts of the call are separate parameters so that
 * they stay in registers, too.  A structure of them would be written to memory and read back in other sizes, which
 * stalls the processor. */
static inline int64_t
fl_parse_plain_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (kwnames == NULL) {
        if (nargs == 1) {
            return args[0] == Py_False ? 0 : args[0] == Py_True ? FL_DEADLINE_NEVER : FL_NOT_PLAIN;
        }
        return nargs == 2 && args[0] == Py_True ? fl_plain_seconds_as_ns(args[1]) : FL_NOT_PLAIN;
    }
    if (nargs != 0 || PyTuple_GET_SIZE(kwnames) != 1) {
        return FL_NOT_PLAIN;
    }
    PyObject *name = PyTuple_GET_ITEM(kwnames, 0);
    if (fl_is_name(name, "timeout")) {
        return fl_plain_seconds_as_ns(args[0]);
    }
    if (fl_is_name(name, "blocking")) {
        return args[0] == Py_False ? 0 : args[0] == Py_True ? FL_DEADLINE_NEVER : FL_NOT_PLAIN;
    }
    return FL_NOT_PLAIN;
}

/* Parses the timeout of a wait(timeout=None).  None waits without a limit; 0 and less do not wait.  `self` is the
 * object that the call was made on.  Returns 0, or -1 with an exception: NaN raises ValueError. */
int fl_parse_timeout(PyObject *self, PyObject *timeout, int64_t *timeout_ns);

/* Returns whether the timeout is a float that is not a number.  Runs no Python code. */
bool fl_is_nan(PyObject *timeout);

/* Checks that a float can be added to the timeout, or that it is None.  Returns 0, or -1 with an exception.  For the
 * methods that compute a deadline in the standard library before they do anything else: there this addition finds a
 * wrong type. */
int fl_check_addable(PyObject *timeout);

#endif
