/* Which methods of a Condition have been replaced: by a method of a subclass, by an attribute of the instance, or by an
 * assignment to the class.
 *
 * In the standard library wait() and notify() call self._is_owned() and other methods, and so call what replaces them.
 * Here wait() and notify() call such a method only where it is replaced, and do its work directly otherwise.
 *
 * A Condition remembers the version of its type for which nothing was replaced (`stock_version`).  Any change of the
 * type or of a base gives it another version, or 0 until somebody looks a name up.
 *
 * The standard library's Condition copies `_is_owned`, `_release_save` and `_acquire_restore` from a lock that has them
 * into the instance, where they hide those of a subclass.  So a subclass's are called only where the lock has none. */

#include "types/condition.h"

static const char *const names[FL_CONDITION_METHODS] =
    {"wait", "notify", "_is_owned", "_release_save", "_acquire_restore", "acquire", "release"};

int
fl_condition_stock_init(fl_state *state)
{
    for (int i = 0; i < FL_CONDITION_METHODS; i++) {
        state->condition_stock[i] = PyObject_GetAttrString((PyObject *)state->condition_type, names[i]);
        if (state->condition_stock[i] == NULL) {
            return -1;
        }
    }
    return 0;
}

/* Whether the lock has the method: 1, 0, or -1 with an exception. */
static int
lock_has(fl_condition_object *self, PyObject *name)
{
    if (self->lock == NULL) {
        return 0;
    }
    PyObject *lock = Py_NewRef(self->lock);
    PyObject *method = fl_get_optional_attr(lock, name);
    Py_DECREF(lock);
    Py_XDECREF(method);
    return method ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* Whether the method names[index] is replaced: 1, 0, or -1 with an exception.  `dict` is the instance's __dict__, or
 * NULL. */
static int
is_replaced(fl_condition_object *self, PyObject *dict, int index)
{
    PyObject *name = PyUnicode_InternFromString(names[index]);
    int replaced = name ? 0 : -1;
    if (name && dict) {
        replaced = PyDict_Contains(dict, name);
    }
    if (replaced == 0) {
        PyObject *method = PyObject_GetAttr((PyObject *)Py_TYPE(self), name);
        replaced = method ? method != fl_state_of((PyObject *)self)->condition_stock[index] : -1;
        Py_XDECREF(method);
        if (replaced > 0 && FL_REPLACED_LOCK & 1 << index) {
            int hidden = lock_has(self, name);
            replaced = hidden < 0 ? -1 : !hidden;
        }
    }
    Py_XDECREF(name);
    return replaced;
}

FL_SLOW int
fl_condition_replaced_slow(fl_condition_object *self)
{
    int all = 0;
    PyObject *dict = fl_instance_own_dict((PyObject *)self);
    uint32_t version = fl_type_version(Py_TYPE(self)); /* read first: a change during the look must not be missed */
    for (int i = 0; i < FL_CONDITION_METHODS && all >= 0; i++) {
        int replaced = is_replaced(self, dict, i);
        all = replaced < 0 ? -1 : all | replaced << i;
    }
    if (all == 0 && self->lock) {
        fl_store_relaxed_u32(&self->stock_version, version);
    }
    Py_XDECREF(dict);
    return all;
}

int
fl_condition_has_replaced(PyObject *self, const char *name)
{
    int replaced = fl_condition_replaced(fl_condition_of(self));
    for (int i = 0; i < FL_CONDITION_METHODS && replaced > 0; i++) {
        if (strcmp(name, names[i]) == 0) {
            return replaced >> i & 1;
        }
    }
    return replaced < 0 ? -1 : 0;
}
