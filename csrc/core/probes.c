#include "core/probes.h"

#include "core/lock_word.h"
#include "core/lot/bucket.h"
#include "core/thread.h"
#include "platform/clock.h"

/* A notification may move the waiter meanwhile, so this looks under the mutex. */
FL_SLOW void
fl_probe_wait_start_slow(fl_probed_wait *wait, fl_waiter *waiter)
{
    uint64_t owner = 0;
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    wait->key = waiter->key;
    wait->kind = waiter->kind;
    wait->since_ns = waiter->since_ns;
    if (waiter->queued && fl_waiter_is_for_lock(waiter)) {
        owner = fl_word_thread(fl_load_relaxed_u64((fl_atomic_u64 *)waiter->key));
    }
    fl_bucket_unlock(bucket);
    wait->owner = owner ? fl_thread_ident(owner) : 0;
    if (FL_PROBE_IS_ON(wait__start)) {
        FL_PROBE_3(wait__start, wait->key, (int)wait->kind, wait->owner);
    }
}

FL_SLOW void
fl_probe_wait_done_slow(const fl_probed_wait *wait, int result)
{
    int64_t waited_ns = fl_clock_now_ns() - wait->since_ns;
    FL_PROBE_5(wait__done, wait->key, (int)wait->kind, wait->owner, waited_ns, result);
}

FL_SLOW void
fl_probe_deadlock_found_slow(const fl_waiter *victim)
{
    uint64_t thread = fl_thread_ident(victim->thread);
    FL_PROBE_2(deadlock__found, thread, victim->key);
}
