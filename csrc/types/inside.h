/* The inside of an object: the private attributes of `threading`'s classes, which programs read and write.
 *
 * An Event, a semaphore or a Barrier of ours is one word, and has no `_cond` that somebody could lock.  So an object whose
 * inside is touched is *opened*: from then on its attributes are those of `threading`'s class, in its __dict__, and its
 * methods run the functions of `threading`'s class on them.  Recipes that work there work here: resizable semaphores,
 * events that reset themselves, subclasses that bring their own `_cond`.  The condition that it gets is one of ours.
 *
 *   unborn --__init__--> closed --opening--> open
 *
 *   unborn   __init__ has not been called, or a class of its own did without it (multiprocessing.Barrier; unpickling).  It
 *            has the attributes that it was given, and counts as open.
 *   closed   one word.  Reading a number out of it (`_flag`, `_value`, `_count`) does not open it.
 *   open     it stays so: nobody can tell when the inside is not touched any more.
 *
 * What opens a closed object: reading `_cond`, writing or deleting any private attribute, taking its __dict__, copying and
 * pickling it, and calling __init__ again.
 *
 * I1  The attributes that opening makes are in the __dict__ before the word says that the object is open.  Each is put there
 *     only where it is not there yet: whoever is first wins, be it a finalizer that runs in between or, without the GIL,
 *     another thread.
 * I2  A number that the word keeps while the object is closed goes on in the word when it is opened, in the same step, and is
 *     read from there until somebody assigns it.  So no change of it is lost in between.
 * I3  Whoever waits when the object is opened goes on waiting in the place where `threading`'s algorithm would have it. */

#ifndef FL_INSIDE_H
#define FL_INSIDE_H

#include "py/args.h"
#include "types/instance.h"

/* What an attribute needs to know of the type. */
typedef struct {
    const char *owner;                 /* "Event" */
    bool (*is_closed)(PyObject *self); /* neither unborn nor open */
    int (*open)(PyObject *self);       /* opens a closed object; 0, or -1 with an exception */
    const PyGetSetDef *getset;         /* the table that has the attributes, FL_INSIDE_ATTRIBUTE each */
} fl_inside;

/* One private attribute. */
typedef struct {
    const fl_inside *inside;
    const char *name;
    /* The number in the word, also of an object that is open; NULL without an exception where there is none, with one where
     * it fails.  The member is NULL where the attribute is no number, and reading it opens. */
    PyObject *(*peek)(PyObject *self);
} fl_inside_attribute;

/* For a PyGetSetDef. */
PyObject *fl_inside_get(PyObject *self, void *attribute);
int fl_inside_set(PyObject *self, PyObject *value, void *attribute);
#define FL_INSIDE_ATTRIBUTE(attribute, doc) \
    {(attribute).name, fl_inside_get, fl_inside_set, (doc), (void *)&(attribute)}

/* The same for __dict__, which has all attributes in it when it is taken. */
PyObject *fl_inside_get_dict(PyObject *self, void *inside);
int fl_inside_set_dict(PyObject *self, PyObject *value, void *inside);
#define FL_INSIDE_DICT(inside) {"__dict__", fl_inside_get_dict, fl_inside_set_dict, NULL, (void *)&(inside)}

/* For `open`: puts `value`, to which it takes the reference (NULL is an exception that is set), under `name` into the
 * __dict__, where nothing is there yet (I1).  Returns a new reference to what is there afterwards, or NULL with an
 * exception. */
PyObject *fl_inside_put(PyObject *self, const char *name, PyObject *value);

/* The same for `_cond`: a Condition of ours over a new Lock of ours, as `threading` gives to such an object.  Sets `*condition`
 * to a new reference to the Condition that is there afterwards, or to NULL where a finalizer or another thread has opened the
 * object in between.  Returns 0, or -1 with an exception. */
int fl_inside_put_condition(PyObject *self, const fl_inside *inside, PyObject **condition);

/* Keeps the condition, and takes the reference: whoever waits goes on waiting in its queue (I3), and `_cond` may become
 * another one.  Called once: the caller has not let go of `self` since it found it closed. */
static inline void
fl_inside_set_adopter(PyObject *self, PyObject *condition)
{
    ((fl_instance *)self)->adopter = condition;
}

/* For __init__ of an object that is unborn: whether it has been given no private attribute yet, and its class hides none by
 * one of its own.  Any other is open for good.  -1 with an exception. */
int fl_inside_is_untouched(PyObject *self, const fl_inside *inside);

/* Calls the function of `threading`'s class, for an object that is open. */
PyObject *fl_inside_call(PyObject *self, PyObject *stdlib, const char *method, fl_call call);

/* The value of a property of `threading`'s class. */
PyObject *fl_inside_property(PyObject *self, PyObject *stdlib, const char *name);

/* What is left of a timeout as an argument of such a function: None for FL_DEADLINE_NEVER.  NULL with an exception. */
PyObject *fl_inside_time_left(int64_t deadline_ns);

/* __init__() of an object that is not unborn: `threading`'s __init__() on it, when it is open.  Results as of tp_init. */
int fl_inside_init_again(PyObject *self, const fl_inside *inside, PyObject *stdlib, PyObject *args, PyObject *kwargs);

extern const char fl_getstate_doc[];

/* __getstate__() of an object that is opened for it: the same as that of `threading`'s. */
PyObject *fl_inside_getstate(PyObject *self, const fl_inside *inside);

#endif
