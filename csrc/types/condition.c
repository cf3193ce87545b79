/* pyfastlock.Condition, over core/cond.h: creation, life, and the table of its methods. */

#include "types/condition.h"

#include "py/bound.h"
#include "py/define.h"
#include "py/method.h"
#include "types/contention.h"

/* Checks that `lock` has the methods that a Condition needs; the standard library looks for them in __init__, too.  0,
 * or -1 with an exception. */
static int
check_foreign(PyObject *lock)
{
    static const char *const needed[] = {"acquire", "release"};
    for (int i = 0; i < 2; i++) {
        PyObject *method = PyObject_GetAttrString(lock, needed[i]);
        if (method == NULL) {
            return -1;
        }
        Py_DECREF(method);
    }
    return 0;
}

/* Sets the lock: `lock` or, where that is NULL, a new RLock.  0, or -1 with an exception. */
static int
set_lock(fl_condition_object *self, fl_state *state, PyObject *lock)
{
    void *mutex = NULL;
    fl_lock_kind kind = FL_FOREIGN;
    PyObject *own = lock ? Py_NewRef(lock) : fl_rlock_create(state->rlock_type);
    if (own == NULL) {
        return -1;
    }
    if (Py_IS_TYPE(own, state->rlock_type)) {
        mutex = fl_rlock_core(own);
        kind = FL_RECURSIVE;
    }
    else if (Py_IS_TYPE(own, state->lock_type)) {
        mutex = fl_lock_core(own);
        kind = FL_PLAIN;
    }
    else if (check_foreign(own) < 0) {
        Py_DECREF(own);
        return -1;
    }
    if (self->lock) { /* set before, or just now by the Python code that check_foreign() runs */
        bool same = self->lock == own;
        Py_DECREF(own);
        if (!same) {
            PyErr_SetString(PyExc_AttributeError,
                            "the lock of a pyfastlock.Condition cannot be replaced: make a new Condition(lock)");
        }
        return same ? 0 : -1;
    }
    self->lock = own;
    self->mutex = mutex;
    fl_store_release_u32(&self->kind, kind);
    fl_object_made((PyObject *)self);
    return 0;
}

/* Parses the arguments of the constructor.  Sets `*lock` to a borrowed reference, or to NULL for None.  0, or -1 with
 * an exception. */
static int
parse_init(fl_state *state, PyObject *self, fl_call call, PyObject **lock)
{
    static const char *const names[] = {"lock"};
    if (!fl_bind(call, names, 1, 0, lock)) {
        (void)fl_raise_misfit(state, "Condition", "__init__", self, call);
        return -1;
    }
    if (*lock == Py_None) {
        *lock = NULL;
    }
    return 0;
}

static int
condition_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    fl_condition_object *condition = fl_condition_of(self);
    PyObject *lock = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &lock)) {
        (void)fl_raise_misfit_tuple(fl_state_of(self), "Condition", "__init__", self, args, kwargs);
        return -1;
    }
    int status;
    FL_BEGIN_CRITICAL_SECTION(self);
    status = set_lock(condition, fl_state_of(self), lock == Py_None ? NULL : lock);
    FL_END_CRITICAL_SECTION();
    return status;
}

static PyObject *
condition_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    PyObject *lock;
    if (FL_UNLIKELY(!fl_instance_is_created_here(type, condition_init))) {
        return fl_instance_create_ordinary(type, call);
    }
    if (parse_init(state, Py_None, call, &lock) < 0) {
        return NULL;
    }
    fl_condition_object *self = PyObject_GC_New(fl_condition_object, (PyTypeObject *)type);
    if (self == NULL) {
        return NULL;
    }
    self->dict = NULL;
    self->weakrefs = NULL;
    self->lock = NULL;
    self->mutex = NULL;
    fl_store_relaxed_u32(&self->kind, FL_FOREIGN);
    fl_cond_init(&self->cond);
    fl_store_relaxed_u32(&self->stock_version, 0);
    if (set_lock(self, state, lock) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int
condition_traverse(PyObject *self, visitproc visit, void *arg)
{
    fl_condition_object *condition = fl_condition_of(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(condition->dict);
    Py_VISIT(condition->lock);
    return 0;
}

/* Keeps a lock of ours, because a finalizer of other garbage may still use the Condition.  Such a lock is in no
 * cycle. */
static int
condition_clear(PyObject *self)
{
    fl_condition_object *condition = fl_condition_of(self);
    Py_CLEAR(condition->dict);
    if (fl_condition_kind(condition) == FL_FOREIGN) {
        Py_CLEAR(condition->lock);
    }
    return 0;
}

static void
condition_dealloc(PyObject *self)
{
    fl_condition_object *condition = fl_condition_of(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, condition_dealloc); /* Conditions over Conditions may be stacked deeply */
    fl_object_freed(self);
    if (condition->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    Py_CLEAR(condition->dict);
    Py_CLEAR(condition->lock);
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyObject *
condition_get_lock(PyObject *self, void *Py_UNUSED(context))
{
    PyObject *lock;
    FL_BEGIN_CRITICAL_SECTION(self);
    lock = Py_XNewRef(fl_condition_get_lock(fl_condition_of(self)));
    FL_END_CRITICAL_SECTION();
    return lock;
}

/* A class may set the lock instead of calling __init__, as in the standard library. */
static int
condition_set_lock(PyObject *self, PyObject *lock, void *Py_UNUSED(context))
{
    int status;
    if (lock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "the lock of a pyfastlock.Condition cannot be deleted");
        return -1;
    }
    FL_BEGIN_CRITICAL_SECTION(self);
    status = set_lock(fl_condition_of(self), fl_state_of(self), lock);
    FL_END_CRITICAL_SECTION();
    return status;
}

static PyObject *
condition_get_dict(PyObject *self, void *Py_UNUSED(context))
{
    return fl_instance_dict(self);
}

static PyObject *
condition_repr(PyObject *self)
{
    fl_condition_object *condition = fl_condition_of(self);
    PyObject *lock = condition_get_lock(self, NULL);
    if (lock == NULL) {
        return NULL;
    }
    PyObject *repr = PyUnicode_FromFormat("<Condition(%S, %zd)>", lock, (Py_ssize_t)fl_cond_waiting(&condition->cond));
    Py_DECREF(lock);
    return repr;
}

PyDoc_STRVAR(condition_doc,
             "Condition(lock=None)\n"
             "--\n"
             "\n"
             "A condition variable: threads wait until another thread notifies them.\n"
             "\n"
             "lock: what guards it.  None makes a new RLock; a Lock or an RLock of this module\n"
             "      is used without any Python code; anything else needs acquire() and\n"
             "      release().  Several conditions may have the same lock.\n"
             "\n"
             "Raises AttributeError for a lock without those methods.\n"
             "\n"
             "Mirrors threading.Condition, but its lock cannot be replaced by another one.");

static PyMethodDef condition_methods[] = {
    {"wait", FL_FASTCALL(fl_condition_wait), METH_FASTCALL | METH_KEYWORDS, fl_condition_wait_doc},
    {"wait_for", FL_FASTCALL(fl_condition_wait_for), METH_FASTCALL | METH_KEYWORDS, fl_condition_wait_for_doc},
    {"notify", FL_FASTCALL(fl_condition_notify), METH_FASTCALL | METH_KEYWORDS, fl_condition_notify_doc},
    {"notify_all", FL_FASTCALL(fl_condition_notify_all), METH_FASTCALL | METH_KEYWORDS, fl_condition_notify_all_doc},
    {"notifyAll", FL_FASTCALL(fl_condition_notifyAll), METH_FASTCALL | METH_KEYWORDS, fl_condition_notifyAll_doc},
    {"acquire", FL_FASTCALL(fl_condition_acquire), METH_FASTCALL | METH_KEYWORDS, fl_condition_acquire_doc},
    {"release", fl_condition_release, METH_NOARGS, fl_condition_release_doc},
    {"locked", fl_condition_locked, METH_NOARGS, fl_condition_locked_doc},
    {"__enter__", FL_FASTCALL(fl_condition_enter), METH_FASTCALL | METH_KEYWORDS, fl_condition_enter_doc},
    {"__exit__", FL_FASTCALL(fl_condition_exit), METH_FASTCALL | METH_KEYWORDS, fl_condition_exit_doc},
    {"_is_owned", FL_FASTCALL(fl_condition_is_owned), METH_FASTCALL | METH_KEYWORDS, fl_condition_is_owned_doc},
    {"_release_save",
     FL_FASTCALL(fl_condition_release_save),
     METH_FASTCALL | METH_KEYWORDS,
     fl_condition_release_save_doc},
    {"_acquire_restore",
     FL_FASTCALL(fl_condition_acquire_restore),
     METH_FASTCALL | METH_KEYWORDS,
     fl_condition_acquire_restore_doc},
    {"_at_fork_reinit",
     FL_FASTCALL(fl_condition_at_fork_reinit),
     METH_FASTCALL | METH_KEYWORDS,
     fl_condition_at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef condition_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_condition_object, weakrefs), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(fl_condition_object, dict), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef condition_getset[] = {
    {"_lock", condition_get_lock, condition_set_lock, "The lock.", NULL},
    {"__dict__", condition_get_dict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)condition_doc},
    {Py_tp_init, condition_init},
    {Py_tp_traverse, condition_traverse},
    {Py_tp_clear, condition_clear},
    {Py_tp_dealloc, condition_dealloc},
    {Py_tp_repr, condition_repr},
    {Py_tp_methods, condition_methods},
    {Py_tp_members, condition_members},
    {Py_tp_getset, condition_getset},
    {0, NULL},
};

static PyType_Spec condition_spec = {
    .name = "pyfastlock.Condition",
    .basicsize = sizeof(fl_condition_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = condition_slots,
};

int
fl_condition_type_init(PyObject *module, fl_state *state)
{
    state->condition_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &condition_spec, NULL);
    if (state->condition_type == NULL) {
        return -1;
    }
    state->condition_type->tp_vectorcall = condition_vectorcall;
    if (fl_method_install(state, state->condition_type, "Condition", state->stdlib_condition) < 0) {
        return -1;
    }
    return FL_BOUND_INSTALL(state, state->condition_type, fl_condition_bound_enter, fl_condition_bound_exit);
}
