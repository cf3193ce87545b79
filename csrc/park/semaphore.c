/* The parker as a semaphore. */

#include "park/park.h"

#if FL_PARK_SEMAPHORE

#include <errno.h>

#include "park/slice.h"
#include "platform/fatal.h"

/* The first slice is short beside a human's patience with Ctrl-C, and long beside the few microseconds that a look for
 * signals costs. */
enum { FIRST_SLICE_NS = 1000 * 1000, LONGEST_SLICE_NS = 256 * 1000 * 1000 };

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

/* Makes one system call.  Returns 0, EINTR or ETIMEDOUT. */
static int
wait_for_token(fl_parker *parker, int64_t deadline_ns)
{
    bool is_timed = deadline_ns != FL_DEADLINE_NEVER;
    int failed;
    if (is_timed) {
        struct timespec deadline = fl_deadline_timespec(deadline_ns);
        failed = sem_clockwait(&parker->token, CLOCK_MONOTONIC, &deadline);
    }
    else {
        failed = sem_wait(&parker->token);
    }
    if (!failed) {
        return 0;
    }
    if (errno != EINTR && errno != ETIMEDOUT) {
        fl_fatal(is_timed ? "sem_clockwait" : "sem_wait", errno);
    }
    return errno;
}

/* The acquire of each compare-and-swap that fails is P3: it has found WOKEN. */
static fl_sleep_result
sleep_on_token(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int64_t end_ns = fl_slice_next_end_ns(parker, deadline_ns, interruptible, LONGEST_SLICE_NS);
    for (;;) {
        uint32_t state = FL_PARKER_AWAKE;
        if (!fl_cas_acquire_u32(&parker->state, &state, FL_PARKER_ASLEEP)) {
            return FL_SLEEP_WOKEN; /* P1: the waker found AWAKE, so there is no token */
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

/* The release is P3.  It need not acquire: the sleeper's changes of the state release nothing, and what the waker needs
 * of the sleeper, the queue's mutex has shown it. */
void
fl_parker_wake(fl_parker *parker)
{
    if (fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP && sem_post(&parker->token) != 0) {
        fl_fatal("sem_post", errno);
    }
}

#endif
