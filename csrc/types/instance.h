/* What Event, Semaphore and Barrier share.  The standard library writes them in Python, so their objects have
 * attributes and weak references, and all show themselves in the same way. */

#ifndef FL_INSTANCE_H
#define FL_INSTANCE_H

#include "py/args.h"
#include "py/compat.h"

/* How their objects begin. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *adopter; /* the Condition that took over the waiters when the object was opened, or NULL */
} fl_instance;

/* Allocates an object of `type`, which is one of our types and no subclass.  Returns a new reference, or NULL with an
 * exception.  The caller sets up what follows the fl_instance, and then lets the collector track the object. */
#define FL_INSTANCE_NEW(struct_type, type) ((struct_type *)fl_instance_clean(PyObject_GC_New(struct_type, (type))))

/* Sets up the fl_instance of an object that has just been allocated, and returns the object.  NULL stays NULL. */
void *fl_instance_clean(void *object);

/* Gives the object its __dict__ where FL_EARLY_DICT() makes one.  For the types whose methods are so short that looking
 * them up is most of their cost, before the object is tracked.  Sets no exception: without the dict the object works,
 * too. */
void fl_instance_make_fast(void *object);

/* Returns whether the object has no attributes of its own.  Runs no Python code.  Without the GIL an object that has a
 * __dict__ counts as one that has attributes: another thread may free the dict while we look into it. */
static inline bool
fl_instance_is_bare(PyObject *self)
{
    PyObject *dict = ((fl_instance *)self)->dict;
    return dict == NULL || (FL_HAS_GIL && PyDict_GET_SIZE(dict) == 0);
}

/* Returns the __dict__, or NULL, without an exception, where there is none yet.  It is a new reference, because another
 * thread may replace the __dict__.  Works for a Condition, too, whose object begins with the same two fields.  Runs no
 * Python code. */
PyObject *fl_instance_own_dict(PyObject *self);

/* The same, and makes the __dict__ where there is none yet; NULL with an exception.  PyObject_GenericGetDict would not
 * do: without the GIL, up to 3.13, it may take a reference to a dict that another thread has just replaced. */
PyObject *fl_instance_dict(PyObject *self);

/* Returns whether tp_vectorcall may make an object of this type by itself: nobody has replaced the type's __new__, nor
 * its __init__, which was `init`.  Runs no Python code. */
static inline bool
fl_instance_is_created_here(PyObject *type, initproc init)
{
    return ((PyTypeObject *)type)->tp_init == init && ((PyTypeObject *)type)->tp_new == PyBaseObject_Type.tp_new;
}

/* Calls the type as if it had no tp_vectorcall.  Returns a new reference, or NULL with an exception.  Runs Python
 * code. */
PyObject *fl_instance_create_ordinary(PyObject *type, fl_call call);

/* The slots of a type whose objects own nothing but the fl_instance. */
int fl_instance_traverse(PyObject *self, visitproc visit, void *arg);
int fl_instance_clear(PyObject *self);
void fl_instance_dealloc(PyObject *self);

/* Does the work of a tp_dealloc for a type whose objects own more: clears weak references and the object, and frees it.
 * `dealloc` is that tp_dealloc itself, `clear` the type's tp_clear. */
void fl_instance_dealloc_as(PyObject *self, destructor dealloc, inquiry clear);

#define FL_INSTANCE_MEMBERS                                                              \
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_instance, weakrefs), READONLY, NULL}, \
        {"__dictoffset__", T_PYSSIZET, offsetof(fl_instance, dict), READONLY, NULL},     \
    {                                                                                    \
        NULL, 0, 0, 0, NULL                                                              \
    }

/* Returns "<module.Name at 0x...: STATE>", or NULL with an exception.  `format` and what follows make STATE, as for
 * PyUnicode_FromFormat.  May run Python code: the type's __module__ and __qualname__ may be anything. */
PyObject *fl_instance_repr(PyObject *self, const char *format, ...);

#endif
