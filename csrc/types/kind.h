/* What a Lock and an RLock are for isinstance() while `threading` is patched: also the standard library's.
 *
 * Programs compare locks with `_thread.LockType`, `_thread.RLock` and `type(threading.Lock())`, and some have made one
 * of the two before the patch.  Both directions are answered:
 *
 *   isinstance(ours, theirs)   `__class__` of a lock of ours is the standard library's type.  So it is for exactly our
 *                              types; an instance of a subclass says what it is.
 *   isinstance(theirs, ours)   our two types have a metaclass with an __instancecheck__.
 *
 * `type(lock)` is our type in any case.  The metaclass derives from abc.ABCMeta, so that a class may have RLock and an
 * abstract class as its bases; for subclasses it does what ABCMeta does. */

#ifndef FL_KIND_H
#define FL_KIND_H

#include "py/compat.h"
#include "py/state.h"

/* Finds the standard library's types and makes the metaclass.  Returns 0, or -1 with an exception. */
int fl_kind_init(PyObject *module, fl_state *state);

/* Gives a type that has just been made, and has neither instances nor subclasses, the metaclass. */
void fl_kind_set_meta(fl_state *state, PyTypeObject *type);

/* Says whether `threading` is patched. */
void fl_kind_set_patched(fl_state *state, bool patched);

/* For Py_tp_getset: `__class__`. */
extern PyGetSetDef fl_kind_getset[];

#endif
