#include "core/lockable.h"

#include "platform/clock.h"
#include "platform/compiler.h"

fl_lock_result
fl_lock_wait_as(const fl_lock_ops *ops, void *lock, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    while (!waiter->handed_off) {
        fl_lock_result tried = ops->try_lock(lock); /* K1 */
        if (tried != FL_LOCK_TIMED_OUT) {
            return tried;
        }
        if (blocker && !blocker->poll(blocker)) {
            return FL_LOCK_GIVEN_UP;
        }
        tried = ops->try_lock(lock); /* a handler that poll() ran may have taken it for this thread */
        if (tried != FL_LOCK_TIMED_OUT) {
            return tried;
        }
        if (!fl_lot_enqueue(waiter, lock, ops->mark_parked, lock)) {
            continue; /* released in between */
        }
        fl_lot_goal goal = {lock, ops->mark_parked, lock};
        fl_wait_result result = fl_lot_sleep_for(waiter, deadline_ns, blocker, &goal);
        if (result == FL_WAIT_TIMED_OUT) {
            return ops->try_lock(lock);
        }
        if (result == FL_WAIT_GIVEN_UP) {
            return FL_LOCK_GIVEN_UP;
        }
    }
    return FL_LOCK_ACQUIRED;
}

FL_SLOW fl_lock_result
fl_lock_wait(const fl_lock_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker)
{
    fl_waiter waiter;
    if (fl_waiter_init(&waiter, false) != 0) {
        return FL_LOCK_NO_MEMORY;
    }
    fl_lock_result result = fl_lock_wait_as(ops, lock, &waiter, deadline_ns, blocker);
    fl_waiter_fini(&waiter);
    return result;
}

bool
fl_lock_hands_off(const fl_waiter *first)
{
    return first && fl_clock_now_ns() - first->since_ns >= FL_FAIR_NS;
}
