/* pyfastlock.Lock, over core/mutex.h. */

#include "py/define.h"
#include "types/contention.h"
#include "types/kind.h"
#include "types/locking.h"
#include "types/types.h"

PyDoc_STRVAR(lock_acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "Take the lock, and return whether it was taken.\n"
             "\n" FL_LOCKING_ARGUMENTS_DOC ";\n"
             "DeadlockError for a wait without a limit that would never end, as threads wait\n"
             "for each other inside with-blocks, or the owner of such a block is gone;\n" FL_ENDLESS_WAIT_DOC
             "\n"
             "Mirrors threading.Lock.acquire, which waits for ever in a deadlock.");

PyDoc_STRVAR(lock_release_doc,
             "release($self, /)\n"
             "--\n"
             "\n"
             "Release the lock; any thread may.\n"
             "\n"
             "Raises RuntimeError where the lock is not held.\n"
             "\n"
             "Mirrors threading.Lock.release.");

PyDoc_STRVAR(lock_doc,
             "Lock()\n"
             "--\n"
             "\n"
             "A mutual exclusion lock without an owner: any thread may release it.  Whoever\n"
             "takes it by a with-statement is expected to leave that.\n"
             "\n"
             "Mirrors threading.Lock.");

#define NAME(suffix) lock_##suffix
#define KIND FL_PLAIN
#define ENTER_KIND FL_SCOPED
#define OBJECT fl_lock_object
#define INIT fl_mutex_init
#define CONSTRUCTOR stdlib_lock
#define TYPE_NAME "pyfastlock.Lock"
#define FLAGS 0
#define TYPE_INIT fl_lock_type_init
#define TYPE_OF(state) (state)->lock_type
#include "types/locking_methods.h"

/* ---- the old names ---- */

PyDoc_STRVAR(lock_acquire_lock_doc,
             "acquire_lock($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "An obsolete name of acquire().\n"
             "\n"
             "Mirrors threading.Lock.acquire_lock.");

static PyObject *
lock_acquire_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_locking_lock(FL_PLAIN, lock_core(self));
    }
    return fl_locking_acquire_as(FL_PLAIN, lock_core(self), self, "acquire_lock", (fl_call){args, nargs, kwnames});
}

PyDoc_STRVAR(lock_release_lock_doc,
             "release_lock($self, /)\n"
             "--\n"
             "\n"
             "An obsolete name of release().\n"
             "\n"
             "Mirrors threading.Lock.release_lock.");

PyDoc_STRVAR(lock_locked_lock_doc,
             "locked_lock($self, /)\n"
             "--\n"
             "\n"
             "An obsolete name of locked().\n"
             "\n"
             "Mirrors threading.Lock.locked_lock.");

static PyMethodDef lock_methods[] = {
    METHODS,
    {"acquire_lock", FL_FASTCALL(lock_acquire_lock), METH_FASTCALL | METH_KEYWORDS, lock_acquire_lock_doc},
    {"release_lock", lock_release, METH_NOARGS, lock_release_lock_doc},
    {"locked_lock", lock_locked, METH_NOARGS, lock_locked_lock_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- creation and repr ---- */

/* Lock.__new__(Lock) calls this; Lock() calls tp_vectorcall.  There are no subclasses. */
static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    fl_state *state = PyType_GetModuleState(type);
    return fl_locking_check_new(state->stdlib_lock, args, kwargs) < 0 ? NULL : lock_create(type);
}

static PyObject *
lock_repr(PyObject *self)
{
    const char *state = fl_mutex_is_locked(lock_core(self)) ? "locked" : "unlocked";
    return PyUnicode_FromFormat("<%s %s object at %p>", state, Py_TYPE(self)->tp_name, self);
}
