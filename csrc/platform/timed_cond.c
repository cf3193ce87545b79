#include "platform/timed_cond.h"

#include <errno.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/fatal.h"

#if defined(__APPLE__)

static const char TIMED_WAIT[] = "pthread_cond_timedwait_relative_np";

int
fl_timed_cond_init(pthread_cond_t *cond)
{
    return pthread_cond_init(cond, NULL);
}

static int
wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - fl_clock_now_ns();
    struct timespec left = fl_deadline_timespec(left_ns > 0 ? left_ns : 0);
    return pthread_cond_timedwait_relative_np(cond, mutex, &left);
}

#else

static const char TIMED_WAIT[] = "pthread_cond_timedwait";

int
fl_timed_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int error = pthread_condattr_init(&attr);
    if (error) {
        return error;
    }
    fl_must("pthread_condattr_setclock", pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    error = pthread_cond_init(cond, &attr);
    fl_must("pthread_condattr_destroy", pthread_condattr_destroy(&attr));
    return error;
}

static int
wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    struct timespec deadline = fl_deadline_timespec(deadline_ns);
    return pthread_cond_timedwait(cond, mutex, &deadline);
}

#endif

int
fl_timed_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    if (deadline_ns == FL_DEADLINE_NEVER) {
        fl_must("pthread_cond_wait", pthread_cond_wait(cond, mutex));
        return 0;
    }
    int error = wait_until(cond, mutex, deadline_ns);
    if (error && error != ETIMEDOUT) {
        fl_fatal(TIMED_WAIT, error);
    }
    return error;
}
