/* What Lock and RLock have in common, written once: methods, creation, the type.
 *
 * This is a template, because the kind has to be a constant in the fast paths: they are most of what a lock costs.
 *
 * lock.c and rlock.c include this file, each once, after they have defined:
 *   NAME(suffix)   lock_##suffix or rlock_##suffix
 *   KIND           FL_PLAIN or FL_RECURSIVE
 *   ENTER_KIND     the kind for a with-statement: FL_SCOPED or FL_RECURSIVE
 *   OBJECT         the struct, which begins as fl_locking_object and has the mutex in `mutex`
 *   INIT           makes a mutex free
 *   CONSTRUCTOR    the member of fl_state that has the standard library's constructor, for the exceptions of bad calls
 *   TYPE_NAME      the type's name, with its module
 *   FLAGS          flags of the type, besides those that both types have
 *   TYPE_INIT      the function that makes the type, and TYPE_OF(state) where it is kept: types/types.h
 *   the docstrings NAME(acquire_doc), NAME(release_doc), NAME(doc)
 *
 * After the include they define NAME(methods), NAME(new) and NAME(repr).  Results are as Python wants them: a new
 * reference, or NULL with an exception. */

/* Returns the object's mutex. */
static inline void *
NAME(core)(PyObject *self)
{
    return &((OBJECT *)self)->mutex;
}

/* ---- methods ---- */

/* acquire() with arguments.  By itself, so that acquire() without any has nothing to keep for it. */
static FL_NOINLINE PyObject *
NAME(acquire_with)(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs == 1 && kwnames == NULL && args[0] == Py_False) {
        return fl_locking_try_lock(KIND, NAME(core)(self));
    }
    return fl_locking_acquire_with(KIND, NAME(core)(self), self, args, nargs, kwnames);
}

static PyObject *
NAME(acquire)(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_locking_lock(KIND, NAME(core)(self));
    }
    return NAME(acquire_with)(self, args, nargs, kwnames);
}

static PyObject *
NAME(release)(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_locking_unlock(KIND, NAME(core)(self), FL_WAKE_ONE);
}

static PyObject *
NAME(locked)(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_bool(fl_locking_is_locked(KIND, NAME(core)(self)));
}

static PyObject *
NAME(enter)(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL)) {
        return fl_locking_lock(ENTER_KIND, NAME(core)(self));
    }
    return fl_locking_acquire_as(KIND, NAME(core)(self), self, "__enter__", (fl_call){args, nargs, kwnames});
}

static PyObject *
NAME(exit)(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (FL_LIKELY(nargs == 3)) {
        return fl_locking_unlock(KIND, NAME(core)(self), FL_WAKE_ONE);
    }
    return fl_locking_exit_with(KIND, NAME(core)(self), self, (fl_call){args, nargs, NULL}, FL_WAKE_ONE);
}

static PyObject *
NAME(at_fork_reinit)(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    INIT(NAME(core)(self));
    Py_RETURN_NONE;
}

#define METHODS                                                                                       \
    {"acquire", FL_FASTCALL(NAME(acquire)), METH_FASTCALL | METH_KEYWORDS, NAME(acquire_doc)},        \
        {"release", NAME(release), METH_NOARGS, NAME(release_doc)},                                   \
        {"locked", NAME(locked), METH_NOARGS, fl_locking_locked_doc},                                 \
        {"__enter__", FL_FASTCALL(NAME(enter)), METH_FASTCALL | METH_KEYWORDS, fl_locking_enter_doc}, \
        {"__exit__", FL_FASTCALL(NAME(exit)), METH_FASTCALL, fl_locking_exit_doc},                    \
    {                                                                                                 \
        "_at_fork_reinit", NAME(at_fork_reinit), METH_NOARGS, fl_locking_at_fork_reinit_doc           \
    }

/* ---- for py/bound.h ----
 *
 * What a with-statement calls where py/bound.c is used.  Elsewhere it calls NAME(enter) and NAME(exit). */

static PyObject *
NAME(bound_enter)(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_enter(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_locking_lock(ENTER_KIND, NAME(core)(fl_bound_self(callable)));
}

static PyObject *
NAME(bound_exit)(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (FL_UNLIKELY(!fl_bound_is_plain_exit(callable, nargsf, kwnames))) {
        return fl_bound_call_ordinary(callable, args, nargsf, kwnames);
    }
    return fl_locking_unlock(KIND, NAME(core)(fl_bound_self(callable)), FL_WAKE_ONE);
}

/* ---- creation ---- */

/* Makes a lock of exactly our type, without calling __init__. */
static PyObject *
NAME(create)(PyTypeObject *type)
{
    OBJECT *self = PyObject_New(OBJECT, type);
    if (self) {
        self->weakrefs = NULL;
        INIT(&self->mutex);
        fl_object_made((PyObject *)self);
    }
    return (PyObject *)self;
}

static PyObject *
NAME(vectorcall)(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    if (FL_UNLIKELY(call.nargs != 0 || kwnames)) {
        fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
        if (fl_check_constructor(state->CONSTRUCTOR, call) < 0) {
            return NULL;
        }
    }
    return NAME(create)((PyTypeObject *)type);
}

/* ---- the type ---- */

static PyMethodDef NAME(methods)[]; /* METHODS, and the methods that only this type has */
static PyObject *NAME(new)(PyTypeObject *type, PyObject *args, PyObject *kwargs);
static PyObject *NAME(repr)(PyObject *self);

static PyType_Slot NAME(slots)[] = {
    {Py_tp_doc, (void *)NAME(doc)},
    {Py_tp_new, NAME(new)},
    {Py_tp_dealloc, fl_locking_dealloc},
    {Py_tp_repr, NAME(repr)},
    {Py_tp_methods, NAME(methods)},
    {Py_tp_members, fl_locking_members},
    {Py_tp_getset, fl_kind_getset},
    {0, NULL},
};

static PyType_Spec NAME(spec) = {
    .name = TYPE_NAME,
    .basicsize = sizeof(OBJECT),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | FLAGS,
    .slots = NAME(slots),
};

int
TYPE_INIT(PyObject *module, fl_state *state)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &NAME(spec), NULL);
    TYPE_OF(state) = type;
    if (type == NULL) {
        return -1;
    }
    type->tp_vectorcall = NAME(vectorcall);
    fl_kind_set_meta(state, type);
    return FL_BOUND_INSTALL(state, type, NAME(bound_enter), NAME(bound_exit));
}
