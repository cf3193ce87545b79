/* The inside of an object: the private attributes of `threading`'s classes, which programs read and write.
 *
 * An Event, a Semaphore or a Barrier of ours is one word, and has no `_cond` that somebody could lock.  So an object
 * whose inside is touched is *opened*.  From then on it has the attributes of `threading`'s class, in its __dict__, and
 * its methods run the functions of `threading`'s class on them.  So recipes that work there work here: semaphores that
 * change their size, events that reset themselves, subclasses that bring their own `_cond`.  The condition that an
 * object gets is one of ours.
 *
 *   unborn --__init__--> closed --opening--> open
 *
 *   unborn   __init__ has not been called, or a class has an __init__ that does not call ours (multiprocessing.Barrier;
 *            unpickling).  The object has the attributes that it was given, and its methods treat it as open.
 *   closed   The object is one word.  Reading a number out of it (`_flag`, `_value`, `_count`) does not open it.
 *   open     The object stays open: nobody can tell when the inside is not touched any more.
 *
 * A closed object is opened by: reading `_cond`, writing or deleting any private attribute, taking its __dict__,
 * copying it, pickling it, and calling __init__ again.
 *
 * I1  Opening puts its attributes into the __dict__ before the word says that the object is open.  It puts an attribute
 *     there only where there is none yet.  So whoever is first wins: a finalizer may run in between and, without the
 *     GIL, another thread.
 * I2  A number that the word keeps while the object is closed stays in the word when the object is opened; the word
 *     takes it over in the step that opens.  It is read from there until somebody assigns the attribute.  So no change
 *     is lost.
 * I3  A thread that waits when the object is opened goes on waiting, in the place where `threading`'s algorithm would
 *     have it. */

#ifndef FL_INSIDE_H
#define FL_INSIDE_H

#include "core/cond.h"
#include "py/args.h"
#include "types/instance.h"

/* What the attributes of one type have in common. */
typedef struct {
    const char *owner;                 /* the type's name, as "Event" */
    bool (*is_closed)(PyObject *self); /* whether it is neither unborn nor open; runs no Python code */
    int (*open)(PyObject *self);       /* opens a closed object; 0, or -1 with an exception */
    const PyGetSetDef *getset;         /* the table that has the attributes, FL_INSIDE_ATTRIBUTE each */
} fl_inside;

/* One private attribute. */
typedef struct {
    const fl_inside *inside;
    const char *name;
    /* Returns the number in the word, also of an open object: a new reference; NULL without an exception where there is
     * none; NULL with an exception where that fails.  NULL itself for an attribute that is no number: reading it
     * opens. */
    PyObject *(*peek)(PyObject *self);
} fl_inside_attribute;

/* The functions of an attribute's entry in a PyGetSetDef.  Results as Python wants them: a new reference or NULL, and 0
 * or -1, with an exception.  They may open the object, which runs Python code. */
PyObject *fl_inside_get(PyObject *self, void *attribute);
int fl_inside_set(PyObject *self, PyObject *value, void *attribute);
#define FL_INSIDE_ATTRIBUTE(attribute, doc) \
    {(attribute).name, fl_inside_get, fl_inside_set, (doc), (void *)&(attribute)}

/* The same for __dict__.  Taking it puts all attributes into it first. */
PyObject *fl_inside_get_dict(PyObject *self, void *inside);
int fl_inside_set_dict(PyObject *self, PyObject *value, void *inside);
#define FL_INSIDE_DICT(inside) {"__dict__", fl_inside_get_dict, fl_inside_set_dict, NULL, (void *)&(inside)}

/* ---- opening ---- */

/* Puts `value` under `name` into the __dict__, unless something is there already (I1).  Takes over the caller's
 * reference to `value`; NULL stands for an exception that is set.  Returns a new reference to what is there afterwards,
 * or NULL with an exception. */
PyObject *fl_inside_put(PyObject *self, const char *name, PyObject *value);

/* Puts a Condition of ours over a new Lock of ours under `_cond`, unless something is there already (I1).  Sets
 * `*condition` to a new reference to the Condition that is there afterwards, or to NULL where a finalizer or another
 * thread has opened the object meanwhile.  Returns 0, or -1 with an exception. */
int fl_inside_put_condition(PyObject *self, const fl_inside *inside, PyObject **condition);

/* Opens a closed object whose core moves those who wait to a condition of the core: puts a Condition there as above,
 * and calls open_core(self, the core of that Condition), which does I2 and I3 in one step and runs no Python code.  0,
 * or -1 with an exception. */
int fl_inside_open(PyObject *self, const fl_inside *inside, void (*open_core)(PyObject *self, fl_cond *cond));

/* Returns whether __init__ may make this unborn object a closed one: 1, 0, or -1 with an exception.  It may not where
 * the object has one of the private attributes already, or where its class hides one of ours: such an object stays
 * open.  May run Python code. */
int fl_inside_is_untouched(PyObject *self, const fl_inside *inside);

/* ---- running `threading`'s code: runs Python code, and blocks where that blocks ---- */

/* Calls stdlib.method(self, *call), the function of `threading`'s class.  `self` is open or unborn.  Returns a new
 * reference, or NULL with an exception. */
PyObject *fl_inside_call(PyObject *self, PyObject *stdlib, const char *method, fl_call call);

/* Returns the value that the property stdlib.name has for `self`: a new reference, or NULL with an exception. */
PyObject *fl_inside_property(PyObject *self, PyObject *stdlib, const char *name);

/* Returns the time until the deadline as a timeout for such a function: a new float, None for FL_DEADLINE_NEVER, or
 * NULL with an exception.  Runs no Python code itself. */
PyObject *fl_inside_time_left(int64_t deadline_ns);

/* Does the work of tp_init for an object that __init__ cannot make closed: opens it where it is closed, and calls
 * stdlib.__init__(self, ...).  Returns 0, or -1 with an exception. */
int fl_inside_init_again(PyObject *self, const fl_inside *inside, PyObject *stdlib, PyObject *args, PyObject *kwargs);

/* Does the work of __getstate__(): opens the object, and returns what object.__getstate__() returns for it, as for an
 * object of `threading`.  NULL with an exception. */
PyObject *fl_inside_getstate(PyObject *self, const fl_inside *inside);
extern const char fl_getstate_doc[];

#endif
