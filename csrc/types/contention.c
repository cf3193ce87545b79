#include "types/contention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/lock_word.h"
#include "core/thread.h"
#include "platform/clock.h"
#include "types/contention_records.h"
#include "types/names.h"
#include "types/types.h"

/* The recorder for the object, if it is on; NULL otherwise.  (At the end of an interpreter a type has lost its
 * module.) */
static fl_recorder *
recorder_for(PyObject *object, fl_state **state)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(object), &fl_module_def);
    if (module == NULL) {
        PyErr_Clear();
        return NULL;
    }
    *state = PyModule_GetState(module);
    fl_recorder *recorder = (*state)->recorder;
    return recorder && fl_session_is_on(fl_load_relaxed_u64(&recorder->session)) ? recorder : NULL;
}

/* The kind of the object by its type.  Some fifty times slower than to be told it. */
static fl_wait_kind
kind_of(const fl_state *state, PyObject *object)
{
    const struct {
        PyTypeObject *type;
        fl_wait_kind kind;
    } kinds[] = {
        {state->lock_type, FL_FOR_MUTEX},
        {state->rlock_type, FL_FOR_RMUTEX},
        {state->condition_type, FL_FOR_COND},
        {state->event_type, FL_FOR_EVENT},
        {state->semaphore_type, FL_FOR_SEMA},
        {state->barrier_type, FL_FOR_BARRIER},
    };
    size_t i = 0;
    while (!PyObject_TypeCheck(object, kinds[i].type)) {
        i++;
    }
    return kinds[i].kind;
}

/* The name of the type that the object has, or that its class is derived from. */
static const char *
name_of_kind(const fl_state *state, PyObject *object, fl_wait_kind kind)
{
    static const char *const names[] = {
        [FL_FOR_MUTEX] = "Lock",
        [FL_FOR_RMUTEX] = "RLock",
        [FL_FOR_COND] = "Condition",
        [FL_FOR_EVENT] = "Event",
        [FL_FOR_SEMA] = "Semaphore",
        [FL_FOR_BARRIER] = "Barrier",
    };
    bool bounded = kind == FL_FOR_SEMA && PyObject_TypeCheck(object, state->bounded_semaphore_type);
    return bounded ? "BoundedSemaphore" : names[kind];
}

/* The thread that holds what is waited for, by its identifier; 0 where that is not known. */
static uint64_t
holder_of(PyObject *object, fl_wait_kind kind)
{
    bool is_lock = kind == FL_FOR_MUTEX || kind == FL_FOR_RMUTEX;
    uint64_t owner = is_lock ? fl_word_thread(fl_load_relaxed_u64(fl_lock_word(object))) : 0;
    return owner ? fl_thread_ident(owner) : 0;
}

FL_SLOW void
fl_contention_begin_slow(fl_contention_wait *wait, PyObject *object, fl_wait_kind kind)
{
    fl_state *state;
    fl_recorder *recorder = recorder_for(object, &state);
    if (recorder) {
        *wait = (fl_contention_wait){
            .recorder = recorder,
            .session = fl_load_relaxed_u64(&recorder->session),
            .object = object,
            .kind = name_of_kind(state, object, kind),
            .call = fl_place_here(state),
            .holder = fl_place_of_thread(state, holder_of(object, kind)),
            .begin_ns = fl_clock_now_ns(),
        };
    }
}

void
fl_contention_follow(fl_contention_wait *wait, const fl_contention_wait *first, PyObject *object, fl_wait_kind kind,
                     int64_t begin_ns)
{
    wait->recorder = NULL;
    if (first->recorder) {
        *wait = *first;
        wait->object = object;
        wait->kind = kind == FL_FOR_RMUTEX ? "RLock" : "Lock";
        wait->call = fl_place_copy(first->call);
        wait->holder = (fl_place){NULL, 0};
        wait->begin_ns = begin_ns;
    }
}

FL_SLOW void
fl_contention_end_slow(fl_contention_wait *wait, int64_t end_ns)
{
    int64_t waited_ns = (end_ns ? end_ns : fl_clock_now_ns()) - wait->begin_ns;
    fl_records_add_wait(wait, waited_ns > 0 ? waited_ns : 0);
}

void
fl_contention_drop(fl_contention_wait *wait)
{
    fl_place_drop(wait->call);
    fl_place_drop(wait->holder);
}

/* ---- the life of an object ---- */

FL_SLOW void
fl_object_made_slow(PyObject *self)
{
    fl_state *state;
    fl_recorder *recorder = recorder_for(self, &state);
    if (recorder) {
        uint64_t session = fl_load_relaxed_u64(&recorder->session);
        fl_place made = fl_place_here(state);
        fl_records_add_made(recorder, session, self, name_of_kind(state, self, kind_of(state, self)), made);
        fl_place_drop(made);
    }
}

FL_SLOW void
fl_object_freed_slow(PyObject *self)
{
    if (fl_load_relaxed_u32(&fl_watched) & FL_WATCH_WAITS) {
        fl_records_bury(self);
    }
    fl_name_forget(self);
}

/* ---- names ---- */

int
fl_object_set_name(PyObject *self, PyObject *name)
{
    Py_ssize_t size = 0;
    const char *text = NULL;
    if (name != Py_None && !PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "a name must be a str or None, not %.100s", Py_TYPE(name)->tp_name);
        return -1;
    }
    if (name != Py_None && (text = PyUnicode_AsUTF8AndSize(name, &size)) == NULL) {
        return -1;
    }
    fl_records_watch_names(); /* before there is a name that could outlive its object */
    if (!fl_name_set(self, text, (size_t)size)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static PyObject *
text_of(const char *name, size_t size)
{
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)size, "replace");
}

PyObject *
fl_object_name(PyObject *self)
{
    size_t size;
    char *name = fl_name_copy(self, &size);
    if (name == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *text = text_of(name, size);
    free(name);
    return text;
}

/* ---- starting, stopping, reading ---- */

static const char IS_OFF[] = "contention is not being recorded";

int
fl_contention_init(fl_state *state)
{
    int error = fl_names_init();
    error = error ? error : fl_records_init();
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    state->recorder = calloc(1, sizeof *state->recorder);
    if (state->recorder == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
fl_contention_fini(fl_state *state)
{
    fl_recorder *recorder = state->recorder;
    if (recorder) {
        fl_record *records;
        uint64_t lost;
        (void)fl_recorder_stop(recorder, &records, &lost);
        fl_records_free(records);
        state->recorder = NULL;
        free(recorder);
    }
}

int
fl_contention_start(fl_state *state)
{
    if (!fl_recorder_start(state->recorder)) {
        PyErr_SetString(PyExc_RuntimeError, "contention is being recorded already");
        return -1;
    }
    return 0;
}

static PyObject *
call_as_python(const fl_contention_call *call)
{
    PyObject *place = fl_place_as_python(call->call);
    PyObject *holder = place ? fl_place_as_python(call->holder) : NULL;
    PyObject *tuple = NULL;
    if (holder) {
        tuple = Py_BuildValue("(OOKdd)",
                              place,
                              holder,
                              (unsigned long long)call->waits,
                              (double)call->total_ns / 1e9,
                              (double)call->longest_ns / 1e9);
    }
    Py_XDECREF(holder);
    Py_XDECREF(place);
    return tuple;
}

static PyObject *
calls_as_python(const fl_record *record)
{
    PyObject *list = PyList_New((Py_ssize_t)record->call_count);
    for (size_t i = 0; list && i < record->call_count; i++) {
        PyObject *call = call_as_python(&record->calls[i]);
        if (call == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, call);
    }
    return list;
}

static PyObject *
record_as_python(const fl_record *record)
{
    PyObject *tuple = NULL;
    PyObject *type = text_of(record->type, strlen(record->type));
    PyObject *name = NULL, *made = NULL, *calls = NULL;
    if (type) {
        name = record->name ? text_of(record->name, record->name_size) : Py_NewRef(Py_None);
    }
    if (name) {
        made = fl_place_as_python(record->made);
    }
    if (made) {
        calls = calls_as_python(record);
    }
    if (calls) {
        tuple = Py_BuildValue("(KKsOOOO)",
                              (unsigned long long)record->number,
                              (unsigned long long)record->objects,
                              record->kind,
                              type,
                              name,
                              made,
                              calls);
    }
    Py_XDECREF(calls);
    Py_XDECREF(made);
    Py_XDECREF(name);
    Py_XDECREF(type);
    return tuple;
}

static PyObject *
records_as_python(const fl_record *records, uint64_t lost)
{
    PyObject *list = PyList_New(0);
    for (; list && records; records = records->next) {
        if (records->call_count == 0) {
            continue;
        }
        PyObject *tuple = record_as_python(records);
        if (tuple == NULL || PyList_Append(list, tuple) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(tuple);
    }
    PyObject *result = list ? Py_BuildValue("(OK)", list, (unsigned long long)lost) : NULL;
    Py_XDECREF(list);
    return result;
}

PyObject *
fl_contention_read(fl_state *state)
{
    fl_record *copies;
    uint64_t lost;
    PyObject *result = NULL;
    switch (fl_recorder_copy(state->recorder, &copies, &lost)) {
        case FL_COPIED:
            result = records_as_python(copies, lost);
            break;
        case FL_COPIED_NO_MEMORY:
            PyErr_NoMemory();
            break;
        case FL_COPIED_OFF:
            PyErr_SetString(PyExc_RuntimeError, IS_OFF);
            break;
    }
    fl_records_free(copies);
    return result;
}

PyObject *
fl_contention_stop(fl_state *state)
{
    fl_record *records;
    uint64_t lost;
    if (!fl_recorder_stop(state->recorder, &records, &lost)) {
        PyErr_SetString(PyExc_RuntimeError, IS_OFF);
        return NULL;
    }
    PyObject *result = records_as_python(records, lost);
    if (result == NULL) {
        fl_recorder_leave(state->recorder, records);
        return NULL;
    }
    fl_records_free(records);
    return result;
}
