/* pyfastlock._core: the module, its state and its functions. */

#include "core/fork.h"
#include "py/block.h"
#include "py/bound.h"
#include "types/types.h"

PyDoc_STRVAR(waiters_doc,
             "_waiters($module, primitive, /)\n"
             "--\n"
             "\n"
             "Return how many threads are queued on an object of one of these types right now.\n"
             "For tests.  A notified waiter of a Condition may be queued on its lock.");

/* The key of those who wait for the object, or NULL with an exception. */
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
    return key ? PyLong_FromSize_t(fl_lot_walk(key, NULL, NULL)) : NULL;
}

static PyMethodDef module_methods[] = {
    {"_waiters", module_waiters, METH_O, waiters_doc},
    {NULL, NULL, 0, NULL},
};

/* module.name, or NULL with an exception. */
static PyObject *
import_from(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return value;
}

/* threading.Condition.name, or NULL with an exception. */
static PyObject *
import_condition_method(const char *name)
{
    PyObject *type = import_from("threading", "Condition");
    PyObject *method = type ? PyObject_GetAttrString(type, name) : NULL;
    Py_XDECREF(type);
    return method;
}

/* Adds `value`, and takes the reference to it; NULL is an exception that is set already. */
static int
add(PyObject *module, const char *name, PyObject *value)
{
    int status = value ? PyModule_AddObjectRef(module, name, value) : -1;
    Py_XDECREF(value);
    return status;
}

static int
init_state(PyObject *module, fl_state *state)
{
    state->stdlib_lock = import_from("threading", "Lock");
    state->stdlib_rlock = import_from("threading", "RLock");
    state->stdlib_barrier = import_from("threading", "Barrier");
    state->stdlib_release_save = import_condition_method("_release_save");
    state->stdlib_acquire_restore = import_condition_method("_acquire_restore");
    state->broken_barrier_error = import_from("threading", "BrokenBarrierError");
    state->signatures = PyImport_ImportModule("pyfastlock._signatures");
    if (state->stdlib_lock == NULL || state->stdlib_rlock == NULL || state->stdlib_barrier == NULL ||
        state->stdlib_release_save == NULL || state->stdlib_acquire_restore == NULL ||
        state->broken_barrier_error == NULL || state->signatures == NULL) {
        return -1;
    }
    if (fl_bound_init(module, state) < 0 || fl_lock_type_init(module, state) < 0 ||
        fl_rlock_type_init(module, state) < 0 || fl_condition_type_init(module, state) < 0 ||
        fl_condition_stock_init(state) < 0 || fl_event_type_init(module, state) < 0 ||
        fl_semaphore_types_init(module, state) < 0 || fl_barrier_type_init(module, state) < 0) {
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
    PyTypeObject *types[] = {
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
        PyModule_AddObjectRef(module, "BrokenBarrierError", state->broken_barrier_error) < 0) {
        return -1;
    }
    return PyModule_AddStringConstant(module, "__version__", PYFASTLOCK_VERSION);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    fl_state *state = PyModule_GetState(module);
    Py_VISIT(state->lock_type);
    Py_VISIT(state->rlock_type);
    Py_VISIT(state->condition_type);
    Py_VISIT(state->event_type);
    Py_VISIT(state->semaphore_type);
    Py_VISIT(state->bounded_semaphore_type);
    Py_VISIT(state->barrier_type);
    Py_VISIT(state->bound_type);
    Py_VISIT(state->bound_descriptor_type);
    Py_VISIT(state->stdlib_lock);
    Py_VISIT(state->stdlib_rlock);
    Py_VISIT(state->stdlib_barrier);
    Py_VISIT(state->stdlib_release_save);
    Py_VISIT(state->stdlib_acquire_restore);
    for (int i = 0; i < FL_CONDITION_METHODS; i++) {
        Py_VISIT(state->condition_stock[i]);
    }
    Py_VISIT(state->broken_barrier_error);
    Py_VISIT(state->signatures);
    return 0;
}

static int
module_clear(PyObject *module)
{
    fl_state *state = PyModule_GetState(module);
    Py_CLEAR(state->lock_type);
    Py_CLEAR(state->rlock_type);
    Py_CLEAR(state->condition_type);
    Py_CLEAR(state->event_type);
    Py_CLEAR(state->semaphore_type);
    Py_CLEAR(state->bounded_semaphore_type);
    Py_CLEAR(state->barrier_type);
    Py_CLEAR(state->bound_type);
    Py_CLEAR(state->bound_descriptor_type);
    Py_CLEAR(state->stdlib_lock);
    Py_CLEAR(state->stdlib_rlock);
    Py_CLEAR(state->stdlib_barrier);
    Py_CLEAR(state->stdlib_release_save);
    Py_CLEAR(state->stdlib_acquire_restore);
    for (int i = 0; i < FL_CONDITION_METHODS; i++) {
        Py_CLEAR(state->condition_stock[i]);
    }
    Py_CLEAR(state->broken_barrier_error);
    Py_CLEAR(state->signatures);
    return 0;
}

static void
module_free(void *module)
{
    (void)module_clear(module);
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
