/* Writes the counters of gcov where a process ends without the end of the program: it aborts, or it is a child that
 * leaves by _exit().  Links with --wrap=abort and, in the C tests, --wrap=_exit. */

#include <stdlib.h>

void __gcov_dump(void);
void __real_abort(void);
void __wrap_abort(void);
__attribute__((weak)) void __real__exit(int status);
void __wrap__exit(int status);
__attribute__((visibility("default"))) void pyfastlock_write_counters(void);

void
pyfastlock_write_counters(void)
{
    __gcov_dump();
}

void
__wrap_abort(void)
{
    __gcov_dump();
    __real_abort();
}

void
__wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
