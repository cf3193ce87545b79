/* What a tracer of the system is told: the calls of the probes (platform/probe.h), all on slow paths.
 *
 * Where nobody listens a call does nothing but look whether somebody does.  Locks, conditions and what else is waited
 * for are told as their keys, threads as fl_thread_ident gives them. */

#ifndef FL_PROBES_H
#define FL_PROBES_H

#include <stddef.h>
#include <stdint.h>

#include "core/lot/waiter.h"
#include "platform/probe.h"

/* A wait as it was when it began.  Its waiter may have been moved to another key since. */
typedef struct {
    const void *key; /* NULL where nobody listened then */
    uint64_t owner;  /* of a recursive mutex: the ident of who held it; otherwise 0 */
    int64_t since_ns;
    fl_wait_kind kind;
} fl_probed_wait;

/* Does what fl_probe_wait_start does, where somebody listens. */
void fl_probe_wait_start_slow(fl_probed_wait *wait, fl_waiter *waiter);

/* Does what fl_probe_wait_done does, where somebody listens. */
void fl_probe_wait_done_slow(const fl_probed_wait *wait, int result);

/* Does what fl_probe_deadlock_found does, where somebody listens. */
void fl_probe_deadlock_found_slow(const fl_waiter *victim);

/* `wait__start`: the thread of the waiter, which was queued, is about to sleep.  Notes in `wait` what the other end of
 * the wait needs.  No mutex of the core is held. */
static inline void
fl_probe_wait_start(fl_probed_wait *wait, fl_waiter *waiter)
{
    wait->key = NULL;
    if (FL_PROBE_IS_ON(wait__start) || FL_PROBE_IS_ON(wait__done)) {
        fl_probe_wait_start_slow(wait, waiter);
    }
}

/* `wait__done`: the sleep has ended; `result` is a fl_wait_result. */
static inline void
fl_probe_wait_done(const fl_probed_wait *wait, int result)
{
    if (FL_PROBE_IS_ON(wait__done) && wait->key) {
        fl_probe_wait_done_slow(wait, result);
    }
}

/* `notify`: so many waiters of the condition were notified. */
static inline void
fl_probe_notify(const void *cond, size_t count)
{
    if (FL_PROBE_IS_ON(notify)) {
        FL_PROBE_2(notify, cond, count);
    }
}

/* `deadlock__found`: the waiter was taken out of its queue as the victim; its thread looks, or sleeps on until the
 * caller wakes it.  No mutex of the core is held. */
static inline void
fl_probe_deadlock_found(const fl_waiter *victim)
{
    if (FL_PROBE_IS_ON(deadlock__found)) {
        fl_probe_deadlock_found_slow(victim);
    }
}

#endif
