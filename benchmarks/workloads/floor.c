/* A type with two methods that do nothing: the floor under the figures of the benchmarks.
 * Compiled on demand by floor.py; never part of the package. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *
nothing_enter(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    Py_RETURN_TRUE;
}

static PyObject *
nothing_leave(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    Py_RETURN_NONE;
}

static PyMethodDef nothing_methods[] = {
    {"enter", nothing_enter, METH_NOARGS, PyDoc_STR("Return True.")},
    {"leave",
     (PyCFunction)(void (*)(void))nothing_leave,
     METH_FASTCALL,
     PyDoc_STR("Ignore any positional arguments and return None.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot nothing_slots[] = {
    {Py_tp_methods, nothing_methods},
    {0, NULL},
};

static PyType_Spec nothing_spec = {
    .name = "bench_floor.Nothing",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = nothing_slots,
};

static int
floor_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&nothing_spec);
    if (type == NULL) {
        return -1;
    }
    int status = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return status;
}

static PyModuleDef_Slot floor_slots[] = {
    {Py_mod_exec, floor_exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef floor_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "bench_floor",
    .m_slots = floor_slots,
};

PyMODINIT_FUNC
PyInit_bench_floor(void)
{
    return PyModuleDef_Init(&floor_module);
}
