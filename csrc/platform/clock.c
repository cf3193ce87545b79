#include "platform/clock.h"

#include <errno.h>

#include "platform/fatal.h"

enum { NS_PER_SECOND = 1000 * 1000 * 1000 };

/* time_t has 32 bits on some systems; the largest one is found without assuming which. */
static const time_t TIME_T_MAX = sizeof(time_t) == 4 ? (time_t)INT32_MAX : (time_t)INT64_MAX;

int64_t
fl_clock_now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        fl_fatal("clock_gettime(CLOCK_MONOTONIC)", errno);
    }
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int64_t
fl_deadline_after_ns(int64_t timeout_ns)
{
    if (timeout_ns <= 0) {
        return FL_DEADLINE_PASSED;
    }
    if (timeout_ns == FL_DEADLINE_NEVER) {
        return FL_DEADLINE_NEVER;
    }
    int64_t now_ns = fl_clock_now_ns();
    if (timeout_ns >= FL_DEADLINE_NEVER - now_ns) {
        return FL_DEADLINE_NEVER;
    }
    return now_ns + timeout_ns;
}

struct timespec
fl_deadline_timespec(int64_t deadline_ns)
{
    int64_t seconds = deadline_ns / NS_PER_SECOND;
    if (seconds > (int64_t)TIME_T_MAX) {
        return (struct timespec){.tv_sec = TIME_T_MAX, .tv_nsec = NS_PER_SECOND - 1};
    }
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)(deadline_ns % NS_PER_SECOND)};
}
