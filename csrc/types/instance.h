/* What the types without a Python lock share: Event, Semaphore and Barrier are written in Python in the standard
 * library, so their objects have attributes and weak references, and say what they are in the same way. */

#ifndef FL_INSTANCE_H
#define FL_INSTANCE_H

#include "py/args.h"
#include "py/compat.h"

/* The beginning of their objects. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *adopter; /* the condition that took the waiters when the object was opened (types/inside.h), or NULL */
} fl_instance;

/* A new object of exactly `type`, a type of ours, which the caller sets up and tracks; NULL with an exception. */
#define FL_INSTANCE_NEW(struct_type, type) ((struct_type *)fl_instance_clean(PyObject_GC_New(struct_type, (type))))
void *fl_instance_clean(void *object);

/* For the types whose methods are short, before the object is tracked: what FL_EARLY_DICT() says. */
void fl_instance_make_fast(void *object);

/* Whether nobody has given the object an attribute.  Without the GIL only an object that never had a __dict__ is known to
 * be so: another thread may free the dict that is looked into. */
static inline bool
fl_instance_is_bare(PyObject *self)
{
    PyObject *dict = ((fl_instance *)self)->dict;
    return dict == NULL || (FL_HAS_GIL && PyDict_GET_SIZE(dict) == 0);
}

/* The __dict__ where there is one: a new reference, as another thread may replace it, or NULL without an exception. */
PyObject *fl_instance_own_dict(PyObject *self);

/* For the tp_vectorcall of a type: whether nobody has replaced its __new__ or its __init__, which `init` is. */
static inline bool
fl_instance_is_created_here(PyObject *type, initproc init)
{
    return ((PyTypeObject *)type)->tp_init == init && ((PyTypeObject *)type)->tp_new == PyBaseObject_Type.tp_new;
}

/* Calls the type as if it had no tp_vectorcall. */
PyObject *fl_instance_create_ordinary(PyObject *type, fl_call call);

/* Slots for a type that has nothing else to visit. */
int fl_instance_traverse(PyObject *self, visitproc visit, void *arg);
int fl_instance_clear(PyObject *self);
void fl_instance_dealloc(PyObject *self);

/* For the tp_dealloc of a type that has: itself, and its tp_clear. */
void fl_instance_dealloc_as(PyObject *self, destructor dealloc, inquiry clear);

#define FL_INSTANCE_MEMBERS                                                              \
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_instance, weakrefs), READONLY, NULL}, \
        {"__dictoffset__", T_PYSSIZET, offsetof(fl_instance, dict), READONLY, NULL},     \
    {                                                                                    \
        NULL, 0, 0, 0, NULL                                                              \
    }

#define FL_INSTANCE_DICT {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL}

/* "<module.Name at 0x...: " and then what the format makes, as PyUnicode_FromFormat, and ">". */
PyObject *fl_instance_repr(PyObject *self, const char *format, ...);

/* Whether `value`, an int or what can be compared with one, is less than `least`; -1 with an exception. */
int fl_is_less(PyObject *value, long least);

/* `value` as a number; UINT64_MAX for a larger one.  It is known not to be negative.  0, or -1 with a TypeError. */
int fl_as_count(PyObject *value, uint64_t *count);

#endif
