/* Bound callables: `with lock:` without allocating two method objects (CPython before 3.14, with the GIL).
 *
 * A with-statement looks `__enter__` and `__exit__` up on the type and calls the descriptor's __get__, and a method
 * descriptor answers with a new bound method each time.  The descriptors here answer with a callable that lies ready
 * in a free list.  Each descriptor has its own, so it belongs to one type of one interpreter, and its GIL guards it.
 *
 *   active   somebody has the callable.  It owns a reference to its lock, as a bound method does.
 *   idle     it lies in the free list, which owns the one reference to it.  It has no lock.
 *
 * __get__ makes an idle callable active, or a new one where there is none.  When the last reference to an active one
 * goes, tp_dealloc gives it to the free list instead of freeing it.
 *
 * N1  An active callable's lock lives at least as long: on the stack of the interpreter, too.
 * N2  Whoever takes a callable out of the list gets the only reference to it.  The garbage collector shows idle ones
 *     to whom asks for all objects; one that somebody else has is given up, and never active again through the list.
 * N3  No code of others runs while a list is changed.  The lock, whose end may run any code, is let go last.
 * N4  A callable is tracked by the collector from its beginning to its end, also in the list.  It owns its
 *     descriptor, the descriptor owns the list: this cycle is known to the collector, and the descriptor's tp_clear
 *     breaks it, after which callables are freed as they become idle.
 *
 * In every other respect the callable is the bound method that the ordinary descriptor gives (it forwards its
 * attributes, repr, comparison, hash and copies to a new one), and the descriptor the ordinary descriptor.  To what
 * looks at `type()`, at the address or, on 3.12 and 3.13, at the callable in an event of sys.monitoring, it is
 * another type.  While a profile function is set in the thread, __get__ gives ordinary bound methods, so that the
 * interpreter makes its own events; it makes none for the __exit__ of a block that was entered before. */

#ifndef FL_BOUND_H
#define FL_BOUND_H

#include "py/compat.h"
#include "py/state.h"

typedef struct {
    const char *name;          /* of the method in the type, which is replaced */
    vectorcallfunc vectorcall; /* gets the callable; fl_bound_self has its lock */
} fl_bound_spec;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *self;       /* the lock, owned; NULL while idle */
    PyObject *descriptor; /* owned */
    PyObject *weakrefs;
} fl_bound;

/* The lock, which is NULL while the callable is idle. */
static inline PyObject *
fl_bound_self(PyObject *callable)
{
    return ((fl_bound *)callable)->self;
}

/* What `vectorcall` does with any call but the one that a with-statement makes: the same as the ordinary bound
 * method. */
PyObject *fl_bound_call_ordinary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* Whether this is the call of a with-statement to `__enter__` or to `__exit__`.  Then the callable is active. */
static inline bool
fl_bound_is_plain_enter(PyObject *callable, size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 0 && kwnames == NULL && fl_bound_self(callable);
}

static inline bool
fl_bound_is_plain_exit(PyObject *callable, size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 3 && kwnames == NULL && fl_bound_self(callable);
}

/* Creates the two helper types in the state.  Returns 0, or -1 with an exception. */
int fl_bound_init(PyObject *module, fl_state *state);

/* Replaces methods of a type that has just been made, for its instances and those of subclasses.  `specs` ends with a
 * NULL name.  Returns 0, or -1 with an exception. */
int fl_bound_install(fl_state *state, PyTypeObject *type, const fl_bound_spec *specs);

#endif
