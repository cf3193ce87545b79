/* The parker as a mutex and a condition variable. */

#include "park/park.h"

#if !FL_PARK_FUTEX

#include "park/slice.h"
#include "platform/fatal.h"
#include "platform/timed_cond.h"

/* A signal does not end this wait, so each one waits for the next slice: all are short. */
enum { LONGEST_SLICE_NS = 4 * 1000 * 1000 };

int
fl_parker_init(fl_parker *parker)
{
    fl_slice_begin_anew(parker);
    fl_parker_reset(parker);
    int error = pthread_mutex_init(&parker->mutex, NULL);
    if (error) {
        return error;
    }
    error = fl_timed_cond_init(&parker->woken);
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

fl_sleep_result
fl_parker_sleep(fl_parker *parker, int64_t deadline_ns, bool interruptible)
{
    int64_t end_ns = fl_slice_next_end_ns(parker, deadline_ns, interruptible, LONGEST_SLICE_NS);
    int error = 0;
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));
    while (fl_load_relaxed_u32(&parker->state) != FL_PARKER_WOKEN && error == 0) {
        error = fl_timed_cond_wait(&parker->woken, &parker->mutex, end_ns);
    }
    bool woken = fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN;
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));
    if (woken) {
        fl_slice_begin_anew(parker);
        return FL_SLEEP_WOKEN;
    }
    return end_ns == deadline_ns ? FL_SLEEP_TIMED_OUT : FL_SLEEP_INTERRUPTED;
}

void
fl_parker_wake(fl_parker *parker)
{
    /* Signalled under the mutex, so that the sleeper cannot see WOKEN and discard the parker before the unlock (P2). */
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));
    fl_store_relaxed_u32(&parker->state, FL_PARKER_WOKEN);
    fl_must("pthread_cond_signal", pthread_cond_signal(&parker->woken));
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));
}

#endif
