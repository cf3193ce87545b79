/* The differences between the versions of CPython.  Every `#if` about them is here. */

#ifndef FL_COMPAT_H
#define FL_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <string.h>

/* Below 3.14 a with-statement allocates two bound methods, which costs more than the lock; py/bound.c avoids that.
 * From 3.14 on ordinary methods are faster.  Without the GIL the free lists would be contended.  A build that lists all
 * objects (--with-trace-refs) takes one whose tp_dealloc is called off its list. */
#if PY_VERSION_HEX < 0x030E0000 && !defined(Py_GIL_DISABLED) && !defined(Py_TRACE_REFS)
#define FL_BOUND_CALLABLES 1
#else
#define FL_BOUND_CALLABLES 0
#endif

/* Whether all threads of an interpreter share one lock.  Where a free-threaded build has switched its own on again, for
 * the sake of another extension, that is not told to us: threads are then woken a little early. */
#ifdef Py_GIL_DISABLED
#define FL_HAS_GIL 0
#else
#define FL_HAS_GIL 1
#endif

/* What a type that uses py/bound.c says to install its two methods.  Nothing where bound callables are not used. */
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

/* The object's own lock, where there is no GIL. */
#ifdef Py_BEGIN_CRITICAL_SECTION
#define FL_BEGIN_CRITICAL_SECTION(object) Py_BEGIN_CRITICAL_SECTION(object)
#define FL_END_CRITICAL_SECTION() Py_END_CRITICAL_SECTION()
#else
#define FL_BEGIN_CRITICAL_SECTION(object) ((void)(object))
#define FL_END_CRITICAL_SECTION() ((void)0)
#endif

/* Module slots of 3.12 and 3.13. */
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

#if PY_VERSION_HEX >= 0x030D0000
#define FL_FINALIZATION_ERROR PyExc_PythonFinalizationError
#else
#define FL_FINALIZATION_ERROR PyExc_RuntimeError
#endif

/* While the interpreter shuts down a wait with a timeout goes on to its deadline; since 3.15 it is refused like any
 * other. */
#define FL_REFUSES_TIMED_WAITS (PY_VERSION_HEX >= 0x030F0000)

/* 3.11 makes method calls fast on objects whose __dict__ exists, on those that cannot have one, but not on those whose
 * __dict__ is still to be made.  What a new object gets there: a dict, or NULL with or without an exception. */
#define FL_EARLY_DICT() (PY_VERSION_HEX < 0x030C0000 ? PyDict_New() : NULL)

/* The signature of a lock's __exit__. */
#if PY_VERSION_HEX >= 0x030F0000
#define FL_EXIT_SIGNATURE "__exit__($self, exc_type, exc_value, exc_tb, /)\n"
#else
#define FL_EXIT_SIGNATURE "__exit__($self, /, *exc_info)\n"
#endif

/* Whether a profile function watches the calling thread, which is attached. */
static inline bool
fl_is_profiled(void)
{
    return PyThreadState_Get()->c_profilefunc != NULL;
}

/* Changes with every change of the type or of a base of it; 0 where it is not known. */
static inline uint32_t
fl_type_version(PyTypeObject *type)
{
    return __atomic_load_n(&type->tp_version_tag, __ATOMIC_RELAXED);
}

/* A docstring that other files can see. */
#define FL_DOC(name, text) const char name[] = PyDoc_STR(text)

/* A method that takes its arguments as a vector, for PyMethodDef.  The API asks for this cast. */
#define FL_FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* The same for a method that also gets the class that defines it. */
#define FL_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Takes the current exception away and returns it (NULL where there is none), and sets one, taking the reference. */
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

static inline void
fl_set_exception(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Whether the interpreter shuts down: then no thread but the calling one will ever run Python again.  Right to the last: it
 * asks no object of Python, of which some are gone by then.  Below 3.13 the runtime stops to be initialized in the step
 * that makes it finalize; it becomes initialized before `site` and the program run. */
static inline bool
fl_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return !Py_IsInitialized();
#endif
}

/* The attribute, or NULL: with an exception set if it is any but AttributeError. */
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

/* dict[key]: a new reference, or NULL with an exception, without one where there is none. */
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

/* dict.setdefault(key, value): a new reference, or NULL with an exception. */
static inline PyObject *
fl_dict_set_default(PyObject *dict, PyObject *key, PyObject *value)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *found;
    (void)PyDict_SetDefaultRef(dict, key, value, &found);
    return found;
#else
    return Py_XNewRef(PyDict_SetDefault(dict, key, value));
#endif
}

/* Whether `name`, a str, is the ASCII string `text`. */
static inline bool
fl_is_name(PyObject *name, const char *text)
{
    size_t length = strlen(text);
    return PyUnicode_IS_ASCII(name) && (size_t)PyUnicode_GET_LENGTH(name) == length &&
           memcmp(PyUnicode_1BYTE_DATA(name), text, length) == 0;
}

#endif
