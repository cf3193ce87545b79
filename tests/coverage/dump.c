/* Writes the counters of gcov where a process is a child that leaves by _exit(): the C library writes them at the end of a
 * program only.  The C tests are linked with --wrap=_exit; in Python sitecustomize.py calls the function. */

void __gcov_dump(void);
__attribute__((weak)) void __real__exit(int status);
void __wrap__exit(int status);
__attribute__((visibility("default"))) void pyfastlock_write_counters(void);

void
pyfastlock_write_counters(void)
{
    __gcov_dump();
}

void
__wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
