/* The end of the process, for failures of the system that a correct program cannot meet. */

#ifndef FL_FATAL_H
#define FL_FATAL_H

/* Prints one line that names `call` and describes `error`, an errno value, and aborts the process. */
_Noreturn void fl_fatal(const char *call, int error);

/* Calls fl_fatal where `error`, the result of the pthread function `call`, is not 0. */
static inline void
fl_must(const char *call, int error)
{
    if (__builtin_expect(error != 0, 0)) {
        fl_fatal(call, error);
    }
}

#endif
