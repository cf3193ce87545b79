/* While `threading` is patched isinstance() takes our Lock and RLock for the standard library's, too.
 *
 * Programs compare locks with `_thread.LockType`, `_thread.RLock` and `type(threading.Lock())`.  Some programs have
 * made the type, and some the lock, before the patch.  So both directions give true:
 *
 *   isinstance(ours, theirs)   because the `__class__` of a lock of ours is the standard library's type.  This is so
 *                              for exactly our two types; an instance of a subclass names its own class.
 *   isinstance(theirs, ours)   because the metaclass of our two types has an __instancecheck__.
 *
 * `type(lock)` is our type in any case.  The metaclass derives from abc.ABCMeta, so that a class may have both RLock
 * and an abstract class as its bases.  For subclasses it does what ABCMeta does. */

#ifndef FL_KIND_H
#define FL_KIND_H

#include "py/compat.h"
#include "py/state.h"

/* Finds the standard library's types, and makes the metaclass, in the state.  Returns 0, or -1 with an exception.  Runs
 * Python code. */
int fl_kind_init(PyObject *module, fl_state *state);

/* Gives `type` the metaclass.  The type has just been made: it has neither instances nor subclasses. */
void fl_kind_set_meta(fl_state *state, PyTypeObject *type);

/* Says whether `threading` is patched.  Runs no Python code. */
void fl_kind_set_patched(fl_state *state, bool patched);

/* `__class__`, for Py_tp_getset. */
extern PyGetSetDef fl_kind_getset[];

#endif
