/* The objects of the types, and what the types use of each other.  No function here blocks; none but the `_init`
 * functions runs Python code. */

#ifndef FL_TYPES_H
#define FL_TYPES_H

#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "platform/clock.h"
#include "py/args.h"
#include "py/block.h"
#include "py/compat.h"
#include "py/state.h"
#include "types/instance.h"
#include "types/locking.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    fl_mutex mutex;
} fl_lock_object;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    fl_rmutex mutex;
} fl_rlock_object;

typedef struct {
    PyObject_HEAD
    PyObject *dict;
    PyObject *weakrefs;
    PyObject *lock;     /* __init__ sets it once; the garbage collector clears it where it is not one of ours */
    void *mutex;        /* the mutex in `lock`, where that is one of ours */
    fl_atomic_u32 kind; /* an fl_lock_kind.  Written last: whoever reads one of ours sees `lock` and `mutex` */
    fl_cond cond;
    fl_atomic_u32 stock_version; /* types/condition_replaced.c; 0 at first */
} fl_condition_object;

/* Returns the mutex of a Lock. */
static inline fl_mutex *
fl_lock_core(PyObject *self)
{
    return &((fl_lock_object *)self)->mutex;
}

/* Returns the mutex of an RLock. */
static inline fl_rmutex *
fl_rlock_core(PyObject *self)
{
    return &((fl_rlock_object *)self)->mutex;
}

_Static_assert(offsetof(fl_lock_object, mutex) == offsetof(fl_rlock_object, mutex), "fl_lock_of is right for both");

/* Returns the Lock or RLock that the mutex lies in. */
static inline PyObject *
fl_lock_of(const void *mutex)
{
    return (PyObject *)((char *)mutex - offsetof(fl_lock_object, mutex));
}

/* Returns the word of a Lock or an RLock. */
static inline fl_atomic_u64 *
fl_lock_word(PyObject *lock)
{
    return &fl_lock_core(lock)->word; /* a mutex of either kind begins with it */
}

/* Returns the object behind `self`, which is a Condition. */
static inline fl_condition_object *
fl_condition_of(PyObject *self)
{
    return (fl_condition_object *)self;
}

/* Returns the Condition that `cond` lies in. */
static inline PyObject *
fl_condition_of_cond(const void *cond)
{
    return (PyObject *)((char *)cond - offsetof(fl_condition_object, cond));
}

/* Returns what the Condition's lock is.  FL_FOREIGN stands also for a lock that is not set yet: without the GIL another
 * thread may use the Condition before __init__ has set the lock. */
static inline fl_lock_kind
fl_condition_kind(fl_condition_object *self)
{
    return (fl_lock_kind)fl_load_acquire_u32(&self->kind);
}

/* Returns the Condition's lock, not its fl_cond, as core/cond.h takes it: the mutex, or no lock where it is foreign. */
static inline fl_cond_lock
fl_condition_core_lock(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    return (fl_cond_lock){.lock = kind == FL_FOREIGN ? NULL : self->mutex, .ops = fl_locking_ops(kind)};
}

/* Create the types in the state.  Return 0, or -1 with an exception.  Run Python code. */
int fl_lock_type_init(PyObject *module, fl_state *state);
int fl_rlock_type_init(PyObject *module, fl_state *state);
int fl_condition_type_init(PyObject *module, fl_state *state);
int fl_event_type_init(PyObject *module, fl_state *state);
int fl_semaphore_types_init(PyObject *module, fl_state *state);
int fl_barrier_type_init(PyObject *module, fl_state *state);

/* Remembers the methods of the Condition's type, which exists already, in the state.  Returns 0, or -1 with an
 * exception. */
int fl_condition_stock_init(fl_state *state);

/* Return the key in the parking lot under which threads wait for the object. */
const void *fl_event_key(PyObject *self);
const void *fl_semaphore_key(PyObject *self);
const void *fl_barrier_key(PyObject *self);

/* Return the object that the key is of: a borrowed reference. */
PyObject *fl_event_of_key(const void *key);
PyObject *fl_semaphore_of_key(const void *key);
PyObject *fl_barrier_of_key(const void *key);

/* Makes an RLock; `type` is exactly our type.  Returns a new reference, or NULL with an exception. */
PyObject *fl_rlock_create(PyTypeObject *type);

#endif
