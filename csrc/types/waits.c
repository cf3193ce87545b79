#include "types/waits.h"

#include "core/deadlock.h"
#include "core/lot/parking_lot.h"
#include "core/thread.h"
#include "platform/clock.h"
#include "types/types.h"

/* A copy of what a waiter says.  The waiter, its thread and the owner may be gone when the mutexes are free again. */
typedef struct {
    uint64_t thread, owner; /* as fl_thread_find gives them; owner 0 also where there is none */
    fl_thread_fate fate;    /* of the owner; where there is none it lives */
    PyObject *object;       /* a reference; NULL where it belongs to another interpreter */
    int64_t since_ns, deadline_ns;
    bool loose;
} wait_copy;

/* A list that has its room before the mutexes are taken: under them nothing is allocated. */
typedef struct {
    wait_copy *items;
    size_t count, room;
    const void *runtime;
} copies;

PyObject *
fl_waits_object(const fl_waiter *waiter)
{
    switch (waiter->kind) {
        case FL_FOR_MUTEX:
        case FL_FOR_RMUTEX:
            return fl_lock_of(waiter->key);
        case FL_FOR_COND:
            return fl_condition_of_cond(waiter->key);
        case FL_FOR_EVENT:
            return fl_event_of_key(waiter->key);
        case FL_FOR_SEMA:
            return fl_semaphore_of_key(waiter->key);
        case FL_FOR_BARRIER:
            return fl_barrier_of_key(waiter->key);
        case FL_FOR_NOTHING:
            break;
    }
    return NULL;
}

/* Sets the thread and the owner of a copy, by their serials.  Under the registry's mutex, and the owner was read from
 * the lock's word under it: a thread needs it to end, so one that is gone here has never released the lock. */
static void
set_threads(wait_copy *copy, uint64_t thread, uint64_t owner)
{
    (void)fl_thread_find(thread, &copy->thread);
    copy->owner = 0;
    copy->fate = owner ? fl_thread_find(owner, &copy->owner) : FL_THREAD_LIVES;
}

/* Notes the waiter, under the mutexes of its bucket and of the registry, if there is room.  `holder` is what the word
 * of a lock shows.  The object lives: a thread that is queued for it has a reference.  To count one more needs nothing
 * but to be attached to the object's interpreter. */
static void
note(copies *list, const fl_waiter *waiter, uint64_t holder)
{
    if (list->count < list->room) {
        wait_copy *copy = &list->items[list->count];
        *copy = (wait_copy){
            .object = waiter->runtime == list->runtime ? Py_XNewRef(fl_waits_object(waiter)) : NULL,
            .since_ns = waiter->since_ns,
            .deadline_ns = waiter->notified ? FL_DEADLINE_NEVER : waiter->deadline_ns,
            .loose = holder & FL_WORD_LOOSE,
        };
        set_threads(copy, waiter->thread, fl_word_thread(holder));
    }
    list->count++;
}

/* Whether all waiters fitted; if not, forgets those that did, and makes room for as many as there were and a few more.
 * Returns 1, 0 where the caller is to walk again, or -1 with an exception. */
static int
has_all(copies *list)
{
    if (list->items && list->count <= list->room) {
        return 1;
    }
    size_t noted = list->count < list->room ? list->count : list->room;
    for (size_t i = 0; i < noted; i++) {
        Py_XDECREF(list->items[i].object);
    }
    size_t room = list->count + list->count / 4 + 16;
    wait_copy *items = PyMem_Realloc(list->items, room * sizeof *items);
    if (items == NULL) {
        list->count = 0;
        PyErr_NoMemory();
        return -1;
    }
    *list = (copies){.items = items, .room = room, .runtime = list->runtime};
    return 0;
}

static void
discard(copies *list)
{
    for (size_t i = 0; i < list->count; i++) {
        Py_XDECREF(list->items[i].object);
    }
    PyMem_Free(list->items);
}

/* ---- as Python's objects ---- */

static PyObject *
seconds(int64_t ns)
{
    return PyFloat_FromDouble((double)ns / 1e9);
}

/* The tuple that the header describes; NULL with an exception. */
static PyObject *
tuple_of(const wait_copy *wait, int64_t now_ns)
{
    bool timed = wait->deadline_ns != FL_DEADLINE_NEVER;
    PyObject *timeout = timed ? seconds(wait->deadline_ns - wait->since_ns) : Py_NewRef(Py_None);
    PyObject *waited = seconds(now_ns - wait->since_ns);
    PyObject *tuple = NULL;
    if (timeout && waited) {
        tuple = Py_BuildValue("(KOKiOOO)",
                              (unsigned long long)wait->thread,
                              wait->object ? wait->object : Py_None,
                              (unsigned long long)wait->owner,
                              (int)wait->fate,
                              waited,
                              timeout,
                              wait->loose ? Py_True : Py_False);
    }
    Py_XDECREF(timeout);
    Py_XDECREF(waited);
    return tuple;
}

static PyObject *
as_python(const copies *list)
{
    int64_t now_ns = fl_clock_now_ns();
    PyObject *result = PyList_New((Py_ssize_t)list->count);
    for (size_t i = 0; result && i < list->count; i++) {
        PyObject *tuple = tuple_of(&list->items[i], now_ns);
        if (tuple == NULL) {
            Py_CLEAR(result);
            break;
        }
        PyList_SET_ITEM(result, (Py_ssize_t)i, tuple);
    }
    return result;
}

/* ---- all waits ---- */

static void
note_any(void *arg, const fl_waiter *waiter)
{
    bool is_lock = fl_waiter_is_for_lock(waiter);
    fl_thread_lock_registry();
    note(arg, waiter, is_lock ? fl_load_relaxed_u64((fl_atomic_u64 *)waiter->key) : 0);
    fl_thread_unlock_registry();
}

PyObject *
fl_waits_list(void)
{
    copies list = {.runtime = PyInterpreterState_Get()};
    int complete;
    do {
        (void)fl_lot_walk_all(note_any, &list);
        complete = has_all(&list);
    } while (complete == 0);
    PyObject *result = complete < 0 ? NULL : as_python(&list);
    discard(&list);
    return result;
}

/* ---- a deadlock ---- */

static void
note_edge(void *arg, const fl_waiter *waiter, uint64_t owner)
{
    note(arg, waiter, owner);
}

/* The serial of the lock's owner, 0 where it has none. */
static uint64_t
owner_of(PyObject *lock)
{
    return fl_word_owner(fl_load_relaxed_u64(fl_lock_word(lock)));
}

/* The list begins with the calling thread's own wait. */
static void
begin_with_own(copies *list, PyObject *lock, int64_t since_ns)
{
    wait_copy own = {.object = Py_NewRef(lock), .since_ns = since_ns, .deadline_ns = FL_DEADLINE_NEVER};
    fl_thread_lock_registry();
    set_threads(&own, fl_thread_self(), owner_of(lock));
    fl_thread_unlock_registry();
    if (list->room) {
        list->items[0] = own;
    }
    else {
        Py_DECREF(lock);
    }
    list->count = 1;
}

/* Fills the list with the cycle, or with the one wait whose owner is gone.  Returns whether there is either; -1 with an
 * exception. */
static int
find_deadlock(copies *list, PyObject *lock, int64_t since_ns)
{
    for (;;) {
        begin_with_own(list, lock, since_ns);
        bool closes = fl_deadlock_walk(fl_lock_word(lock), note_edge, list) != 0;
        if (closes && list->count <= list->room) {
            /* The lock may have changed hands before the walk. */
            list->items[0].owner = list->items[list->count > 1 ? 1 : 0].thread;
            list->items[0].fate = FL_THREAD_LIVES;
        }
        bool found = closes || fl_deadlock_is_gone(owner_of(lock));
        int complete = has_all(list);
        if (complete != 0) {
            return complete < 0 ? -1 : found;
        }
    }
}

/* Whether the deadlock is there now: nothing is written down. */
static bool
is_still_there(PyObject *lock)
{
    return fl_deadlock_walk(fl_lock_word(lock), NULL, NULL) != 0 || fl_deadlock_is_gone(owner_of(lock));
}

/* Makes the error for the deadlock.  Returns 1 with the error, or with None where it may be none; 0 where there is no
 * deadlock any more; -1 with an exception.
 *
 * To look for doubts takes time, and who ends a block meanwhile takes the doubt away with the deadlock.  So the
 * deadlock has to be there after that, too. */
static int
make_error(PyObject *lock, int64_t since_ns, PyObject **error)
{
    copies list = {.runtime = PyInterpreterState_Get()};
    int found = find_deadlock(&list, lock, since_ns);
    if (found == 1) {
        PyObject *waits = as_python(&list);
        PyObject *make = waits ? PyMapping_GetItemString(fl_state_of(lock)->waits, "deadlock_error") : NULL;
        *error = make ? PyObject_CallOneArg(make, waits) : NULL;
        Py_XDECREF(make);
        Py_XDECREF(waits);
        found = *error ? 1 : -1;
    }
    discard(&list);
    if (found == 1 && *error != Py_None && !is_still_there(lock)) {
        Py_CLEAR(*error);
        found = 0;
    }
    return found;
}

int
fl_waits_raise_deadlock(PyObject *lock, int64_t since_ns)
{
    PyObject *error;
    int found = make_error(lock, since_ns, &error);
    if (found != 1) {
        return found;
    }
    bool is_doubtful = error == Py_None;
    if (!is_doubtful) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    Py_DECREF(error);
    return is_doubtful ? FL_WAITS_DOUBTFUL : -1;
}

/* Prints the error, by pyfastlock._waits.report.  Returns 0, or -1 with an exception. */
static int
report(PyObject *lock, PyObject *error)
{
    PyObject *print = PyMapping_GetItemString(fl_state_of(lock)->waits, "report");
    PyObject *result = print ? PyObject_CallOneArg(print, error) : NULL;
    Py_XDECREF(print);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Where deadlocks are reported it prints the text of the DeadlockError, by pyfastlock._waits.report.  An exception of
 * the caller's is left as it is: the wait may be one that takes a lock back after it. */
static fl_deadlock_verdict
judge(const void *mutex, int64_t since_ns)
{
    if (fl_deadlock_get_mode() != FL_DEADLOCKS_REPORT) {
        return FL_DEADLOCK_FAILS;
    }
    PyObject *kept = fl_take_exception();
    PyObject *lock = fl_lock_of(mutex);
    PyObject *error = NULL;
    int found = make_error(lock, since_ns, &error);
    if (found < 0 || (found == 1 && error != Py_None && report(lock, error) < 0)) {
        PyErr_WriteUnraisable(lock);
    }
    Py_XDECREF(error);
    if (kept) {
        fl_set_exception(kept);
    }
    return found == 0 ? FL_DEADLOCK_IS_OVER : FL_DEADLOCK_IS_TOLD;
}

fl_py_judge_fn *const fl_py_judge = judge;
