#include "platform/cpu.h"

#include <sched.h>
#include <unistd.h>

#include "platform/fatal.h"

void
fl_cpu_yield(void)
{
    (void)!sched_yield(); /* cannot fail on the systems that we know, and does no harm where it does */
}

unsigned
fl_cpu_count(void)
{
#if defined(__linux__)
    /* A set for 1024 processors; the call fails where the kernel is built for more. */
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        return count > 0 ? (unsigned)count : 1;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
