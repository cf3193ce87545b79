/* The parts of pyfastlock.Semaphore and pyfastlock.BoundedSemaphore, for their types. */

#ifndef FL_SEMAPHORE_H
#define FL_SEMAPHORE_H

#include "core/sema.h"
#include "py/method.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_sema sema;
    uint64_t bound; /* the largest number of permits */
    fl_method_watch
        *watch;          /* over its type's release(); NULL in an instance of a subclass, where that may be anything */
    fl_atomic_u32 ready; /* __init__ has been called; the fast paths need not ask, as the bound is 0 until then */
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

static inline bool
fl_semaphore_is_ready(PyObject *self)
{
    return fl_load_acquire_u32(&fl_semaphore_of(self)->ready);
}

/* Whether the semaphore is neither unborn nor open. */
static inline bool
fl_semaphore_is_closed(PyObject *self)
{
    return fl_semaphore_is_ready(self) && !fl_sema_is_opened(fl_semaphore_core(self));
}

/* Runs the method of `threading`'s class, Semaphore or BoundedSemaphore as `owner` says, on a semaphore that is unborn or
 * open. */
PyObject *fl_semaphore_call_open(PyObject *self, const char *owner, const char *method, fl_call call);

/* __getstate__() of both. */
PyObject *fl_semaphore_getstate(PyObject *self, PyObject *ignored);

/* In semaphore.c; a BoundedSemaphore has a release() of its own. */
extern PyMethodDef fl_semaphore_methods[];
extern PyMethodDef fl_bounded_semaphore_methods[];

#endif
