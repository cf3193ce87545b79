#include "types/kind.h"

#include "py/define.h"

/* Whether a type with our metaclass is one of our two, and not a subclass.  Subclasses are classes of Python, which are
 * never immutable. */
static bool
is_exact(PyTypeObject *type)
{
    return PyType_HasFeature(type, Py_TPFLAGS_IMMUTABLETYPE);
}

/* Returns the standard library's type that stands for `type`, borrowed.  NULL where `type` is not exactly one of our
 * two, while `threading` is not patched, and when the collector has begun to take the type apart. */
static PyTypeObject *
theirs(PyTypeObject *type)
{
    if (!is_exact(type)) {
        return NULL;
    }
    PyObject *module = PyType_GetModule(type);
    if (module == NULL || PyModule_GetDef(module) != &fl_module_def) {
        PyErr_Clear();
        return NULL;
    }
    fl_state *state = PyModule_GetState(module);
    if (!fl_load_relaxed_u32(&state->patched)) {
        return NULL;
    }
    return type == state->lock_type    ? state->thread_lock_type
           : type == state->rlock_type ? state->thread_rlock_type
                                       : NULL;
}

void
fl_kind_set_patched(fl_state *state, bool patched)
{
    fl_store_relaxed_u32(&state->patched, patched);
}

/* ---- __class__ ---- */

static PyObject *
get_class(PyObject *self, void *Py_UNUSED(context))
{
    PyTypeObject *shown = theirs(Py_TYPE(self));
    return Py_NewRef(shown ? shown : Py_TYPE(self));
}

/* Does what object.__class__ does: the class of a subclass's instance may be assigned. */
static int
set_class(PyObject *self, PyObject *value, void *Py_UNUSED(context))
{
    PyObject *attributes = PyObject_GetAttrString((PyObject *)&PyBaseObject_Type, "__dict__");
    PyObject *descriptor = attributes ? PyMapping_GetItemString(attributes, "__class__") : NULL;
    int status = descriptor ? Py_TYPE(descriptor)->tp_descr_set(descriptor, self, value) : -1;
    Py_XDECREF(descriptor);
    Py_XDECREF(attributes);
    return status;
}

PyGetSetDef fl_kind_getset[] = {
    {"__class__", get_class, set_class, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- the metaclass ---- */

/* PyObject_IsInstance or PyObject_IsSubclass. */
typedef int is_a_function(PyObject *object, PyObject *type);

/* Returns whether the object belongs to `cls`: what `type` answers where `cls` is one of our two types, and what
 * ABCMeta answers where it is a subclass.  If the answer is no, the standard library's type is asked instead. */
static PyObject *
check(PyObject *cls, PyTypeObject *meta, const char *name, is_a_function *is_a, PyObject *object)
{
    PyTypeObject *ordinary = is_exact((PyTypeObject *)cls) ? &PyType_Type : meta->tp_base;
    PyObject *answer = PyObject_CallMethod((PyObject *)ordinary, name, "OO", cls, object);
    PyTypeObject *other = theirs((PyTypeObject *)cls);
    if (answer != Py_False || other == NULL) {
        return answer;
    }
    Py_DECREF(answer);
    int status = is_a(object, (PyObject *)other);
    return status < 0 ? NULL : PyBool_FromLong(status);
}

static PyObject *
bad_call(const char *name)
{
    PyErr_Format(PyExc_TypeError, "%s() takes exactly one argument", name);
    return NULL;
}

static PyObject *
meta_instancecheck(PyObject *cls, PyTypeObject *meta, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return nargs == 1 && kwnames == NULL ? check(cls, meta, "__instancecheck__", PyObject_IsInstance, args[0])
                                         : bad_call("__instancecheck__");
}

static PyObject *
meta_subclasscheck(PyObject *cls, PyTypeObject *meta, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return nargs == 1 && kwnames == NULL ? check(cls, meta, "__subclasscheck__", PyObject_IsSubclass, args[0])
                                         : bad_call("__subclasscheck__");
}

/* `type`'s tp_call.  A metaclass with Py_TPFLAGS_HAVE_VECTORCALL has to name a tp_call of its own. */
static PyObject *
meta_call(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    return PyType_Type.tp_call(cls, args, kwargs);
}

static PyMethodDef meta_methods[] = {
    {"__instancecheck__", FL_METHOD(meta_instancecheck), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__subclasscheck__", FL_METHOD(meta_subclasscheck), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef meta_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyTypeObject, tp_vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot meta_slots[] = {
    {Py_tp_call, meta_call},
    {Py_tp_methods, meta_methods},
    {Py_tp_members, meta_members},
    {0, NULL},
};

/* Not immutable, because its base, ABCMeta, is not. */
static PyType_Spec meta_spec = {
    .name = "pyfastlock._core._LockMeta",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = meta_slots,
};

/* The type gets its metaclass only now, because PyType_FromMetaclass refuses a metaclass that has a __new__, as ABCMeta
 * has.  The change is safe for two reasons.  ABCMeta adds no fields, so the type's object is large enough: fl_kind_init
 * checks that.  And what ABCMeta's __new__ adds to a class is not missed, because `check` does not ask ABCMeta about
 * our two types. */
void
fl_kind_set_meta(fl_state *state, PyTypeObject *type)
{
    Py_INCREF(state->lock_meta);
    Py_SET_TYPE(type, state->lock_meta);
}

/* ---- the rest ---- */

/* Returns the type of the lock that _thread.function() makes: a new reference, or NULL with an exception. */
static PyTypeObject *
type_made_by(const char *function)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *lock = module ? PyObject_CallMethod(module, function, NULL) : NULL;
    PyTypeObject *type = lock ? (PyTypeObject *)Py_NewRef(Py_TYPE(lock)) : NULL;
    Py_XDECREF(lock);
    Py_XDECREF(module);
    return type;
}

int
fl_kind_init(PyObject *module, fl_state *state)
{
    state->thread_lock_type = type_made_by("allocate_lock");
    state->thread_rlock_type = state->thread_lock_type ? type_made_by("RLock") : NULL;
    PyObject *abc = state->thread_rlock_type ? PyImport_ImportModule("abc") : NULL;
    PyObject *base = abc ? PyObject_GetAttrString(abc, "ABCMeta") : NULL;
    state->lock_meta = base ? (PyTypeObject *)PyType_FromModuleAndSpec(module, &meta_spec, base) : NULL;
    Py_XDECREF(base);
    Py_XDECREF(abc);
    if (state->lock_meta == NULL) {
        return -1;
    }
    if (state->lock_meta->tp_basicsize != PyType_Type.tp_basicsize) {
        PyErr_SetString(PyExc_SystemError, "abc.ABCMeta has fields");
        return -1;
    }
    return 0;
}
