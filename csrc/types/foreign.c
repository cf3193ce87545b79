/* Waiting with a lock that is not ours.
 *
 * A wait queues its waiter, releases the lock, sleeps, and takes the lock back.  It returns with the lock held,
 * whatever happens.  So after each call that raised it has to know whether the call has done its work: a signal handler
 * may raise in any call that runs Python code, and a lock may raise by itself.
 *
 * It is not enough that the lock is held: another thread may hold it.  A wait that takes another thread's hold for its
 * own returns without the lock, and its caller then releases the other thread's.
 *
 * F1  The wait looks its methods up before it releases the lock, and looks for the method that does the work in the
 *     end.  A Condition hands its calls on to its lock; so find_method follows Conditions of ours and of the standard
 *     library down to the lock that they stand on.
 * F2  A method written in C that raises has not done its work: it is called again.  Because of F1 this is the usual
 *     case, also for Conditions over locks of ours and of the standard library.  One exception proves nothing: a
 *     `_release_save` that raises MemoryError may have released the lock before it made its result.
 * F3  A method written in Python, or another callable, may raise before its work or after it.  Then is_held collects
 *     answers that prove something, once a millisecond:
 *       - `_is_owned` says no: we do not hold the lock.  A yes proves nothing, because the method may ask whether any
 *         thread holds it.
 *       - acquire(False) takes the lock, and a second acquire(False) does not: nobody held the lock before.
 *       - acquire(False) takes the lock twice: the lock is recursive, so it knows its owner.  Both are undone, and
 *         `_is_owned` is believed.
 *       - There is no other thread: nobody else holds the lock.
 *     Without such an answer some thread holds the lock.  Another thread lets go of it some time.  So if the lock stays
 *     held for FL_FOREIGN_PATIENCE_NS, we hold it.
 * F4  A release that raises is judged as in F3.  If the lock is not held any more, it is taken back.  If
 *     `_release_save` raised, nobody knows how often the lock was held; then it is taken back once.
 * F5  The first exception of all is raised, when the lock is held.  If the wait was notified, its notification goes to
 *     another waiter.
 * F6  A notification wakes the waiter (C5).  It never moves the waiter to the queue of the
 *     condition's lock, because this wait does not take the lock in the core.  The release may fork.  No waiter is half
 *     woken then: whoever notifies does not detach before all are awake, and Python's fork() waits for the GIL or stops
 *     all threads.
 * F7  While the lock is taken back, the thread's waits for locks of ours are no victims of a cycle: whatever they
 *     raised would only be tried again.  A DeadlockError then means that the owner of such a lock is gone, and the wait
 *     gives the lock up. */

#include "types/foreign.h"

#include "platform/clock.h"
#include "py/block.h"
#include "types/condition.h"
#include "types/contention.h"

static const fl_cond_lock NOT_OURS = {NULL, NULL};

/* How long a lock may stay held or go on raising (F3, fl_foreign_wait): longer than locks are held, shorter than a
 * hang. */
static const int64_t FL_FOREIGN_PATIENCE_NS = INT64_C(5) * 1000 * 1000 * 1000;

/* How often a lock that raises is tried before the wait pauses between two attempts, and may give up. */
enum { FL_FOREIGN_ATTEMPTS = 100 };

/* How many locks find_method looks at: more than anybody stacks Conditions.  It ends the search in a circle of them. */
enum { FL_FOREIGN_DEPTH = 100 };

PyObject *
fl_foreign_call(PyObject *lock, const char *name, const char *otherwise, fl_call call)
{
    PyObject *method = fl_optional_attribute(lock, name);
    if (method == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_CallMethod(lock, otherwise, NULL);
    }
    PyObject *result = PyObject_Vectorcall(method, call.args, (size_t)call.nargs, call.kwnames);
    Py_DECREF(method);
    return result;
}

/* Attempts to take the lock, without waiting: 1, 0, or -1 with an exception. */
static int
try_to_take(PyObject *lock)
{
    PyObject *result = PyObject_CallMethod(lock, "acquire", "O", Py_False);
    int acquired = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return acquired;
}

/* Releases the lock: 0, or -1 with an exception. */
static int
release(PyObject *lock)
{
    PyObject *result = PyObject_CallMethod(lock, "release", NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Whether any thread holds a lock that cannot tell its owner: an attempt to take it answers.  1, 0, or -1 with an
 * exception. */
static int
probe(PyObject *lock)
{
    PyObject *let_go = PyObject_GetAttrString(lock, "release"); /* after the attempt a lack of memory is too late */
    int acquired = let_go ? try_to_take(lock) : -1;
    int held = acquired == 0 ? 1 : acquired < 0 ? -1 : 0;
    if (acquired > 0) {
        PyObject *result = PyObject_CallNoArgs(let_go);
        Py_XDECREF(result);
        held = result ? 0 : -1;
    }
    Py_XDECREF(let_go);
    return held;
}

/* Calls `method`, which is `_is_owned`, and drops the caller's reference to it: 1, 0, or -1 with an exception. */
static int
ask(PyObject *method)
{
    PyObject *result = PyObject_CallNoArgs(method);
    int owned = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    Py_DECREF(method);
    return owned;
}

int
fl_foreign_is_owned(PyObject *lock)
{
    PyObject *method = fl_optional_attribute(lock, "_is_owned");
    if (method == NULL) {
        return PyErr_Occurred() ? -1 : probe(lock);
    }
    return ask(method);
}

PyObject *
fl_foreign_release_save(PyObject *lock)
{
    PyObject *method = fl_optional_attribute(lock, "_release_save");
    if (method) {
        PyObject *saved = PyObject_CallNoArgs(method);
        Py_DECREF(method);
        return saved;
    }
    return PyErr_Occurred() || release(lock) < 0 ? NULL : Py_NewRef(Py_None);
}

int
fl_foreign_acquire_restore(PyObject *lock, PyObject *saved)
{
    PyObject *result;
    PyObject *method = fl_optional_attribute(lock, "_acquire_restore");
    if (method) {
        result = PyObject_CallOneArg(method, saved);
        Py_DECREF(method);
    }
    else {
        result = PyErr_Occurred() ? NULL : PyObject_CallMethod(lock, "acquire", NULL);
    }
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* ---- what is called: F1, F2 ---- */

typedef struct {
    PyObject *call; /* the callable, owned */
    bool is_saving; /* it is `_release_save` or `_acquire_restore`, not release() or acquire() */
    bool is_in_c;   /* F2 */
} method;

/* The methods that a wait calls. */
typedef struct {
    method let_go, take, acquire;
    PyObject *deadlock_error; /* the type, owned */
} methods;

/* A method by its name, and by the name of the one that does its work where a lock lacks it. */
typedef struct {
    const char *name, *otherwise;
} wanted;

static const wanted RELEASE_SAVE = {"_release_save", "release"};
static const wanted ACQUIRE_RESTORE = {"_acquire_restore", "acquire"};
static const wanted ACQUIRE = {"acquire", NULL};

/* The object that a bound method belongs to, borrowed; NULL for any other callable. */
static PyObject *
receiver(PyObject *callable)
{
    if (PyCFunction_Check(callable)) {
        return PyCFunction_GET_SELF(callable);
    }
    return PyMethod_Check(callable) ? PyMethod_GET_SELF(callable) : NULL;
}

static bool
is_condition(fl_state *state, PyObject *object)
{
    return object && PyObject_TypeCheck(object, state->condition_type);
}

/* Whether it is a method of the standard library's Condition itself, which calls acquire() or release() of the lock. */
static bool
is_stdlib_condition_method(fl_state *state, PyObject *callable)
{
    return PyMethod_Check(callable) && (PyMethod_GET_FUNCTION(callable) == state->stdlib_release_save ||
                                        PyMethod_GET_FUNCTION(callable) == state->stdlib_acquire_restore);
}

/* Returns the next lock below `lock`, whose method is `callable`: a new reference; NULL without an exception where
 * `lock` is the last one; NULL with one where looking fails.  Sets `*what` to the method that is called there. */
static PyObject *
step_down(fl_state *state, PyObject *lock, PyObject *callable, wanted *what)
{
    PyObject *of = receiver(callable);
    if (is_stdlib_condition_method(state, callable)) {
        *what = (wanted){what->otherwise ? what->otherwise : what->name, NULL};
        return PyObject_GetAttrString(of, "_lock");
    }
    return is_condition(state, of) && of != lock ? Py_NewRef(of) : NULL;
}

/* Returns the lock of a Condition of ours, to which the Condition hands calls of this name on: a new reference; NULL
 * without an exception where `lock` is no such Condition, or does not hand them on; NULL with one where looking
 * fails. */
static PyObject *
handed_on_to(fl_state *state, PyObject *lock, const char *name)
{
    if (!is_condition(state, lock)) {
        return NULL;
    }
    int replaced = fl_condition_has_replaced(lock, name);
    return replaced ? NULL : Py_XNewRef(fl_condition_get_lock(fl_condition_of(lock)));
}

/* Finds the method that does the work in the end (F1).  0, or -1 with an exception. */
static int
find_method(fl_state *state, PyObject *lock, wanted what, method *found)
{
    PyObject *next = Py_NewRef(lock);
    PyObject *at = NULL;
    *found = (method){NULL, false, false};
    for (int i = 0; next && i < FL_FOREIGN_DEPTH; i++) {
        Py_XSETREF(at, next);
        Py_CLEAR(found->call);
        next = handed_on_to(state, at, what.name);
        if (next || PyErr_Occurred()) {
            continue;
        }
        found->call = fl_optional_attribute(at, what.name);
        if (found->call == NULL && what.otherwise && !PyErr_Occurred()) {
            what = (wanted){what.otherwise, NULL};
            found->call = PyObject_GetAttrString(at, what.name);
        }
        if (found->call == NULL) {
            break;
        }
        next = step_down(state, at, found->call, &what);
    }
    Py_XDECREF(next);
    Py_XDECREF(at);
    if (found->call == NULL || PyErr_Occurred()) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_RuntimeError, "the condition has no lock with %s()", what.name);
        }
        Py_CLEAR(found->call);
        return -1;
    }
    found->is_saving = what.otherwise != NULL;
    found->is_in_c = PyCFunction_Check(found->call) && !is_condition(state, receiver(found->call));
    return 0;
}

/* ---- whether it is held: F3 ---- */

/* Takes the current exception away, if one is set, and keeps it in `*first` if it is the first (F5). */
static void
keep(PyObject **first)
{
    PyObject *exception = fl_take_exception();
    if (*first == NULL) {
        *first = exception;
    }
    else {
        Py_XDECREF(exception);
    }
}

/* What `_is_owned` says: 1, 0, or -1 where the lock has none, or it raises. */
static int
says_owned(PyObject *lock, PyObject **first)
{
    PyObject *method = fl_optional_attribute(lock, "_is_owned");
    int owned = method ? ask(method) : -1;
    keep(first);
    return owned;
}

/* An attempt has just taken the lock.  Returns whether we hold it as we should: we held it before the attempt, and the
 * attempt has been undone; or nobody held it before, and holding it once is enough. */
static bool
was_held(PyObject *lock, bool is_restored, PyObject **first)
{
    bool is_recursive = try_to_take(lock) > 0;
    keep(first);
    if (!is_recursive && !is_restored) {
        return true; /* held once, by the attempt */
    }
    for (int i = 0; i < 1 + is_recursive; i++) {
        (void)release(lock);
        keep(first);
    }
    return is_recursive && says_owned(lock, first) > 0;
}

/* Returns, after a call that raised, whether we hold the lock (F3).  `is_restored`: `_acquire_restore` takes the lock
 * back, perhaps more than once, so that one hold is not enough.  No exception is set before and after. */
static bool
is_held(PyObject *lock, bool is_restored, PyObject **first)
{
    int64_t end_ns = fl_clock_now_ns() + FL_FOREIGN_PATIENCE_NS;
    do {
        if (says_owned(lock, first) == 0) {
            return false;
        }
        int taken = try_to_take(lock);
        keep(first);
        if (taken > 0) {
            return was_held(lock, is_restored, first);
        }
        if (fl_py_is_alone()) {
            return true;
        }
        fl_py_pause();
    } while (fl_clock_now_ns() < end_ns);
    return true;
}

/* ---- waiting ---- */

/* Makes the call that takes the lock back.  Returns whether it did not raise. */
static bool
call_take(const method *take, PyObject *saved)
{
    PyObject *result = take->is_saving ? PyObject_CallOneArg(take->call, saved) : PyObject_CallNoArgs(take->call);
    Py_XDECREF(result);
    return result != NULL;
}

/* Attempts to take a lock in C that keeps raising.  It does not wait, so no signal can interrupt it.  1 where the lock
 * is taken now, 0 where the lock works and somebody else holds it, -1 where it raised again. */
static int
call_take_at_once(const method *take, PyObject **first)
{
    PyObject *result = PyObject_CallOneArg(take->call, Py_False);
    int taken = result ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    keep(first);
    return taken;
}

/* Takes the lock back, however often that raises.  `saved` is for `_acquire_restore`.  No exception is set before and
 * after. */
static void
take_back_as(PyObject *lock, const method *take, PyObject *saved, PyObject *deadlock_error, PyObject **first)
{
    int64_t end_ns = fl_clock_now_ns() + FL_FOREIGN_PATIENCE_NS;
    bool held = false;
    for (int attempt = 1; !held && !call_take(take, saved); attempt++) {
        bool is_orphaned = PyErr_ExceptionMatches(deadlock_error);
        keep(first);
        if (is_orphaned) {
            return; /* F7 */
        }
        held = !take->is_in_c && is_held(lock, take->is_saving, first);
        if (fl_is_finalizing()) {
            return;
        }
        if (!held && attempt >= FL_FOREIGN_ATTEMPTS) {
            int taken = take->is_in_c && !take->is_saving ? call_take_at_once(take, first) : -1;
            held = taken > 0;
            if (taken == 0) {
                end_ns = fl_clock_now_ns() + FL_FOREIGN_PATIENCE_NS;
            }
            else if (!held && fl_clock_now_ns() >= end_ns) {
                return;
            }
            fl_py_pause();
        }
    }
}

static void
take_back(PyObject *lock, const method *take, PyObject *saved, PyObject *deadlock_error, PyObject **first)
{
    fl_py_must_get(true);
    take_back_as(lock, take, saved, deadlock_error, first);
    fl_py_must_get(false);
}

/* The release raised, before or after its work (F4). */
static void
undo_release(PyObject *lock, const methods *use, PyObject **first)
{
    const method *take = use->let_go.is_saving ? &use->acquire : &use->take;
    bool is_in_doubt = !use->let_go.is_in_c || PyErr_ExceptionMatches(PyExc_MemoryError); /* F2 */
    keep(first);
    if (is_in_doubt && !is_held(lock, take->is_saving, first)) {
        take_back(lock, take, Py_None, use->deadlock_error, first);
    }
}

/* Does the wait with these methods and this waiter.  Results as of fl_foreign_wait. */
static int
wait_as(fl_cond *cond, PyObject *lock, const methods *use, fl_waiter *waiter, int64_t deadline_ns)
{
    PyObject *first = NULL;
    fl_py_blocker blocker;
    fl_py_blocker_init(&blocker, deadline_ns);
    if (!blocker.base.poll(&blocker.base)) {
        return -1;
    }
    waiter->deadline_ns = deadline_ns;
    waiter->runtime = fl_blocker_runtime(&blocker.base);
    fl_contention_wait record;
    fl_contention_begin(&record, fl_condition_of_cond(cond), FL_FOR_COND);
    fl_cond_enqueue_for_notification(cond, waiter); /* F6 */
    PyObject *saved = PyObject_CallNoArgs(use->let_go.call);
    if (saved) {
        (void)fl_lot_sleep(waiter, deadline_ns, &blocker.base);
        fl_contention_end(&record, true, 0);
        keep(&first);
        take_back(lock, &use->take, use->let_go.is_saving ? saved : Py_None, use->deadlock_error, &first);
        Py_DECREF(saved);
    }
    else {
        (void)fl_lot_cancel(waiter);
        fl_contention_end(&record, false, 0);
        undo_release(lock, use, &first);
    }
    if (first) {
        fl_set_exception(first);
        fl_cond_pass_on(cond, waiter, NOT_OURS); /* F5 */
        return -1;
    }
    return waiter->notified;
}

int
fl_foreign_wait(fl_state *state, fl_cond *cond, PyObject *lock, int64_t deadline_ns)
{
    methods use = {.let_go = {NULL, false, false}, .take = {NULL, false, false}, .acquire = {NULL, false, false}};
    int notified = -1;
    use.deadlock_error = PyMapping_GetItemString(state->waits, "DeadlockError");
    if (use.deadlock_error == NULL) {
        return -1;
    }
    /* Not on the stack, because releasing the lock runs Python code while the waiter is queued (L5).  If the
     * interpreter ends the thread there, the waiter stays queued and is never freed. */
    fl_waiter *waiter = PyMem_RawMalloc(sizeof *waiter);
    if (waiter == NULL || fl_waiter_init(waiter, true) != 0) {
        PyMem_RawFree(waiter);
        Py_DECREF(use.deadlock_error);
        PyErr_NoMemory();
        return -1;
    }
    if (find_method(state, lock, RELEASE_SAVE, &use.let_go) == 0 &&
        find_method(state, lock, ACQUIRE_RESTORE, &use.take) == 0 &&
        find_method(state, lock, ACQUIRE, &use.acquire) == 0) {
        notified = wait_as(cond, lock, &use, waiter, deadline_ns);
    }
    Py_XDECREF(use.acquire.call);
    Py_XDECREF(use.take.call);
    Py_XDECREF(use.let_go.call);
    Py_DECREF(use.deadlock_error);
    fl_waiter_fini(waiter);
    PyMem_RawFree(waiter);
    return notified;
}
