/* pyfastlock.RLock, over core/rmutex.h. */

#include "py/define.h"
#include "types/contention.h"
#include "types/kind.h"
#include "types/locking.h"
#include "types/types.h"

PyDoc_STRVAR(rlock_acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "Take the lock, once more where the calling thread holds it already, and return\n"
             "whether it was taken.\n"
             "\n" FL_LOCKING_ARGUMENTS_DOC " or where the\n"
             "lock is held as often as can be counted; DeadlockError for a wait without a limit\n"
             "that would never end, as threads wait for each other or the owner is gone;\n" FL_ENDLESS_WAIT_DOC
             "\n"
             "Mirrors threading.RLock.acquire, which waits for ever in a deadlock, and does not\n"
             "return True where a signal handler took the lock during the wait.");

PyDoc_STRVAR(rlock_release_doc,
             "release($self, /)\n"
             "--\n"
             "\n"
             "Undo one acquire() of the calling thread; the last one makes the lock free.\n"
             "\n"
             "Raises RuntimeError where the calling thread does not hold the lock.\n"
             "\n"
             "Mirrors threading.RLock.release.");

PyDoc_STRVAR(rlock_doc,
             "RLock()\n"
             "--\n"
             "\n"
             "A recursive lock: the thread that holds it may take it again, and has to\n"
             "release it as often.\n"
             "\n"
             "Mirrors threading.RLock, but is a type on every version of Python.  A lock whose\n"
             "owner has ended belongs to nobody; there, a later thread that gets the same\n"
             "identifier owns it.");

#define NAME(suffix) rlock_##suffix
#define KIND FL_RECURSIVE
#define ENTER_KIND FL_RECURSIVE
#define OBJECT fl_rlock_object
#define INIT fl_rmutex_init
#define CONSTRUCTOR stdlib_make_rlock
#define TYPE_NAME "pyfastlock.RLock"
#define FLAGS Py_TPFLAGS_BASETYPE
#define TYPE_INIT fl_rlock_type_init
#define TYPE_OF(state) (state)->rlock_type
#include "types/locking_methods.h"

/* ---- its owner ---- */

PyDoc_STRVAR(rlock_is_owned_doc,
             "_is_owned($self, /)\n"
             "--\n"
             "\n"
             "Return whether the calling thread holds the lock.  For Condition.\n"
             "\n"
             "Mirrors threading.RLock._is_owned.");

static PyObject *
rlock_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_bool(fl_rmutex_is_owned(rlock_core(self)));
}

PyDoc_STRVAR(rlock_recursion_count_doc,
             "_recursion_count($self, /)\n"
             "--\n"
             "\n"
             "Return how often the calling thread holds the lock.  For tests.\n"
             "\n"
             "Mirrors threading.RLock._recursion_count.");

static PyObject *
rlock_recursion_count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fl_rmutex *mutex = rlock_core(self);
    return PyLong_FromUnsignedLongLong(fl_rmutex_is_owned(mutex) ? fl_rmutex_depth(mutex) : 0);
}

PyDoc_STRVAR(rlock_release_save_doc,
             "_release_save($self, /)\n"
             "--\n"
             "\n"
             "Release the lock however often it is held, and return what _acquire_restore()\n"
             "needs, which is (count, threading.get_ident()).  For Condition.\n"
             "\n"
             "Raises RuntimeError where the calling thread does not hold the lock.\n"
             "\n"
             "Mirrors threading.RLock._release_save, which before Python 3.14 lets any thread\n"
             "do so.");

static PyObject *
rlock_release_save(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_locking_release_save(FL_RECURSIVE, rlock_core(self));
}

PyDoc_STRVAR(rlock_acquire_restore_doc,
             "_acquire_restore($self, state, /)\n"
             "--\n"
             "\n"
             "Take the lock as often as _release_save() released it, whatever signals\n"
             "arrive.  The calling thread becomes the owner.  For Condition.\n"
             "\n"
             "state: what _release_save() returned.\n"
             "\n"
             "Raises TypeError for a state of another form, ValueError for a count below one,\n"
             "and OverflowError for more than can be counted.\n"
             "\n"
             "Mirrors threading.RLock._acquire_restore, which makes the owner whom the state\n"
             "names, and waits for ever where the caller holds the lock.");

static PyObject *
rlock_acquire_restore(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 1) {
        fl_call call = {args, nargs, NULL};
        if (fl_check_with_stdlib((fl_stdlib){self, true}, false, "_acquire_restore", call) == 0) {
            PyErr_SetString(PyExc_TypeError, "_acquire_restore() takes exactly one argument");
        }
        return NULL;
    }
    return fl_locking_acquire_restore(FL_RECURSIVE, rlock_core(self), self, args[0]);
}

static PyMethodDef rlock_methods[] = {
    METHODS,
    {"_is_owned", rlock_is_owned, METH_NOARGS, rlock_is_owned_doc},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, rlock_recursion_count_doc},
    {"_release_save", rlock_release_save, METH_NOARGS, rlock_release_save_doc},
    {"_acquire_restore", FL_FASTCALL(rlock_acquire_restore), METH_FASTCALL, rlock_acquire_restore_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- creation and repr ---- */

PyObject *
fl_rlock_create(PyTypeObject *type)
{
    return rlock_create(type);
}

/* Makes instances of subclasses.  If a subclass has an __init__, the arguments are for that.  If it has none, versions
 * differ in whether they take arguments. */
static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    fl_state *state = PyModule_GetState(PyType_GetModuleByDef(type, &fl_module_def));
    PyObject *stdlib = (PyObject *)state->thread_rlock_type;
    if (type->tp_init == PyBaseObject_Type.tp_init && fl_locking_check_new(stdlib, args, kwargs) < 0) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self) {
        fl_rmutex_init(rlock_core(self));
        fl_object_made(self);
    }
    return self;
}

static PyObject *
rlock_repr(PyObject *self)
{
    fl_rmutex *mutex = rlock_core(self);
    uint64_t owner = fl_rmutex_owner(mutex);
    uint64_t depth = owner ? fl_rmutex_depth(mutex) : 0;
    uint64_t ident = owner ? fl_thread_ident(owner) : 0;
    return PyUnicode_FromFormat("<%s %s object owner=%llu count=%llu at %p>",
                                owner ? "locked" : "unlocked",
                                Py_TYPE(self)->tp_name,
                                (unsigned long long)ident,
                                (unsigned long long)depth,
                                self);
}
