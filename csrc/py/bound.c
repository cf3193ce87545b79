#include "py/bound.h"

#include "platform/compiler.h"

/* ---- the callable ---- */

/* The ordinary bound method that the callable stands for. */
static PyObject *
ordinary(fl_bound *bound)
{
    return Py_TYPE(bound->method)->tp_descr_get(bound->method, bound->self, (PyObject *)Py_TYPE(bound->self));
}

PyObject *
fl_bound_call_ordinary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *method = ordinary((fl_bound *)callable);
    PyObject *result = method ? PyObject_Vectorcall(method, args, nargsf, kwnames) : NULL;
    Py_XDECREF(method);
    return result;
}

static PyObject *
bound_getattro(PyObject *self, PyObject *name)
{
    PyObject *method = ordinary((fl_bound *)self);
    PyObject *value = method ? fl_get_optional_attr(method, name) : NULL;
    Py_XDECREF(method);
    return value || PyErr_Occurred() ? value : PyObject_GenericGetAttr(self, name);
}

/* For the copy module, which knows that a bound method is its own copy. */
static PyObject *
bound_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *
bound_repr(PyObject *self)
{
    PyObject *method = ordinary((fl_bound *)self);
    PyObject *repr = method ? PyObject_Repr(method) : NULL;
    Py_XDECREF(method);
    return repr;
}

static Py_hash_t
bound_hash(PyObject *self)
{
    PyObject *method = ordinary((fl_bound *)self);
    Py_hash_t hash = method ? PyObject_Hash(method) : -1;
    Py_XDECREF(method);
    return hash;
}

static PyObject *
bound_richcompare(PyObject *self, PyObject *other, int op)
{
    fl_bound *a = (fl_bound *)self;
    if (!Py_IS_TYPE(other, Py_TYPE(self)) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    fl_bound *b = (fl_bound *)other;
    bool equal = a->self == b->self && a->method == b->method;
    return PyBool_FromLong(equal == (op == Py_EQ));
}

static int
bound_traverse(PyObject *self, visitproc visit, void *arg)
{
    fl_bound *bound = (fl_bound *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(bound->method);
    if (bound->owns_self) {
        Py_VISIT(bound->self);
    }
    return 0;
}

static void
bound_dealloc(PyObject *self)
{
    fl_bound *bound = (fl_bound *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (bound->owns_self) {
        PyObject_GC_UnTrack(self);
        Py_DECREF(bound->self);
    }
    Py_DECREF(bound->method);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef bound_methods[] = {
    {"__copy__", bound_copy, METH_NOARGS, NULL},
    {"__deepcopy__", bound_copy, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fl_bound, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_traverse, bound_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, bound_getattro},
    {Py_tp_repr, bound_repr},
    {Py_tp_hash, bound_hash},
    {Py_tp_richcompare, bound_richcompare},
    {Py_tp_methods, bound_methods},
    {Py_tp_members, bound_members},
    {0, NULL},
};

/* No tp_clear: a callable in a cycle owns its lock, and the cycle is broken at what else is in it; a lock alone has no
 * references to others. */
static PyType_Spec bound_spec = {
    .name = "pyfastlock.bound_method",
    .basicsize = sizeof(fl_bound),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bound_slots,
};

/* ---- the descriptor ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *method;         /* the ordinary method descriptor */
    PyTypeObject *type;       /* whose instances keep callables; borrowed: the method has a reference to it */
    PyTypeObject *bound_type; /* likewise */
    vectorcallfunc bound_call;
    Py_ssize_t offset;
    fl_bound_may_keep *may_keep;
} fl_bound_descriptor;

static fl_bound *
make_bound(fl_bound_descriptor *descriptor, PyObject *self)
{
    fl_bound *bound = PyObject_GC_New(fl_bound, descriptor->bound_type);
    if (bound) {
        bound->vectorcall = descriptor->bound_call;
        bound->self = self;
        bound->method = Py_NewRef(descriptor->method);
        bound->owns_self = false;
    }
    return bound;
}

/* Makes the callable that the lock keeps from now on. */
static FL_SLOW PyObject *
make_kept(fl_bound_descriptor *descriptor, PyObject *object, PyObject *type, PyObject **kept)
{
    if (descriptor->may_keep && !descriptor->may_keep(object)) {
        return Py_TYPE(descriptor->method)->tp_descr_get(descriptor->method, object, type); /* B3 */
    }
    PyObject *bound =
        (PyObject *)make_bound(descriptor, object); /* may collect garbage, whose finalizers may come here too */
    if (*kept == NULL) {
        *kept = bound; /* B1 */
    }
    else {
        Py_XDECREF(bound);
    }
    return Py_XNewRef(*kept);
}

static PyObject *
descriptor_get(PyObject *self, PyObject *object, PyObject *type)
{
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    if (object == NULL || !Py_IS_TYPE(object, descriptor->type)) {
        if (object == NULL) {
            return Py_NewRef(self);
        }
        return Py_TYPE(descriptor->method)->tp_descr_get(descriptor->method, object, type); /* B3 */
    }
    PyObject **kept = (PyObject **)((char *)object + descriptor->offset);
    if (FL_UNLIKELY(*kept == NULL)) {
        return make_kept(descriptor, object, type, kept);
    }
    return Py_NewRef(*kept);
}

/* Called through the type: `RLock.__exit__(lock, ...)`. */
static PyObject *
descriptor_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return PyObject_Vectorcall(((fl_bound_descriptor *)self)->method, args, nargsf, kwnames);
}

static PyObject *
descriptor_getattro(PyObject *self, PyObject *name)
{
    return PyObject_GetAttr(((fl_bound_descriptor *)self)->method, name);
}

static PyObject *
descriptor_repr(PyObject *self)
{
    return PyObject_Repr(((fl_bound_descriptor *)self)->method);
}

static int
descriptor_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((fl_bound_descriptor *)self)->method);
    return 0;
}

static int
descriptor_clear(PyObject *self)
{
    (void)self; /* the method stays valid for whoever still calls it; its type's dictionary breaks the cycle */
    return 0;
}

static void
descriptor_dealloc(PyObject *self)
{
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(descriptor->method);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMemberDef descriptor_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fl_bound_descriptor, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot descriptor_slots[] = {
    {Py_tp_dealloc, descriptor_dealloc},
    {Py_tp_traverse, descriptor_traverse},
    {Py_tp_clear, descriptor_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, descriptor_getattro},
    {Py_tp_repr, descriptor_repr},
    {Py_tp_descr_get, descriptor_get},
    {Py_tp_members, descriptor_members},
    {0, NULL},
};

static PyType_Spec descriptor_spec = {
    .name = "pyfastlock.method_descriptor",
    .basicsize = sizeof(fl_bound_descriptor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = descriptor_slots,
};

/* ---- the rest ---- */

int
fl_bound_init(PyObject *module, fl_state *state)
{
    if (!FL_BOUND_CALLABLES) {
        return 0;
    }
    state->bound_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &bound_spec, NULL);
    state->bound_descriptor_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &descriptor_spec, NULL);
    return state->bound_type && state->bound_descriptor_type ? 0 : -1;
}

static int
install_one(fl_state *state, PyTypeObject *type, const fl_bound_spec *spec, fl_bound_may_keep *may_keep)
{
    PyObject *method = PyDict_GetItemString(type->tp_dict, spec->name); /* borrowed */
    if (method == NULL) {
        PyErr_SetString(PyExc_SystemError, spec->name);
        return -1;
    }
    fl_bound_descriptor *descriptor = PyObject_GC_New(fl_bound_descriptor, state->bound_descriptor_type);
    if (descriptor == NULL) {
        return -1;
    }
    descriptor->vectorcall = descriptor_call;
    descriptor->method = Py_NewRef(method);
    descriptor->type = type;
    descriptor->bound_type = state->bound_type;
    descriptor->bound_call = spec->vectorcall;
    descriptor->offset = spec->offset;
    descriptor->may_keep = may_keep;
    PyObject_GC_Track(descriptor);
    int status = PyDict_SetItemString(type->tp_dict, spec->name, (PyObject *)descriptor);
    Py_DECREF(descriptor);
    return status;
}

int
fl_bound_install(fl_state *state, PyTypeObject *type, const fl_bound_spec *specs, fl_bound_may_keep *may_keep)
{
    for (; specs->name; specs++) {
        if (install_one(state, type, specs, may_keep) < 0) {
            return -1;
        }
    }
    PyType_Modified(type);
    return 0;
}

static bool
keep_alive_for(PyObject *self, PyObject **kept)
{
    fl_bound *bound = (fl_bound *)*kept;
    if (bound == NULL) {
        return false;
    }
    *kept = NULL;
    bool shared = Py_REFCNT(bound) > 1;
    if (shared) {
        bound->owns_self = true;
        Py_INCREF(self);
        PyObject_GC_Track(bound);
    }
    Py_DECREF(bound);
    return shared;
}

bool
fl_bound_keep_alive(PyObject *self, PyObject **enter, PyObject **exit)
{
    bool kept_enter = keep_alive_for(self, enter);
    bool kept_exit = keep_alive_for(self, exit);
    return kept_enter || kept_exit;
}
