/* What one interpreter's copy of the module owns.  Nothing here changes after the module has been executed, but for what the
 * watches have seen. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "py/compat.h"

/* Remembers that a method of a type is the original, for as long as the type does not change: see py/method.h. */
typedef struct {
    const char *owner; /* "Semaphore" */
    const char *name;  /* "release" */
    unsigned int version;
} fl_method_watch;

/* How many methods of a Condition are called by others of its methods, or by those of a Condition over it. */
enum { FL_CONDITION_METHODS = 7 };

typedef struct {
    PyTypeObject *lock_type;
    PyTypeObject *rlock_type;
    PyTypeObject *condition_type;
    PyTypeObject *event_type;
    PyTypeObject *semaphore_type;
    PyTypeObject *bounded_semaphore_type;
    PyTypeObject *barrier_type;
    PyTypeObject *bound_type;            /* py/bound.c; NULL where it is not used */
    PyTypeObject *bound_descriptor_type; /* the same */

    PyTypeObject *method_type; /* py/method.c */

    /* The standard library's as they were at first, for the exceptions of bad calls and for objects that are open: what
     * threading.Lock and the like meant. */
    PyObject *stdlib_lock;
    PyObject *stdlib_rlock;
    PyObject *stdlib_condition;
    PyObject *stdlib_event;
    PyObject *stdlib_semaphore;
    PyObject *stdlib_bounded_semaphore;
    PyObject *stdlib_barrier;
    /* Functions of the class threading.Condition. */
    PyObject *stdlib_release_save;
    PyObject *stdlib_acquire_restore;
    /* Our Condition's methods, as its type had them at first: types/condition_replaced.c. */
    PyObject *condition_stock[FL_CONDITION_METHODS];
    /* threading.BrokenBarrierError */
    PyObject *broken_barrier_error;
    /* pyfastlock._methods: the functions that methods stand for. */
    PyObject *methods;
    /* By "Class.name": the methods as they were installed. */
    PyObject *originals;
    fl_method_watch semaphore_release;
    fl_method_watch bounded_release;
} fl_state;

extern PyModuleDef fl_module_def;

/* The state for an object of one of our types or a subclass of one.  Never fails. */
static inline fl_state *
fl_state_of(PyObject *object)
{
    return PyModule_GetState(PyType_GetModuleByDef(Py_TYPE(object), &fl_module_def));
}

#endif
