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
    PyObject *lock;    /* set once, by __init__; cleared by the garbage collector, where it is not one of ours */
    void *core_lock;   /* of `lock`, where it is one of ours */
    fl_atomic_ptr ops; /* the same, an fl_lock_ops; written last: who sees it sees the two before */
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

/* How the core locks the condition's lock; NULL where the lock is not one of ours, or not set yet.  Another thread may
 * have the condition before its lock is set. */
static inline const fl_lock_ops *
fl_condition_ops(fl_condition_object *self)
{
    return fl_load_acquire_ptr(&self->ops);
}

static inline fl_cond_lock
fl_condition_core(fl_condition_object *self)
{
    const fl_lock_ops *ops = fl_condition_ops(self);
    return (fl_cond_lock){.lock = ops ? self->core_lock : NULL, .ops = ops};
}

/* Create the types in the state.  Return 0, or -1 with an exception. */
int fl_lock_type_init(PyObject *module, fl_state *state);
int fl_rlock_type_init(PyObject *module, fl_state *state);
int fl_condition_type_init(PyObject *module, fl_state *state);
/* After the Condition's. */
int fl_condition_stock_init(fl_state *state);

int fl_event_type_init(PyObject *module, fl_state *state);
int fl_semaphore_types_init(PyObject *module, fl_state *state);
int fl_barrier_type_init(PyObject *module, fl_state *state);

/* The keys in the parking lot of those who wait for an object of these types. */
const void *fl_event_key(PyObject *self);
const void *fl_semaphore_key(PyObject *self);
const void *fl_barrier_key(PyObject *self);

/* A new RLock. */
PyObject *fl_rlock_create(PyTypeObject *type);

/* The methods that a Condition shares with its lock, for the core instead of the object.  `self` is the object that
 * the call was made on, for its module. */
PyObject *fl_mutex_py_acquire(fl_mutex *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);
PyObject *fl_rmutex_py_acquire(fl_rmutex *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames);
PyObject *fl_rmutex_py_release_save(fl_rmutex *mutex);
PyObject *fl_rmutex_py_acquire_restore(fl_rmutex *mutex, PyObject *self, PyObject *saved);

/* The rest of the functions below. */
PyObject *fl_mutex_py_lock_slow(fl_mutex *mutex);
PyObject *fl_mutex_py_release_slow(fl_mutex *mutex, fl_wake_policy policy);
PyObject *fl_rmutex_py_lock_slow(fl_rmutex *mutex);
PyObject *fl_rmutex_py_release_slow(fl_rmutex *mutex, fl_wake_policy policy);

/* acquire() without arguments, and release().  Only the first attempt is inline, and what follows is called last,
 * so that the fast path saves no registers. */
static inline PyObject *
fl_mutex_py_lock(fl_mutex *mutex)
{
    if (FL_LIKELY(fl_mutex_try_lock_fast(mutex))) {
        Py_RETURN_TRUE;
    }
    return fl_mutex_py_lock_slow(mutex);
}

static inline PyObject *
fl_mutex_py_release(fl_mutex *mutex, fl_wake_policy policy)
{
    if (FL_LIKELY(fl_mutex_unlock_fast(mutex))) {
        Py_RETURN_NONE;
    }
    return fl_mutex_py_release_slow(mutex, policy);
}

static inline PyObject *
fl_rmutex_py_lock(fl_rmutex *mutex)
{
    if (FL_LIKELY(fl_rmutex_try_lock_fast(mutex))) {
        Py_RETURN_TRUE;
    }
    return fl_rmutex_py_lock_slow(mutex);
}

static inline PyObject *
fl_rmutex_py_release(fl_rmutex *mutex, fl_wake_policy policy)
{
    if (FL_LIKELY(fl_rmutex_unlock_fast(mutex))) {
        Py_RETURN_NONE;
    }
    return fl_rmutex_py_release_slow(mutex, policy);
}

#endif
