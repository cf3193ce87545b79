/* Bound callables: `with lock:` without allocating two method objects (CPython before 3.14, with the GIL).
 *
 * A with-statement looks `__enter__` and `__exit__` up on the type and calls the descriptor's __get__, and a method
 * descriptor answers with a new bound method each time.  The descriptors here answer with a callable that the lock
 * keeps: it is made at the first use and from then on __get__ costs one increment of its reference count.
 *
 *   lock --owns--> callable --borrows--> lock
 *       While both live.  No cycle of references, so nothing for the garbage collector to know.
 *   callable --owns--> lock
 *       When the lock would die but somebody else still has the callable.  It lets the lock live on, and is tracked by
 *       the collector from then on; the lock makes itself a new one if it needs one.
 *
 * B1  A callable that borrows its lock is reachable through the lock: lock.enter or lock.exit is it, and owns one
 *     reference.
 * B2  Whoever frees a lock calls fl_bound_keep_alive first.  So does whoever gives it a reference to anything that
 *     may refer to it: as long as it keeps callables the lock is in no cycle, and the collector never tears it
 *     down.
 * B3  An instance of a subclass gets an ordinary bound method each time: it may be in a cycle, and be freed by code
 *     that does not know of B2.  So does one that its type's `may_keep` refuses.
 *
 * In every other respect the callable is the bound method of the ordinary method (it forwards its attributes, its
 * repr, comparison and hash to one), and the descriptor the ordinary method descriptor. */

#ifndef FL_BOUND_H
#define FL_BOUND_H

#include "py/compat.h"
#include "py/state.h"

typedef struct {
    const char *name;          /* of the method in the type, which is replaced */
    vectorcallfunc vectorcall; /* gets the callable; fl_bound_self has its lock */
    Py_ssize_t offset;         /* of the `PyObject *` in the instance that keeps the callable */
} fl_bound_spec;

/* Whether an instance is in no cycle of references (B2).  NULL where none ever is. */
typedef bool fl_bound_may_keep(PyObject *self);

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *self;   /* the lock; borrowed or owned, see above */
    PyObject *method; /* the ordinary method descriptor */
    bool owns_self;
} fl_bound;

static inline PyObject *
fl_bound_self(PyObject *callable)
{
    return ((fl_bound *)callable)->self;
}

/* What `vectorcall` does with any call but the one that a with-statement makes: the same as the ordinary bound
 * method. */
PyObject *fl_bound_call_ordinary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* The call of a with-statement to `__enter__` and to `__exit__`. */
static inline bool
fl_bound_is_plain_enter(size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 0 && kwnames == NULL;
}

static inline bool
fl_bound_is_plain_exit(size_t nargsf, PyObject *kwnames)
{
    return PyVectorcall_NARGS(nargsf) == 3 && kwnames == NULL;
}

/* Creates the two helper types in the state.  Returns 0, or -1 with an exception. */
int fl_bound_init(PyObject *module, fl_state *state);

/* Replaces methods of a type that has just been made.  `specs` ends with a NULL name.  Returns 0, or -1 with an
 * exception. */
int fl_bound_install(fl_state *state, PyTypeObject *type, const fl_bound_spec *specs, fl_bound_may_keep *may_keep);

/* B2: gives every callable that others have a reference to the lock, and lets go of it.  Returns whether there was
 * one: then the lock has references again.  Callable with a reference count of 0. */
bool fl_bound_keep_alive(PyObject *self, PyObject **enter, PyObject **exit);

#endif
