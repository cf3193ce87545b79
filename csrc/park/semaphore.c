#include "park/park.h"

#include <errno.h>

#include "platform/clock.h"
#include "platform/fatal.h"

/* How long an interruptible thread sleeps before it looks for signals.  First: short beside a human's patience with
 * Ctrl-C, long beside the few microseconds that a look costs. */
#if FL_PARK_SEMAPHORE
enum { FIRST_SLICE_NS = 1000 * 1000, LAST_SLICE_NS = 256 * 1000 * 1000 };
#else
enum { FIRST_SLICE_NS = 4 * 1000 * 1000, LAST_SLICE_NS = FIRST_SLICE_NS };
#endif

/* The end of the next sleep: of its slice, or of the whole wait. */
static int64_t
next_end_ns(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    if (!interruptible) {
        return deadline_ns;
    }
    int64_t slice_end_ns = fl_deadline_after_ns(parker->slice_ns);
    if (parker->slice_ns < LAST_SLICE_NS) {
        parker->slice_ns *= 2;
    }
    return slice_end_ns < deadline_ns ? slice_end_ns : deadline_ns;
}

#if FL_PARK_SEMAPHORE

int
fl_parker_init(fl_parker *parker)
{
    parker->slice_ns = FIRST_SLICE_NS;
    fl_parker_reset(parker);
    return sem_init(&parker->token, 0, 0) == 0 ? 0 : errno;
}

void
fl_parker_destroy(fl_parker *parker)
{
    if (sem_destroy(&parker->token) != 0) {
        fl_fatal("sem_destroy", errno);
    }
}

static void
take_token(fl_parker *parker)
{
    while (sem_wait(&parker->token) != 0) {
        if (errno != EINTR) {
            fl_fatal("sem_wait", errno);
        }
    }
}

/* One system call: 0, EINTR or ETIMEDOUT. */
static int
wait_for_token(fl_parker *parker, int64_t deadline_ns)
{
    int failed;
    if (deadline_ns == FL_DEADLINE_NEVER) {
        failed = sem_wait(&parker->token);
    }
    else {
        struct timespec deadline = fl_deadline_timespec(deadline_ns);
        failed = sem_clockwait(&parker->token, CLOCK_MONOTONIC, &deadline);
    }
    if (!failed) {
        return 0;
    }
    if (errno != EINTR && errno != ETIMEDOUT) {
        fl_fatal("sem_clockwait", errno);
    }
    return errno;
}

static fl_sleep_result
sleep_on_token(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int64_t end_ns = next_end_ns(parker, deadline_ns, interruptible);
    for (;;) {
        uint32_t state = FL_PARKER_AWAKE;
        if (!fl_cas_acquire_u32(&parker->state, &state, FL_PARKER_ASLEEP)) {
            return FL_SLEEP_WOKEN; /* found AWAKE by the waker: there is no token (P1) */
        }
        int error = wait_for_token(parker, end_ns);
        if (error == 0) {
            (void)fl_load_acquire_u32(&parker->state); /* P3, for tools that do not know the semaphore */
            return FL_SLEEP_WOKEN;
        }
        state = FL_PARKER_ASLEEP;
        if (!fl_cas_acquire_u32(&parker->state, &state, FL_PARKER_AWAKE)) {
            take_token(parker); /* P2 */
            return FL_SLEEP_WOKEN;
        }
        if (error == ETIMEDOUT && end_ns == deadline_ns) {
            return FL_SLEEP_TIMED_OUT;
        }
        if (interruptible) {
            return FL_SLEEP_INTERRUPTED;
        }
    }
}

fl_sleep_result
fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int saved_errno = errno;
    fl_sleep_result result = sleep_on_token(parker, deadline_ns, interruptible);
    if (result == FL_SLEEP_WOKEN) {
        parker->slice_ns = FIRST_SLICE_NS;
    }
    errno = saved_errno;
    return result;
}

void
fl_parker_wake(fl_parker *parker)
{
    if (fl_exchange_acq_rel_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP && sem_post(&parker->token) != 0) {
        fl_fatal("sem_post", errno);
    }
}

#else

static int
init_monotonic_cond(pthread_cond_t *cond)
{
#if defined(__APPLE__)
    return pthread_cond_init(cond, NULL); /* waited for with a relative time, which is monotonic there */
#else
    pthread_condattr_t attr;
    int error = pthread_condattr_init(&attr);
    if (error) {
        return error;
    }
    fl_must("pthread_condattr_setclock", pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    error = pthread_cond_init(cond, &attr);
    fl_must("pthread_condattr_destroy", pthread_condattr_destroy(&attr));
    return error;
#endif
}

int
fl_parker_init(fl_parker *parker)
{
    parker->slice_ns = FIRST_SLICE_NS;
    fl_parker_reset(parker);
    int error = pthread_mutex_init(&parker->mutex, NULL);
    if (error) {
        return error;
    }
    error = init_monotonic_cond(&parker->woken);
    if (error) {
        fl_must("pthread_mutex_destroy", pthread_mutex_destroy(&parker->mutex));
    }
    return error;
}

void
fl_parker_destroy(fl_parker *parker)
{
    fl_must("pthread_cond_destroy", pthread_cond_destroy(&parker->woken));
    fl_must("pthread_mutex_destroy", pthread_mutex_destroy(&parker->mutex));
}

/* One wait under the mutex: 0 (perhaps spurious) or ETIMEDOUT. */
static int
wait_until(fl_parker *parker, int64_t deadline_ns)
{
    if (deadline_ns == FL_DEADLINE_NEVER) {
        fl_must("pthread_cond_wait", pthread_cond_wait(&parker->woken, &parker->mutex));
        return 0;
    }
#if defined(__APPLE__)
    int64_t left_ns = deadline_ns - fl_clock_now_ns();
    struct timespec left = fl_deadline_timespec(left_ns > 0 ? left_ns : 0);
    int error = pthread_cond_timedwait_relative_np(&parker->woken, &parker->mutex, &left);
#else
    struct timespec deadline = fl_deadline_timespec(deadline_ns);
    int error = pthread_cond_timedwait(&parker->woken, &parker->mutex, &deadline);
#endif
    if (error && error != ETIMEDOUT) {
        fl_fatal("pthread_cond_timedwait", error);
    }
    return error;
}

fl_sleep_result
fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int64_t end_ns = next_end_ns(parker, deadline_ns, interruptible);
    int error = 0;
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));
    while (fl_load_relaxed_u32(&parker->state) != FL_PARKER_WOKEN && error == 0) {
        error = wait_until(parker, end_ns);
    }
    bool woken = fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN;
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));
    if (woken) {
        parker->slice_ns = FIRST_SLICE_NS;
        return FL_SLEEP_WOKEN;
    }
    return end_ns == deadline_ns ? FL_SLEEP_TIMED_OUT : FL_SLEEP_INTERRUPTED;
}

void
fl_parker_wake(fl_parker *parker)
{
    /* Signalled under the mutex: the sleeper cannot see WOKEN, and discard the parker, before the unlock. */
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));
    fl_store_relaxed_u32(&parker->state, FL_PARKER_WOKEN);
    fl_must("pthread_cond_signal", pthread_cond_signal(&parker->woken));
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));
}

#endif
