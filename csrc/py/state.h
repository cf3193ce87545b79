/* What one interpreter's copy of the module owns.  Nothing here changes after the module has been executed. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "py/compat.h"

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

    /* The standard library's, for the exceptions of bad calls: threading.Lock, _thread.RLock, what makes one of it
     * (threading.RLock, a function, which works as long as its module is whole), threading.Barrier. */
    PyObject *stdlib_lock;
    PyObject *stdlib_rlock;
    PyObject *stdlib_make_rlock;
    PyObject *stdlib_barrier;
    /* threading.BrokenBarrierError */
    PyObject *broken_barrier_error;
    /* A dict of what pyfastlock._signatures has, for those of calls that do not fit a signature.  Not the module: at exit
     * the interpreter empties modules while objects of ours are still used. */
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
