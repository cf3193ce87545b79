/* Types with methods that do nothing, of each shape that the package has: the floor under the figures of the
 * benchmarks.  Compiled on demand by floor.py; never part of the package. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdatomic.h>
#include <time.h>

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

static PyObject *
nothing_acquire(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs),
                PyObject *Py_UNUSED(kwnames))
{
    Py_RETURN_TRUE;
}

static double
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* What a compare-and-swap costs on this processor, on a word that no other one uses: the least of several rounds. */
static PyObject *
nothing_swap_ns(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(unused))
{
    enum { ROUNDS = 20, SWAPS = 100000 };
    static _Atomic(unsigned long) word;
    double least = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        for (unsigned long i = 0; i < SWAPS; i++) {
            unsigned long seen = i;
            atomic_store_explicit(&word, i, memory_order_relaxed);
            (void)atomic_compare_exchange_strong_explicit(
                &word, &seen, i + 1, memory_order_acquire, memory_order_relaxed);
        }
        double each = (now_ns() - begin) / SWAPS;
        least = each < least ? each : least;
    }
    return PyFloat_FromDouble(least);
}

static PyMethodDef nothing_methods[] = {
    {"enter", nothing_enter, METH_NOARGS, PyDoc_STR("Return True.")},
    {"leave",
     (PyCFunction)(void (*)(void))nothing_leave,
     METH_FASTCALL,
     PyDoc_STR("Ignore any positional arguments and return None.")},
    {"acquire",
     (PyCFunction)(void (*)(void))nothing_acquire,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("Ignore any arguments and return True.")},
    {"swap_ns",
     nothing_swap_ns,
     METH_NOARGS,
     PyDoc_STR("Return what a compare-and-swap costs on this processor, in nanoseconds.")},
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

/* ---- a method that is an object of a type of its own ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
} empty_method;

static PyObject *
empty_vectorcall(PyObject *Py_UNUSED(self), PyObject *const *Py_UNUSED(args), size_t Py_UNUSED(nargsf),
                 PyObject *Py_UNUSED(kwnames))
{
    Py_RETURN_TRUE;
}

static PyObject *
empty_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object ? PyMethod_New(self, object) : Py_NewRef(self);
}

static PyMemberDef empty_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(empty_method, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot empty_slots[] = {
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, empty_get},
    {Py_tp_members, empty_members},
    {0, NULL},
};

static PyType_Spec empty_spec = {
    .name = "bench_floor.Method",
    .basicsize = sizeof(empty_method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = empty_slots,
};

static PyType_Slot posing_slots[] = {
    {0, NULL},
};

static PyType_Spec posing_spec = {
    .name = "bench_floor.Posing",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = posing_slots,
};

/* Adds the type Posing, which has such a method. */
static int
add_posing(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&posing_spec);
    PyObject *method_type = type ? PyType_FromSpec(&empty_spec) : NULL;
    empty_method *method = method_type ? PyObject_New(empty_method, (PyTypeObject *)method_type) : NULL;
    int status = -1;
    if (method) {
        method->vectorcall = empty_vectorcall;
        status = PyObject_SetAttrString(type, "call", (PyObject *)method);
    }
    if (status == 0) {
        status = PyModule_AddType(module, (PyTypeObject *)type);
    }
    Py_XDECREF(method);
    Py_XDECREF(method_type);
    Py_XDECREF(type);
    return status;
}

/* ---- the module ---- */

static int
floor_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&nothing_spec);
    if (type == NULL) {
        return -1;
    }
    int status = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return status < 0 ? status : add_posing(module);
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
