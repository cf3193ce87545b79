/* Methods that are functions: C code that poses as a Python function.
 *
 * `threading` writes Condition, Event, Semaphore, BoundedSemaphore and Barrier in Python.  So their classes contain
 * functions, and a bound method is a types.MethodType.  Programs rely on it: signal libraries keep such a method by
 * weakref.WeakMethod, mock copies its signature, inspect shows it.  A method descriptor written in C is no function,
 * and its bound methods are built-in ones.
 *
 * A method here is an object of a type of its own.  It stands for a function of pyfastlock._methods:
 *   - Its __class__ and its attributes are the function's.
 *   - __get__ binds the method to a types.MethodType, as a function is bound.
 *   - A call through an instance does not bind (Py_TPFLAGS_METHOD_DESCRIPTOR): it is one indirect call of the C code.
 *   - While a profiler watches the thread a call goes to the function.  So the profiler sees what it sees of
 *     `threading`: a Python function.
 *   - A call on an object of another type goes to `threading`'s function, which takes any object with the right
 *     attributes. */

#ifndef FL_METHOD_H
#define FL_METHOD_H

#include "platform/compiler.h"
#include "py/compat.h"
#include "py/state.h"

/* Creates the type of the methods in the state.  Returns 0, or -1 with an exception. */
int fl_method_init(PyObject *module, fl_state *state);

/* Gives `type`, which has just been made, what the class `owner` of pyfastlock._methods has:
 *   - a method that `type` has in C is replaced by one that stands for the function of the same name;
 *   - other functions and properties are copied.
 * `stdlib` is the class of `threading` that the type mirrors.  Its functions that `type` still lacks are copied, too,
 * for objects that are open (types/inside.h).  Returns 0, or -1 with an exception. */
int fl_method_install(fl_state *state, PyTypeObject *type, const char *owner, PyObject *stdlib);

/* Makes the methods of `type` as fast on instances of exactly `subtype` as on those of `type`.  One subtype at most,
 * which inherits them.  Runs no Python code. */
void fl_method_share(PyTypeObject *type, PyTypeObject *subtype);

/* Returns whether `type.name` is still the method that fl_method_install put into the type `owner`, a base of `type`: 1
 * where it is, 0 where a subclass or an assignment has replaced it, -1 with an exception.  May run Python code. */
int fl_method_is_original(fl_state *state, PyTypeObject *type, const char *owner, const char *name);

/* Returns whether a profile function watches the calling thread, which is attached.  Runs no Python code. */
static inline bool
fl_is_profiled(void)
{
    return PyThreadState_Get()->c_profilefunc != NULL;
}

/* Returns the type's version, which every change of the type or of a base changes; 0 where the interpreter has not
 * given it one.  Runs no Python code. */
static inline uint32_t
fl_type_version(PyTypeObject *type)
{
    return __atomic_load_n(&type->tp_version_tag, __ATOMIC_RELAXED);
}

/* Returns what fl_method_is_original says of the method that the watch names, and false where that fails; sets no
 * exception.  It looks only when the type is not the one that it has seen last, or has changed since.  `type` is one of
 * ours or a subclass of one.  May run Python code. */
bool fl_method_watch_holds_slow(fl_method_watch *watch, PyTypeObject *type);

static inline bool
fl_method_watch_holds(fl_method_watch *watch, PyTypeObject *type)
{
    unsigned int version = fl_type_version(type);
    return FL_LIKELY(version != 0 && version == __atomic_load_n(&watch->version, __ATOMIC_RELAXED)) ||
           fl_method_watch_holds_slow(watch, type);
}

#endif
