/* The objects behind the Python types, and what the types use of each other.  One accessor each leads to the core. */

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
    PyObject *lock;     /* set once, by __init__; cleared by the garbage collector, where it is not one of ours */
    void *mutex;        /* of `lock`, where it is one of ours */
    fl_atomic_u32 kind; /* an fl_lock_kind; written last: who does not see FL_FOREIGN sees the two before */
    fl_cond cond;
    fl_atomic_u32 stock_version; /* for types/condition_replaced.c; 0 at first */
} fl_condition_object;

static inline fl_mutex *
fl_lock_core(PyObject *self)
{
    return &((fl_lock_object *)self)->mutex;
}

static inline fl_rmutex *
fl_rlock_core(PyObject *self)
{
    return &((fl_rlock_object *)self)->mutex;
}

static inline fl_condition_object *
fl_condition_of(PyObject *self)
{
    return (fl_condition_object *)self;
}

/* What the condition's lock is: FL_FOREIGN also where it is not set yet.  Another thread may have the condition before. */
static inline fl_lock_kind
fl_condition_kind(fl_condition_object *self)
{
    return (fl_lock_kind)fl_load_acquire_u32(&self->kind);
}

/* The same for core/cond.h. */
static inline fl_cond_lock
fl_condition_core(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    return (fl_cond_lock){.lock = kind == FL_FOREIGN ? NULL : self->mutex, .ops = fl_locking_ops(kind)};
}

/* Create the types in the state.  Return 0, or -1 with an exception. */
int fl_lock_type_init(PyObject *module, fl_state *state);
int fl_rlock_type_init(PyObject *module, fl_state *state);
int fl_condition_type_init(PyObject *module, fl_state *state);
int fl_condition_stock_init(fl_state *state); /* after the Condition's */
int fl_event_type_init(PyObject *module, fl_state *state);
int fl_semaphore_types_init(PyObject *module, fl_state *state);
int fl_barrier_type_init(PyObject *module, fl_state *state);

/* The keys in the parking lot of those who wait for an object of these types. */
const void *fl_event_key(PyObject *self);
const void *fl_semaphore_key(PyObject *self);
const void *fl_barrier_key(PyObject *self);

/* A new RLock. */
PyObject *fl_rlock_create(PyTypeObject *type);

#endif
