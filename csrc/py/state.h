/* What one interpreter's copy of the module owns.  Nothing here changes after the module has been executed. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "py/compat.h"

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

    /* The standard library's, for the exceptions of bad calls: threading.Lock, threading.RLock, threading.Barrier. */
    PyObject *stdlib_lock;
    PyObject *stdlib_rlock;
    PyObject *stdlib_barrier;
    /* Functions of the class threading.Condition. */
    PyObject *stdlib_release_save;
    PyObject *stdlib_acquire_restore;
    /* Our Condition's methods, as its type had them at first: types/condition_replaced.c. */
    PyObject *condition_stock[FL_CONDITION_METHODS];
    /* threading.BrokenBarrierError */
    PyObject *broken_barrier_error;
    /* pyfastlock._signatures, for those of calls that do not fit a signature. */
    PyObject *signatures;
} fl_state;

extern PyModuleDef fl_module_def;

/* The state for an object of one of our types or a subclass of one.  Never fails. */
static inline fl_state *
fl_state_of(PyObject *object)
{
    return PyModule_GetState(PyType_GetModuleByDef(Py_TYPE(object), &fl_module_def));
}

#endif
