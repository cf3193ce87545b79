/* What one interpreter's copy of the module owns.  After the module's execution only `patched` changes, and the
 * versions in the watches. */

#ifndef FL_STATE_H
#define FL_STATE_H

#include "platform/atomic.h"
#include "py/compat.h"

/* Remembers the last type whose method was found to be the original one, until that type changes:
 * fl_method_watch_holds. */
typedef struct {
    const char *owner; /* "Semaphore" */
    const char *name;  /* "release" */
    uint32_t version;  /* of that type; 0 at first */
} fl_method_watch;

/* The objects of the state, which the garbage collector has to know.
 *
 * bound_type, bound_descriptor_type   of py/bound.c; NULL where that is not used
 * method_type                         of py/method.c
 * lock_meta, thread_..._type          of types/kind.c
 * stdlib_...                          what `threading` has under that name when this module is imported.  It raises the
 *                                     exceptions of bad calls, and runs objects that are open (types/inside.h).
 * stdlib_rlock, stdlib_make_rlock     _thread.RLock, a type, and threading.RLock, a function.  The function needs the
 *                                     contents of its module, which the interpreter empties at exit; the type does not.
 * stdlib_release_save, ..._restore    functions of threading.Condition
 * broken_barrier_error                threading.BrokenBarrierError
 * methods                             a dict of what pyfastlock._methods has.  It is not the module's own dict, because
 *                                     at exit the interpreter empties modules while objects of ours are still used.
 * waits                               the same of pyfastlock._waits
 * own_function                        a function of pyfastlock._methods, which tells code of that module
 * originals                           a dict from "Class.name" to the method that fl_method_install put there
 * dump_files                          a dict with the files of dump_locks_later() and register() */
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
    X(PyObject, waits)                      \
    X(PyObject, originals)                  \
    X(PyObject, dump_files)                 \
    X(PyObject, own_function)

/* How many methods of a Condition are called by its other methods, or by a Condition that has it as its lock:
 * types/condition_replaced.c. */
enum { FL_CONDITION_METHODS = 7 };

typedef struct fl_recorder fl_recorder; /* types/contention.h */

typedef struct {
#define FL_STATE_FIELD(type, name) type *name;
    FL_STATE_OBJECTS(FL_STATE_FIELD)
#undef FL_STATE_FIELD
    /* Those methods, as the type Condition had them at first. */
    PyObject *condition_stock[FL_CONDITION_METHODS];
    fl_atomic_u32 patched; /* whether `threading` is patched: types/kind.h */
    fl_recorder *recorder; /* constant; its inside changes */
    fl_method_watch semaphore_release;
    fl_method_watch bounded_release;
} fl_state;

extern PyModuleDef fl_module_def;

/* Returns the state of the module that the object's type is from.  The type is one of ours or a subclass of one, so it
 * never fails.  Runs no Python code. */
static inline fl_state *
fl_state_of(PyObject *object)
{
    return PyModule_GetState(PyType_GetModuleByDef(Py_TYPE(object), &fl_module_def));
}

#endif
