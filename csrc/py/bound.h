/* Bound callables: `with lock:` without allocating two method objects (CPython before 3.14, with the GIL).
 *
 * A with-statement looks `__enter__` and `__exit__` up on the type and calls __get__ of what it finds.  An ordinary
 * method descriptor answers with a new bound method each time.  The descriptors here answer with a callable from a free
 * list.  Each descriptor has its own list.  A descriptor belongs to one type of one interpreter, so this interpreter's
 * GIL guards the list.
 *
 *   active   the callable is in use.  It owns a reference to its lock, as a bound method does.
 *   idle     the callable lies in the free list, which owns the only reference to it.  It has no lock.
 *
 * __get__ makes an idle callable active, or makes a new one where none is idle.  When the last reference to an active
 * callable goes, tp_dealloc puts the callable into the free list instead of freeing it.
 *
 * N1  The lock of an active callable lives at least as long as the callable.  During a block its `__exit__` lies on the
 *     interpreter's stack, and keeps the lock alive there.
 * N2  A callable leaves the list for use only if the list had the only reference to it.  gc.get_objects() shows idle
 *     callables, so somebody else may have one: then the list drops it, and the list never hands it out again.
 * N3  No code but ours runs while a list is changed.  So tp_dealloc drops the lock last: the end of a lock may run any
 *     code.
 * N4  The collector tracks a callable all its life, also in the list.  A callable owns its descriptor, and the
 *     descriptor owns the list; the collector sees this cycle, and the descriptor's tp_clear breaks it.  From then on a
 *     callable is freed when it becomes idle.
 *
 * In all else the callable is the bound method that the ordinary descriptor gives: it makes one, and passes attributes,
 * repr(), comparisons, hash() and copying on to it.  The descriptor is the ordinary descriptor in the same way.  They
 * differ for code that looks at `type()` or at the address, and, on 3.12 and 3.13, for code that gets the callable from
 * an event of sys.monitoring.
 *
 * While a profile function is set in the thread __get__ gives ordinary bound methods, so that the interpreter makes its
 * own events.  It makes none for the __exit__ of a block that was entered before. */

#ifndef FL_BOUND_H
#define FL_BOUND_H

#include "py/compat.h"
#include "py/state.h"

/* One method to replace. */
typedef struct {
    const char *name;          /* the method's name in the type */
    vectorcallfunc vectorcall; /* what is called instead; its first argument is the callable, see fl_bound_self */
} fl_bound_spec;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *self;       /* the lock, owned; NULL while idle */
    PyObject *descriptor; /* owned */
    PyObject *weakrefs;
} fl_bound;

/* Returns the callable's lock, borrowed, or NULL where the callable is idle. */
static inline PyObject *
fl_bound_self(PyObject *callable)
{
    return ((fl_bound *)callable)->self;
}

/* Makes the call on the ordinary bound method.  A spec's `vectorcall` does this for every call that a with-statement
 * does not make.  Returns a new reference, or NULL with an exception.  Runs Python code, and blocks where the method
 * blocks. */
PyObject *fl_bound_call_ordinary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* Returns whether a with-statement may have made this call to `__enter__`: it has no arguments, and the callable is
 * active.  Runs no Python code. */
static inline bool
fl_bound_is_plain_enter(PyObject *callable, size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 0 && kwnames == NULL && fl_bound_self(callable);
}

/* Returns whether a with-statement may have made this call to `__exit__`: it has three arguments, and the callable is
 * active.  Runs no Python code. */
static inline bool
fl_bound_is_plain_exit(PyObject *callable, size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 3 && kwnames == NULL && fl_bound_self(callable);
}

/* Creates the types of the callables and of the descriptors in the state.  Returns 0, or -1 with an exception. */
int fl_bound_init(PyObject *module, fl_state *state);

/* Replaces the methods that `specs` names in `type`, which has just been made; subclasses inherit the replacements.
 * `specs` ends with a NULL name, and may go afterwards.  Returns 0, or -1 with an exception.  FL_BOUND_INSTALL in
 * py/compat.h calls it where bound callables are used. */
int fl_bound_install(fl_state *state, PyTypeObject *type, const fl_bound_spec *specs);

#endif
