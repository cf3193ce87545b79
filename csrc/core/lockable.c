#include "core/lockable.h"

#include "platform/clock.h"
#include "platform/compiler.h"

/* What a thread wants, and as whom. */
typedef struct {
    const fl_lock_ops *ops;
    void *lock;
    fl_waiter *waiter;
} lock_wish;

/* For fl_lot_enqueue. */
static bool
has_to_wait(void *arg)
{
    lock_wish *wish = arg;
    return wish->ops->mark_parked(wish->lock, wish->waiter);
}

bool
fl_lock_enqueue(const fl_lock_ops *ops, void *lock, fl_waiter *waiter)
{
    lock_wish wish = {ops, lock, waiter};
    return fl_lot_enqueue(waiter, lock, has_to_wait, &wish);
}

fl_lock_result
fl_lock_wait_as(const fl_lock_ops *ops, void *lock, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    lock_wish wish = {ops, lock, waiter};
    fl_lot_goal goal = {lock, has_to_wait, &wish};
    while (!waiter->handed_off) {
        fl_lock_result tried = ops->try_lock(lock, waiter); /* K1 */
        if (tried != FL_LOCK_TIMED_OUT) {
            return tried;
        }
        if (blocker && !blocker->poll(blocker)) {
            return FL_LOCK_GIVEN_UP;
        }
        tried = ops->try_lock(lock, waiter); /* a handler that poll() ran may have taken it for this thread */
        if (tried != FL_LOCK_TIMED_OUT) {
            return tried;
        }
        if (!fl_lock_enqueue(ops, lock, waiter)) {
            continue; /* released in between */
        }
        fl_wait_result result = fl_lot_sleep_for(waiter, deadline_ns, blocker, &goal);
        if (result == FL_WAIT_TIMED_OUT) {
            return ops->try_lock(lock, waiter);
        }
        if (result == FL_WAIT_GIVEN_UP) {
            return FL_LOCK_GIVEN_UP;
        }
    }
    return FL_LOCK_ACQUIRED;
}

typedef struct {
    const fl_lock_ops *ops;
    void *lock;
    fl_lock_result result;
} attempt;

/* For fl_lot_back_off. */
static bool
is_decided(void *arg)
{
    attempt *self = arg;
    self->result = self->ops->try_lock(self->lock, NULL);
    return self->result != FL_LOCK_TIMED_OUT;
}

FL_SLOW fl_lock_result
fl_lock_wait(const fl_lock_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker)
{
    attempt again = {.ops = ops, .lock = lock};
    if (fl_lot_back_off(lock, deadline_ns, blocker, is_decided, &again)) {
        return again.result;
    }
    fl_waiter waiter;
    if (fl_waiter_init(&waiter, false) != 0) {
        return FL_LOCK_NO_MEMORY;
    }
    fl_lock_result result = fl_lock_wait_as(ops, lock, &waiter, deadline_ns, blocker);
    fl_waiter_fini(&waiter);
    return result;
}

int64_t
fl_lock_waited_ns(const fl_waiter *waiter)
{
    return fl_clock_now_ns() - waiter->since_ns;
}
