/* pyfastlock.Semaphore and pyfastlock.BoundedSemaphore: creation, and what they say of themselves. */

#include "types/semaphore.h"

#include "types/contention.h"
#include "types/inside.h"

const void *
fl_semaphore_key(PyObject *self)
{
    return fl_semaphore_core(self);
}

PyObject *
fl_semaphore_of_key(const void *key)
{
    return (PyObject *)((char *)key - offsetof(fl_semaphore_object, sema));
}

/* ---- the inside ---- */

static const fl_inside inside;

static void
open_core(PyObject *self, fl_cond *cond)
{
    fl_sema_open(fl_semaphore_core(self), cond);
}

static int
open_semaphore(PyObject *self)
{
    return fl_inside_open(self, &inside, open_core);
}

static PyObject *
peek_value(PyObject *self)
{
    if (!fl_semaphore_is_ready(self)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(fl_sema_permits(fl_semaphore_core(self)));
}

static PyObject *
peek_initial_value(PyObject *self)
{
    if (!fl_semaphore_is_ready(self)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(fl_semaphore_bound(self));
}

static PyGetSetDef semaphore_getset[];
static PyGetSetDef bounded_getset[];

static const fl_inside inside = {
    .owner = "Semaphore",
    .is_closed = fl_semaphore_is_closed,
    .open = open_semaphore,
    .getset = semaphore_getset,
};
static const fl_inside bounded_inside = {
    .owner = "BoundedSemaphore",
    .is_closed = fl_semaphore_is_closed,
    .open = open_semaphore,
    .getset = bounded_getset,
};
static const fl_inside_attribute cond_attribute = {&inside, "_cond", NULL};
static const fl_inside_attribute value_attribute = {&inside, "_value", peek_value};
static const fl_inside_attribute initial_value_attribute = {&bounded_inside, "_initial_value", peek_initial_value};

PyObject *
fl_semaphore_getstate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    bool bounded = PyObject_TypeCheck(self, fl_state_of(self)->bounded_semaphore_type);
    return fl_inside_getstate(self, bounded ? &bounded_inside : &inside);
}

/* ---- creation ---- */

/* Parses the argument of a constructor, which may be NULL, into a number of permits.  0, or -1 with an exception. */
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
    fl_sema_init(&self->sema, permits);
    fl_store_release_u64(&self->bound, bounded ? permits : FL_SEMA_MAX);
    fl_store_release_u32(&self->ready, true); /* another thread may have the object already */
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
    fl_state *state = fl_state_of(self);
    const fl_inside *own = bounded ? &bounded_inside : &inside;
    int unborn = fl_semaphore_is_ready(self) ? 0 : fl_inside_is_untouched(self, own);
    FL_BEGIN_CRITICAL_SECTION(self);
    if (unborn > 0 && fl_semaphore_is_ready(self)) { /* another thread was first */
        unborn = 0;
    }
    if (unborn > 0) {
        set_up(fl_semaphore_of(self), permits, bounded);
    }
    FL_END_CRITICAL_SECTION();
    if (unborn > 0) {
        fl_object_made(self);
    }
    if (unborn != 0) {
        return unborn < 0 ? -1 : 0;
    }
    /* Not threading.BoundedSemaphore's __init__: it calls super(), which refuses an object of ours. */
    int status = fl_inside_init_again(self, own, state->stdlib_semaphore, args, kwargs);
    if (status == 0 && bounded) {
        PyObject *initial = PyLong_FromUnsignedLongLong(permits);
        status = initial ? PyObject_SetAttrString(self, "_initial_value", initial) : -1;
        Py_XDECREF(initial);
    }
    return status;
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

static inline PyObject *
create(PyTypeObject *type, fl_call call, bool bounded)
{
    static const char *const names[] = {"value"};
    PyObject *value = NULL;
    uint64_t permits = 1;
    if (FL_UNLIKELY(!fl_instance_is_created_here((PyObject *)type, bounded ? bounded_init : semaphore_init))) {
        return fl_instance_create_ordinary((PyObject *)type, call);
    }
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
        fl_state *state = PyType_GetModuleState(type);
        self->watch = bounded ? &state->bounded_release : &state->semaphore_release;
        set_up(self, permits, bounded);
        fl_instance_make_fast(self);
        fl_object_made((PyObject *)self);
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

/* ---- looking ---- */

static PyObject *
semaphore_repr(PyObject *self)
{
    if (!fl_semaphore_is_closed(self)) {
        return fl_semaphore_call_open(self, "Semaphore", "__repr__", (fl_call){NULL, 0, NULL});
    }
    return fl_instance_repr(self, "value=%llu", (unsigned long long)fl_sema_permits(fl_semaphore_core(self)));
}

static PyObject *
bounded_repr(PyObject *self)
{
    if (!fl_semaphore_is_closed(self)) {
        return fl_semaphore_call_open(self, "BoundedSemaphore", "__repr__", (fl_call){NULL, 0, NULL});
    }
    return fl_instance_repr(self,
                            "value=%llu/%llu",
                            (unsigned long long)fl_sema_permits(fl_semaphore_core(self)),
                            (unsigned long long)fl_semaphore_bound(self));
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
             "Raises ValueError for a negative value, TypeError for one that is not an int,\n"
             "and OverflowError for more than 2**62 - 1.\n"
             "\n"
             "Mirrors threading.Semaphore, which takes any number.");

PyDoc_STRVAR(bounded_doc,
             "BoundedSemaphore(value=1)\n"
             "--\n"
             "\n"
             "A semaphore that never has more permits than at first: release() raises\n"
             "ValueError instead.\n"
             "\n"
             "value: how many there are at first, an int.\n"
             "\n"
             "Raises ValueError for a negative value, TypeError for one that is not an int,\n"
             "and OverflowError for more than 2**62 - 1.\n"
             "\n"
             "Mirrors threading.BoundedSemaphore, which takes any number.");

static PyMemberDef semaphore_members[] = {FL_INSTANCE_MEMBERS};

static PyGetSetDef semaphore_getset[] = {
    FL_INSIDE_DICT(inside),
    FL_INSIDE_ATTRIBUTE(cond_attribute, "The condition of threading.Semaphore; reading it opens the semaphore."),
    FL_INSIDE_ATTRIBUTE(value_attribute, "How many permits are free; writing it opens the semaphore."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef bounded_getset[] = {
    FL_INSIDE_DICT(bounded_inside),
    FL_INSIDE_ATTRIBUTE(value_attribute, "How many permits are free; writing it opens the semaphore."),
    FL_INSIDE_ATTRIBUTE(initial_value_attribute, "How many permits there are at most; writing it opens the semaphore."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc},
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = semaphore_slots,
};

static PyType_Spec bounded_spec = {
    .name = "pyfastlock.BoundedSemaphore",
    .basicsize = sizeof(fl_semaphore_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
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
    state->semaphore_release = (fl_method_watch){.owner = "Semaphore", .name = "release"};
    state->bounded_release = (fl_method_watch){.owner = "BoundedSemaphore", .name = "release"};
    if (fl_method_install(state, state->semaphore_type, "Semaphore", state->stdlib_semaphore) < 0 ||
        fl_method_install(state, state->bounded_semaphore_type, "BoundedSemaphore", state->stdlib_bounded_semaphore) <
            0) {
        return -1;
    }
    fl_method_share(state->semaphore_type, state->bounded_semaphore_type);
    return 0;
}
