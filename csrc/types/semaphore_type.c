/* pyfastlock.Semaphore and pyfastlock.BoundedSemaphore: creation, and what they say of themselves. */

#include "types/semaphore.h"

const void *
fl_semaphore_key(PyObject *self)
{
    return fl_semaphore_core(self);
}

/* ---- creation ---- */

/* The argument of a constructor as a number of permits.  0, or -1 with an exception. */
static int
parse_value(PyObject *value, uint64_t *permits)
{
    *permits = 1;
    int less = value ? fl_is_less(value, 0) : 0;
    if (less > 0) {
        PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0");
    }
    if (less != 0 || (value && fl_as_count(value, permits) < 0)) {
        return -1;
    }
    if (*permits > FL_SEMA_MAX) {
        PyErr_SetString(PyExc_OverflowError, "semaphore initial value is too large");
        return -1;
    }
    return 0;
}

static void
set_up(fl_semaphore_object *self, uint64_t permits, bool bounded)
{
    self->bound = bounded ? permits : FL_SEMA_MAX;
    self->ready = true;
    fl_sema_init(&self->sema, permits);
}

static inline PyObject *
create(PyTypeObject *type, fl_call call, bool bounded)
{
    static const char *const names[] = {"value"};
    PyObject *value = NULL;
    uint64_t permits = 1;
    if (call.nargs != 0 || call.kwnames) {
        const char *owner = bounded ? "BoundedSemaphore" : "Semaphore";
        if (!fl_bind(call, names, 1, 0, &value)) {
            return fl_raise_misfit(PyType_GetModuleState(type), owner, "__init__", Py_None, call);
        }
        if (parse_value(value, &permits) < 0) {
            return NULL;
        }
    }
    fl_semaphore_object *self = FL_INSTANCE_NEW(fl_semaphore_object, type);
    if (self) {
        self->plain = true;
        set_up(self, permits, bounded);
        fl_instance_make_fast(self);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

static PyObject *
semaphore_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return create((PyTypeObject *)type, (fl_call){args, PyVectorcall_NARGS(nargsf), kwnames}, false);
}

static PyObject *
bounded_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    return create((PyTypeObject *)type, (fl_call){args, PyVectorcall_NARGS(nargsf), kwnames}, true);
}

/* For subclasses.  The memory is zero: no permit, and a bound of none, until __init__ is called. */
static PyObject *
semaphore_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
init_as(PyObject *self, PyObject *args, PyObject *kwargs, bool bounded)
{
    static char *names[] = {"value", NULL};
    PyObject *value = NULL;
    uint64_t permits;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &value)) {
        const char *owner = bounded ? "BoundedSemaphore" : "Semaphore";
        (void)fl_raise_misfit_tuple(fl_state_of(self), owner, "__init__", self, args, kwargs);
        return -1;
    }
    if (parse_value(value, &permits) < 0) {
        return -1;
    }
    bool again;
    FL_BEGIN_CRITICAL_SECTION(self);
    again = fl_semaphore_of(self)->ready;
    if (!again) {
        set_up(fl_semaphore_of(self), permits, bounded);
    }
    FL_END_CRITICAL_SECTION();
    if (again) {
        PyErr_SetString(PyExc_RuntimeError, "Semaphore.__init__() has been called already");
    }
    return again ? -1 : 0;
}

static int
semaphore_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init_as(self, args, kwargs, false);
}

static int
bounded_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return init_as(self, args, kwargs, true);
}

/* ---- looking ---- */

static PyObject *
semaphore_get_value(PyObject *self, void *Py_UNUSED(context))
{
    return PyLong_FromUnsignedLongLong(fl_sema_permits(fl_semaphore_core(self)));
}

static PyObject *
bounded_get_initial_value(PyObject *self, void *Py_UNUSED(context))
{
    return PyLong_FromUnsignedLongLong(fl_semaphore_of(self)->bound);
}

static PyObject *
semaphore_repr(PyObject *self)
{
    return fl_instance_repr(self, "value=%llu", (unsigned long long)fl_sema_permits(fl_semaphore_core(self)));
}

static PyObject *
bounded_repr(PyObject *self)
{
    return fl_instance_repr(self,
                            "value=%llu/%llu",
                            (unsigned long long)fl_sema_permits(fl_semaphore_core(self)),
                            (unsigned long long)fl_semaphore_of(self)->bound);
}

/* ---- the types ---- */

PyDoc_STRVAR(semaphore_doc,
             "Semaphore(value=1)\n"
             "--\n"
             "\n"
             "A number of permits, which threads take with acquire() and give back with\n"
             "release().\n"
             "\n"
             "value: how many there are at first, an int.\n"
             "\n"
             "Raises ValueError for a negative value.\n"
             "\n"
             "Mirrors threading.Semaphore.");

PyDoc_STRVAR(bounded_doc,
             "BoundedSemaphore(value=1)\n"
             "--\n"
             "\n"
             "A semaphore that never has more permits than at first: release() raises\n"
             "ValueError instead.\n"
             "\n"
             "value: how many there are at first, an int.\n"
             "\n"
             "Raises ValueError for a negative value.\n"
             "\n"
             "Mirrors threading.BoundedSemaphore.");

static PyMemberDef semaphore_members[] = {FL_INSTANCE_MEMBERS};

static PyGetSetDef semaphore_getset[] = {
    FL_INSTANCE_DICT,
    {"_value", semaphore_get_value, NULL, "How many permits are free.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef bounded_getset[] = {
    {"_initial_value", bounded_get_initial_value, NULL, "How many permits there are at most.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc},
    {Py_tp_new, semaphore_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_traverse, fl_instance_traverse},
    {Py_tp_clear, fl_instance_clear},
    {Py_tp_dealloc, fl_instance_dealloc},
    {Py_tp_repr, semaphore_repr},
    {Py_tp_methods, fl_semaphore_methods},
    {Py_tp_members, semaphore_members},
    {Py_tp_getset, semaphore_getset},
    {0, NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)bounded_doc},
    {Py_tp_new, semaphore_new}, /* pickling asks the class that has one, which has to be the object's own */
    {Py_tp_init, bounded_init},
    {Py_tp_dealloc, fl_instance_dealloc},
    {Py_tp_repr, bounded_repr},
    {Py_tp_methods, fl_bounded_semaphore_methods},
    {Py_tp_getset, bounded_getset},
    {0, NULL},
};

static PyType_Spec semaphore_spec = {
    .name = "pyfastlock.Semaphore",
    .basicsize = sizeof(fl_semaphore_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = semaphore_slots,
};

static PyType_Spec bounded_spec = {
    .name = "pyfastlock.BoundedSemaphore",
    .basicsize = sizeof(fl_semaphore_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bounded_slots,
};

int
fl_semaphore_types_init(PyObject *module, fl_state *state)
{
    state->semaphore_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &semaphore_spec, NULL);
    if (state->semaphore_type == NULL) {
        return -1;
    }
    state->bounded_semaphore_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &bounded_spec, (PyObject *)state->semaphore_type);
    if (state->bounded_semaphore_type == NULL) {
        return -1;
    }
    state->semaphore_type->tp_vectorcall = semaphore_vectorcall;
    state->bounded_semaphore_type->tp_vectorcall = bounded_vectorcall;
    return 0;
}
