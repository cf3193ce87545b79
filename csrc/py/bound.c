#include "py/bound.h"

#include "platform/compiler.h"
#include "py/method.h"

enum { MAX_IDLE = 16 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *method;         /* the ordinary descriptor, owned */
    PyTypeObject *type;       /* whose method it is, owned */
    PyTypeObject *bound_type; /* owned */
    vectorcallfunc bound_call;
    fl_bound **last;              /* the last idle callable, or `idle` where none is */
    fl_bound **end;               /* the last place: idle + MAX_IDLE, or `idle` once the collector has cleared us */
    fl_bound *idle[MAX_IDLE + 1]; /* the idle callables, after `nobody` */
} fl_bound_descriptor;

/* Stands before the idle callables.  It has no reference, so take_idle() does not take it. */
static fl_bound nobody;

/* ---- the callable ---- */

static fl_bound *
bound_of(PyObject *self)
{
    return (fl_bound *)self;
}

static fl_bound_descriptor *
descriptor_of(fl_bound *bound)
{
    return (fl_bound_descriptor *)bound->descriptor;
}

/* Only code that asks the collector for all objects gets hold of an idle callable (N2). */
static bool
is_idle(PyObject *self)
{
    return bound_of(self)->self == NULL;
}

static PyObject *
bind_ordinarily(fl_bound_descriptor *descriptor, PyObject *object, PyObject *type)
{
    return Py_TYPE(descriptor->method)->tp_descr_get(descriptor->method, object, type);
}

/* The ordinary bound method that the callable stands for, or NULL with an exception where it is idle. */
static PyObject *
ordinary(PyObject *self)
{
    fl_bound *bound = bound_of(self);
    if (is_idle(self)) {
        PyErr_SetString(PyExc_ReferenceError, "a bound method that is not in use");
        return NULL;
    }
    return bind_ordinarily(descriptor_of(bound), bound->self, (PyObject *)Py_TYPE(bound->self));
}

PyObject *
fl_bound_call_ordinary(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *method = ordinary(callable);
    PyObject *result = method ? PyObject_Vectorcall(method, args, nargsf, kwnames) : NULL;
    Py_XDECREF(method);
    return result;
}

static PyObject *
bound_getattro(PyObject *self, PyObject *name)
{
    if (is_idle(self)) {
        return PyObject_GenericGetAttr(self, name);
    }
    PyObject *method = ordinary(self);
    PyObject *value = method ? fl_get_optional_attr(method, name) : NULL;
    if (method && value == NULL && !PyErr_Occurred()) {
        value = PyObject_GenericGetAttr(self, name); /* the callable has __deepcopy__, the method has not */
        if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
            value = PyObject_GetAttr(method, name); /* raises with the right text */
        }
    }
    Py_XDECREF(method);
    return value;
}

static int
bound_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    if (is_idle(self)) {
        return PyObject_GenericSetAttr(self, name, value);
    }
    PyObject *method = ordinary(self);
    int status = method ? PyObject_SetAttr(method, name, value) : -1;
    Py_XDECREF(method);
    return status;
}

/* Calls copy.function on the ordinary bound method.  If the copy is the method itself, the callable is its own copy,
 * too. */
static PyObject *
copied(PyObject *self, const char *function, PyObject *memo)
{
    PyObject *method = ordinary(self);
    PyObject *module = method ? PyImport_ImportModule("copy") : NULL;
    PyObject *copy = module ? PyObject_CallMethod(module, function, memo ? "OO" : "O", method, memo) : NULL;
    if (copy && copy == method) {
        Py_SETREF(copy, Py_NewRef(self));
    }
    Py_XDECREF(module);
    Py_XDECREF(method);
    return copy;
}

static PyObject *
bound_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return copied(self, "copy", NULL);
}

static PyObject *
bound_deepcopy(PyObject *self, PyObject *memo)
{
    return copied(self, "deepcopy", memo);
}

static PyObject *
bound_repr(PyObject *self)
{
    if (is_idle(self)) {
        return PyUnicode_FromFormat("<bound method at %p, not in use>", self);
    }
    PyObject *method = ordinary(self);
    PyObject *repr = method ? PyObject_Repr(method) : NULL;
    Py_XDECREF(method);
    return repr;
}

static Py_hash_t
bound_hash(PyObject *self)
{
    if (is_idle(self)) {
        return PyBaseObject_Type.tp_hash(self);
    }
    PyObject *method = ordinary(self);
    Py_hash_t hash = method ? PyObject_Hash(method) : -1;
    Py_XDECREF(method);
    return hash;
}

static PyObject *
bound_richcompare(PyObject *self, PyObject *other, int op)
{
    if ((op != Py_EQ && op != Py_NE) || is_idle(self)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (Py_IS_TYPE(other, Py_TYPE(self))) {
        fl_bound *a = bound_of(self), *b = bound_of(other);
        bool equal = a->self == b->self && a->descriptor == b->descriptor;
        return PyBool_FromLong(equal == (op == Py_EQ));
    }
    PyObject *method = ordinary(self);
    if (method == NULL || !Py_IS_TYPE(other, Py_TYPE(method))) {
        Py_XDECREF(method);
        return method ? Py_NewRef(Py_NotImplemented) : NULL;
    }
    PyObject *answer = PyObject_RichCompare(method, other, op);
    Py_DECREF(method);
    return answer;
}

/* weakref.WeakMethod makes a method anew by `type(method)(function, object)`. */
static PyObject *
bound_new(PyTypeObject *Py_UNUSED(type), PyObject *args, PyObject *kwargs)
{
    return PyObject_Call((PyObject *)&PyMethod_Type, args, kwargs);
}

static int
bound_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(bound_of(self)->descriptor);
    Py_VISIT(bound_of(self)->self);
    return 0;
}

/* Makes the callable idle.  Its references are gone. */
static inline void
put_idle(fl_bound_descriptor *descriptor, fl_bound *bound)
{
    PyObject *lock = bound->self;
    bound->self = NULL;
    fl_revive((PyObject *)bound); /* with the list's reference */
    *++descriptor->last = bound;
    Py_XDECREF(lock); /* N3 */
}

static FL_SLOW void
bound_dealloc_slow(PyObject *self)
{
    fl_bound_descriptor *descriptor = descriptor_of(bound_of(self));
    if (bound_of(self)->weakrefs) {
        /* The callbacks may run the collector, which must not meet an object without references. */
        PyObject_GC_UnTrack(self);
        PyObject_ClearWeakRefs(self);
        PyObject_GC_Track(self);
    }
    if (descriptor->last < descriptor->end) {
        put_idle(descriptor, bound_of(self));
        return;
    }
    PyObject *lock = bound_of(self)->self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject_GC_Del(self);
    Py_DECREF(descriptor);
    Py_DECREF(type);
    Py_XDECREF(lock); /* N3 */
}

/* Calls only as its last step, so that it saves no registers. */
static void
bound_dealloc(PyObject *self)
{
    fl_bound_descriptor *descriptor = descriptor_of(bound_of(self));
    if (FL_UNLIKELY(bound_of(self)->weakrefs != NULL || descriptor->last >= descriptor->end)) {
        bound_dealloc_slow(self);
        return;
    }
    put_idle(descriptor, bound_of(self));
}

static PyMethodDef bound_methods[] = {
    {"__copy__", bound_copy, METH_NOARGS, NULL},
    {"__deepcopy__", bound_deepcopy, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef bound_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fl_bound, vectorcall), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_bound, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_new, bound_new},
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_traverse, bound_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, bound_getattro},
    {Py_tp_setattro, bound_setattro},
    {Py_tp_repr, bound_repr},
    {Py_tp_hash, bound_hash},
    {Py_tp_richcompare, bound_richcompare},
    {Py_tp_methods, bound_methods},
    {Py_tp_members, bound_members},
    {0, NULL},
};

/* No tp_clear, because bound methods have none either: another object of the cycle breaks it. */
static PyType_Spec bound_spec = {
    .name = "pyfastlock.bound_method",
    .basicsize = sizeof(fl_bound),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bound_slots,
};

/* ---- the descriptor ---- */

static FL_SLOW PyObject *
make_bound(fl_bound_descriptor *descriptor, PyObject *object)
{
    fl_bound *bound = PyObject_GC_New(fl_bound, descriptor->bound_type);
    if (bound) {
        bound->vectorcall = descriptor->bound_call;
        bound->self = Py_NewRef(object);
        bound->descriptor = Py_NewRef(descriptor);
        bound->weakrefs = NULL;
        PyObject_GC_Track(bound); /* N4 */
    }
    return (PyObject *)bound;
}

static FL_SLOW PyObject *
replace_by_ordinary(PyObject *bound)
{
    PyObject *method = bound ? ordinary(bound) : NULL;
    Py_XDECREF(bound);
    return method;
}

/* Returns the callable or, where a profile function has to see the call, the ordinary bound method.  The caller does
 * this last, so that nothing but the callable has to be saved over the question. */
static inline PyObject *
unless_profiled(PyObject *bound)
{
    return FL_LIKELY(!fl_is_profiled()) ? bound : replace_by_ordinary(bound);
}

/* Returns what `RLock.__enter__` is.  In place of an ordinary method descriptor this is our descriptor, unless a
 * profile function is set: 3.11 calls a method descriptor wrongly in hot code that passes it no argument, with whatever
 * is left on the stack. */
static FL_SLOW PyObject *
get_from_type(fl_bound_descriptor *descriptor, PyObject *type)
{
    if (Py_IS_TYPE(descriptor->method, &PyMethodDescr_Type) && !fl_is_profiled()) {
        return Py_NewRef(descriptor);
    }
    return bind_ordinarily(descriptor, NULL, type);
}

/* Makes the last callable of the list active and returns it.  NULL without an exception where there is none, or where
 * somebody else has it (N2). */
static inline PyObject *
take_idle(fl_bound_descriptor *descriptor, PyObject *object)
{
    fl_bound *bound = *descriptor->last;
    if (FL_UNLIKELY(Py_REFCNT(bound) != 1)) {
        return NULL; /* N2 */
    }
    descriptor->last--;
    bound->self = Py_NewRef(object); /* N1 */
    return (PyObject *)bound;
}

static FL_NOINLINE PyObject *
get_slow(fl_bound_descriptor *descriptor, PyObject *object, PyObject *type)
{
    if (object == NULL) {
        return get_from_type(descriptor, type);
    }
    if (!PyObject_TypeCheck(object, descriptor->type)) {
        return bind_ordinarily(descriptor, object, type);
    }
    PyObject *bound = NULL;
    while (bound == NULL && descriptor->last > descriptor->idle) {
        bound = take_idle(descriptor, object);
        if (bound == NULL) {
            Py_DECREF(*descriptor->last--);
        }
    }
    return unless_profiled(bound ? bound : make_bound(descriptor, object));
}

static PyObject *
descriptor_get(PyObject *self, PyObject *object, PyObject *type)
{
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    if (FL_LIKELY(object && Py_IS_TYPE(object, descriptor->type))) {
        PyObject *bound = take_idle(descriptor, object);
        if (FL_LIKELY(bound != NULL)) {
            return unless_profiled(bound);
        }
    }
    return get_slow(descriptor, object, type);
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
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(descriptor->method);
    Py_VISIT(descriptor->type);
    Py_VISIT(descriptor->bound_type);
    for (fl_bound **each = descriptor->last; each > descriptor->idle; each--) {
        Py_VISIT(*each);
    }
    return 0;
}

/* Keeps the method and the type for whoever still calls the descriptor.  The type's dictionary breaks their cycle. */
static int
descriptor_clear(PyObject *self)
{
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    descriptor->end = descriptor->idle;
    while (descriptor->last > descriptor->idle) {
        Py_DECREF(*descriptor->last--);
    }
    return 0;
}

static void
descriptor_dealloc(PyObject *self)
{
    fl_bound_descriptor *descriptor = (fl_bound_descriptor *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(descriptor->method);
    Py_DECREF(descriptor->type);
    Py_DECREF(descriptor->bound_type);
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

/* Without Py_TPFLAGS_METHOD_DESCRIPTOR: with it the interpreter would call the descriptor itself for
 * `lock.__enter__()`, and a profile function sees no call of a type that the interpreter does not know. */
static PyType_Spec descriptor_spec = {
    .name = "pyfastlock.method_descriptor",
    .basicsize = sizeof(fl_bound_descriptor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
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
install_one(fl_state *state, PyTypeObject *type, const fl_bound_spec *spec)
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
    descriptor->type = (PyTypeObject *)Py_NewRef(type);
    descriptor->bound_type = (PyTypeObject *)Py_NewRef(state->bound_type);
    descriptor->bound_call = spec->vectorcall;
    descriptor->idle[0] = &nobody;
    descriptor->last = descriptor->idle;
    descriptor->end = descriptor->idle + MAX_IDLE;
    PyObject_GC_Track(descriptor);
    int status = PyDict_SetItemString(type->tp_dict, spec->name, (PyObject *)descriptor);
    Py_DECREF(descriptor);
    return status;
}

int
fl_bound_install(fl_state *state, PyTypeObject *type, const fl_bound_spec *specs)
{
    for (; specs->name; specs++) {
        if (install_one(state, type, specs) < 0) {
            return -1;
        }
    }
    PyType_Modified(type);
    return 0;
}
