/* What the tables of a type and its methods are written with. */

#ifndef FL_DEFINE_H
#define FL_DEFINE_H

#include "py/compat.h"

/* Defines a docstring that other files can see. */
#define FL_DOC(name, text) const char name[] = PyDoc_STR(text)

/* The end of the exceptions in the docstring of whatever waits (py/block.c). */
#define FL_ENDLESS_WAIT_DOC                                                           \
    "and, while the interpreter ends, PythonFinalizationError (RuntimeError before\n" \
    "Python 3.13) for a wait without a limit that nobody can end any more.\n"

/* A function for METH_FASTCALL, as PyMethodDef wants it.  Python's API asks for this cast. */
#define FL_FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* The same for METH_METHOD: such a function also gets the class that defines the method. */
#define FL_METHOD(function) ((PyCFunction)(void (*)(void))(function))

#endif
