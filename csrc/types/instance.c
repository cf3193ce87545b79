#include "types/instance.h"

#include <stdarg.h>

#include "types/contention.h"

void *
fl_instance_clean(void *object)
{
    fl_instance *self = object;
    if (self) {
        self->dict = NULL;
        self->weakrefs = NULL;
        self->adopter = NULL;
    }
    return self;
}

void
fl_instance_make_fast(void *object)
{
    fl_instance *self = object;
    self->dict = FL_EARLY_DICT();
    if (self->dict == NULL) {
        PyErr_Clear();
    }
}

PyObject *
fl_instance_own_dict(PyObject *self)
{
    PyObject *dict;
    FL_BEGIN_CRITICAL_SECTION(self);
    dict = Py_XNewRef(((fl_instance *)self)->dict);
    FL_END_CRITICAL_SECTION();
    return dict;
}

PyObject *
fl_instance_dict(PyObject *self)
{
    PyObject **place = &((fl_instance *)self)->dict;
    PyObject *dict = fl_instance_own_dict(self);
    PyObject *made = dict ? NULL : PyDict_New(); /* before the critical section, which it might let go of */
    if (made) {
        FL_BEGIN_CRITICAL_SECTION(self);
        if (*place == NULL) {
            __atomic_store_n(place, Py_NewRef(made), __ATOMIC_RELEASE); /* the interpreter reads it without a lock */
        }
        dict = Py_NewRef(*place);
        FL_END_CRITICAL_SECTION();
        Py_DECREF(made);
    }
    return dict;
}

PyObject *
fl_instance_create_ordinary(PyObject *type, fl_call call)
{
    PyObject *result = NULL;
    PyObject *kwargs = NULL;
    PyObject *args = PyTuple_New(call.nargs);
    if (args == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < call.nargs; i++) {
        PyTuple_SET_ITEM(args, i, Py_NewRef(call.args[i]));
    }
    if (call.kwnames && (kwargs = PyDict_New()) == NULL) {
        goto done;
    }
    for (Py_ssize_t i = 0; call.kwnames && i < PyTuple_GET_SIZE(call.kwnames); i++) {
        if (PyDict_SetItem(kwargs, PyTuple_GET_ITEM(call.kwnames, i), call.args[call.nargs + i]) < 0) {
            goto done;
        }
    }
    result = PyType_Type.tp_call(type, args, kwargs);
done:
    Py_XDECREF(kwargs);
    Py_DECREF(args);
    return result;
}

int
fl_instance_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((fl_instance *)self)->dict);
    Py_VISIT(((fl_instance *)self)->adopter);
    return 0;
}

int
fl_instance_clear(PyObject *self)
{
    Py_CLEAR(((fl_instance *)self)->dict);
    Py_CLEAR(((fl_instance *)self)->adopter);
    return 0;
}

void
fl_instance_dealloc_as(PyObject *self, destructor dealloc, inquiry clear)
{
    PyTypeObject *type = Py_TYPE(self);
    (void)dealloc; /* not every version's Py_TRASHCAN_BEGIN uses it */
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, dealloc);
    fl_object_freed(self);
    if (((fl_instance *)self)->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    (void)clear(self);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

void
fl_instance_dealloc(PyObject *self)
{
    fl_instance_dealloc_as(self, fl_instance_dealloc, fl_instance_clear);
}

PyObject *
fl_instance_repr(PyObject *self, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    PyObject *state = PyUnicode_FromFormatV(format, values);
    va_end(values);
    PyObject *type = (PyObject *)Py_TYPE(self);
    PyObject *module = state ? PyObject_GetAttrString(type, "__module__") : NULL;
    PyObject *name = module ? PyObject_GetAttrString(type, "__qualname__") : NULL;
    PyObject *repr = name ? PyUnicode_FromFormat("<%S.%S at %p: %U>", module, name, self, state) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(module);
    Py_XDECREF(state);
    return repr;
}
