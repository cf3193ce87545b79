/* pyfastlock.Event, over core/event.h. */

#include "core/event.h"

#include "py/define.h"
#include "py/method.h"
#include "types/contention.h"
#include "types/inside.h"
#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_event event;
} fl_event_object;

static inline fl_event_object *
event_of(PyObject *self)
{
    return (fl_event_object *)self;
}

static inline fl_event *
core_of(PyObject *self)
{
    return &event_of(self)->event;
}

const void *
fl_event_key(PyObject *self)
{
    return core_of(self);
}

PyObject *
fl_event_of_key(const void *key)
{
    return (PyObject *)((char *)key - offsetof(fl_event_object, event));
}

static PyObject *
raise_misfit(PyObject *self, const char *method, fl_call call)
{
    return fl_raise_misfit(fl_state_of(self), "Event", method, self, call);
}

/* ---- the inside ---- */

static bool
is_closed(PyObject *self)
{
    return fl_event_is_closed(core_of(self));
}

static const fl_inside inside;

/* A thread that waits in fl_event_wait sleeps on, as a waiter of the new Condition.  set() runs `threading`'s code from
 * now on: its notify_all() wakes that thread. */
static void
open_core(PyObject *self, fl_cond *cond)
{
    fl_event_open(core_of(self), cond);
}

static int
open_event(PyObject *self)
{
    return fl_inside_open(self, &inside, open_core);
}

/* `_flag`, also of an open event (I2); none where the event is unborn. */
static PyObject *
peek_flag(PyObject *self)
{
    if (fl_event_is_unborn(core_of(self))) {
        return NULL;
    }
    return fl_bool(fl_event_is_set(core_of(self)) || fl_event_was_opened_set(core_of(self)));
}

static PyGetSetDef event_getset[];

static const fl_inside inside = {.owner = "Event", .is_closed = is_closed, .open = open_event, .getset = event_getset};
static const fl_inside_attribute cond_attribute = {&inside, "_cond", NULL};
static const fl_inside_attribute flag_attribute = {&inside, "_flag", peek_flag};

/* Calls the method of `threading.Event` on an event that is unborn or open.  A new reference, or NULL with an
 * exception. */
static FL_NOINLINE PyObject *
call_open(PyObject *self, const char *method, fl_call call)
{
    return fl_inside_call(self, fl_state_of(self)->stdlib_event, method, call);
}

static PyObject *
event_getstate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return fl_inside_getstate(self, &inside);
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
             "Mirrors threading.Event.set, which hangs in a handler that interrupted it.");

static PyObject *
event_set(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_UNLIKELY(nargs != 0 || kwnames)) {
        return raise_misfit(self, "set", (fl_call){args, nargs, kwnames});
    }
    if (FL_UNLIKELY(!fl_event_set(core_of(self)))) {
        return call_open(self, "set", (fl_call){args, nargs, kwnames});
    }
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
             "Mirrors threading.Event.clear, which hangs in a handler that interrupted it.");

static PyObject *
event_clear(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (FL_UNLIKELY(nargs != 0 || kwnames)) {
        return raise_misfit(self, "clear", (fl_call){args, nargs, kwnames});
    }
    if (FL_UNLIKELY(!fl_event_clear(core_of(self)))) {
        return call_open(self, "clear", (fl_call){args, nargs, kwnames});
    }
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
    if (fl_event_is_set(core_of(self))) {
        Py_RETURN_TRUE;
    }
    if (FL_UNLIKELY(!fl_event_is_closed(core_of(self)))) {
        return call_open(self, "is_set", (fl_call){args, nargs, kwnames});
    }
    Py_RETURN_FALSE;
}

PyDoc_STRVAR(event_isSet_doc,
             "isSet($self, /)\n"
             "--\n"
             "\n"
             "Deprecated: use is_set().\n"
             "\n"
             "Mirrors threading.Event.isSet.");

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
             "Raises ValueError for NaN; OverflowError for a timeout above TIMEOUT_MAX;\n"
             FL_ENDLESS_WAIT_DOC
             "\n"
             "Mirrors threading.Event.wait.");

/* The event was opened before the wait began: waits in `threading`'s algorithm. */
static PyObject *
wait_open(PyObject *self, int64_t deadline_ns)
{
    PyObject *left = fl_inside_time_left(deadline_ns);
    PyObject *result = left ? call_open(self, "wait", (fl_call){&left, 1, NULL}) : NULL;
    Py_XDECREF(left);
    return result;
}

static fl_event_result
wait_until(PyObject *self, int64_t deadline_ns)
{
    fl_py_blocker blocker;
    fl_contention_wait record;
    if (deadline_ns == FL_DEADLINE_PASSED) {
        return fl_event_wait(core_of(self), deadline_ns, NULL); /* which does not block then */
    }
    fl_contention_begin(&record, self, FL_FOR_EVENT);
    fl_py_blocker_init(&blocker, deadline_ns);
    fl_event_result result = fl_event_wait(core_of(self), deadline_ns, &blocker.base);
    fl_contention_end(&record, fl_py_has_blocked(&blocker), 0);
    return result;
}

/* Waits for an event that was just found clear. */
static PyObject *
wait_within(PyObject *self, int64_t timeout_ns)
{
    int64_t deadline_ns = fl_deadline_after_ns(timeout_ns);
    switch (wait_until(self, deadline_ns)) {
        case FL_EVENT_WAS_SET:
            Py_RETURN_TRUE;
        case FL_EVENT_TIMED_OUT:
            Py_RETURN_FALSE;
        case FL_EVENT_NO_MEMORY:
            return PyErr_NoMemory();
        case FL_EVENT_OPENED:
            return wait_open(self, deadline_ns);
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
    if (!fl_event_is_closed(core_of(self))) {
        return call_open(self, "wait", call);
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
             "For the child of a fork.  Nothing has to be done there: it may be used as it is.\n"
             "\n"
             "Mirrors threading.Event._at_fork_reinit.");

static PyObject *
event_at_fork_reinit(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "_at_fork_reinit", (fl_call){args, nargs, kwnames});
    }
    if (!fl_event_is_closed(core_of(self))) {
        return call_open(self, "_at_fork_reinit", (fl_call){args, nargs, kwnames});
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
    {"__getstate__", event_getstate, METH_NOARGS, fl_getstate_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- the type ---- */

static int
event_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) != 0 || (kwargs && PyDict_GET_SIZE(kwargs) != 0)) {
        (void)fl_raise_misfit_tuple(fl_state_of(self), "Event", "__init__", self, args, kwargs);
        return -1;
    }
    int untouched = fl_inside_is_untouched(self, &inside);
    if (untouched < 0) {
        return -1;
    }
    if (untouched && fl_event_init_unborn(core_of(self))) {
        fl_object_made(self);
        return 0;
    }
    return fl_inside_init_again(self, &inside, fl_state_of(self)->stdlib_event, args, kwargs);
}

static PyObject *
event_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    if (FL_UNLIKELY(!fl_instance_is_created_here(type, event_init))) {
        return fl_instance_create_ordinary(type, call);
    }
    if (FL_UNLIKELY(call.nargs != 0 || kwnames)) {
        return fl_raise_misfit(PyType_GetModuleState((PyTypeObject *)type), "Event", "__init__", Py_None, call);
    }
    fl_event_object *self = FL_INSTANCE_NEW(fl_event_object, (PyTypeObject *)type);
    if (self) {
        fl_event_init(&self->event);
        fl_instance_make_fast(self);
        fl_object_made((PyObject *)self);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

static PyObject *
event_repr(PyObject *self)
{
    if (!fl_event_is_closed(core_of(self))) {
        return call_open(self, "__repr__", (fl_call){NULL, 0, NULL});
    }
    return fl_instance_repr(self, fl_event_is_set(core_of(self)) ? "set" : "unset");
}

PyDoc_STRVAR(event_doc,
             "Event()\n"
             "--\n"
             "\n"
             "A flag that threads can wait for.  It is clear at first.\n"
             "\n"
             "Mirrors threading.Event, but signal handlers and finalizers may use it, whatever\n"
             "they interrupted.");

static PyMemberDef event_members[] = {FL_INSTANCE_MEMBERS};

static PyGetSetDef event_getset[] = {
    FL_INSIDE_DICT(inside),
    FL_INSIDE_ATTRIBUTE(cond_attribute, "The condition of threading.Event; reading it opens the event."),
    FL_INSIDE_ATTRIBUTE(flag_attribute, "Whether the event is set; writing it opens the event."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
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
    return fl_method_install(state, state->event_type, "Event", state->stdlib_event);
}
