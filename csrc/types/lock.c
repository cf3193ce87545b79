/* pyfastlock.Lock, over core/mutex.h. */

#include "py/bound.h"
#include "types/kind.h"
#include "types/types.h"

/* ---- for Condition too ---- */

FL_NOINLINE PyObject *
fl_mutex_py_release_slow(fl_mutex *mutex, fl_wake_policy policy)
{
    if (!fl_mutex_unlock_slow(mutex, policy, NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
lock_within(fl_mutex *mutex, int64_t timeout_ns)
{
    if (fl_mutex_try_lock(mutex)) {
        Py_RETURN_TRUE;
    }
    if (timeout_ns == 0) {
        Py_RETURN_FALSE;
    }
    int acquired = fl_py_lock_wait(&fl_mutex_ops, mutex, fl_deadline_after_ns(timeout_ns));
    return acquired < 0 ? NULL : PyBool_FromLong(acquired);
}

FL_NOINLINE PyObject *
fl_mutex_py_lock_slow(fl_mutex *mutex)
{
    return lock_within(mutex, FL_DEADLINE_NEVER);
}

static FL_SLOW PyObject *
acquire_any(fl_mutex *mutex, PyObject *self, fl_call call)
{
    int64_t timeout_ns;
    if (fl_parse_acquire((fl_stdlib){self, false}, call, &timeout_ns) < 0) {
        return NULL;
    }
    return lock_within(mutex, timeout_ns);
}

PyObject *
fl_mutex_py_acquire(fl_mutex *mutex, PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    int64_t timeout_ns = fl_parse_plain_acquire(args, nargs, kwnames);
    if (FL_LIKELY(timeout_ns != FL_NOT_PLAIN)) {
        return lock_within(mutex, timeout_ns);
    }
    return acquire_any(mutex, self, (fl_call){args, nargs, kwnames});
}

/* ---- methods ---- */

PyDoc_STRVAR(lock_acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "Take the lock, and return whether it was taken.\n"
             "\n"
             "blocking: False to return at once, whether the lock is free or not.\n"
             "timeout:  how many seconds to wait at most; -1 waits without a limit.\n"
             "\n"
             "In the main thread the wait is interrupted by signals: their handlers run at\n"
             "once, an exception from one leaves the lock alone and is raised here, and\n"
             "otherwise the wait goes on to its original deadline.\n"
             "\n"
             "Raises ValueError for a timeout that is negative or NaN, or given with\n"
             "blocking=False, and OverflowError for one above TIMEOUT_MAX.\n"
             "\n"
             "Mirrors threading.Lock.acquire.");

static PyObject *
lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_mutex_py_lock(fl_lock_core(self));
    }
    return fl_mutex_py_acquire(fl_lock_core(self), self, args, nargs, kwnames);
}

static PyObject *
lock_acquire_lock(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_call call = {args, nargs, kwnames};
    if ((nargs != 0 || kwnames) && fl_check_with_stdlib((fl_stdlib){self, false}, false, "acquire_lock", call) < 0) {
        return NULL;
    }
    return fl_mutex_py_acquire(fl_lock_core(self), self, args, nargs, kwnames);
}

PyDoc_STRVAR(lock_release_doc,
             "release($self, /)\n"
             "--\n"
             "\n"
             "Release the lock; any thread may.\n"
             "\n"
             "Raises RuntimeError where the lock is not held.\n"
             "\n"
             "Mirrors threading.Lock.release.");

static PyObject *
lock_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_mutex_py_release(fl_lock_core(self), FL_WAKE_ONE);
}

PyDoc_STRVAR(lock_locked_doc,
             "locked($self, /)\n"
             "--\n"
             "\n"
             "Return whether the lock is held, by any thread.\n"
             "\n"
             "Mirrors threading.Lock.locked.");

PyDoc_STRVAR(lock_acquire_lock_doc,
             "acquire_lock($self, /, blocking=True, timeout=-1)\n"
             "--\n"
             "\n"
             "An obsolete name of acquire().");

PyDoc_STRVAR(lock_release_lock_doc,
             "release_lock($self, /)\n"
             "--\n"
             "\n"
             "An obsolete name of release().");

PyDoc_STRVAR(lock_locked_lock_doc,
             "locked_lock($self, /)\n"
             "--\n"
             "\n"
             "An obsolete name of locked().");

static PyObject *
lock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(fl_mutex_is_locked(fl_lock_core(self)));
}

PyDoc_STRVAR(lock_enter_doc,
             "__enter__($self, /)\n"
             "--\n"
             "\n"
             "Take the lock, waiting for it if need be, and return True.");

static FL_SLOW PyObject *
lock_enter_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_call call = {args, nargs, kwnames};
    if (fl_check_with_stdlib((fl_stdlib){self, false}, false, "__enter__", call) < 0) {
        return NULL;
    }
    return fl_mutex_py_acquire(fl_lock_core(self), self, args, nargs, kwnames);
}

static PyObject *
lock_enter(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_mutex_py_lock(fl_lock_core(self));
    }
    return lock_enter_with(self, args, nargs, kwnames);
}

PyDoc_STRVAR(lock_exit_doc,
             FL_EXIT_SIGNATURE
             "--\n"
             "\n"
             "Release the lock; exceptions pass through.");

static FL_SLOW PyObject *
lock_exit_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (fl_check_with_stdlib((fl_stdlib){self, false}, true, "__exit__", (fl_call){args, nargs, NULL}) < 0) {
        return NULL;
    }
    return fl_mutex_py_release(fl_lock_core(self), FL_WAKE_ONE);
}

static PyObject *
lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (FL_LIKELY(nargs == 3)) {
        return fl_mutex_py_release(fl_lock_core(self), FL_WAKE_ONE);
    }
    return lock_exit_with(self, args, nargs);
}

PyDoc_STRVAR(lock_at_fork_reinit_doc,
             "_at_fork_reinit($self, /)\n"
             "--\n"
             "\n"
             "Make the lock free, whoever held it.  For the child of a fork only.");

static PyObject *
lock_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    fl_mutex_init(fl_lock_core(self));
    Py_RETURN_NONE;
}

static PyMethodDef lock_methods[] = {
    {"acquire", FL_FASTCALL(lock_acquire), METH_FASTCALL | METH_KEYWORDS, lock_acquire_doc},
    {"acquire_lock", FL_FASTCALL(lock_acquire_lock), METH_FASTCALL | METH_KEYWORDS, lock_acquire_lock_doc},
    {"release", lock_release, METH_NOARGS, lock_release_doc},
    {"release_lock", lock_release, METH_NOARGS, lock_release_lock_doc},
    {"locked", lock_locked, METH_NOARGS, lock_locked_doc},
    {"locked_lock", lock_locked, METH_NOARGS, lock_locked_lock_doc},
    {"__enter__", FL_FASTCALL(lock_enter), METH_FASTCALL | METH_KEYWORDS, lock_enter_doc},
    {"__exit__", FL_FASTCALL(lock_exit), METH_FASTCALL, lock_exit_doc},
    {"_at_fork_reinit", lock_at_fork_reinit, METH_NOARGS, lock_at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *
lock_bound_enter(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_enter(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_mutex_py_lock(fl_lock_core(fl_bound_self(callable)));
}

static PyObject *
lock_bound_exit(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_exit(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_mutex_py_release(fl_lock_core(fl_bound_self(callable)), FL_WAKE_ONE);
}

/* ---- the type ---- */

static PyObject *
lock_create(PyTypeObject *type)
{
    fl_lock_object *self = PyObject_New(fl_lock_object, type);
    if (self) {
        self->weakrefs = NULL;
        fl_mutex_init(&self->mutex);
    }
    return (PyObject *)self;
}

static PyObject *
lock_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    if (FL_UNLIKELY(call.nargs != 0 || kwnames)) {
        fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
        if (fl_check_constructor(state->stdlib_lock, call) < 0) {
            return NULL;
        }
    }
    return lock_create((PyTypeObject *)type);
}

/* Called where tp_vectorcall is not: Lock.__new__(Lock). */
static PyObject *
lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs && PyDict_GET_SIZE(kwargs) > 0)) {
        fl_state *state = PyType_GetModuleState(type);
        PyObject *made = PyObject_Call(state->stdlib_lock, args, kwargs);
        Py_XDECREF(made);
        if (made == NULL) {
            return NULL;
        }
    }
    return lock_create(type);
}

static void
lock_dealloc(PyObject *self)
{
    fl_lock_object *lock = (fl_lock_object *)self;
    if (lock->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
lock_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s %s object at %p>",
                                fl_mutex_is_locked(fl_lock_core(self)) ? "locked" : "unlocked",
                                Py_TYPE(self)->tp_name,
                                self);
}

PyDoc_STRVAR(lock_doc,
             "Lock()\n"
             "--\n"
             "\n"
             "A mutual exclusion lock without an owner: any thread may release it.\n"
             "\n"
             "Mirrors threading.Lock.");

static PyMemberDef lock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_lock_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)lock_doc},
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_repr, lock_repr},
    {Py_tp_methods, lock_methods},
    {Py_tp_members, lock_members},
    {Py_tp_getset, fl_kind_getset},
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "pyfastlock.Lock",
    .basicsize = sizeof(fl_lock_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lock_slots,
};

int
fl_lock_type_init(PyObject *module, fl_state *state)
{
    state->lock_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &lock_spec, NULL);
    if (state->lock_type == NULL) {
        return -1;
    }
    state->lock_type->tp_vectorcall = lock_vectorcall;
    fl_kind_set_meta(state, state->lock_type);
    return FL_BOUND_INSTALL(state, state->lock_type, lock_bound_enter, lock_bound_exit);
}
