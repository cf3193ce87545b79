#include "types/inside.h"

#include "platform/clock.h"
#include "py/define.h"
#include "types/types.h"

/* The attribute in the __dict__: a new reference; NULL without an exception where there is none; NULL with one where
 * looking fails. */
static PyObject *
get_own(PyObject *self, PyObject *name)
{
    PyObject *dict = fl_instance_own_dict(self);
    PyObject *value = dict ? fl_dict_get(dict, name) : NULL;
    Py_XDECREF(dict);
    return value;
}

PyObject *
fl_inside_put(PyObject *self, const char *name, PyObject *value)
{
    PyObject *dict = value ? fl_instance_dict(self) : NULL;
    PyObject *key = dict ? PyUnicode_InternFromString(name) : NULL;
    PyObject *found = key ? fl_dict_set_default(dict, key, value) : NULL;
    Py_XDECREF(key);
    Py_XDECREF(dict);
    Py_XDECREF(value);
    return found;
}

int
fl_inside_put_condition(PyObject *self, const fl_inside *inside, PyObject **condition)
{
    fl_state *state = fl_state_of(self);
    PyObject *lock = PyObject_CallNoArgs((PyObject *)state->lock_type);
    PyObject *made = lock ? PyObject_CallOneArg((PyObject *)state->condition_type, lock) : NULL;
    Py_XDECREF(lock);
    *condition = fl_inside_put(self, "_cond", made);
    if (*condition == NULL) {
        return -1;
    }
    if (!inside->is_closed(self)) { /* opened meanwhile: anything may be there */
        Py_CLEAR(*condition);
        return 0;
    }
    if (!Py_IS_TYPE(*condition, state->condition_type)) {
        /* somebody took the __dict__ before __init__ was called, and has written into it since */
        PyErr_SetString(PyExc_RuntimeError,
                        "the _cond of an object that is in use cannot be replaced through its __dict__");
        Py_CLEAR(*condition);
        return -1;
    }
    return 0;
}

/* The Condition is kept as long as the object lives: those who wait go on waiting in its queue (I3), even if somebody
 * assigns another one to `_cond`.  It is kept once an object: since fl_inside_put_condition found the object closed no
 * Python code has run, and no other thread has had the critical section. */
int
fl_inside_open(PyObject *self, const fl_inside *inside, void (*open_core)(PyObject *self, fl_cond *cond))
{
    int status;
    PyObject *condition;
    FL_BEGIN_CRITICAL_SECTION(self);
    status = fl_inside_put_condition(self, inside, &condition); /* I1 */
    if (condition) {
        ((fl_instance *)self)->adopter = condition;
        open_core(self, &fl_condition_of(condition)->cond);
    }
    FL_END_CRITICAL_SECTION();
    return status;
}

/* Whether the object has the attribute in its __dict__, or its class hides ours: 1, 0, or -1 with an exception. */
static int
is_touched(PyObject *self, const PyGetSetDef *entry)
{
    PyObject *dict = fl_instance_own_dict(self);
    PyObject *name = PyUnicode_InternFromString(entry->name);
    PyObject *found = name ? PyObject_GetAttr((PyObject *)Py_TYPE(self), name) : NULL;
    int touched = -1;
    if (found) {
        touched = !Py_IS_TYPE(found, &PyGetSetDescr_Type) || ((PyGetSetDescrObject *)found)->d_getset != entry;
    }
    if (touched == 0 && dict) {
        touched = PyDict_Contains(dict, name);
    }
    Py_XDECREF(found);
    Py_XDECREF(name);
    Py_XDECREF(dict);
    return touched;
}

int
fl_inside_is_untouched(PyObject *self, const fl_inside *inside)
{
    int touched = 0;
    for (const PyGetSetDef *entry = inside->getset; entry->name && touched == 0; entry++) {
        touched = entry->get == fl_inside_get ? is_touched(self, entry) : 0;
    }
    return touched < 0 ? -1 : !touched;
}

/* ---- attributes ---- */

/* 0, or -1 with an exception. */
static int
open_if_closed(PyObject *self, const fl_inside *inside)
{
    return inside->is_closed(self) ? inside->open(self) : 0;
}

PyObject *
fl_inside_get(PyObject *self, void *context)
{
    const fl_inside_attribute *attribute = context;
    const fl_inside *inside = attribute->inside;
    if (attribute->peek && inside->is_closed(self)) {
        return attribute->peek(self);
    }
    if (open_if_closed(self, inside) < 0) {
        return NULL;
    }
    PyObject *name = PyUnicode_InternFromString(attribute->name);
    PyObject *value = name ? get_own(self, name) : NULL;
    Py_XDECREF(name);
    if (value == NULL && !PyErr_Occurred() && attribute->peek) {
        value = attribute->peek(self); /* I2 */
    }
    if (value == NULL && !PyErr_Occurred()) {
        PyErr_Format(
            PyExc_AttributeError, "'%.100s' object has no attribute '%s'", Py_TYPE(self)->tp_name, attribute->name);
    }
    return value;
}

/* Puts the numbers that the word of an open object keeps into its __dict__ (I2); an unborn one has none.  0, or -1 with
 * an exception. */
static int
put_numbers(PyObject *self, const fl_inside *inside)
{
    for (const PyGetSetDef *entry = inside->getset; entry->name; entry++) {
        const fl_inside_attribute *attribute = entry->closure;
        if (entry->get != fl_inside_get || attribute->peek == NULL) {
            continue;
        }
        PyObject *number = attribute->peek(self);
        PyObject *found = number ? fl_inside_put(self, attribute->name, number) : NULL;
        Py_XDECREF(found);
        if (found == NULL && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

int
fl_inside_set(PyObject *self, PyObject *value, void *context)
{
    const fl_inside_attribute *attribute = context;
    bool deletes = value == NULL;
    if (open_if_closed(self, attribute->inside) < 0 || (deletes && put_numbers(self, attribute->inside) < 0)) {
        return -1;
    }
    PyObject *dict = fl_instance_dict(self);
    if (dict == NULL) {
        return -1;
    }
    int status =
        deletes ? PyDict_DelItemString(dict, attribute->name) : PyDict_SetItemString(dict, attribute->name, value);
    Py_DECREF(dict);
    if (status < 0 && deletes && PyErr_ExceptionMatches(PyExc_KeyError)) {
        PyErr_Format(
            PyExc_AttributeError, "'%.100s' object has no attribute '%s'", Py_TYPE(self)->tp_name, attribute->name);
    }
    return status;
}

PyObject *
fl_inside_get_dict(PyObject *self, void *context)
{
    const fl_inside *inside = context;
    if (open_if_closed(self, inside) < 0 || put_numbers(self, inside) < 0) {
        return NULL;
    }
    return fl_instance_dict(self);
}

int
fl_inside_set_dict(PyObject *self, PyObject *value, void *context)
{
    return open_if_closed(self, context) < 0 ? -1 : PyObject_GenericSetDict(self, value, NULL);
}

PyObject *
fl_inside_getstate(PyObject *self, const fl_inside *inside)
{
    PyObject *dict = fl_inside_get_dict(self, (void *)inside);
    Py_XDECREF(dict);
    return dict ? PyObject_CallMethod((PyObject *)&PyBaseObject_Type, "__getstate__", "O", self) : NULL;
}

FL_DOC(fl_getstate_doc,
       "__getstate__($self, /)\n"
       "--\n"
       "\n"
       "Return what copying and pickling keep: the attributes of threading's object.\n"
       "\n"
       "Mirrors object.__getstate__, as threading's classes have it.");

/* ---- threading's functions ---- */

int
fl_inside_init_again(PyObject *self, const fl_inside *inside, PyObject *stdlib, PyObject *args, PyObject *kwargs)
{
    if (open_if_closed(self, inside) < 0) {
        return -1;
    }
    PyObject *init = PyObject_GetAttrString(stdlib, "__init__");
    PyObject *result = init ? fl_call_with_tuple(init, self, args, kwargs) : NULL;
    Py_XDECREF(result);
    Py_XDECREF(init);
    return result ? 0 : -1;
}

PyObject *
fl_inside_call(PyObject *self, PyObject *stdlib, const char *method, fl_call call)
{
    PyObject *function = PyObject_GetAttrString(stdlib, method);
    PyObject *result = function ? fl_call_with(function, self, call) : NULL;
    Py_XDECREF(function);
    return result;
}

PyObject *
fl_inside_property(PyObject *self, PyObject *stdlib, const char *name)
{
    PyObject *property = PyObject_GetAttrString(stdlib, name);
    descrgetfunc get = property ? Py_TYPE(property)->tp_descr_get : NULL;
    if (get) {
        Py_SETREF(property, get(property, self, stdlib));
    }
    return property; /* not a property any more where somebody has assigned a plain value */
}

PyObject *
fl_inside_time_left(int64_t deadline_ns)
{
    if (deadline_ns == FL_DEADLINE_NEVER) {
        Py_RETURN_NONE;
    }
    int64_t left_ns = deadline_ns - fl_clock_now_ns();
    return PyFloat_FromDouble(left_ns > 0 ? (double)left_ns * 1e-9 : 0.0);
}
