#include "py/block.h"

#include <pthread.h>

#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/attached.h"
#include "platform/clock.h"
#include "platform/fatal.h"
#include "py/args.h"

static void
detach(fl_blocker *base)
{
    fl_py_blocker *blocker = (fl_py_blocker *)base;
    blocker->tstate = PyEval_SaveThread();
}

static void
attach(fl_blocker *base)
{
    fl_py_blocker *blocker = (fl_py_blocker *)base;
    PyEval_RestoreThread(blocker->tstate);
}

/* Returns whether the wait can end; sets an exception where it cannot.  While the interpreter shuts down no other
 * thread attaches again, so nobody can release a lock or notify. */
static bool
can_end(fl_blocker *base)
{
    if ((base->timed && !FL_REFUSES_TIMED_WAITS) || !fl_is_finalizing()) {
        return true;
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(FL_FINALIZATION_ERROR, "cannot acquire lock at interpreter finalization");
    }
    return false;
}

static bool
poll_uninterruptible(fl_blocker *base)
{
    return can_end(base);
}

static bool
poll_signals(fl_blocker *base)
{
    return PyErr_CheckSignals() == 0 && can_end(base);
}

static FL_THREAD_LOCAL int musts; /* how often the calling thread is in fl_py_must_get(true) */

void
fl_py_must_get(bool must)
{
    musts += must ? 1 : -1;
}

void
fl_py_blocker_init(fl_py_blocker *blocker, int64_t deadline_ns)
{
    blocker->base = (fl_blocker){
        .poll = poll_signals,
        .detach = detach,
        .attach = attach,
        .interruptible = fl_thread_is_main(),
        .timed = deadline_ns != FL_DEADLINE_NEVER,
        .may_fail = musts == 0,
        .judge = fl_py_judge,
        .runtime = PyInterpreterState_Get(),
    };
    blocker->tstate = NULL;
}

void
fl_py_blocker_init_uninterruptible(fl_py_blocker *blocker)
{
    blocker->base = (fl_blocker){
        .poll = poll_uninterruptible,
        .detach = detach,
        .attach = attach,
        .interruptible = false,
        .timed = false,
        .may_fail = false,
        .judge = fl_py_judge,
        .runtime = PyInterpreterState_Get(),
    };
    blocker->tstate = NULL;
}

int
fl_py_lock_error(fl_lock_result result)
{
    if (result == FL_LOCK_OVERFLOW) {
        PyErr_SetString(PyExc_OverflowError, "Internal lock count overflowed");
    }
    else if (result == FL_LOCK_NO_MEMORY) {
        PyErr_NoMemory();
    }
    return -1; /* FL_LOCK_GIVEN_UP: poll() has set the exception */
}

int
fl_py_lock_wait(fl_py_blocker *blocker, fl_lock_wait_fn *wait, const fl_wait_ops *ops, void *lock, int64_t deadline_ns)
{
    fl_py_blocker_init(blocker, deadline_ns);
    fl_lock_result result = wait(ops, lock, deadline_ns, &blocker->base);
    switch (result) {
        case FL_LOCK_ACQUIRED:
            return 1;
        case FL_LOCK_TIMED_OUT:
            return 0;
        case FL_LOCK_OPENED:
            return FL_PY_OPENED;
        case FL_LOCK_DEADLOCK:
            return FL_PY_DEADLOCK;
        default:
            return fl_py_lock_error(result);
    }
}

bool
fl_py_is_alone(void)
{
    PyThreadState *own = PyThreadState_Get();
    /* The interpreter puts the state of a new thread in front of all others.  So any other state is in front of ours or
     * behind it, and two questions find it. */
    return PyInterpreterState_ThreadHead(PyInterpreterState_Get()) == own && PyThreadState_Next(own) == NULL;
}

void
fl_py_pause(void)
{
    const struct timespec millisecond = {.tv_sec = 0, .tv_nsec = 1000 * 1000};
    Py_BEGIN_ALLOW_THREADS(void) nanosleep(&millisecond, NULL); /* a signal may cut it short */
    Py_END_ALLOW_THREADS
}

void
fl_py_detached(void (*work)(void *arg), void *arg)
{
    Py_BEGIN_ALLOW_THREADS work(arg);
    Py_END_ALLOW_THREADS
}

/* A pending call.  The runtime makes it in the thread that it takes for the main one. */
static int
note_main_thread(void *arg)
{
    (void)arg;
    fl_thread_set_main((uint64_t)PyThread_get_thread_ident());
    return 0;
}

/* Returns the main thread's identity, a new reference, or NULL with an exception.
 *
 * Since 3.13 _thread knows it.  Below, threading.main_thread() is the thread that imported `threading`, which may be a
 * wrong one.  Then note_main_thread() corrects the answer when the main thread next runs Python code, which it does
 * before it can wait for anything of ours.  (The wrong answer stays if 32 other calls are pending, because there is no
 * room for more.) */
static PyObject *
main_thread_ident(void)
{
    PyObject *ident = NULL;
    PyObject *low_level = PyImport_ImportModule("_thread");
    PyObject *ask = low_level ? fl_optional_attribute(low_level, "_get_main_thread_ident") : NULL;
    if (ask) {
        ident = PyObject_CallNoArgs(ask);
    }
    else if (!PyErr_Occurred()) {
        PyObject *threading = PyImport_ImportModule("threading");
        PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
        ident = thread ? PyObject_GetAttrString(thread, "ident") : NULL;
        Py_XDECREF(thread);
        Py_XDECREF(threading);
        (void)Py_AddPendingCall(note_main_thread, NULL);
    }
    Py_XDECREF(ask);
    Py_XDECREF(low_level);
    return ident;
}

static bool
is_attached(void)
{
    return PyGILState_Check();
}

static void
set_runtime(void)
{
    fl_attached_check = is_attached;
    if (FL_HAS_GIL) {
        fl_spin_set_exclusive_runtime();
    }
}

int
fl_py_block_init(void)
{
    /* Threads of one interpreter may be waiting while another one executes the module. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fl_must("pthread_once", pthread_once(&once, set_runtime));
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0; /* handlers run in the main interpreter only */
    }
    PyObject *ident = main_thread_ident();
    if (ident == NULL) {
        return -1;
    }
    unsigned long value = PyLong_AsUnsignedLong(ident);
    Py_DECREF(ident);
    if (value == (unsigned long)-1 && PyErr_Occurred()) {
        return -1;
    }
    fl_thread_set_main(value);
    return 0;
}
