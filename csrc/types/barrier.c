/* pyfastlock.Barrier, over core/barrier.h. */

#include "core/barrier.h"

#include "types/types.h"

typedef struct {
    fl_instance base;
    fl_barrier barrier; /* `parties` is 0 until __init__ has been called */
    PyObject *action;   /* or None; as `timeout` set once by __init__, and cleared by the garbage collector */
    PyObject *timeout;  /* the default of wait() */
} fl_barrier_object;

static inline fl_barrier_object *
barrier_of(PyObject *self)
{
    return (fl_barrier_object *)self;
}

static inline fl_barrier *
core_of(PyObject *self)
{
    return &barrier_of(self)->barrier;
}

const void *
fl_barrier_key(PyObject *self)
{
    return core_of(self);
}

static PyObject *
raise_misfit(PyObject *self, const char *method, fl_call call)
{
    return fl_raise_misfit(fl_state_of(self), "Barrier", method, self, call);
}

/* 0, or -1 with an exception. */
static int
must_be_ready(PyObject *self)
{
    if (core_of(self)->parties == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Barrier.__init__() was not called");
        return -1;
    }
    return 0;
}

/* ---- waiting ---- */

/* Of fl_barrier_action: `if action: action()`. */
static bool
run_action(void *ctx)
{
    PyObject *action = ctx;
    int wanted = PyObject_IsTrue(action);
    if (wanted <= 0) {
        return wanted == 0;
    }
    PyObject *result = PyObject_CallNoArgs(action);
    Py_XDECREF(result);
    return result != NULL;
}

static PyObject *
wait_with(PyObject *self, int64_t timeout_ns, fl_blocker *blocker)
{
    uint64_t index;
    PyObject *callable = Py_XNewRef(barrier_of(self)->action);
    fl_barrier_action action = {.run = callable && callable != Py_None ? run_action : NULL, .ctx = callable};
    fl_barrier_result result = fl_barrier_wait(core_of(self), timeout_ns, action, &index, blocker);
    Py_XDECREF(callable);
    switch (result) {
        case FL_BARRIER_PASSED:
            return PyLong_FromUnsignedLongLong(index);
        case FL_BARRIER_BROKEN:
            PyErr_SetNone(fl_state_of(self)->broken_barrier_error);
            break;
        case FL_BARRIER_REENTERED:
            PyErr_SetString(PyExc_RuntimeError, "the action of a barrier cannot wait for it");
            break;
        case FL_BARRIER_NO_MEMORY:
            return PyErr_NoMemory();
        case FL_BARRIER_GIVEN_UP: /* poll(), or the action, has set the exception */
            break;
    }
    return NULL;
}

/* The blocker of a wait with a wrong timeout, which is found by those who have to wait only, as in the standard library. */
typedef struct {
    fl_py_blocker blocker;
    PyObject *exception;
} misfit_blocker;

static bool
raise_exception(fl_blocker *base)
{
    misfit_blocker *self = (misfit_blocker *)base;
    fl_set_exception(Py_NewRef(self->exception));
    return false;
}

/* With the exception set that says what is wrong. */
static PyObject *
wait_with_misfit(PyObject *self)
{
    misfit_blocker misfit = {.exception = fl_take_exception()};
    fl_py_blocker_init(&misfit.blocker, FL_DEADLINE_NEVER);
    misfit.blocker.base.poll = raise_exception;
    PyObject *result = wait_with(self, FL_DEADLINE_NEVER, &misfit.blocker.base);
    Py_DECREF(misfit.exception);
    return result;
}

PyDoc_STRVAR(barrier_wait_doc,
             "wait($self, /, timeout=None)\n"
             "--\n"
             "\n"
             "Wait until all parties have called this; return a number from 0 to parties - 1,\n"
             "another one in each thread.\n"
             "\n"
             "timeout: how many seconds to wait at most; None takes the barrier's default.\n"
             "         A wait that times out breaks the barrier.\n"
             "\n"
             "The last thread to arrive runs the barrier's action, if it has one, before all\n"
             "go on.  An exception in it breaks the barrier and is raised there.  A thread\n"
             "whose wait is ended by an exception from a signal handler has not arrived.\n"
             "\n"
             "Raises BrokenBarrierError where the barrier is broken, or is broken or reset\n"
             "during the wait; RuntimeError in the barrier's own action; ValueError for NaN,\n"
             "and OverflowError for a timeout above TIMEOUT_MAX.\n"
             "\n"
             "Mirrors threading.Barrier.wait.");

static PyObject *
barrier_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout;
    int64_t timeout_ns = FL_DEADLINE_NEVER;
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 1, 0, &timeout)) {
        return raise_misfit(self, "wait", call);
    }
    if (must_be_ready(self) < 0) {
        return NULL;
    }
    PyObject *used = timeout && timeout != Py_None ? timeout : barrier_of(self)->timeout;
    used = Py_NewRef(used ? used : Py_None);
    bool fits = fl_check_addable(used) == 0 && fl_parse_timeout(self, used, &timeout_ns) == 0;
    bool never_fits = fl_is_nan(used);
    Py_DECREF(used);
    if (fits) {
        fl_py_blocker blocker;
        fl_py_blocker_init(&blocker, timeout_ns);
        return wait_with(self, timeout_ns, &blocker.base);
    }
    return never_fits ? NULL : wait_with_misfit(self);
}

/* ---- breaking ---- */

PyDoc_STRVAR(barrier_reset_doc,
             "reset($self, /)\n"
             "--\n"
             "\n"
             "Make the barrier empty and unbroken; threads that wait raise BrokenBarrierError.\n"
             "\n"
             "Does not wait for an action that runs.\n"
             "\n"
             "Mirrors threading.Barrier.reset.");

static PyObject *
barrier_reset(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "reset", (fl_call){args, nargs, kwnames});
    }
    fl_barrier_reset(core_of(self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(barrier_abort_doc,
             "abort($self, /)\n"
             "--\n"
             "\n"
             "Break the barrier: threads that wait, and those that come until it is reset,\n"
             "raise BrokenBarrierError.\n"
             "\n"
             "Does not wait for an action that runs.\n"
             "\n"
             "Mirrors threading.Barrier.abort.");

static PyObject *
barrier_abort(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return raise_misfit(self, "abort", (fl_call){args, nargs, kwnames});
    }
    fl_barrier_abort(core_of(self));
    Py_RETURN_NONE;
}

static PyMethodDef barrier_methods[] = {
    {"wait", FL_FASTCALL(barrier_wait), METH_FASTCALL | METH_KEYWORDS, barrier_wait_doc},
    {"reset", FL_FASTCALL(barrier_reset), METH_FASTCALL | METH_KEYWORDS, barrier_reset_doc},
    {"abort", FL_FASTCALL(barrier_abort), METH_FASTCALL | METH_KEYWORDS, barrier_abort_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- creation ---- */

typedef struct {
    uint64_t parties;
    PyObject *action;
    PyObject *timeout;
} barrier_arguments;

/* 0, or -1 with an exception. */
static int
parse_parties(fl_state *state, PyObject *parties, uint64_t *count)
{
    int less = fl_is_less(parties, 1);
    if (less > 0) {
        PyObject *stdlib = PyObject_CallOneArg(state->stdlib_barrier, parties); /* says so since 3.13 */
        if (stdlib) {
            Py_DECREF(stdlib);
            PyErr_SetString(PyExc_ValueError, "parties must be >= 1");
        }
    }
    if (less != 0) {
        return -1;
    }
    if (fl_as_count(parties, count) < 0) {
        return -1;
    }
    if (*count == 0 || *count > FL_BARRIER_MAX) { /* 0: an __index__ that does not agree with `<` */
        PyErr_SetString(PyExc_OverflowError, "the number of parties is out of range");
        return -1;
    }
    return 0;
}

static int
parse_arguments(fl_state *state, PyObject *const *values, barrier_arguments *arguments)
{
    arguments->action = values[1] ? values[1] : Py_None;
    arguments->timeout = values[2] ? values[2] : Py_None;
    return parse_parties(state, values[0], &arguments->parties);
}

static void
set_up(fl_barrier_object *self, const barrier_arguments *arguments)
{
    self->action = Py_NewRef(arguments->action);
    self->timeout = Py_NewRef(arguments->timeout);
    fl_barrier_init(&self->barrier, arguments->parties);
}

static PyObject *
barrier_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    static const char *const names[] = {"parties", "action", "timeout"};
    PyObject *values[3];
    barrier_arguments arguments;
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
    if (!fl_bind(call, names, 3, 1, values)) {
        return fl_raise_misfit(state, "Barrier", "__init__", Py_None, call);
    }
    if (parse_arguments(state, values, &arguments) < 0) {
        return NULL;
    }
    fl_barrier_object *self = FL_INSTANCE_NEW(fl_barrier_object, (PyTypeObject *)type);
    if (self) {
        set_up(self, &arguments);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

/* For subclasses.  The memory is zero. */
static PyObject *
barrier_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
barrier_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parties", "action", "timeout", NULL};
    PyObject *values[3] = {NULL, NULL, NULL};
    barrier_arguments arguments;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO", names, &values[0], &values[1], &values[2])) {
        (void)fl_raise_misfit_tuple(fl_state_of(self), "Barrier", "__init__", self, args, kwargs);
        return -1;
    }
    if (parse_arguments(fl_state_of(self), values, &arguments) < 0) {
        return -1;
    }
    bool again;
    FL_BEGIN_CRITICAL_SECTION(self);
    again = core_of(self)->parties != 0;
    if (!again) {
        set_up(barrier_of(self), &arguments);
    }
    FL_END_CRITICAL_SECTION();
    if (again) {
        PyErr_SetString(PyExc_RuntimeError, "Barrier.__init__() has been called already");
    }
    return again ? -1 : 0;
}

static int
barrier_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(barrier_of(self)->action);
    Py_VISIT(barrier_of(self)->timeout);
    return fl_instance_traverse(self, visit, arg);
}

static int
barrier_clear(PyObject *self)
{
    Py_CLEAR(barrier_of(self)->action);
    Py_CLEAR(barrier_of(self)->timeout);
    return fl_instance_clear(self);
}

static void
barrier_dealloc(PyObject *self)
{
    fl_instance_dealloc_as(self, barrier_dealloc, barrier_clear);
}

/* ---- looking ---- */

static PyObject *
barrier_get_parties(PyObject *self, void *Py_UNUSED(context))
{
    return PyLong_FromUnsignedLongLong(core_of(self)->parties);
}

static PyObject *
barrier_get_n_waiting(PyObject *self, void *Py_UNUSED(context))
{
    return PyLong_FromUnsignedLongLong(fl_barrier_waiting(core_of(self)));
}

static PyObject *
barrier_get_broken(PyObject *self, void *Py_UNUSED(context))
{
    return PyBool_FromLong(fl_barrier_is_broken(core_of(self)));
}

static PyObject *
barrier_repr(PyObject *self)
{
    fl_barrier *barrier = core_of(self);
    if (fl_barrier_is_broken(barrier)) {
        return fl_instance_repr(self, "broken");
    }
    return fl_instance_repr(self,
                            "waiters=%llu/%llu",
                            (unsigned long long)fl_barrier_waiting(barrier),
                            (unsigned long long)barrier->parties);
}

/* ---- the type ---- */

PyDoc_STRVAR(barrier_doc,
             "Barrier(parties, action=None, timeout=None)\n"
             "--\n"
             "\n"
             "A meeting point: threads wait until all parties have arrived, and then all go on.\n"
             "\n"
             "parties: how many threads there are, an int.\n"
             "action:  called without arguments by the last to arrive, before all go on.\n"
             "timeout: the default of wait(), in seconds; None waits without a limit.\n"
             "\n"
             "Raises ValueError for less than one party.\n"
             "\n"
             "Mirrors threading.Barrier.");

static PyMemberDef barrier_members[] = {FL_INSTANCE_MEMBERS};

static PyGetSetDef barrier_getset[] = {
    FL_INSTANCE_DICT,
    {"parties", barrier_get_parties, NULL, "How many threads have to arrive.", NULL},
    {"n_waiting", barrier_get_n_waiting, NULL, "How many threads wait at the barrier.", NULL},
    {"broken", barrier_get_broken, NULL, "Whether the barrier is broken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_new, barrier_new},
    {Py_tp_init, barrier_init},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_repr, barrier_repr},
    {Py_tp_methods, barrier_methods},
    {Py_tp_members, barrier_members},
    {Py_tp_getset, barrier_getset},
    {0, NULL},
};

static PyType_Spec barrier_spec = {
    .name = "pyfastlock.Barrier",
    .basicsize = sizeof(fl_barrier_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = barrier_slots,
};

int
fl_barrier_type_init(PyObject *module, fl_state *state)
{
    state->barrier_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &barrier_spec, NULL);
    if (state->barrier_type == NULL) {
        return -1;
    }
    state->barrier_type->tp_vectorcall = barrier_vectorcall;
    return 0;
}
