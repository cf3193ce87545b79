/* What barrier.c and barrier_type.c, the two halves of pyfastlock.Barrier, use of each other. */

#ifndef FL_BARRIER_TYPE_H
#define FL_BARRIER_TYPE_H

#include "core/barrier.h"
#include "types/inside.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_barrier barrier;
    PyObject *action;    /* or None.  __init__ sets it and `timeout` once; the garbage collector may clear both */
    PyObject *timeout;   /* the default of wait(), or None */
    fl_atomic_u32 ready; /* __init__ has been called.  Written last: whoever sees it sees the fields above */
} fl_barrier_object;

/* Returns the object behind `self`, which is a Barrier. */
static inline fl_barrier_object *
fl_barrier_of(PyObject *self)
{
    return (fl_barrier_object *)self;
}

/* Returns the barrier of the core.  It is set up only if fl_barrier_is_ready. */
static inline fl_barrier *
fl_barrier_core(PyObject *self)
{
    return &fl_barrier_of(self)->barrier;
}

/* Returns whether __init__ has been called: the object is not unborn (types/inside.h). */
static inline bool
fl_barrier_is_ready(PyObject *self)
{
    return fl_load_acquire_u32(&fl_barrier_of(self)->ready);
}

/* Returns whether the object is neither unborn nor open. */
static inline bool
fl_barrier_is_closed(PyObject *self)
{
    return fl_barrier_is_ready(self) && !fl_barrier_is_opened(fl_barrier_core(self));
}

/* Calls the method of `threading.Barrier` on a barrier that is unborn or open.  Returns a new reference, or NULL with
 * an exception.  Runs Python code, and blocks where the method blocks. */
PyObject *fl_barrier_call_open(PyObject *self, const char *method, fl_call call);

/* In barrier.c. */
extern PyMethodDef fl_barrier_methods[];

/* In barrier_type.c. */
extern PyGetSetDef fl_barrier_getset[];
extern const fl_inside fl_barrier_inside;

#endif
