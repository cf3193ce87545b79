/* What one interpreter's copy of the module owns.  Nothing here changes after the module has been executed, but for `patched`
 * and what the watches have seen. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "platform/atomic.h"
#include "py/compat.h"

/* Remembers that a method of a type is the original, for as long as the type does not change: see py/method.h. */
typedef struct {
    const char *owner; /* "Semaphore" */
    const char *name;  /* "release" */
    uint32_t version;
} fl_method_watch;

/* The objects of the state: all that the garbage collector has to know.
 *
 * bound_type, bound_descriptor_type   py/bound.c; NULL where it is not used
 * method_type                         py/method.c
 * lock_meta, thread_..._type          types/kind.c
 * stdlib_...                          what `threading` has under that name when this module is imported: for the exceptions
 *                                     of bad calls, and for objects that are open (types/inside.h).  stdlib_rlock is
 *                                     _thread.RLock; stdlib_make_rlock is threading.RLock, a function, which works as long
 *                                     as its module is whole.
 * stdlib_release_save, ..._restore    functions of threading.Condition
 * broken_barrier_error                threading.BrokenBarrierError
 * methods                             a dict of what pyfastlock._methods has.  Not the module: at exit the interpreter
 *                                     empties modules while objects of ours are still used
 * originals                           a dict, by "Class.name": the methods as they were installed */
#define FL_STATE_OBJECTS(X)                 \
    X(PyTypeObject, lock_type)              \
    X(PyTypeObject, rlock_type)             \
    X(PyTypeObject, condition_type)         \
    X(PyTypeObject, event_type)             \
    X(PyTypeObject, semaphore_type)         \
    X(PyTypeObject, bounded_semaphore_type) \
    X(PyTypeObject, barrier_type)           \
    X(PyTypeObject, bound_type)             \
    X(PyTypeObject, bound_descriptor_type)  \
    X(PyTypeObject, method_type)            \
    X(PyTypeObject, lock_meta)              \
    X(PyTypeObject, thread_lock_type)       \
    X(PyTypeObject, thread_rlock_type)      \
    X(PyObject, stdlib_lock)                \
    X(PyObject, stdlib_rlock)               \
    X(PyObject, stdlib_make_rlock)          \
    X(PyObject, stdlib_condition)           \
    X(PyObject, stdlib_event)               \
    X(PyObject, stdlib_semaphore)           \
    X(PyObject, stdlib_bounded_semaphore)   \
    X(PyObject, stdlib_barrier)             \
    X(PyObject, stdlib_release_save)        \
    X(PyObject, stdlib_acquire_restore)     \
    X(PyObject, broken_barrier_error)       \
    X(PyObject, methods)                    \
    X(PyObject, originals)

/* How many methods of a Condition are called by others of its methods, or by those of a Condition over it. */
enum { FL_CONDITION_METHODS = 7 };

typedef struct {
#define FL_STATE_FIELD(type, name) type *name;
    FL_STATE_OBJECTS(FL_STATE_FIELD)
#undef FL_STATE_FIELD
    /* Our Condition's methods, as its type had them at first: types/condition_replaced.c. */
    PyObject *condition_stock[FL_CONDITION_METHODS];
    fl_atomic_u32 patched; /* types/kind.c */
    fl_method_watch semaphore_release;
    fl_method_watch bounded_release;
} fl_state;

extern PyModuleDef fl_module_def;

/* The state for an object of one of our types or a subclass of one.  Never fails. */
static inline fl_state *
fl_state_of(PyObject *object)
{
    return PyModule_GetState(PyType_GetModuleByDef(Py_TYPE(object), &fl_module_def));
}

#endif
