/* What the tables of a type and its methods are written with. */

#ifndef FL_DEFINE_H
#define FL_DEFINE_H

#include "py/compat.h"

/* Defines a docstring that other files can see. */
#define FL_DOC(name, text) const char name[] = PyDoc_STR(text)

/* A function for METH_FASTCALL, as PyMethodDef wants it.  Python's API asks for this cast. */
#define FL_FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* The same for METH_METHOD: such a function also gets the class that defines the method. */
#define FL_METHOD(function) ((PyCFunction)(void (*)(void))(function))

#endif
