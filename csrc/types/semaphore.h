/* The parts of pyfastlock.Semaphore and pyfastlock.BoundedSemaphore, for their types. */

#ifndef FL_SEMAPHORE_H
#define FL_SEMAPHORE_H

#include "core/sema.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_sema sema;
    uint64_t bound; /* the largest number of permits */
    bool ready;     /* __init__ has been called; the fast paths need not ask, as the bound is 0 until then */
    bool plain;     /* of one of the two types, not of a subclass */
} fl_semaphore_object;

static inline fl_semaphore_object *
fl_semaphore_of(PyObject *self)
{
    return (fl_semaphore_object *)self;
}

static inline fl_sema *
fl_semaphore_core(PyObject *self)
{
    return &fl_semaphore_of(self)->sema;
}

/* In semaphore.c; a BoundedSemaphore has a release() of its own. */
extern PyMethodDef fl_semaphore_methods[];
extern PyMethodDef fl_bounded_semaphore_methods[];

#endif
