/* What one interpreter's copy of the module owns.  Nothing here but `patched` changes after the module has been
 * executed. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "platform/atomic.h"
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

    PyTypeObject *lock_meta;         /* types/kind.c: the metaclass of Lock and RLock */
    PyTypeObject *thread_lock_type;  /* the standard library's types, of the locks that _thread makes */
    PyTypeObject *thread_rlock_type; /* the same */
    fl_atomic_u32 patched;           /* whether `threading` is patched; types/kind.c */

    /* The standard library's, for the exceptions of bad calls: threading.Lock, threading.RLock, threading.Barrier. */
    PyObject *stdlib_lock;
    PyObject *stdlib_rlock;
    PyObject *stdlib_barrier;
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
