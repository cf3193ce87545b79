/* Places in Python code: which instruction a thread is at.
 *
 * A place is noted in a fraction of a microsecond; its line is looked up when somebody wants to read it.  It is that of
 * the innermost frame outside of `threading` and of this package's own Python code, since those are never what the
 * reader looks for; where there is no other frame it is the innermost one. */

#ifndef FL_PLACE_H
#define FL_PLACE_H

#include <stdint.h>

#include "py/compat.h"
#include "py/state.h"

typedef struct {
    PyCodeObject *code; /* a reference; NULL: the place is not known */
    int offset;         /* of the instruction, in bytes */
} fl_place;

/* Returns where the calling thread is.  Runs no Python code, and no garbage collection.  Sets no exception. */
fl_place fl_place_here(fl_state *state);

/* Returns where the thread with that identifier is, if it belongs to the calling thread's interpreter and is among its
 * newest FL_PLACE_THREADS; no place otherwise.  No place either without a GIL: that thread may be running.  As above,
 * runs no Python code. */
fl_place fl_place_of_thread(fl_state *state, uint64_t ident);

enum { FL_PLACE_THREADS = 256 }; /* 2 us of looking, at most */

/* Drops the reference.  Runs Python code only where it was the last one to code that has a weak reference. */
void fl_place_drop(fl_place place);

/* Returns the same place with a reference of its own. */
static inline fl_place
fl_place_copy(fl_place place)
{
    Py_XINCREF(place.code);
    return place;
}

/* Whether the two are the same instruction, or both are not known. */
static inline bool
fl_place_is_same(fl_place place, fl_place other)
{
    return place.code == other.code && place.offset == other.offset;
}

/* Returns the tuple (file, line, name of the function), or None where the place is not known; NULL with an exception.
 * `line` is 0 where the code has none. */
PyObject *fl_place_as_python(fl_place place);

#endif
