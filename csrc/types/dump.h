/* dump_locks(), dump_locks_later(), cancel_dump_locks_later(), register() and unregister(): core/dump.h for Python,
 * with the arguments of the functions of `faulthandler`. */

#ifndef FL_TYPES_DUMP_H
#define FL_TYPES_DUMP_H

#include "py/compat.h"
#include "py/state.h"

/* Those functions; the last entry is empty. */
extern PyMethodDef fl_dump_functions[];

/* Tells the core how objects are named.  For the module's execution. */
void fl_dump_functions_init(void);

/* Ends the dumps to files that the interpreter is about to close.  For the end of the module.  Runs no Python code. */
void fl_dump_functions_clear(fl_state *state);

#endif
