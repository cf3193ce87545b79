/* Methods that are functions: C code that poses as a Python function.
 *
 * `threading` writes Condition, Event, Semaphore, BoundedSemaphore and Barrier in Python.  A bound method of theirs is a
 * types.MethodType, and what is in the class is a function.  Programs rely on it: signal libraries keep such a method by
 * weakref.WeakMethod, mock copies its signature, inspect shows it.  A method descriptor written in C gives built-in
 * methods instead, and is no function.
 *
 * A method here is an object of its own type.  It stands for a function of pyfastlock._methods:
 *   - its __class__ and its attributes are the function's;
 *   - __get__ binds it as a function is bound: to a types.MethodType;
 *   - a call through an instance does not bind (Py_TPFLAGS_METHOD_DESCRIPTOR): it is one indirect call of the C code;
 *   - while a profiler watches the thread the function itself is called, so that the profiler sees what it sees of
 *     `threading`: a Python function;
 *   - called on an object that is not an instance of its type it runs `threading`'s function, which takes any object with
 *     the right attributes. */

#ifndef FL_METHOD_H
#define FL_METHOD_H

#include "platform/compiler.h"
#include "py/compat.h"
#include "py/state.h"

/* Creates the type of the methods in the state.  Returns 0, or -1 with an exception. */
int fl_method_init(PyObject *module, fl_state *state);

/* Replaces the methods of `type`, which has just been made, for each function of the class `owner` in
 * pyfastlock._methods; functions and properties that the type does not have in C are copied.  `stdlib` is the class of `threading` that the type mirrors; its helper functions, which objects
 * that are open use (types/inside.h), are copied.  Returns 0, or -1 with an exception. */
int fl_method_install(fl_state *state, PyTypeObject *type, const char *owner, PyObject *stdlib);

/* Makes calls of the inherited methods of `type` as fast on instances of `subtype`. */
void fl_method_share(PyTypeObject *type, PyTypeObject *subtype);

/* Whether `type.name` is still the method that was installed into the type `owner`, a base of `type`: neither a subclass
 * nor an assignment has replaced it.  -1 with an exception. */
int fl_method_is_original(fl_state *state, PyTypeObject *type, const char *owner, const char *name);

/* The same without a look most of the time.  `type` is one of ours or, where somebody has assigned to __class__, a subclass
 * of one.  Any doubt is a no. */
bool fl_method_watch_slow(fl_method_watch *watch, PyTypeObject *type);

static inline bool
fl_method_watch_holds(fl_method_watch *watch, PyTypeObject *type)
{
    unsigned int version = fl_type_version(type);
    return FL_LIKELY(version != 0 && version == __atomic_load_n(&watch->version, __ATOMIC_RELAXED)) ||
           fl_method_watch_slow(watch, type);
}

#endif
