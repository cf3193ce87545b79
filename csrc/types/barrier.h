/* The parts of pyfastlock.Barrier, for its type. */

#ifndef FL_BARRIER_TYPE_H
#define FL_BARRIER_TYPE_H

#include "core/barrier.h"
#include "types/inside.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_barrier barrier;
    PyObject *action;    /* or None; as `timeout` set once by __init__, and cleared by the garbage collector */
    PyObject *timeout;   /* the default of wait() */
    fl_atomic_u32 ready; /* __init__ has been called; written last */
} fl_barrier_object;

static inline fl_barrier_object *
fl_barrier_of(PyObject *self)
{
    return (fl_barrier_object *)self;
}

static inline fl_barrier *
fl_barrier_core(PyObject *self)
{
    return &fl_barrier_of(self)->barrier;
}

static inline bool
fl_barrier_is_ready(PyObject *self)
{
    return fl_load_acquire_u32(&fl_barrier_of(self)->ready);
}

/* Neither unborn nor open. */
static inline bool
fl_barrier_is_closed(PyObject *self)
{
    return fl_barrier_is_ready(self) && !fl_barrier_is_opened(fl_barrier_core(self));
}

/* Runs the method of `threading.Barrier` on a barrier that is unborn or open. */
PyObject *fl_barrier_call_open(PyObject *self, const char *method, fl_call call);

/* In barrier.c, for the type. */
extern PyMethodDef fl_barrier_methods[];

/* In barrier_type.c. */
extern PyGetSetDef fl_barrier_getset[];
extern const fl_inside fl_barrier_inside;

#endif
