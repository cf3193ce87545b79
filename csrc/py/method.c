#include "py/method.h"

#include "platform/compiler.h"
#include "py/args.h"

typedef PyObject *fl_fastcall(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *type;    /* the type that has the method */
    PyTypeObject *subtype; /* the one of fl_method_share(), or `type` again */
    fl_fastcall *call;     /* NULL for __init__: `builtin` is a slot wrapper then, and call_slow calls it */
    PyObject *builtin;     /* what the type had in its place: a method descriptor or a slot wrapper */
    PyObject *function;    /* the function that the method stands for */
    PyObject *original;    /* the function of `threading`; NULL where this version of Python has none */
    PyObject *weakrefs;
} fl_method;

/* ---- calls ---- */

/* Returns the object that the method is called on, by position or by the name `self`; NULL where the call has none. */
static PyObject *
object_of(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 0) {
        return args[0];
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (fl_is_name(PyTuple_GET_ITEM(kwnames, i), "self")) {
            return args[i];
        }
    }
    return NULL;
}

/* Makes any call that call_with does not make: of __init__, on other objects, and for a profiler. */
static FL_NOINLINE PyObject *
call_slow(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_method *method = (fl_method *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    PyObject *object = object_of(args, nargs, kwnames);
    bool ours = object && PyObject_TypeCheck(object, method->type);
    if (!ours && method->original) {
        return PyObject_Vectorcall(method->original, args, nargsf, kwnames);
    }
    if (nargs == 0 || !ours || fl_is_profiled()) {
        return PyObject_Vectorcall(method->function, args, nargsf, kwnames);
    }
    if (method->call == NULL) {
        return PyObject_Vectorcall(method->builtin, args, nargsf, kwnames);
    }
    return method->call(args[0], args + 1, nargs - 1, kwnames);
}

static inline bool
is_of_method(fl_method *method, PyObject *object)
{
    return Py_IS_TYPE(object, method->type) || Py_IS_TYPE(object, method->subtype);
}

/* Makes a call with arguments. */
static FL_NOINLINE PyObject *
call_with(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_method *method = (fl_method *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (FL_LIKELY(nargs > 0 && is_of_method(method, args[0]) && !fl_is_profiled())) {
        return method->call(args[0], args + 1, nargs - 1, kwnames);
    }
    return call_slow(self, args, nargsf, kwnames);
}

/* A call without arguments is made here.  It has less to keep over the question whether a profiler watches. */
static PyObject *
method_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_method *method = (fl_method *)self;
    if (PyVectorcall_NARGS(nargsf) != 1 || kwnames || !is_of_method(method, args[0])) {
        return call_with(self, args, nargsf, kwnames);
    }
    if (FL_UNLIKELY(fl_is_profiled())) {
        return call_slow(self, args, 1, NULL);
    }
    return method->call(args[0], args, 0, NULL); /* nobody looks at the second */
}

/* ---- what a function has ---- */

static PyObject *
method_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    if (object == NULL || object == Py_None) {
        return Py_NewRef(self);
    }
    return PyMethod_New(self, object);
}

/* Looks in the type of the methods first and then in the function.  __doc__ and __module__ are the function's, because
 * the type's describe the type. */
static PyObject *
method_getattro(PyObject *self, PyObject *name)
{
    bool of_function = fl_is_name(name, "__doc__") || fl_is_name(name, "__module__");
    if (!of_function && PyDict_Contains(Py_TYPE(self)->tp_dict, name) == 1) {
        return PyObject_GenericGetAttr(self, name);
    }
    return PyObject_GetAttr(((fl_method *)self)->function, name);
}

static int
method_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    return PyObject_SetAttr(((fl_method *)self)->function, name, value);
}

static PyObject *
method_get_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(context))
{
    return Py_NewRef((PyObject *)&PyFunction_Type);
}

static PyObject *
method_repr(PyObject *self)
{
    PyObject *name = PyObject_GetAttrString(((fl_method *)self)->function, "__qualname__");
    PyObject *repr = name ? PyUnicode_FromFormat("<function %U at %p>", name, self) : NULL;
    Py_XDECREF(name);
    return repr;
}

/* Pickled by its name, as a function is. */
static PyObject *
method_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyObject_GetAttrString(((fl_method *)self)->function, "__qualname__");
}

/* ---- the type ---- */

static int
method_traverse(PyObject *self, visitproc visit, void *arg)
{
    fl_method *method = (fl_method *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(method->type);
    Py_VISIT(method->subtype);
    Py_VISIT(method->builtin);
    Py_VISIT(method->function);
    Py_VISIT(method->original);
    return 0;
}

/* No tp_clear: whoever still has the method may call it.  Each cycle with a method has a type in it, which breaks the
 * cycle. */
static void
method_dealloc(PyObject *self)
{
    fl_method *method = (fl_method *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (method->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    Py_DECREF(method->type);
    Py_DECREF(method->subtype);
    Py_DECREF(method->builtin);
    Py_DECREF(method->function);
    Py_XDECREF(method->original);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef method_methods[] = {
    {"__reduce__", method_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", method_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef method_getset[] = {
    {"__class__", method_get_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef method_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(fl_method, vectorcall), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(fl_method, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot method_slots[] = {
    {Py_tp_dealloc, method_dealloc},
    {Py_tp_traverse, method_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getattro, method_getattro},
    {Py_tp_setattro, method_setattro},
    {Py_tp_repr, method_repr},
    {Py_tp_descr_get, method_get},
    {Py_tp_methods, method_methods},
    {Py_tp_getset, method_getset},
    {Py_tp_members, method_members},
    {0, NULL},
};

static PyType_Spec method_spec = {
    .name = "pyfastlock.function",
    .basicsize = sizeof(fl_method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = method_slots,
};

int
fl_method_init(PyObject *module, fl_state *state)
{
    state->method_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &method_spec, NULL);
    state->originals = PyDict_New();
    PyObject *natives = PyDict_New();
    int status = natives ? PyDict_SetItemString(state->methods, "native", natives) : -1;
    Py_XDECREF(natives);
    return state->method_type && state->originals ? status : -1;
}

/* ---- installing ---- */

/* "Owner.name". */
static PyObject *
path_of(const char *owner, PyObject *name)
{
    return PyUnicode_FromFormat("%s.%U", owner, name);
}

/* Gives the function the docstring of `builtin`, and the name of our package.  0, or -1 with an exception. */
static int
describe(PyObject *function, PyObject *builtin)
{
    PyObject *doc = PyObject_GetAttrString(builtin, "__doc__");
    PyObject *package = doc ? PyUnicode_FromString("pyfastlock") : NULL;
    int status = -1;
    if (package && PyObject_SetAttrString(function, "__doc__", doc) == 0) {
        status = PyObject_SetAttrString(function, "__module__", package);
    }
    Py_XDECREF(package);
    Py_XDECREF(doc);
    return status;
}

/* Makes a copy of `function` for this interpreter's module alone; NULL with an exception.  The copy has the same code
 * and defaults, finds `builtin` as native[path], and has no annotations, as in `threading`. */
static PyObject *
make_function(fl_state *state, PyObject *path, PyObject *function, PyObject *builtin)
{
    PyObject *natives = PyMapping_GetItemString(state->methods, "native");
    int status = natives ? PyObject_SetItem(natives, path, builtin) : -1;
    Py_XDECREF(natives);
    PyObject *copy = status < 0 ? NULL : PyFunction_NewWithQualName(PyFunction_GetCode(function), state->methods, path);
    PyObject *defaults = PyFunction_GetDefaults(function); /* borrowed */
    if (copy && (PyFunction_SetDefaults(copy, defaults ? defaults : Py_None) < 0 || describe(copy, builtin) < 0)) {
        Py_CLEAR(copy);
    }
    return copy;
}

/* Makes the method that goes in the place of `builtin`; NULL with an exception. */
static PyObject *
make_method(fl_state *state, PyTypeObject *type, PyObject *builtin, PyObject *function, PyObject *original)
{
    fl_method *method = PyObject_GC_New(fl_method, state->method_type);
    if (method == NULL) {
        return NULL;
    }
    method->vectorcall = call_slow;
    method->type = (PyTypeObject *)Py_NewRef((PyObject *)type);
    method->subtype = (PyTypeObject *)Py_NewRef((PyObject *)type);
    method->call = NULL;
    if (Py_IS_TYPE(builtin, &PyMethodDescr_Type)) {
        PyMethodDef *def = ((PyMethodDescrObject *)builtin)->d_method;
        method->call = (fl_fastcall *)(void (*)(void))def->ml_meth; /* METH_FASTCALL | METH_KEYWORDS */
        method->vectorcall = method_vectorcall;
    }
    method->builtin = Py_NewRef(builtin);
    method->function = Py_NewRef(function);
    method->original = Py_XNewRef(original);
    method->weakrefs = NULL;
    PyObject_GC_Track(method);
    return (PyObject *)method;
}

/* Puts `value` into the type, which has nothing of this name in C.  Where `value` is another name of a method
 * (`__enter__ = acquire`), the type gets that method again.  0, or -1 with an exception. */
static int
install_python(PyTypeObject *type, PyObject *name, PyObject *value)
{
    PyObject *first = PyFunction_Check(value) ? PyObject_GetAttrString(value, "__name__") : Py_NewRef(name);
    if (first == NULL) {
        return -1;
    }
    PyObject *method = PyDict_GetItemWithError(type->tp_dict, first); /* borrowed */
    Py_DECREF(first);
    if (method == NULL && PyErr_Occurred()) {
        return -1;
    }
    return PyDict_SetItem(type->tp_dict, name, method ? method : value);
}

static int
install_one(fl_state *state, PyTypeObject *type, const char *owner, PyObject *name, PyObject *function,
            PyObject *stdlib)
{
    PyObject *builtin = PyDict_GetItemWithError(type->tp_dict, name); /* borrowed */
    if (builtin == NULL) {
        return PyErr_Occurred() ? -1 : install_python(type, name, function);
    }
    PyObject *original = fl_get_optional_attr(stdlib, name);
    if (original == NULL && PyErr_Occurred()) {
        return -1;
    }
    int status = -1;
    PyObject *path = path_of(owner, name);
    PyObject *own = path ? make_function(state, path, function, builtin) : NULL;
    PyObject *method = own ? make_method(state, type, builtin, own, original) : NULL;
    if (method && PyDict_SetItem(state->originals, path, method) == 0) {
        status = PyDict_SetItem(type->tp_dict, name, method);
    }
    Py_XDECREF(method);
    Py_XDECREF(own);
    Py_XDECREF(path);
    Py_XDECREF(original);
    return status;
}

/* Copies the helper functions of `stdlib` that the type lacks. */
static int
copy_helpers(PyTypeObject *type, PyObject *stdlib)
{
    PyObject *name, *value;
    Py_ssize_t i = 0;
    while (PyDict_Next(((PyTypeObject *)stdlib)->tp_dict, &i, &name, &value)) {
        if (PyFunction_Check(value) && PyDict_Contains(type->tp_dict, name) == 0 &&
            PyDict_SetItem(type->tp_dict, name, value) < 0) {
            return -1;
        }
    }
    return PyErr_Occurred() ? -1 : 0;
}

int
fl_method_install(fl_state *state, PyTypeObject *type, const char *owner, PyObject *stdlib)
{
    PyObject *functions = PyMapping_GetItemString(state->methods, owner); /* a class */
    if (functions == NULL) {
        return -1;
    }
    PyObject *name, *function;
    Py_ssize_t i = 0;
    int status = 0;
    while (status == 0 && PyDict_Next(((PyTypeObject *)functions)->tp_dict, &i, &name, &function)) {
        if (PyFunction_Check(function) || Py_IS_TYPE(function, &PyProperty_Type)) {
            status = install_one(state, type, owner, name, function, stdlib);
        }
    }
    Py_DECREF(functions);
    type->tp_name = owner; /* as of a class written in Python: without its module, which __module__ keeps */
    if (status == 0) {
        status = copy_helpers(type, stdlib);
    }
    PyType_Modified(type);
    return status;
}

void
fl_method_share(PyTypeObject *type, PyTypeObject *subtype)
{
    PyObject *name, *value;
    Py_ssize_t i = 0;
    while (PyDict_Next(type->tp_dict, &i, &name, &value)) {
        if (Py_TYPE(value)->tp_descr_get == method_get) {
            Py_SETREF(((fl_method *)value)->subtype, (PyTypeObject *)Py_NewRef((PyObject *)subtype));
        }
    }
}

int
fl_method_is_original(fl_state *state, PyTypeObject *type, const char *owner, const char *name)
{
    PyObject *interned = PyUnicode_InternFromString(name);
    PyObject *path = interned ? path_of(owner, interned) : NULL;
    PyObject *found = path ? PyObject_GetAttr((PyObject *)type, interned) : NULL;
    int answer = -1;
    if (found) {
        answer = found == PyDict_GetItemWithError(state->originals, path);
    }
    Py_XDECREF(found);
    Py_XDECREF(path);
    Py_XDECREF(interned);
    return answer;
}

FL_SLOW bool
fl_method_watch_holds_slow(fl_method_watch *watch, PyTypeObject *type)
{
    fl_state *state = PyModule_GetState(PyType_GetModuleByDef(type, &fl_module_def));
    unsigned int version = fl_type_version(type); /* read first: a change during the look must not be missed */
    int original = fl_method_is_original(state, type, watch->owner, watch->name);
    if (original < 0) {
        PyErr_Clear(); /* the caller looks the method up instead, and gets the exception again */
    }
    if (original > 0) {
        __atomic_store_n(&watch->version, version, __ATOMIC_RELAXED);
    }
    return original > 0;
}
