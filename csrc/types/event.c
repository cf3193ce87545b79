/* pyfastlock.Event, over core/event.h. */

#include "core/event.h"

#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_event event;
} fl_event_object;

static inline fl_event *
core_of(PyObject *self)
{
    return &((fl_event_object *)self)->event;
}

const void *
fl_event_key(PyObject *self)
{
    return core_of(self);
}

static PyObject *
raise_misfit(PyObject *self, const char *method, fl_call call)
{
    return fl_raise_misfit(fl_state_of(self), "Event", method, self, call);
}

/* ---- methods ---- */

PyDoc_STRVAR(event_set_doc,
             "set($self, /)\n"
             "--\n"
             "\n"
             "Set the event, and wake all threads that wait for it.\n"
             "\n"
             "May be called from signal handlers and finalizers, whatever they interrupted.\n"
             "\n"
             "Mirrors threading.Event.set.");

static PyObject *
event_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_UNLIKELY(nargs != 0 || kwnames)) {
        return raise_misfit(self, "set", (fl_call){args, nargs, kwnames});
    }
    fl_event_set(core_of(self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(event_clear_doc,
             "clear($self, /)\n"
             "--\n"
             "\n"
             "Clear the event: from now on wait() waits, until it is set again.\n"
             "\n"
             "May be called from signal handlers and finalizers, whatever they interrupted.\n"
             "\n"
             "Mirrors threading.Event.clear.");

static PyObject *
event_clear(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_UNLIKELY(nargs != 0 || kwnames)) {
        return raise_misfit(self, "clear", (fl_call){args, nargs, kwnames});
    }
    fl_event_clear(core_of(self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(event_is_set_doc,
             "is_set($self, /)\n"
             "--\n"
             "\n"
             "Return whether the event is set.\n"
             "\n"
             "Mirrors threading.Event.is_set.");

static PyObject *
event_is_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_UNLIKELY(nargs != 0 || kwnames)) {
        return raise_misfit(self, "is_set", (fl_call){args, nargs, kwnames});
    }
    return Py_NewRef(fl_event_is_set(core_of(self)) ? Py_True : Py_False);
}

PyDoc_STRVAR(event_isSet_doc,
             "isSet($self, /)\n"
             "--\n"
             "\n"
             "Deprecated: use is_set().");

static PyObject *
event_isSet(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "isSet", (fl_call){args, nargs, kwnames});
    }
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "isSet() is deprecated, use is_set() instead", 1) < 0) {
        return NULL;
    }
    return fl_call_method(self, "is_set");
}

PyDoc_STRVAR(event_wait_doc,
             "wait($self, /, timeout=None)\n"
             "--\n"
             "\n"
             "Wait until the event is set, and return whether it was.\n"
             "\n"
             "timeout: how many seconds to wait at most; None waits without a limit.\n"
             "\n"
             "A thread that waits while the event is set returns True, even if the event is\n"
             "clear again when it runs.\n"
             "\n"
             "Raises ValueError for NaN, and OverflowError for a timeout above TIMEOUT_MAX.\n"
             "\n"
             "Mirrors threading.Event.wait.");

/* The event is clear. */
static PyObject *
wait_within(PyObject *self, int64_t timeout_ns)
{
    fl_py_blocker blocker;
    int64_t deadline_ns = fl_deadline_after_ns(timeout_ns);
    fl_py_blocker_init(&blocker, deadline_ns);
    switch (fl_event_wait(core_of(self), deadline_ns, &blocker.base)) {
        case FL_EVENT_WAS_SET:
            Py_RETURN_TRUE;
        case FL_EVENT_TIMED_OUT:
            Py_RETURN_FALSE;
        case FL_EVENT_NO_MEMORY:
            return PyErr_NoMemory();
        case FL_EVENT_GIVEN_UP:
            break;
    }
    return NULL; /* poll() has set the exception */
}

static FL_NOINLINE PyObject *
event_wait_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout;
    int64_t timeout_ns = FL_DEADLINE_NEVER;
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 1, 0, &timeout)) {
        return raise_misfit(self, "wait", call);
    }
    if (fl_event_is_set(core_of(self)) && !(timeout && fl_is_nan(timeout))) {
        Py_RETURN_TRUE;
    }
    if (timeout && fl_parse_timeout(self, timeout, &timeout_ns) < 0) {
        return NULL;
    }
    return wait_within(self, timeout_ns);
}

static PyObject *
event_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_LIKELY(nargs == 0 && kwnames == NULL && fl_event_is_set(core_of(self)))) {
        Py_RETURN_TRUE;
    }
    return event_wait_with(self, args, nargs, kwnames);
}

PyDoc_STRVAR(event_at_fork_reinit_doc,
             "_at_fork_reinit($self, /)\n"
             "--\n"
             "\n"
             "For the child of a fork.  Nothing has to be done there: it may be used as it is.");

static PyObject *
event_at_fork_reinit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "_at_fork_reinit", (fl_call){args, nargs, kwnames});
    }
    Py_RETURN_NONE;
}

static PyMethodDef event_methods[] = {
    {"set", FL_FASTCALL(event_set), METH_FASTCALL | METH_KEYWORDS, event_set_doc},
    {"clear", FL_FASTCALL(event_clear), METH_FASTCALL | METH_KEYWORDS, event_clear_doc},
    {"is_set", FL_FASTCALL(event_is_set), METH_FASTCALL | METH_KEYWORDS, event_is_set_doc},
    {"isSet", FL_FASTCALL(event_isSet), METH_FASTCALL | METH_KEYWORDS, event_isSet_doc},
    {"wait", FL_FASTCALL(event_wait), METH_FASTCALL | METH_KEYWORDS, event_wait_doc},
    {"_at_fork_reinit", FL_FASTCALL(event_at_fork_reinit), METH_FASTCALL | METH_KEYWORDS, event_at_fork_reinit_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- the type ---- */

static PyObject *
event_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    if (FL_UNLIKELY(call.nargs != 0 || kwnames)) {
        return fl_raise_misfit(PyType_GetModuleState((PyTypeObject *)type), "Event", "__init__", Py_None, call);
    }
    fl_event_object *self = FL_INSTANCE_NEW(fl_event_object, (PyTypeObject *)type);
    if (self) {
        fl_event_init(&self->event);
        fl_instance_make_fast(self);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

/* For subclasses.  The memory is zero, which is a clear event. */
static PyObject *
event_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
event_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0 || (kwargs && PyDict_GET_SIZE(kwargs) != 0)) {
        (void)fl_raise_misfit_tuple(fl_state_of(self), "Event", "__init__", self, args, kwargs);
        return -1;
    }
    fl_event_clear(core_of(self)); /* as in the standard library, where it is called again */
    return 0;
}

static PyObject *
event_repr(PyObject *self)
{
    return fl_instance_repr(self, fl_event_is_set(core_of(self)) ? "set" : "unset");
}

PyDoc_STRVAR(event_doc,
             "Event()\n"
             "--\n"
             "\n"
             "A flag that threads can wait for.  It is clear at first.\n"
             "\n"
             "Mirrors threading.Event.");

static PyMemberDef event_members[] = {FL_INSTANCE_MEMBERS};

static PyGetSetDef event_getset[] = {
    FL_INSTANCE_DICT,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_new, event_new},
    {Py_tp_init, event_init},
    {Py_tp_traverse, fl_instance_traverse},
    {Py_tp_clear, fl_instance_clear},
    {Py_tp_dealloc, fl_instance_dealloc},
    {Py_tp_repr, event_repr},
    {Py_tp_methods, event_methods},
    {Py_tp_members, event_members},
    {Py_tp_getset, event_getset},
    {0, NULL},
};

static PyType_Spec event_spec = {
    .name = "pyfastlock.Event",
    .basicsize = sizeof(fl_event_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = event_slots,
};

int
fl_event_type_init(PyObject *module, fl_state *state)
{
    state->event_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &event_spec, NULL);
    if (state->event_type == NULL) {
        return -1;
    }
    state->event_type->tp_vectorcall = event_vectorcall;
    return 0;
}
