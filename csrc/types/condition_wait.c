/* Waiting and notifying: over core/cond.h with a lock of ours, over types/foreign.h with any other. */

#include "platform/clock.h"
#include "py/define.h"
#include "types/condition.h"
#include "types/contention.h"
#include "types/foreign.h"
#include "types/waits.h"

PyObject *
fl_condition_get_lock(fl_condition_object *self)
{
    if (self->lock == NULL) {
        PyErr_Format(
            PyExc_AttributeError, "'%.100s' object has no attribute '_lock'", Py_TYPE((PyObject *)self)->tp_name);
    }
    return self->lock;
}

int
fl_condition_owns(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    if (kind != FL_FOREIGN) {
        return fl_locking_is_owned(kind, self->mutex);
    }
    PyObject *lock = fl_condition_get_lock(self);
    return lock ? fl_foreign_is_owned(lock) : -1;
}

/* Whether the lock is one of ours, and held: the usual case.  Runs no Python code. */
static inline bool
owns_core(fl_condition_object *self)
{
    fl_lock_kind kind = fl_condition_kind(self);
    return FL_LIKELY(kind != FL_FOREIGN) && fl_locking_is_owned(kind, self->mutex);
}

/* Checks that the calling thread holds the lock.  0, or -1 with an exception; RuntimeError with this text where it does
 * not.  `replaced` is what fl_condition_replaced() returned, also where that failed. */
static int
must_own(fl_condition_object *self, int replaced, const char *text)
{
    if (replaced < 0) {
        return -1;
    }
    bool is_asked = replaced & FL_REPLACED_IS_OWNED;
    if (FL_LIKELY(!is_asked && owns_core(self))) {
        return 0;
    }
    int owned = is_asked ? fl_foreign_is_owned((PyObject *)self) : fl_condition_owns(self);
    if (owned == 0) {
        PyErr_SetString(PyExc_RuntimeError, text);
    }
    return owned > 0 ? 0 : -1;
}

/* ---- waiting ---- */

/* Sets the exception for FL_COND_ORPHANED, unless a signal handler has set one.  A lock that has been made free since
 * is not taken back either: the error says what was true. */
static void
raise_orphaned(fl_condition_object *self)
{
    if (!PyErr_Occurred() && fl_waits_raise_deadlock(fl_lock_of(self->mutex), fl_clock_now_ns()) >= 0) {
        PyErr_SetString(PyExc_RuntimeError, "the lock's owner has ended; the lock was not taken back");
    }
}

/* Translates the result of a wait with a lock of ours: 1 where it was notified, 0 where it was not in time, -1 with an
 * exception. */
static int
translate(fl_condition_object *self, fl_cond_result result)
{
    switch (result) {
        case FL_COND_NOTIFIED:
            return 1;
        case FL_COND_TIMED_OUT:
            return 0;
        case FL_COND_NOT_HELD:
            PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
            return -1;
        case FL_COND_NO_MEMORY:
            PyErr_NoMemory();
            return -1;
        case FL_COND_ORPHANED:
            raise_orphaned(self);
            return -1;
        case FL_COND_GIVEN_UP:
        case FL_COND_LOCK_LOST:
            break;
    }
    return -1; /* poll() has set the exception */
}

/* The kind of the lock, which is one of ours. */
static fl_wait_kind
kind_of_lock(fl_condition_object *self)
{
    return fl_condition_kind(self) == FL_RECURSIVE ? FL_FOR_RMUTEX : FL_FOR_MUTEX;
}

/* Waits with a lock of ours.  The caller holds it, and holds it afterwards.
 *
 * For a recording these are two waits: for the notification, and from then on for the lock, which is still held when
 * the notification comes.  Without a notification the second one begins with the deadline. */
static fl_cond_result
wait_with_lock(fl_condition_object *self, int64_t deadline_ns)
{
    fl_py_blocker blocker, blocker_back;
    fl_contention_wait record, record_back;
    fl_contention_begin(&record, (PyObject *)self, FL_FOR_COND);
    fl_py_blocker_init_uninterruptible(&blocker_back);
    fl_py_blocker_init(&blocker, deadline_ns);
    fl_cond_result result =
        fl_cond_wait(&self->cond, fl_condition_core_lock(self), deadline_ns, &blocker.base, &blocker_back.base);
    int64_t notified_ns = blocker.base.notified_ns;
    bool waited_back = notified_ns != 0 || (result == FL_COND_TIMED_OUT && fl_py_has_blocked(&blocker_back));
    int64_t back_ns = notified_ns ? notified_ns : deadline_ns;
    fl_contention_follow(&record_back, &record, self->lock, kind_of_lock(self), back_ns);
    fl_contention_end(&record, fl_py_has_blocked(&blocker), waited_back ? back_ns : 0);
    fl_contention_end(&record_back, waited_back, 0);
    return result;
}

/* Lets others have the lock, for a wait without any time. */
static fl_cond_result
give_way(fl_condition_object *self)
{
    fl_py_blocker blocker_back;
    fl_contention_wait record;
    fl_contention_begin(&record, self->lock, kind_of_lock(self));
    fl_py_blocker_init_uninterruptible(&blocker_back);
    fl_cond_result result = fl_cond_give_way(fl_condition_core_lock(self), &blocker_back.base);
    fl_contention_end(&record, fl_py_has_blocked(&blocker_back), 0);
    return result;
}

/* Waits.  The caller holds the lock, and holds it afterwards.  Results as of translate(). */
static int
wait_until(fl_condition_object *self, int replaced, int64_t deadline_ns)
{
    if (fl_condition_kind(self) == FL_FOREIGN || replaced & FL_REPLACED_LOCK) {
        PyObject *lock = Py_NewRef(replaced & FL_REPLACED_LOCK ? (PyObject *)self : self->lock);
        int notified = fl_foreign_wait(fl_state_of((PyObject *)self), &self->cond, lock, deadline_ns);
        Py_DECREF(lock);
        return notified;
    }
    if (deadline_ns == FL_DEADLINE_PASSED) {
        return translate(self, give_way(self));
    }
    return translate(self, wait_with_lock(self, deadline_ns));
}

/* wait(timeout); NULL is the default.  Results as of translate(). */
static int
wait_with_timeout(PyObject *self, PyObject *timeout)
{
    fl_condition_object *condition = fl_condition_of(self);
    int64_t timeout_ns = FL_DEADLINE_NEVER;
    int replaced = fl_condition_replaced(condition);
    if (must_own(condition, replaced, "cannot wait on un-acquired lock") < 0) {
        return -1;
    }
    if (timeout && fl_parse_timeout(self, timeout, &timeout_ns) < 0) {
        return -1;
    }
    return wait_until(condition, replaced, fl_deadline_after_ns(timeout_ns));
}

FL_DOC(fl_condition_wait_doc,
       "wait($self, /, timeout=None)\n"
       "--\n"
       "\n"
       "Release the lock, wait until notified, take the lock back; return whether there\n"
       "was a notification.\n"
       "\n"
       "timeout: how many seconds to wait for it at most; None waits without a limit, 0\n"
       "         or less only lets other threads have the lock.\n"
       "\n"
       "A wait that has timed out takes no notification from another waiter, and a\n"
       "notified one returns True, however long it takes to get the lock back.  The lock\n"
       "is held again in any case, also when an exception is raised; one that a signal\n"
       "handler raised leaves the notification to another waiter.\n"
       "\n"
       "Raises RuntimeError where the lock is not held; ValueError for NaN;\n"
       "OverflowError for a timeout above TIMEOUT_MAX; DeadlockError where a thread has\n"
       "ended with the lock, which nobody can take back then;\n"
       FL_ENDLESS_WAIT_DOC
       "\n"
       "Mirrors threading.Condition.wait, where a wait that has timed out may take a\n"
       "notification, and one that is interrupted may come back without the lock.");

PyObject *
fl_condition_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout;
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 1, 0, &timeout)) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "wait", self, call);
    }
    int notified = wait_with_timeout(self, timeout);
    return notified < 0 ? NULL : fl_bool(notified);
}

/* Waits once for wait_for(), by self.wait() where that is replaced.  0, or -1 with an exception. */
static int
wait_once(PyObject *self, PyObject *timeout, int64_t deadline_ns, bool first)
{
    int replaced = fl_condition_replaced(fl_condition_of(self));
    if (replaced < 0) {
        return -1;
    }
    if (!(replaced & FL_REPLACED_WAIT)) {
        if (must_own(fl_condition_of(self), replaced, "cannot wait on un-acquired lock") < 0) {
            return -1;
        }
        return wait_until(fl_condition_of(self), replaced, deadline_ns) < 0 ? -1 : 0;
    }
    PyObject *left = Py_NewRef(timeout);
    if (!first && timeout != Py_None) {
        Py_SETREF(left, PyFloat_FromDouble((double)(deadline_ns - fl_clock_now_ns()) * 1e-9));
    }
    PyObject *result = left ? PyObject_CallMethod(self, "wait", "O", left) : NULL;
    Py_XDECREF(left);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Makes the deadline of wait_for(timeout), after the checks that wait() makes.  0, or -1 with an exception. */
static int
wait_for_deadline(PyObject *self, PyObject *timeout, int64_t *deadline_ns)
{
    if (fl_check_addable(timeout) < 0) {
        return -1;
    }
    int replaced = fl_condition_replaced(fl_condition_of(self));
    if (replaced < 0) {
        return -1;
    }
    bool asks = !(replaced & FL_REPLACED_WAIT); /* a replaced wait() asks by itself */
    if (asks && must_own(fl_condition_of(self), replaced, "cannot wait on un-acquired lock") < 0) {
        return -1;
    }
    int64_t timeout_ns;
    if (fl_parse_timeout(self, timeout, &timeout_ns) < 0) {
        return -1;
    }
    *deadline_ns = fl_deadline_after_ns(timeout_ns);
    return 0;
}

FL_DOC(fl_condition_wait_for_doc,
       "wait_for($self, /, predicate, timeout=None)\n"
       "--\n"
       "\n"
       "Wait until predicate() is true, and return its last result.\n"
       "\n"
       "predicate: called without arguments, with the lock held.\n"
       "timeout:   how many seconds to wait at most, in all; None waits without a\n"
       "           limit.  The result is false where it was not enough.\n"
       "\n"
       "Raises what predicate() and wait() raise.\n"
       "\n"
       "Mirrors threading.Condition.wait_for, which never ends where the timeout is NaN.");

PyObject *
fl_condition_wait_for(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"predicate", "timeout"};
    PyObject *values[2];
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 2, 1, values)) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "wait_for", self, call);
    }
    PyObject *timeout = values[1] ? values[1] : Py_None;
    int64_t deadline_ns = FL_DEADLINE_NEVER;
    for (bool first = true;; first = false) {
        PyObject *result = PyObject_CallNoArgs(values[0]);
        int satisfied = result ? PyObject_IsTrue(result) : -1;
        if (satisfied == 0 && first && wait_for_deadline(self, timeout, &deadline_ns) < 0) {
            satisfied = -1;
        }
        bool over = !first && deadline_ns != FL_DEADLINE_NEVER && deadline_ns <= fl_clock_now_ns();
        if (satisfied > 0 || (satisfied == 0 && over)) {
            return result;
        }
        Py_XDECREF(result);
        if (satisfied < 0 || wait_once(self, timeout, deadline_ns, first) < 0) {
            return NULL;
        }
    }
}

/* ---- notifying ---- */

/* notify(n).  As in the standard library n is anything that can be compared with 0, and reduced by 1.  0, or -1 with an
 * exception. */
static int
notify_counted(fl_condition_object *self, PyObject *n)
{
    if (PyLong_CheckExact(n)) {
        int overflow;
        long long count = PyLong_AsLongLongAndOverflow(n, &overflow);
        if (overflow > 0) {
            count = LLONG_MAX;
        }
        if (count > 0) {
            size_t most =
                (unsigned long long)count < SIZE_MAX ? (size_t)count : SIZE_MAX; /* the two types may differ in width */
            (void)fl_cond_notify(&self->cond, most, fl_condition_core_lock(self));
        }
        return 0;
    }
    PyObject *zero = PyLong_FromLong(0);
    PyObject *one = zero ? PyLong_FromLong(1) : NULL;
    PyObject *left = Py_NewRef(n);
    int more = 0;
    while (left && one && fl_cond_waiting(&self->cond) > 0) {
        more = PyObject_RichCompareBool(left, zero, Py_GT);
        if (more <= 0) {
            break;
        }
        (void)fl_cond_notify(&self->cond, 1, fl_condition_core_lock(self));
        Py_SETREF(left, PyNumber_Subtract(left, one));
    }
    int status = left && one && more >= 0 ? 0 : -1;
    Py_XDECREF(left);
    Py_XDECREF(one);
    Py_XDECREF(zero);
    return status;
}

FL_DOC(fl_condition_notify_doc,
       "notify($self, /, n=1)\n"
       "--\n"
       "\n"
       "Wake up to n threads that wait, those first that have waited longest.\n"
       "\n"
       "n: how many threads, an int.\n"
       "\n"
       "Each of them will return True from wait(), when it gets the lock.\n"
       "\n"
       "Raises RuntimeError where the lock is not held.\n"
       "\n"
       "Mirrors threading.Condition.notify, which counts waits that have timed out, too.");

static FL_NOINLINE PyObject *
notify_with(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"n"};
    PyObject *n;
    fl_call call = {args, nargs, kwnames};
    if (!fl_bind(call, names, 1, 0, &n)) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "notify", self, call);
    }
    int replaced = fl_condition_replaced(fl_condition_of(self));
    if (must_own(fl_condition_of(self), replaced, "cannot notify on un-acquired lock") < 0 ||
        (n && notify_counted(fl_condition_of(self), n) < 0)) {
        return NULL;
    }
    if (n == NULL) {
        (void)fl_cond_notify(&fl_condition_of(self)->cond, 1, fl_condition_core_lock(fl_condition_of(self)));
    }
    Py_RETURN_NONE;
}

PyObject *
fl_condition_notify(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_condition_object *condition = fl_condition_of(self);
    bool nobody_waits = !fl_cond_may_have_waiters(&condition->cond);
    bool is_stock = fl_condition_is_stock(condition);
    if (FL_LIKELY(nargs == 0 && kwnames == NULL && owns_core(condition) && nobody_waits && is_stock)) {
        Py_RETURN_NONE;
    }
    return notify_with(self, args, nargs, kwnames);
}

FL_DOC(fl_condition_notify_all_doc,
       "notify_all($self, /)\n"
       "--\n"
       "\n"
       "Wake all threads that wait.\n"
       "\n"
       "Raises RuntimeError where the lock is not held.\n"
       "\n"
       "Mirrors threading.Condition.notify_all.");

PyObject *
fl_condition_notify_all(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    fl_condition_object *condition = fl_condition_of(self);
    if (nargs != 0 || kwnames) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "notify_all", self, (fl_call){args, nargs, kwnames});
    }
    int replaced = fl_condition_replaced(condition);
    if (replaced > 0 && replaced & FL_REPLACED_NOTIFY) {
        size_t count = fl_cond_waiting(&condition->cond);
        PyObject *result = PyObject_CallMethod(self, "notify", "n", (Py_ssize_t)count);
        Py_XDECREF(result);
        return result ? Py_NewRef(Py_None) : NULL;
    }
    if (must_own(condition, replaced, "cannot notify on un-acquired lock") < 0) {
        return NULL;
    }
    (void)fl_cond_notify(&condition->cond, SIZE_MAX, fl_condition_core_lock(condition));
    Py_RETURN_NONE;
}

FL_DOC(fl_condition_notifyAll_doc,
       "notifyAll($self, /)\n"
       "--\n"
       "\n"
       "Deprecated: use notify_all().\n"
       "\n"
       "Mirrors threading.Condition.notifyAll.");

PyObject *
fl_condition_notifyAll(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs != 0 || kwnames) {
        return fl_raise_misfit(fl_state_of(self), "Condition", "notifyAll", self, (fl_call){args, nargs, kwnames});
    }
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "notifyAll() is deprecated, use notify_all() instead", 1) < 0) {
        return NULL;
    }
    PyObject *result = fl_call_method(self, "notify_all");
    Py_XDECREF(result);
    return result ? Py_NewRef(Py_None) : NULL;
}
