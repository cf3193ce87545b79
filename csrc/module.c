/* pyfastlock._core: the module, its state and its functions. */

#include "core/deadlock.h"
#include "core/fork.h"
#include "platform/probe.h"
#include "py/block.h"
#include "py/bound.h"
#include "py/define.h"
#include "py/method.h"
#include "types/contention.h"
#include "types/dump.h"
#include "types/kind.h"
#include "types/types.h"
#include "types/waits.h"

PyDoc_STRVAR(waiters_doc,
             "_waiters($module, primitive, /)\n"
             "--\n"
             "\n"
             "Return how many threads are queued on an object of one of these types right now.\n"
             "For tests.  A notified waiter of a Condition may be queued on its lock.");

/* The key in the parking lot under which threads wait for the object, or NULL with an exception. */
static const void *
key_of(fl_state *state, PyObject *primitive)
{
    if (PyObject_TypeCheck(primitive, state->lock_type)) {
        return fl_lock_core(primitive);
    }
    if (PyObject_TypeCheck(primitive, state->rlock_type)) {
        return fl_rlock_core(primitive);
    }
    if (PyObject_TypeCheck(primitive, state->condition_type)) {
        return &fl_condition_of(primitive)->cond;
    }
    if (PyObject_TypeCheck(primitive, state->event_type)) {
        return fl_event_key(primitive);
    }
    if (PyObject_TypeCheck(primitive, state->semaphore_type)) {
        return fl_semaphore_key(primitive);
    }
    if (PyObject_TypeCheck(primitive, state->barrier_type)) {
        return fl_barrier_key(primitive);
    }
    PyErr_Format(PyExc_TypeError, "nobody waits for a %.100s", Py_TYPE(primitive)->tp_name);
    return NULL;
}

static PyObject *
module_waiters(PyObject *module, PyObject *primitive)
{
    const void *key = key_of(PyModule_GetState(module), primitive);
    return key ? PyLong_FromSize_t(fl_lot_count(key)) : NULL;
}

PyDoc_STRVAR(set_patched_doc,
             "_set_patched($module, patched, /)\n"
             "--\n"
             "\n"
             "Say whether threading is patched: then the types of _thread and ours are the\n"
             "same to isinstance().  For patch() and unpatch().");

static PyObject *
module_set_patched(PyObject *module, PyObject *patched)
{
    int on = PyObject_IsTrue(patched);
    if (on < 0) {
        return NULL;
    }
    fl_kind_set_patched(PyModule_GetState(module), on);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(waits_doc,
             "_waits($module, /)\n"
             "--\n"
             "\n"
             "Return what pyfastlock._waits makes waits() of: a list with a tuple for each thread that is\n"
             "queued on an object of one of these types.");

static PyObject *
module_waits(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return fl_waits_list();
}

PyDoc_STRVAR(set_name_doc,
             "_set_name($module, primitive, name, /)\n"
             "--\n"
             "\n"
             "Do what pyfastlock.set_name() does.");

static PyObject *
module_set_name(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "_set_name expected 2 arguments, got %zd", nargs);
    }
    if (key_of(PyModule_GetState(module), args[0]) == NULL || fl_object_set_name(args[0], args[1]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(name_doc,
             "_name($module, primitive, /)\n"
             "--\n"
             "\n"
             "Return the name that set_name() gave to the object, or None.  Runs no Python code.");

static PyObject *
module_name(PyObject *Py_UNUSED(module), PyObject *object)
{
    return fl_object_name(object);
}

PyDoc_STRVAR(start_contention_doc,
             "_start_contention($module, /)\n"
             "--\n"
             "\n"
             "Start recording.  Raises RuntimeError where it is on.");

static PyObject *
module_start_contention(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return fl_contention_start(PyModule_GetState(module)) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(read_contention_doc,
             "_read_contention($module, /)\n"
             "--\n"
             "\n"
             "Return what pyfastlock._contention makes a report of.\n"
             "Raises RuntimeError where recording is off.");

static PyObject *
module_read_contention(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return fl_contention_read(PyModule_GetState(module));
}

PyDoc_STRVAR(stop_contention_doc,
             "_stop_contention($module, /)\n"
             "--\n"
             "\n"
             "Stop recording, and return what _read_contention() does.  Where there is no memory for\n"
             "that, recording is off, and the next call returns it.\n"
             "Raises RuntimeError where recording is off.");

static PyObject *
module_stop_contention(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return fl_contention_stop(PyModule_GetState(module));
}

PyDoc_STRVAR(set_deadlocks_doc,
             "_set_deadlocks($module, mode, /)\n"
             "--\n"
             "\n"
             "Say what is done about deadlocks, in the whole process: 'raise', 'report' or 'off'.\n"
             "For pyfastlock._settings.");

static PyObject *
module_set_deadlocks(PyObject *Py_UNUSED(module), PyObject *wish)
{
    const char *name = PyUnicode_AsUTF8(wish);
    if (name == NULL) {
        return NULL;
    }
    fl_deadlock_mode mode = strcmp(name, "off") == 0      ? FL_DEADLOCKS_OFF
                            : strcmp(name, "report") == 0 ? FL_DEADLOCKS_REPORT
                                                          : FL_DEADLOCKS_RAISE;
    fl_deadlock_set_mode(mode);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_main_doc,
             "_is_main_interpreter($module, /)\n"
             "--\n"
             "\n"
             "Return whether this is the main interpreter.  For pyfastlock._settings.");

static PyObject *
module_is_main(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(PyInterpreterState_Get() == PyInterpreterState_Main());
}

static PyMethodDef module_methods[] = {
    {"_is_main_interpreter", module_is_main, METH_NOARGS, is_main_doc},
    {"_name", module_name, METH_O, name_doc},
    {"_read_contention", module_read_contention, METH_NOARGS, read_contention_doc},
    {"_set_deadlocks", module_set_deadlocks, METH_O, set_deadlocks_doc},
    {"_set_name", FL_FASTCALL(module_set_name), METH_FASTCALL, set_name_doc},
    {"_set_patched", module_set_patched, METH_O, set_patched_doc},
    {"_start_contention", module_start_contention, METH_NOARGS, start_contention_doc},
    {"_stop_contention", module_stop_contention, METH_NOARGS, stop_contention_doc},
    {"_waiters", module_waiters, METH_O, waiters_doc},
    {"_waits", module_waits, METH_NOARGS, waits_doc},
    {NULL, NULL, 0, NULL},
};

/* module.name, a new reference, or NULL with an exception. */
static PyObject *
import_from(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return value;
}

/* A copy of the module's dict, or NULL with an exception. */
static PyObject *
contents_of(const char *module_name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *contents = module ? PyDict_Copy(PyModule_GetDict(module)) : NULL;
    Py_XDECREF(module);
    return contents;
}

/* Adds `value` to the module, and drops the caller's reference to it.  NULL stands for an exception that is set.  0, or
 * -1 with an exception. */
static int
add(PyObject *module, const char *name, PyObject *value)
{
    int status = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

/* The state of the copy of this module that `type` is from; NULL, without an exception, where it is from no copy. */
static fl_state *
copy_behind(PyObject *type)
{
    PyObject *module = PyType_Check(type) ? PyType_GetModule((PyTypeObject *)type) : NULL;
    if (module == NULL) {
        PyErr_Clear();
    }
    return module && PyModule_GetDef(module) == &fl_module_def ? PyModule_GetState(module) : NULL;
}

/* Finds the standard library's types.  If another copy of this module has patched `threading`, that copy's state has
 * them.  0, or -1 with an exception. */
static int
import_stdlib(fl_state *state)
{
    const struct {
        const char *module;
        const char *name;
        size_t field;
    } imports[] = {
        {"threading", "Lock", offsetof(fl_state, stdlib_lock)},
        {"_thread", "RLock", offsetof(fl_state, stdlib_rlock)},
        {"threading", "RLock", offsetof(fl_state, stdlib_make_rlock)},
        {"threading", "Condition", offsetof(fl_state, stdlib_condition)},
        {"threading", "Event", offsetof(fl_state, stdlib_event)},
        {"threading", "Semaphore", offsetof(fl_state, stdlib_semaphore)},
        {"threading", "BoundedSemaphore", offsetof(fl_state, stdlib_bounded_semaphore)},
        {"threading", "Barrier", offsetof(fl_state, stdlib_barrier)},
        {"threading", "BrokenBarrierError", offsetof(fl_state, broken_barrier_error)},
    };
    for (size_t i = 0; i < sizeof imports / sizeof *imports; i++) {
        PyObject *found = import_from(imports[i].module, imports[i].name);
        fl_state *copy = found ? copy_behind(found) : NULL;
        PyObject *behind = copy ? *(PyObject **)((char *)copy + imports[i].field) : NULL;
        if (behind) {
            Py_SETREF(found, Py_NewRef(behind));
        }
        *(PyObject **)((char *)state + imports[i].field) = found;
        if (found == NULL) {
            return -1;
        }
    }
    state->stdlib_release_save = PyObject_GetAttrString(state->stdlib_condition, "_release_save");
    state->stdlib_acquire_restore = PyObject_GetAttrString(state->stdlib_condition, "_acquire_restore");
    return state->stdlib_release_save && state->stdlib_acquire_restore ? 0 : -1;
}

static int
init_state(PyObject *module, fl_state *state)
{
    if (import_stdlib(state) < 0) {
        return -1;
    }
    state->methods = contents_of("pyfastlock._methods");
    state->dump_files = PyDict_New();
    state->waits = state->dump_files && state->methods ? contents_of("pyfastlock._waits") : NULL;
    state->own_function = state->waits ? PyMapping_GetItemString(state->methods, "go_on_waiting") : NULL;
    if (state->own_function == NULL || fl_contention_init(state) < 0 || fl_method_init(module, state) < 0 ||
        fl_bound_init(module, state) < 0 || fl_kind_init(module, state) < 0) {
        return -1;
    }
    if (fl_lock_type_init(module, state) < 0 || fl_rlock_type_init(module, state) < 0 ||
        fl_condition_type_init(module, state) < 0 || fl_condition_stock_init(state) < 0 ||
        fl_event_type_init(module, state) < 0 || fl_semaphore_types_init(module, state) < 0 ||
        fl_barrier_type_init(module, state) < 0) {
        return -1;
    }
    return 0;
}

static int
module_exec(PyObject *module)
{
    fl_state *state = PyModule_GetState(module);
    int error = fl_core_init();
    if (error) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (fl_py_block_init() < 0 || init_state(module, state) < 0) {
        return -1;
    }
    fl_dump_functions_init();
    if (PyModule_AddFunctions(module, fl_dump_functions) < 0) {
        return -1;
    }
    PyTypeObject *types[] = {
        state->lock_meta,
        state->lock_type,
        state->rlock_type,
        state->condition_type,
        state->event_type,
        state->semaphore_type,
        state->bounded_semaphore_type,
        state->barrier_type,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (PyModule_AddType(module, types[i]) < 0) {
            return -1;
        }
    }
    if (add(module, "TIMEOUT_MAX", import_from("_thread", "TIMEOUT_MAX")) < 0 ||
        add(module, "get_ident", import_from("_thread", "get_ident")) < 0 ||
        PyModule_AddObjectRef(module, "BrokenBarrierError", state->broken_barrier_error) < 0 ||
        PyModule_AddObjectRef(module, "_has_probes", FL_HAS_PROBES ? Py_True : Py_False) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "__version__", PYFASTLOCK_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    fl_state *state = PyModule_GetState(module);
#define VISIT(type, name) Py_VISIT(state->name);
    FL_STATE_OBJECTS(VISIT)
#undef VISIT
    for (int i = 0; i < FL_CONDITION_METHODS; i++) {
        Py_VISIT(state->condition_stock[i]);
    }
    return 0;
}

static int
module_clear(PyObject *module)
{
    fl_state *state = PyModule_GetState(module);
    fl_dump_functions_clear(state);
#define CLEAR(type, name) Py_CLEAR(state->name);
    FL_STATE_OBJECTS(CLEAR)
#undef CLEAR
    for (int i = 0; i < FL_CONDITION_METHODS; i++) {
        Py_CLEAR(state->condition_stock[i]);
    }
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
    fl_contention_fini(PyModule_GetState(module));
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    FL_SLOT_OWN_GIL FL_SLOT_NO_GIL{0, NULL},
};

PyDoc_STRVAR(module_doc, "The locks of pyfastlock, in C.");

PyModuleDef fl_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pyfastlock._core",
    .m_doc = module_doc,
    .m_size = sizeof(fl_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&fl_module_def);
}
