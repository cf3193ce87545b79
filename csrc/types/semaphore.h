/* What semaphore.c and semaphore_type.c, the two halves of pyfastlock.Semaphore and pyfastlock.BoundedSemaphore, use of
 * each other. */

#ifndef FL_SEMAPHORE_H
#define FL_SEMAPHORE_H

#include "core/sema.h"
#include "py/method.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_sema sema;
    fl_atomic_u64 bound;    /* the largest number of permits; 0 while unborn, so that no fast release() succeeds.
                             * Written after `sema`: whoever sees it sees the permits that __init__ has set */
    fl_method_watch *watch; /* whether the type's release() is ours; NULL for a subclass: release() is looked up */
    fl_atomic_u32 ready;    /* __init__ has been called.  Written last: whoever sees it sees the fields above */
} fl_semaphore_object;

/* Returns the object behind `self`, which is a Semaphore. */
static inline fl_semaphore_object *
fl_semaphore_of(PyObject *self)
{
    return (fl_semaphore_object *)self;
}

/* Returns the semaphore of the core. */
static inline fl_sema *
fl_semaphore_core(PyObject *self)
{
    return &fl_semaphore_of(self)->sema;
}

/* Returns the largest number of permits; 0 while the object is unborn. */
static inline uint64_t
fl_semaphore_bound(PyObject *self)
{
    return fl_load_acquire_u64(&fl_semaphore_of(self)->bound);
}

/* Returns whether __init__ has been called: the object is not unborn (types/inside.h). */
static inline bool
fl_semaphore_is_ready(PyObject *self)
{
    return fl_load_acquire_u32(&fl_semaphore_of(self)->ready);
}

/* Returns whether the object is neither unborn nor open. */
static inline bool
fl_semaphore_is_closed(PyObject *self)
{
    return fl_semaphore_is_ready(self) && !fl_sema_is_opened(fl_semaphore_core(self));
}

/* Calls the method of `threading.Semaphore` or `threading.BoundedSemaphore`, as `owner` says, on a semaphore that is
 * unborn or open.  Returns a new reference, or NULL with an exception.  Runs Python code, and blocks where the method
 * blocks. */
PyObject *fl_semaphore_call_open(PyObject *self, const char *owner, const char *method, fl_call call);

/* __getstate__() of both types, METH_NOARGS.  In semaphore_type.c. */
PyObject *fl_semaphore_getstate(PyObject *self, PyObject *ignored);

/* In semaphore.c.  BoundedSemaphore derives from Semaphore, and has a release() of its own. */
extern PyMethodDef fl_semaphore_methods[];
extern PyMethodDef fl_bounded_semaphore_methods[];

#endif
