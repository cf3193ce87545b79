#include "platform/cpu.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

void
fl_cpu_yield(void)
{
    (void)!sched_yield(); /* cannot fail on the systems that we know, and does no harm where it does */
}

static unsigned
count(void)
{
#if defined(__linux__)
    /* A set for 1024 processors; the call fails where the machine may have more. */
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        return count > 0 ? (unsigned)count : 1;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned
fl_cpu_count(void)
{
    int saved_errno = errno;
    unsigned result = count();
    errno = saved_errno;
    return result;
}
