/* pyfastlock.Barrier: its inside, creation, and what it says of itself. */

#include "types/barrier.h"

#include "py/method.h"
#include "types/contention.h"

/* ---- the inside ---- */

/* Opens a closed barrier.  0, or -1 with an exception.  A thread that has arrived goes on in go_on_waiting() (I3). */
static int
open_barrier(PyObject *self)
{
    int status;
    PyObject *condition;
    FL_BEGIN_CRITICAL_SECTION(self);
    status = fl_inside_put_condition(self, &fl_barrier_inside, &condition); /* I1 */
    if (condition) {
        Py_DECREF(condition);
        status = fl_barrier_open(fl_barrier_core(self)) ? 0 : -1; /* I2, I3 */
        if (status < 0) {
            PyErr_SetString(PyExc_AttributeError,
                            "the inside of a pyfastlock.Barrier cannot be reached while its action runs: "
                            "try again when it is over");
        }
    }
    FL_END_CRITICAL_SECTION();
    return status;
}

/* The `peek` of the attributes: there is no number where the barrier is unborn. */
static PyObject *
peek_parties(PyObject *self)
{
    return fl_barrier_is_ready(self) ? PyLong_FromUnsignedLongLong(fl_barrier_core(self)->parties) : NULL;
}

static PyObject *
peek_count(PyObject *self)
{
    return fl_barrier_is_ready(self) ? PyLong_FromUnsignedLongLong(fl_barrier_waiting(fl_barrier_core(self))) : NULL;
}

/* `threading`'s numbers: 0 while threads arrive, -2 when the barrier is broken.  Its other two states do not occur
 * here, because threads leave our barrier in one step. */
static PyObject *
peek_state(PyObject *self)
{
    return fl_barrier_is_ready(self) ? PyLong_FromLong(fl_barrier_is_broken(fl_barrier_core(self)) ? -2 : 0) : NULL;
}

static PyObject *
peek_action(PyObject *self)
{
    return fl_barrier_is_ready(self) ? Py_XNewRef(fl_barrier_of(self)->action) : NULL;
}

static PyObject *
peek_timeout(PyObject *self)
{
    return fl_barrier_is_ready(self) ? Py_XNewRef(fl_barrier_of(self)->timeout) : NULL;
}

const fl_inside fl_barrier_inside = {
    .owner = "Barrier",
    .is_closed = fl_barrier_is_closed,
    .open = open_barrier,
    .getset = fl_barrier_getset,
};
static const fl_inside_attribute cond_attribute = {&fl_barrier_inside, "_cond", NULL};
static const fl_inside_attribute parties_attribute = {&fl_barrier_inside, "_parties", peek_parties};
static const fl_inside_attribute action_attribute = {&fl_barrier_inside, "_action", peek_action};
static const fl_inside_attribute timeout_attribute = {&fl_barrier_inside, "_timeout", peek_timeout};
static const fl_inside_attribute state_attribute = {&fl_barrier_inside, "_state", peek_state};
static const fl_inside_attribute count_attribute = {&fl_barrier_inside, "_count", peek_count};

/* ---- creation ---- */

typedef struct {
    uint64_t parties;
    PyObject *action;
    PyObject *timeout;
} barrier_arguments;

/* Parses the number of parties.  0, or -1 with an exception. */
static int
parse_parties(fl_state *state, PyObject *parties, uint64_t *count)
{
    int less = fl_is_less(parties, 1);
    if (less > 0) {
        PyObject *stdlib = PyObject_CallOneArg(state->stdlib_barrier, parties); /* raises since 3.13 */
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
    if (*count == 0 || *count > FL_BARRIER_MAX) { /* 0 where `<` and __index__ disagree */
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
    fl_store_release_u32(&self->ready, true); /* another thread may have the object already */
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
    int unborn = fl_barrier_is_ready(self) ? 0 : fl_inside_is_untouched(self, &fl_barrier_inside);
    FL_BEGIN_CRITICAL_SECTION(self);
    if (unborn > 0 && fl_barrier_is_ready(self)) { /* another thread was first */
        unborn = 0;
    }
    if (unborn > 0) {
        set_up(fl_barrier_of(self), &arguments);
    }
    FL_END_CRITICAL_SECTION();
    if (unborn > 0) {
        fl_object_made(self);
    }
    if (unborn != 0) {
        return unborn < 0 ? -1 : 0;
    }
    return fl_inside_init_again(self, &fl_barrier_inside, fl_state_of(self)->stdlib_barrier, args, kwargs);
}

static PyObject *
barrier_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    static const char *const names[] = {"parties", "action", "timeout"};
    PyObject *values[3];
    barrier_arguments arguments;
    fl_call call = {args, PyVectorcall_NARGS(nargsf), kwnames};
    fl_state *state = PyType_GetModuleState((PyTypeObject *)type);
    if (FL_UNLIKELY(!fl_instance_is_created_here(type, barrier_init))) {
        return fl_instance_create_ordinary(type, call);
    }
    if (!fl_bind(call, names, 3, 1, values)) {
        return fl_raise_misfit(state, "Barrier", "__init__", Py_None, call);
    }
    if (parse_arguments(state, values, &arguments) < 0) {
        return NULL;
    }
    fl_barrier_object *self = FL_INSTANCE_NEW(fl_barrier_object, (PyTypeObject *)type);
    if (self) {
        set_up(self, &arguments);
        fl_object_made((PyObject *)self);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

static int
barrier_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(fl_barrier_of(self)->action);
    Py_VISIT(fl_barrier_of(self)->timeout);
    return fl_instance_traverse(self, visit, arg);
}

static int
barrier_clear(PyObject *self)
{
    Py_CLEAR(fl_barrier_of(self)->action);
    Py_CLEAR(fl_barrier_of(self)->timeout);
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
    if (!fl_barrier_is_closed(self)) {
        return fl_inside_property(self, fl_state_of(self)->stdlib_barrier, "parties");
    }
    return PyLong_FromUnsignedLongLong(fl_barrier_core(self)->parties);
}

static PyObject *
barrier_get_n_waiting(PyObject *self, void *Py_UNUSED(context))
{
    if (!fl_barrier_is_closed(self)) {
        return fl_inside_property(self, fl_state_of(self)->stdlib_barrier, "n_waiting");
    }
    return PyLong_FromUnsignedLongLong(fl_barrier_waiting(fl_barrier_core(self)));
}

static PyObject *
barrier_get_broken(PyObject *self, void *Py_UNUSED(context))
{
    if (!fl_barrier_is_closed(self)) {
        return fl_inside_property(self, fl_state_of(self)->stdlib_barrier, "broken");
    }
    return fl_bool(fl_barrier_is_broken(fl_barrier_core(self)));
}

static PyObject *
barrier_repr(PyObject *self)
{
    fl_barrier *barrier = fl_barrier_core(self);
    if (!fl_barrier_is_closed(self)) {
        return fl_barrier_call_open(self, "__repr__", (fl_call){NULL, 0, NULL});
    }
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
             "Raises ValueError for less than one party, TypeError for a number that is not an\n"
             "int, and OverflowError for more than 2**32 - 1.\n"
             "\n"
             "Mirrors threading.Barrier, but the next round may begin before all threads of the\n"
             "last one have run.");

static PyMemberDef barrier_members[] = {FL_INSTANCE_MEMBERS};

PyGetSetDef fl_barrier_getset[] = {
    FL_INSIDE_DICT(fl_barrier_inside),
    FL_INSIDE_ATTRIBUTE(cond_attribute, "The condition of threading.Barrier; reading it opens the barrier."),
    FL_INSIDE_ATTRIBUTE(parties_attribute, "How many threads have to arrive; writing it opens the barrier."),
    FL_INSIDE_ATTRIBUTE(action_attribute, "What the last to arrive calls; writing it opens the barrier."),
    FL_INSIDE_ATTRIBUTE(timeout_attribute, "The default timeout of wait(); writing it opens the barrier."),
    FL_INSIDE_ATTRIBUTE(state_attribute, "0, or -2 where the barrier is broken; writing it opens the barrier."),
    FL_INSIDE_ATTRIBUTE(count_attribute, "How many threads wait; writing it opens the barrier."),
    {"parties",
     barrier_get_parties,
     NULL,
     "How many threads have to arrive.\n\nMirrors threading.Barrier.parties.",
     NULL},
    {"n_waiting",
     barrier_get_n_waiting,
     NULL,
     "How many threads wait at the barrier.\n\nMirrors threading.Barrier.n_waiting.",
     NULL},
    {"broken", barrier_get_broken, NULL, "Whether the barrier is broken.\n\nMirrors threading.Barrier.broken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_init, barrier_init},
    {Py_tp_traverse, barrier_traverse},
    {Py_tp_clear, barrier_clear},
    {Py_tp_dealloc, barrier_dealloc},
    {Py_tp_repr, barrier_repr},
    {Py_tp_methods, fl_barrier_methods},
    {Py_tp_members, barrier_members},
    {Py_tp_getset, fl_barrier_getset},
    {0, NULL},
};

static PyType_Spec barrier_spec = {
    .name = "pyfastlock.Barrier",
    .basicsize = sizeof(fl_barrier_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
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
    return fl_method_install(state, state->barrier_type, "Barrier", state->stdlib_barrier);
}
