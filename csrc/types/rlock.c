/* pyfastlock.RLock, over core/rmutex.h. */

#include "py/bound.h"
#include "types/kind.h"
#include "types/types.h"

/* ---- for Condition too ---- */

static PyObject *
not_owned(void)
{
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return NULL;
}

FL_NOINLINE PyObject *
fl_rmutex_py_release_slow(fl_rmutex *mutex, fl_wake_policy policy)
{
    if (!fl_rmutex_unlock_slow(mutex, policy)) {
        return not_owned();
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_within(fl_rmutex *mutex, int64_t timeout_ns)
{
    fl_lock_result tried = fl_rmutex_try_lock(mutex);
    if (tried == FL_LOCK_ACQUIRED) {
        Py_RETURN_TRUE;
    }
    if (tried != FL_LOCK_TIMED_OUT) {
        (void)fl_py_lock_error(tried);
        return NULL;
    }
    if (timeout_ns == 0) {
        Py_RETURN_FALSE;
    }
    int acquired = fl_py_lock_wait(&fl_rmutex_ops, mutex, fl_deadline_after_ns(timeout_ns));
    return acquired < 0 ? NULL : PyBool_FromLong(acquired);
}

FL_NOINLINE PyObject *
fl_rmutex_py_lock_slow(fl_rmutex *mutex)
{
    return lock_within(mutex, FL_DEADLINE_NEVER);
}

static FL_SLOW PyObject *
acquire_any(fl_rmutex *mutex, PyObject *self, fl_call call)
{
    int64_t timeout_ns;
    if (fl_parse_acquire((fl_stdlib){self, true}, call, &timeout_ns) < 0) {
        return NULL;
    }
    return lock_within(mutex, timeout_ns);
}

PyObject *
fl_rmutex_py_acquire(fl_rmutex *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout_ns = fl_parse_plain_acquire(args, nargs, kwnames);
    if (FL_LIKELY(timeout_ns != FL_NOT_PLAIN)) {
        return lock_within(mutex, timeout_ns);
    }
    return acquire_any(mutex, self, (fl_call){args, nargs, kwnames});
}

PyObject *
fl_rmutex_py_release_save(fl_rmutex *mutex)
{
    if (!fl_rmutex_is_owned(mutex)) {
        return not_owned();
    }
    /* Made before the release: if it cannot be made the lock stays held. */
    PyObject *saved = Py_BuildValue("(Kk)", fl_rmutex_depth(mutex), PyThread_get_thread_ident());
    if (saved) {
        (void)fl_rmutex_release_all(mutex, NULL);
    }
    return saved;
}

/* The depth in the pair (depth, owner).  Returns false where it is not a tuple of two numbers that fit. */
static bool
depth_of(PyObject *saved, uint64_t *depth)
{
    if (!PyTuple_CheckExact(saved) || PyTuple_GET_SIZE(saved) != 2 || !PyLong_CheckExact(PyTuple_GET_ITEM(saved, 0)) ||
        !PyLong_CheckExact(PyTuple_GET_ITEM(saved, 1))) {
        return false;
    }
    *depth = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(saved, 0));
    if (!PyErr_Occurred()) {
        (void)PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(saved, 1));
    }
    bool fits = !PyErr_Occurred();
    PyErr_Clear();
    return fits;
}

/* The same for anything that the running interpreter's RLock would take: any sequence perhaps, and numbers modulo
 * its word.  Returns 0, or -1 with an exception. */
static int
parse_saved(PyObject *self, PyObject *saved, uint64_t *depth)
{
    if (!depth_of(saved, depth)) {
        if (fl_check_with_stdlib((fl_stdlib){self, true}, false, "_acquire_restore", (fl_call){&saved, 1, NULL}) < 0) {
            return -1;
        }
        PyObject *count = PySequence_GetItem(saved, 0);
        *depth = count ? PyLong_AsUnsignedLongLongMask(count) : 0;
        Py_XDECREF(count);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    if (*depth == 0) {
        PyErr_SetString(PyExc_ValueError, "the recursion count must be positive");
        return -1;
    }
    return 0;
}

PyObject *
fl_rmutex_py_acquire_restore(fl_rmutex *mutex, PyObject *self, PyObject *saved)
{
    uint64_t depth;
    if (parse_saved(self, saved, &depth) < 0) {
        return NULL;
    }
    fl_py_blocker blocker;
    fl_py_blocker_init_uninterruptible(&blocker);
    fl_lock_result taken = fl_rmutex_try_lock(mutex);
    if (taken == FL_LOCK_TIMED_OUT) {
        taken = fl_lock_wait(&fl_rmutex_ops, mutex, FL_DEADLINE_NEVER, &blocker.base);
    }
    if (taken != FL_LOCK_ACQUIRED) {
        (void)fl_py_lock_error(taken);
        return NULL;
    }
    fl_rmutex_restore(mutex, depth);
    Py_RETURN_NONE;
}

/* ---- methods ---- */

PyDoc_STRVAR(rlock_acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "Take the lock, once more where the calling thread holds it already, and return\n"
             "whether it was taken.\n"
             "\n"
             "blocking: False to return at once, whether the lock is free or not.\n"
             "timeout:  how many seconds to wait at most; -1 waits without a limit.\n"
             "\n"
             "In the main thread the wait is interrupted by signals: their handlers run at\n"
             "once, an exception from one leaves the lock alone and is raised here, and\n"
             "otherwise the wait goes on to its original deadline.\n"
             "\n"
             "Raises ValueError for a timeout that is negative or NaN, or given with\n"
             "blocking=False, and OverflowError for one above TIMEOUT_MAX or where the lock\n"
             "is held as often as can be counted.\n"
             "\n"
             "Mirrors threading.RLock.acquire.");

static PyObject *
rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_rmutex_py_lock(fl_rlock_core(self));
    }
    return fl_rmutex_py_acquire(fl_rlock_core(self), self, args, nargs, kwnames);
}

PyDoc_STRVAR(rlock_release_doc,
             "release($self, /)\n"
             "--\n"
             "\n"
             "Undo one acquire() of the calling thread; the last one makes the lock free.\n"
             "\n"
             "Raises RuntimeError where the calling thread does not hold the lock.\n"
             "\n"
             "Mirrors threading.RLock.release.");

static PyObject *
rlock_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_rmutex_py_release(fl_rlock_core(self), FL_WAKE_ONE);
}

PyDoc_STRVAR(rlock_locked_doc,
             "locked($self, /)\n"
             "--\n"
             "\n"
             "Return whether the lock is held, by any thread.\n"
             "\n"
             "Mirrors threading.RLock.locked of Python 3.14.");

static PyObject *
rlock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(fl_rmutex_is_locked(fl_rlock_core(self)));
}

PyDoc_STRVAR(rlock_enter_doc,
             "__enter__($self, /)\n"
             "--\n"
             "\n"
             "Take the lock, waiting for it if need be, and return True.");

static FL_SLOW PyObject *
rlock_enter_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_call call = {args, nargs, kwnames};
    if (fl_check_with_stdlib((fl_stdlib){self, true}, false, "__enter__", call) < 0) {
        return NULL;
    }
    return fl_rmutex_py_acquire(fl_rlock_core(self), self, args, nargs, kwnames);
}

static PyObject *
rlock_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_rmutex_py_lock(fl_rlock_core(self));
    }
    return rlock_enter_with(self, args, nargs, kwnames);
}

PyDoc_STRVAR(rlock_exit_doc,
             FL_EXIT_SIGNATURE
             "--\n"
             "\n"
             "Undo one acquire() of the calling thread; exceptions pass through.");

static FL_SLOW PyObject *
rlock_exit_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (fl_check_with_stdlib((fl_stdlib){self, true}, true, "__exit__", (fl_call){args, nargs, NULL}) < 0) {
        return NULL;
    }
    return fl_rmutex_py_release(fl_rlock_core(self), FL_WAKE_ONE);
}

static PyObject *
rlock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (FL_LIKELY(nargs == 3)) {
        return fl_rmutex_py_release(fl_rlock_core(self), FL_WAKE_ONE);
    }
    return rlock_exit_with(self, args, nargs);
}

PyDoc_STRVAR(rlock_is_owned_doc,
             "_is_owned($self, /)\n"
             "--\n"
             "\n"
             "Return whether the calling thread holds the lock.  For Condition.");

static PyObject *
rlock_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(fl_rmutex_is_owned(fl_rlock_core(self)));
}

PyDoc_STRVAR(rlock_recursion_count_doc,
             "_recursion_count($self, /)\n"
             "--\n"
             "\n"
             "Return how often the calling thread holds the lock.  For tests.");

static PyObject *
rlock_recursion_count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fl_rmutex *mutex = fl_rlock_core(self);
    return PyLong_FromUnsignedLongLong(fl_rmutex_is_owned(mutex) ? fl_rmutex_depth(mutex) : 0);
}

PyDoc_STRVAR(rlock_release_save_doc,
             "_release_save($self, /)\n"
             "--\n"
             "\n"
             "Release the lock however often it is held, and return what _acquire_restore()\n"
             "needs: (count, threading.get_ident()).  For Condition.\n"
             "\n"
             "Raises RuntimeError where the calling thread does not hold the lock.");

static PyObject *
rlock_release_save(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_rmutex_py_release_save(fl_rlock_core(self));
}

PyDoc_STRVAR(rlock_acquire_restore_doc,
             "_acquire_restore($self, state, /)\n"
             "--\n"
             "\n"
             "Take the lock as often as _release_save() released it, whatever signals\n"
             "arrive.  The calling thread becomes the owner.  For Condition.");

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
    return fl_rmutex_py_acquire_restore(fl_rlock_core(self), self, args[0]);
}

PyDoc_STRVAR(rlock_at_fork_reinit_doc,
             "_at_fork_reinit($self, /)\n"
             "--\n"
             "\n"
             "Make the lock free, whoever held it.  For the child of a fork only.");

static PyObject *
rlock_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fl_rmutex_init(fl_rlock_core(self));
    Py_RETURN_NONE;
}

static PyMethodDef rlock_methods[] = {
    {"acquire", FL_FASTCALL(rlock_acquire), METH_FASTCALL | METH_KEYWORDS, rlock_acquire_doc},
    {"release", rlock_release, METH_NOARGS, rlock_release_doc},
    {"locked", rlock_locked, METH_NOARGS, rlock_locked_doc},
    {"__enter__", FL_FASTCALL(rlock_enter), METH_FASTCALL | METH_KEYWORDS, rlock_enter_doc},
    {"__exit__", FL_FASTCALL(rlock_exit), METH_FASTCALL, rlock_exit_doc},
    {"_is_owned", rlock_is_owned, METH_NOARGS, rlock_is_owned_doc},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, rlock_recursion_count_doc},
    {"_release_save", rlock_release_save, METH_NOARGS, rlock_release_save_doc},
    {"_acquire_restore", FL_FASTCALL(rlock_acquire_restore), METH_FASTCALL, rlock_acquire_restore_doc},
    {"_at_fork_reinit", rlock_at_fork_reinit, METH_NOARGS, rlock_at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *
rlock_bound_enter(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_enter(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_rmutex_py_lock(fl_rlock_core(fl_bound_self(callable)));
}

static PyObject *
rlock_bound_exit(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_exit(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_rmutex_py_release(fl_rlock_core(fl_bound_self(callable)), FL_WAKE_ONE);
}

/* ---- the type ---- */

static void
init(fl_rlock_object *self)
{
    self->weakrefs = NULL;
    fl_rmutex_init(&self->mutex);
}

PyObject *
fl_rlock_create(PyTypeObject *type)
{
    fl_rlock_object *self = PyObject_New(fl_rlock_object, type);
    if (self) {
        init(self);
    }
    return (PyObject *)self;
}

static PyObject *
rlock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    if (FL_UNLIKELY(call.nargs != 0 || kwnames)) {
        fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
        if (fl_check_constructor(state->stdlib_make_rlock, call) < 0) {
            return NULL;
        }
    }
    return fl_rlock_create((PyTypeObject *)type);
}

/* For subclasses.  Arguments are for their own __init__; where they have none it depends on the version whether any
 * are accepted. */
static PyObject *
rlock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    bool has_arguments = PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0);
    if (has_arguments && type->tp_init == PyBaseObject_Type.tp_init) {
        fl_state *state = PyModule_GetState(PyType_GetModuleByDef(type, &fl_module_def));
        PyObject *made = PyObject_Call((PyObject *)state->thread_rlock_type, args, kwargs);
        Py_XDECREF(made);
        if (made == NULL) {
            return NULL;
        }
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self) {
        init((fl_rlock_object *)self);
    }
    return self;
}

static void
rlock_dealloc(PyObject *self)
{
    fl_rlock_object *lock = (fl_rlock_object *)self;
    if (lock->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
rlock_repr(PyObject *self)
{
    fl_rmutex *mutex = fl_rlock_core(self);
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

PyDoc_STRVAR(rlock_doc,
             "RLock()\n"
             "--\n"
             "\n"
             "A recursive lock: the thread that holds it may take it again, and has to\n"
             "release it as often.\n"
             "\n"
             "Mirrors threading.RLock, but is a type on every version of Python.");

static PyMemberDef rlock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_rlock_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, (void *)rlock_doc},
    {Py_tp_new, rlock_new},
    {Py_tp_dealloc, rlock_dealloc},
    {Py_tp_repr, rlock_repr},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, rlock_members},
    {Py_tp_getset, fl_kind_getset},
    {0, NULL},
};

static PyType_Spec rlock_spec = {
    .name = "pyfastlock.RLock",
    .basicsize = sizeof(fl_rlock_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = rlock_slots,
};

int
fl_rlock_type_init(PyObject *module, fl_state *state)
{
    state->rlock_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &rlock_spec, NULL);
    if (state->rlock_type == NULL) {
        return -1;
    }
    state->rlock_type->tp_vectorcall = rlock_vectorcall;
    fl_kind_set_meta(state, state->rlock_type);
    return FL_BOUND_INSTALL(state, state->rlock_type, rlock_bound_enter, rlock_bound_exit);
}
