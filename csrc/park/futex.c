/* The parker as a futex. */

#include "park/park.h"

#if FL_PARK_FUTEX

#include <errno.h>

#include "park/slice.h"
#include "platform/futex.h"

enum { LONGEST_SLICE_NS = 256 * 1000 * 1000 };

int
fl_parker_init(fl_parker *parker)
{
    fl_slice_begin_anew(parker);
    fl_parker_reset(parker);
    return 0;
}

void
fl_parker_destroy(fl_parker *parker)
{
    (void)parker;
}

/* Both acquires are P3. */
static fl_sleep_result
sleep_on_state(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int64_t end_ns = fl_slice_next_end_ns(parker, deadline_ns, interruptible, LONGEST_SLICE_NS);
    uint32_t state = FL_PARKER_AWAKE;
    if (!fl_cas_acquire_u32(&parker->state, &state, FL_PARKER_ASLEEP) && state == FL_PARKER_WOKEN) {
        return FL_SLEEP_WOKEN;
    }
    for (;;) {
        int error = fl_futex_wait(&parker->state, FL_PARKER_ASLEEP, end_ns);
        if (fl_load_acquire_u32(&parker->state) == FL_PARKER_WOKEN) {
            return FL_SLEEP_WOKEN; /* P2: only the state says so, not how the call has ended */
        }
        if (error == ETIMEDOUT) {
            return end_ns == deadline_ns ? FL_SLEEP_TIMED_OUT : FL_SLEEP_INTERRUPTED;
        }
        if (error == EINTR && interruptible) {
            return FL_SLEEP_INTERRUPTED;
        }
    }
}

fl_sleep_result
fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    fl_sleep_result result = sleep_on_state(parker, deadline_ns, interruptible);
    if (result == FL_SLEEP_WOKEN) {
        fl_slice_begin_anew(parker);
    }
    return result;
}

/* The release is P3.  It need not acquire: the sleeper's change of the state releases nothing, and what the waker needs
 * of the sleeper, the queue's mutex has shown it. */
void
fl_parker_wake(fl_parker *parker)
{
    if (fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP) {
        fl_futex_wake_one(&parker->state); /* P1: the parker may be gone */
    }
}

#endif
