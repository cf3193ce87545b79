#include "types/dump.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "core/dump.h"
#include "core/dump_later.h"
#include "core/dump_signal.h"
#include "core/sema.h"
#include "platform/fatal.h"
#include "py/block.h"
#include "py/define.h"
#include "types/names.h"
#include "types/semaphore.h"
#include "types/waits.h"

/* ---- names ---- */

/* By its kind and not by its Python type: the name of that may change, and its memory with it. */
static const char *
type_of(const fl_waiter *waiter)
{
    switch (waiter->kind) {
        case FL_FOR_MUTEX:
            return "pyfastlock.Lock";
        case FL_FOR_RMUTEX:
            return "pyfastlock.RLock";
        case FL_FOR_COND:
            return "pyfastlock.Condition";
        case FL_FOR_EVENT:
            return "pyfastlock.Event";
        case FL_FOR_SEMA:
            return fl_semaphore_bound(fl_semaphore_of_key(waiter->key)) == FL_SEMA_MAX ? "pyfastlock.Semaphore"
                                                                                       : "pyfastlock.BoundedSemaphore";
        case FL_FOR_BARRIER:
            return "pyfastlock.Barrier";
        case FL_FOR_NOTHING:
            break;
    }
    return "object";
}

static fl_dump_name
name_of(const fl_waiter *waiter)
{
    fl_dump_name name = {.type = type_of(waiter), .address = fl_waits_object(waiter)};
    (void)fl_name_peek(name.address, name.given, sizeof name.given);
    return name;
}

static void
set_name_of(void)
{
    fl_dump_init(name_of);
}

void
fl_dump_functions_init(void)
{
    /* Threads of one interpreter may be dumping while another one executes the module. */
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fl_must("pthread_once", pthread_once(&once, set_name_of));
}

/* ---- files ---- */

/* Returns sys.stderr, a new reference, or NULL with an exception. */
static PyObject *
standard_error(void)
{
    PyObject *file = PySys_GetObject("stderr");
    if (file == NULL || file == Py_None) {
        PyErr_SetString(PyExc_RuntimeError, file ? "sys.stderr is None" : FL_NO_STDERR);
        return NULL;
    }
    return Py_NewRef(file);
}

/* Returns the descriptor that an int is, or -1 with an exception. */
static int
descriptor_of_int(PyObject *number)
{
    if (FL_WARNS_OF_BOOL_DESCRIPTOR && PyBool_Check(number) &&
        PyErr_WarnEx(PyExc_RuntimeWarning, "bool is used as a file descriptor", 1) < 0) {
        return -1;
    }
    long value = PyLong_AsLong(number);
    if (value > INT_MAX || value < INT_MIN || (value == -1 && PyErr_Occurred())) {
        PyErr_SetString(PyExc_OverflowError, "Python int too large to convert to C int");
        return -1;
    }
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, FL_BAD_DESCRIPTOR);
        return -1;
    }
    return (int)value;
}

/* Returns file.fileno(), or -1 with an exception.  Flushes the file, so that what it has comes first. */
static int
descriptor_of_file(PyObject *file)
{
    PyObject *result = PyObject_CallMethod(file, "fileno", NULL);
    if (result == NULL) {
        return -1;
    }
    long value = PyLong_Check(result) ? PyLong_AsLong(result) : -1;
    Py_DECREF(result);
    if (value < 0 || value >= INT_MAX) {
        PyErr_SetString(PyExc_RuntimeError, "file.fileno() is not a valid file descriptor");
        return -1;
    }
    PyObject *flushed = PyObject_CallMethod(file, "flush", NULL);
    Py_XDECREF(flushed);
    PyErr_Clear(); /* what the dump needs is the descriptor */
    return (int)value;
}

/* Returns the descriptor of a file argument, or -1 with an exception: OSError where it cannot be written to.  Replaces
 * `*file` by a new reference to what has to live as long as the descriptor is used. */
static int
descriptor_of(PyObject **file)
{
    *file = *file == NULL || *file == Py_None ? standard_error() : Py_NewRef(*file);
    if (*file == NULL) {
        return -1;
    }
    int fd = PyLong_Check(*file) ? descriptor_of_int(*file) : descriptor_of_file(*file);
    int flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);
    if (fd >= 0 && (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        fd = -1;
    }
    if (fd < 0) {
        Py_CLEAR(*file);
    }
    return fd;
}

static PyObject *
os_error(int error)
{
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* ---- dump_locks() ---- */

typedef struct {
    int fd, error;
} dump_call;

static void
dump_detached(void *arg)
{
    dump_call *call = arg;
    call->error = fl_dump_write(call->fd);
}

PyDoc_STRVAR(dump_locks_doc,
             "dump_locks($module, /, file=None)\n"
             "--\n"
             "\n"
             "Write who waits for which object of pyfastlock, and the deadlocks.\n"
             "\n"
             "file: an object with a fileno() method, or a file descriptor; None: sys.stderr.\n"
             "\n"
             "A line tells for each thread how many seconds it has waited, of how many if the wait has a\n"
             "limit, for which object, which thread holds that, if that is known, and how many others wait\n"
             "for it.  Threads have the identifiers that faulthandler prints.  The first 1024 waits are\n"
             "shown.  waits() has the same as objects.\n"
             "\n"
             "Raises OSError where the file cannot be written; for a bad argument what\n"
             "faulthandler.dump_traceback raises, whose counterpart this is.");

static PyObject *
dump_locks(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"file", NULL};
    PyObject *file = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:dump_locks", names, &file)) {
        return NULL;
    }
    dump_call call = {.fd = descriptor_of(&file)};
    if (call.fd < 0) {
        return NULL;
    }
    fl_py_detached(dump_detached, &call);
    Py_DECREF(file);
    if (call.error) {
        return os_error(call.error);
    }
    Py_RETURN_NONE;
}

/* ---- dump_locks_later() ---- */

/* Raises what the running interpreter raises for a number of seconds that is none.  Returns whether it has. */
static bool
raise_bad_seconds(fl_state *state, PyObject *seconds)
{
    PyObject *lock = PyObject_CallNoArgs(state->stdlib_lock);
    PyObject *result = lock ? PyObject_CallMethod(lock, "acquire", "OO", Py_True, seconds) : NULL;
    bool raised = result == NULL;
    Py_XDECREF(result);
    Py_XDECREF(lock);
    return raised;
}

/* Returns the number of seconds in nanoseconds, rounded up, which is more than 0; or 0 with an exception. */
static int64_t
timeout_of(fl_state *state, PyObject *timeout)
{
    double seconds = PyFloat_AsDouble(timeout);
    PyObject *no_float = fl_take_exception();
    if (no_float == NULL && seconds <= 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must be greater than 0");
        return 0;
    }
    if (raise_bad_seconds(state, timeout)) {
        Py_XDECREF(no_float);
        return 0;
    }
    if (no_float) {
        fl_set_exception(no_float); /* there was no memory, or only __float__ raises */
        return 0;
    }
    double ns = ceil(seconds * 1e9);
    return ns < 9.2e18 ? (int64_t)ns : INT64_C(9200000000000000000);
}

typedef struct {
    fl_dump_plan plan;
    int error;
} later_call;

static void
later_detached(void *arg)
{
    later_call *call = arg;
    call->error = fl_dump_later(call->plan);
}

static void
cancel_detached(void *Py_UNUSED(arg))
{
    fl_dump_cancel_later();
}

/* The key of the watchdog's file in the dict of files; a signal's is its number.  A value is a pair: the descriptor,
 * and the object.  It is None where the program has given a descriptor. */
enum { LATER_KEY = 0 };

static void
drop_file(fl_state *state, int key)
{
    PyObject *number = PyLong_FromLong(key);
    if (number == NULL || PyDict_DelItem(state->dump_files, number) < 0) {
        PyErr_Clear(); /* it was not there, or stays a little longer */
    }
    Py_XDECREF(number);
}

/* Keeps a file object alive.  What was kept before goes to `*before`, a new reference, or NULL where there was nothing:
 * dumps go there until they go to the new file.  Returns 0; or -1 with an exception, and nothing has changed. */
static int
keep_file(fl_state *state, int key, PyObject *file, int fd, PyObject **before)
{
    PyObject *number = PyLong_FromLong(key);
    PyObject *kept = PyLong_Check(file) ? Py_NewRef(Py_None) : Py_BuildValue("(iO)", fd, file);
    *before = number && kept ? PyObject_GetItem(state->dump_files, number) : NULL;
    if (*before == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Clear();
    }
    int status = PyErr_Occurred() ? -1 : PyDict_SetItem(state->dump_files, number, kept);
    if (status < 0) {
        Py_CLEAR(*before);
    }
    Py_XDECREF(kept);
    Py_XDECREF(number);
    return status;
}

/* Undoes keep_file().  It needs no memory: the interpreter has small numbers, and the dict has a place for the key. */
static void
keep_again(fl_state *state, int key, PyObject *before)
{
    if (before == NULL) {
        drop_file(state, key);
        return;
    }
    PyObject *number = PyLong_FromLong(key);
    (void)PyDict_SetItem(state->dump_files, number, before);
    Py_DECREF(number);
}

/* The standard files outlive the interpreter, and dumps to them go on to its very end. */
void
fl_dump_functions_clear(fl_state *state)
{
    PyObject *key, *kept;
    Py_ssize_t place = 0;
    while (state->dump_files && PyDict_Next(state->dump_files, &place, &key, &kept)) {
        int signum = (int)PyLong_AsLong(key);
        int fd = kept == Py_None ? -1 : (int)PyLong_AsLong(PyTuple_GET_ITEM(kept, 0));
        if (fd > STDERR_FILENO && signum == LATER_KEY) {
            fl_dump_cancel_later_to(fd);
        }
        else if (fd > STDERR_FILENO) {
            fl_dump_unregister_from(signum, fd);
        }
    }
}

PyDoc_STRVAR(dump_locks_later_doc,
             "dump_locks_later($module, /, timeout, repeat=False, file=None, exit=False)\n"
             "--\n"
             "\n"
             "Do what dump_locks() does when some seconds have passed.\n"
             "\n"
             "timeout: how many seconds, more than 0.\n"
             "repeat:  whether to do so again and again, after as many seconds each time.\n"
             "file:    as for dump_locks().  It has to stay open until then.\n"
             "exit:    whether to end the process then, at once and with status 1.\n"
             "\n"
             "A thread of C code writes, which needs no GIL: also where the interpreter is stuck.  A call\n"
             "takes the place of the one before.  A forked child has no such thread.\n"
             "\n"
             "Raises OSError where the file cannot be written, RuntimeError where no thread can be started,\n"
             "and for a bad argument what faulthandler.dump_traceback_later raises, whose counterpart this\n"
             "is.");

static PyObject *
dump_locks_later(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", "repeat", "file", "exit", NULL};
    fl_state *state = PyModule_GetState(module);
    PyObject *timeout, *file = NULL;
    int repeats = 0, exits = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, FL_LATER_FORMAT, names, &timeout, &repeats, &file, &exits)) {
        return NULL;
    }
    later_call call = {.plan = {.timeout_ns = timeout_of(state, timeout), .repeats = repeats, .exits = exits}};
    if (call.plan.timeout_ns == 0) {
        return NULL;
    }
    call.plan.fd = descriptor_of(&file);
    if (call.plan.fd < 0) {
        return NULL;
    }
    PyObject *before;
    int status = keep_file(state, LATER_KEY, file, call.plan.fd, &before);
    Py_DECREF(file);
    if (status < 0) {
        return NULL;
    }
    fl_py_detached(later_detached, &call);
    Py_XDECREF(before);
    if (call.error) {
        drop_file(state, LATER_KEY);
        PyErr_SetString(PyExc_RuntimeError, "unable to start watchdog thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancel_dump_locks_later_doc,
             "cancel_dump_locks_later($module, /)\n"
             "--\n"
             "\n"
             "Take back the last call of dump_locks_later(); do nothing where there is none.\n"
             "\n"
             "Nothing is written afterwards.  It waits for a dump that is being written.  The counterpart\n"
             "of faulthandler.cancel_dump_traceback_later.");

static PyObject *
cancel_dump_locks_later(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    fl_py_detached(cancel_detached, NULL);
    drop_file(PyModule_GetState(module), LATER_KEY);
    Py_RETURN_NONE;
}

/* ---- register() ---- */

/* Returns whether the signal's handler may dump; sets an exception where not.  A handler for a fault must not return,
 * because the fault comes again at once. */
static bool
check_signal(int signum)
{
    if (!fl_dump_is_signal(signum)) {
        PyErr_SetString(PyExc_ValueError, "signal number out of range");
        return false;
    }
    if (signum == SIGSEGV || signum == SIGFPE || signum == SIGABRT || signum == SIGBUS || signum == SIGILL) {
        PyErr_Format(PyExc_RuntimeError, "signal %i cannot be registered", signum);
        return false;
    }
    return true;
}

PyDoc_STRVAR(register_doc,
             "register($module, /, signum, file=None, chain=False)\n"
             "--\n"
             "\n"
             "Do what dump_locks() does whenever the process gets the signal.\n"
             "\n"
             "signum: the number of the signal: signal.SIGUSR1, for instance.\n"
             "file:   as for dump_locks().  It has to stay open until unregister().\n"
             "chain:  whether what the signal did before is done afterwards.\n"
             "\n"
             "The signal's handler writes, which is C code and needs no GIL: also where the main thread\n"
             "waits in C code, or the interpreter is stuck.  It goes on in forked children.\n"
             "\n"
             "Raises OSError for a signal that cannot be handled and a file that cannot be written,\n"
             "RuntimeError for the signal of a fault, and for a bad argument what faulthandler.register\n"
             "raises, whose counterpart this is.");

static PyObject *
register_signal(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"signum", "file", "chain", NULL};
    PyObject *file = NULL;
    int signum, chains = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, FL_REGISTER_FORMAT, names, &signum, &file, &chains) ||
        !check_signal(signum)) {
        return NULL;
    }
    int fd = descriptor_of(&file);
    if (fd < 0) {
        return NULL;
    }
    fl_state *state = PyModule_GetState(module);
    PyObject *before;
    int status = keep_file(state, signum, file, fd, &before);
    Py_DECREF(file);
    if (status < 0) {
        return NULL;
    }
    int error = fl_dump_register(signum, fd, chains);
    if (error) {
        keep_again(state, signum, before);
    }
    Py_XDECREF(before);
    if (error) {
        return os_error(error);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(unregister_doc,
             "unregister($module, signum, /)\n"
             "--\n"
             "\n"
             "Take register() back: the signal does what it did before.\n"
             "\n"
             "signum: the number of the signal.\n"
             "\n"
             "Returns whether the signal was registered.\n"
             "\n"
             "Raises ValueError where no signal has that number, and RuntimeError for the signal of a\n"
             "fault.  The counterpart of faulthandler.unregister.");

static PyObject *
unregister_signal(PyObject *module, PyObject *args)
{
    int signum;
    if (!PyArg_ParseTuple(args, "i:unregister", &signum) || !check_signal(signum)) {
        return NULL;
    }
    bool was_registered = fl_dump_unregister(signum);
    drop_file(PyModule_GetState(module), signum);
    return PyBool_FromLong(was_registered);
}

PyMethodDef fl_dump_functions[] = {
    {"dump_locks", FL_METHOD(dump_locks), METH_VARARGS | METH_KEYWORDS, dump_locks_doc},
    {"dump_locks_later", FL_METHOD(dump_locks_later), METH_VARARGS | METH_KEYWORDS, dump_locks_later_doc},
    {"cancel_dump_locks_later", cancel_dump_locks_later, METH_NOARGS, cancel_dump_locks_later_doc},
    {"register", FL_METHOD(register_signal), METH_VARARGS | METH_KEYWORDS, register_doc},
    {"unregister", unregister_signal, METH_VARARGS, unregister_doc},
    {NULL, NULL, 0, NULL},
};
