#include "types/place.h"

/* How many frames are looked at for one outside of `threading`. */
enum { DEPTH = 16 };

static bool
is_function_of(PyObject *function, PyObject *globals)
{
    return PyFunction_Check(function) && PyFunction_GET_GLOBALS(function) == globals;
}

/* Whether the frame runs code of `threading`, or of pyfastlock._methods. */
static bool
is_inside(fl_state *state, PyFrameObject *frame)
{
    PyObject *globals = PyFrame_GetGlobals(frame);
    bool inside = is_function_of(state->stdlib_release_save, globals) || is_function_of(state->own_function, globals);
    Py_DECREF(globals);
    return inside;
}

static fl_place
place_in(PyFrameObject *frame)
{
    return (fl_place){PyFrame_GetCode(frame), PyFrame_GetLasti(frame)};
}

/* The place of a thread that cannot run now: it is the calling thread, or does not have the GIL. */
static fl_place
place_of(fl_state *state, PyThreadState *tstate)
{
    fl_place place = {NULL, 0};
    FL_BEGIN_NO_COLLECTION();
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    for (int i = 0; frame && i < DEPTH; i++) {
        bool inside = is_inside(state, frame);
        if (i == 0 || !inside) {
            fl_place_drop(place);
            place = place_in(frame);
        }
        PyFrameObject *next = inside ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = next;
    }
    Py_XDECREF(frame);
    FL_END_NO_COLLECTION();
    return place;
}

fl_place
fl_place_here(fl_state *state)
{
    return place_of(state, PyThreadState_Get());
}

fl_place
fl_place_of_thread(fl_state *state, uint64_t ident)
{
    PyThreadState *tstate = FL_HAS_GIL && ident != 0 ? PyInterpreterState_ThreadHead(PyInterpreterState_Get()) : NULL;
    for (int i = 0; tstate && i < FL_PLACE_THREADS; i++) {
        if ((uint64_t)tstate->thread_id == ident) {
            return place_of(state, tstate);
        }
        tstate = PyThreadState_Next(tstate);
    }
    return (fl_place){NULL, 0};
}

void
fl_place_drop(fl_place place)
{
    Py_XDECREF(place.code);
}

PyObject *
fl_place_as_python(fl_place place)
{
    if (place.code == NULL) {
        Py_RETURN_NONE;
    }
    int line = PyCode_Addr2Line(place.code, place.offset);
    PyObject *file = PyObject_GetAttrString((PyObject *)place.code, "co_filename");
    PyObject *name = file ? PyObject_GetAttrString((PyObject *)place.code, "co_qualname") : NULL;
    PyObject *tuple = name ? Py_BuildValue("(OiO)", file, line > 0 ? line : 0, name) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(file);
    return tuple;
}
