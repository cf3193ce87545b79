/* The differences between the versions of CPython.  Every `#if` about them is here. */

#ifndef FL_COMPAT_H
#define FL_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <string.h>

#include "platform/attached.h"

/* Whether py/bound.c is used.  Below 3.14 a with-statement allocates two bound methods, which costs more than the lock
 * does; py/bound.c avoids that.  It is not used
 *   - from 3.14 on, where ordinary methods are faster;
 *   - without the GIL, because the free lists would be contended;
 *   - in a build that lists all objects (--with-trace-refs): an object whose tp_dealloc is called leaves that list, and
 *     a callable in a free list lives on. */
#if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) && !defined(Py_TRACE_REFS)
#define FL_BOUND_CALLABLES 1
#else
#define FL_BOUND_CALLABLES 0
#endif

/* Whether this build has a GIL: then one thread of an interpreter at a time runs Python.  A free-threaded build may
 * switch a GIL on while it runs, because another extension needs one.  We are not told, and wake threads a little too
 * early then. */
#ifdef Py_GIL_DISABLED
#define FL_HAS_GIL 0
#else
#define FL_HAS_GIL 1
#endif

/* The core is told by setup.py (platform/attached.h). */
_Static_assert(FL_HAS_GIL == FL_RUNTIME_LOCK, "the core is compiled for this build of Python");

/* Replaces `__enter__` and `__exit__` of `type` as fl_bound_install does; does nothing where py/bound.c is not used.
 * Is 0, or -1 with an exception. */
#if FL_BOUND_CALLABLES
#define FL_BOUND_INSTALL(state, type, enter_call, exit_call) \
    fl_bound_install((state),                                \
                     (type),                                 \
                     (const fl_bound_spec[]){                \
                         {"__enter__", (enter_call)},        \
                         {"__exit__", (exit_call)},          \
                         {NULL, NULL},                       \
                     })
#else
#define FL_BOUND_INSTALL(state, type, enter_call, exit_call) ((void)(state), (void)(enter_call), (void)(exit_call), 0)
#endif

/* Between these the thread has the object's own lock, where there is no GIL; with a GIL they do nothing.  The thread
 * must not wait in between: it lets go of that lock when it detaches. */
#ifdef Py_BEGIN_CRITICAL_SECTION
#define FL_BEGIN_CRITICAL_SECTION(object) Py_BEGIN_CRITICAL_SECTION(object)
#define FL_END_CRITICAL_SECTION() Py_END_CRITICAL_SECTION()
#else
#define FL_BEGIN_CRITICAL_SECTION(object) ((void)(object))
#define FL_END_CRITICAL_SECTION() ((void)0)
#endif

/* Between these no garbage is collected, so objects can be made without Python code being run.  Since 3.12 a collection
 * waits until Python code runs anyway. */
#if PY_VERSION_HEX < 0x030C0000
#define FL_BEGIN_NO_COLLECTION() int fl_was_enabled = PyGC_Disable()
#define FL_END_NO_COLLECTION()   \
    do {                         \
        if (fl_was_enabled) {    \
            (void)PyGC_Enable(); \
        }                        \
    } while (0)
#else
#define FL_BEGIN_NO_COLLECTION() ((void)0)
#define FL_END_NO_COLLECTION() ((void)0)
#endif

/* The module's slots that say that it works in an interpreter with a GIL of its own (since 3.12), and without a GIL
 * (since 3.13). */
#ifdef Py_mod_multiple_interpreters
#define FL_SLOT_OWN_GIL {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define FL_SLOT_OWN_GIL
#endif
#ifdef Py_mod_gil
#define FL_SLOT_NO_GIL {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define FL_SLOT_NO_GIL
#endif

/* The exception for a wait that the end of the interpreter makes endless. */
#if PY_VERSION_HEX >= 0x030D0000
#define FL_FINALIZATION_ERROR PyExc_PythonFinalizationError
#else
#define FL_FINALIZATION_ERROR PyExc_RuntimeError
#endif

/* Whether a wait with a timeout is refused while the interpreter shuts down.  A wait without one always is.  Below 3.15
 * a wait with a timeout goes on to its deadline. */
#define FL_REFUSES_TIMED_WAITS (PY_VERSION_HEX >= 0x030F0000)

/* The __dict__ that a new object gets at once: a new reference to an empty dict, or NULL, with or without an exception.
 * On 3.11 method calls are slow on an object whose __dict__ is still to be made.  They are fast on one that has its
 * __dict__, and on one that cannot have any.  Later versions need no early __dict__. */
#define FL_EARLY_DICT() (PY_VERSION_HEX < 0x030C0000 ? PyDict_New() : NULL)

/* The signature of a lock's __exit__, which is the beginning of its docstring. */
#if PY_VERSION_HEX >= 0x030F0000
#define FL_EXIT_SIGNATURE "__exit__($self, exc_type, exc_value, exc_tb, /)\n"
#else
#define FL_EXIT_SIGNATURE "__exit__($self, /, *exc_info)\n"
#endif

/* How faulthandler parses the arguments of its functions, for dump_locks_later() and register(), and what it says of a
 * bad file. */
#if PY_VERSION_HEX >= 0x030F0000
#define FL_LATER_FORMAT "O|pOp:dump_locks_later"
#else
#define FL_LATER_FORMAT "O|iOi:dump_locks_later"
#endif
#if PY_VERSION_HEX >= 0x030C0000
#define FL_REGISTER_FORMAT "i|Op:register"
#define FL_BAD_DESCRIPTOR "file is not a valid file descriptor"
#else
#define FL_REGISTER_FORMAT "i|Oi:register"
#define FL_BAD_DESCRIPTOR "file is not a valid file descripter"
#endif
#if PY_VERSION_HEX >= 0x030E0000
#define FL_NO_STDERR "lost sys.stderr"
#else
#define FL_NO_STDERR "unable to get sys.stderr"
#endif
#define FL_WARNS_OF_BOOL_DESCRIPTOR (PY_VERSION_HEX >= 0x030D0000)

/* Takes the current exception away.  Returns a new reference to it, or NULL where none is set.  Below 3.12 it may run
 * Python code, which makes the exception's object. */
static inline PyObject *
fl_take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) {
        (void)PyException_SetTraceback(value, traceback);
    }
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Sets the exception, which must not be NULL.  Takes over the caller's reference.  Runs no Python code, unless another
 * exception is set, which it replaces. */
static inline void
fl_set_exception(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Returns whether the interpreter shuts down: then no thread but the calling one will ever run Python again.  Runs no
 * Python code, and is right to the very end, when objects that a call from Python would need are gone.
 *
 * Below 3.13 the public API does not tell.  But there the step that makes the runtime finalize also makes it
 * uninitialized, and it is initialized before `site` and the program run. */
static inline bool
fl_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return !Py_IsInitialized();
#endif
}

/* Returns True or False, a new reference.  PyBool_FromLong does the same, by a call. */
static inline PyObject *
fl_bool(bool value)
{
    if (value) {
        Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

/* Gives the object, whose last reference is gone, one reference.  For py/bound.c, in one instruction.  A debug build
 * counts the reference. */
static inline void
fl_revive(PyObject *object)
{
#if FL_BOUND_CALLABLES && !defined(Py_REF_DEBUG)
    object->ob_refcnt = 1;
#else
    Py_INCREF(object);
#endif
}

/* If `number`, which is exactly an int, has one digit, writes it into `value` and returns true.  The digits are of 15
 * or of 30 bits.  Runs no Python code. */
static inline bool
fl_as_digit(PyObject *number, long *value)
{
    PyLongObject *object = (PyLongObject *)number;
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact(object)) {
        return false;
    }
    *value = (long)PyUnstable_Long_CompactValue(object);
#else
    Py_ssize_t size = Py_SIZE(object);
    if (size < -1 || size > 1) {
        return false;
    }
    *value = size * (long)object->ob_digit[0]; /* 0 has a digit, too */
#endif
    return true;
}

/* Returns object.name, a new reference; NULL without an exception where there is no such attribute; NULL with an
 * exception where looking fails.  May run Python code. */
static inline PyObject *
fl_get_optional_attr(PyObject *object, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    (void)PyObject_GetOptionalAttr(object, name, &value);
#else
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
#endif
    return value;
}

/* Returns dict[key], a new reference; NULL without an exception where the key is missing; NULL with an exception where
 * looking fails.  `key` is a str, so it runs Python code only where the dict has keys of other types. */
static inline PyObject *
fl_dict_get(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *found;
    (void)PyDict_GetItemRef(dict, key, &found);
    return found;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dict, key));
#endif
}

/* Does dict.setdefault(key, value).  Returns a new reference to what is there afterwards, or NULL with an exception.
 * `key` is a str, as above. */
static inline PyObject *
fl_dict_set_default(PyObject *dict, PyObject *key, PyObject *value)
{
#if PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED)
    PyObject *found;
    (void)PyDict_SetDefaultRef(dict, key, value, &found);
    return found;
#elif PY_VERSION_HEX >= 0x030D0000
    /* Where the dict has no memory to grow 3.13's PyDict_SetDefaultRef frees the key and the value, and keeps them.
     * Without the GIL it is used nevertheless, because these two steps would not be one: a critical section around them
     * is let go of when PyDict_SetItem takes the same one. */
    PyObject *found;
    if (PyDict_GetItemRef(dict, key, &found) == 0) {
        found = PyDict_SetItem(dict, key, value) < 0 ? NULL : Py_NewRef(value);
    }
    return found;
#else
    return Py_XNewRef(PyDict_SetDefault(dict, key, value));
#endif
}

#endif
