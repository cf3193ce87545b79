#include "core/lockable.h"

#include "core/lot/back_off.h"
#include "core/lot/give_way.h"
#include "core/lot/parking_lot.h"
#include "platform/clock.h"
#include "platform/compiler.h"

/* A request for a lock: which lock, and the waiter that represents the thread. */
typedef struct {
    const fl_wait_ops *ops;
    void *lock;
    fl_waiter *waiter;
} lock_wish;

/* For fl_lot_enqueue. */
static bool
has_to_wait(void *arg)
{
    lock_wish *wish = arg;
    return wish->ops->mark_parked(wish->lock, wish->waiter, true);
}

/* For fl_lot_goal, whose thread is detached. */
static bool
has_to_wait_on(void *arg)
{
    lock_wish *wish = arg;
    return wish->ops->mark_parked(wish->lock, wish->waiter, false);
}

/* For fl_lot_goal.  A wait that has a deadline ends by itself. */
static bool
look(void *arg)
{
    lock_wish *wish = arg;
    return wish->waiter->deadline_ns == FL_DEADLINE_NEVER && wish->ops->look(wish->waiter);
}

static fl_lot_goal
goal_of(lock_wish *wish)
{
    return (fl_lot_goal){wish->lock, has_to_wait_on, wish, wish->ops->look ? look : NULL};
}

bool
fl_lock_enqueue(const fl_wait_ops *ops, void *lock, fl_waiter *waiter)
{
    lock_wish wish = {ops, lock, waiter};
    return fl_lot_enqueue(waiter, lock, has_to_wait, &wish);
}

bool
fl_lock_bears_deadlock(const void *lock, fl_waiter *waiter, const fl_blocker *blocker)
{
    fl_deadlock_verdict verdict = fl_blocker_judge(blocker, lock, waiter->since_ns);
    waiter->deadlocked = false;
    waiter->resigned = verdict == FL_DEADLOCK_IS_TOLD;
    return verdict != FL_DEADLOCK_FAILS;
}

/* Calls poll(), queues and sleeps once.  FL_LOCK_BUSY does not end the wait: the lock is to be tried now, or the waiter
 * was handed it.
 *
 * There is no attempt between poll() and the queue, although a signal handler may have released the lock or taken it
 * for this thread: mark_parked notices both, under the bucket's mutex. */
static fl_lock_result
wait_once(lock_wish *wish, int64_t deadline_ns, fl_blocker *blocker)
{
    fl_lot_goal goal = goal_of(wish);
    if (!fl_blocker_poll(blocker)) {
        return FL_LOCK_GIVEN_UP;
    }
    wish->waiter->deadline_ns = deadline_ns;
    if (!fl_lot_enqueue(wish->waiter, wish->lock, has_to_wait, wish)) {
        return FL_LOCK_BUSY;
    }
    fl_lock_result tried;
    switch (fl_lot_sleep_for(wish->waiter, deadline_ns, blocker, &goal)) {
        case FL_WAIT_TIMED_OUT:
            tried = wish->ops->try_lock(wish->lock, wish->waiter);
            return tried == FL_LOCK_BUSY ? FL_LOCK_TIMED_OUT : tried;
        case FL_WAIT_GIVEN_UP:
            return FL_LOCK_GIVEN_UP;
        case FL_WAIT_DEADLOCKED:
            return fl_lock_bears_deadlock(wish->lock, wish->waiter, blocker) ? FL_LOCK_BUSY : FL_LOCK_DEADLOCK;
        case FL_WAIT_UNPARKED:
        case FL_WAIT_INTERRUPTED:
            break;
    }
    return FL_LOCK_BUSY;
}

/* The attempt comes first in each turn, before poll() can give the wait up: a waiter that was woken must spend its
 * wake-up, or nobody gets it (K1). */
fl_lock_result
fl_lock_wait_as(const fl_wait_ops *ops, void *lock, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    lock_wish wish = {ops, lock, waiter};
    while (!waiter->handed_off) {
        fl_lock_result result = ops->try_lock(lock, waiter);
        if (result == FL_LOCK_BUSY) {
            result = wait_once(&wish, deadline_ns, blocker);
        }
        if (result != FL_LOCK_BUSY) {
            return result;
        }
    }
    return FL_LOCK_ACQUIRED;
}

/* An attempt of a thread that backs off. */
typedef struct {
    const fl_wait_ops *ops;
    void *lock;
    fl_lock_result result;
} attempt;

/* For fl_back_off. */
static bool
is_decided(void *arg)
{
    attempt *self = arg;
    self->result = self->ops->try_lock(self->lock, NULL);
    return self->result != FL_LOCK_BUSY;
}

/* Waits with a waiter of its own: once as `begin` does, and then as often as it takes. */
static fl_lock_result
wait_from(fl_lock_result (*begin)(lock_wish *wish, int64_t deadline_ns, fl_blocker *blocker), const fl_wait_ops *ops,
          void *lock, int64_t deadline_ns, fl_blocker *blocker)
{
    fl_waiter waiter;
    if (fl_waiter_init(&waiter, false) != 0) {
        return FL_LOCK_NO_MEMORY;
    }
    waiter.may_fail = fl_blocker_may_fail(blocker);
    waiter.runtime = fl_blocker_runtime(blocker);
    lock_wish wish = {ops, lock, &waiter};
    fl_lock_result result = begin(&wish, deadline_ns, blocker);
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait_as(ops, lock, &waiter, deadline_ns, blocker);
    }
    fl_waiter_fini(&waiter);
    return result;
}

FL_SLOW fl_lock_result
fl_lock_wait(const fl_wait_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker)
{
    attempt again = {.ops = ops, .lock = lock};
    if (fl_back_off(lock, deadline_ns, blocker, is_decided, &again)) {
        return again.result;
    }
    return wait_from(wait_once, ops, lock, deadline_ns, blocker); /* the caller has tried: no attempt before it */
}

/* Queues for a lock that is free, and sleeps for a limited time.  It does not call poll(), which refuses a wait that
 * may not end: this one does. */
static fl_lock_result
leave_alone(lock_wish *wish, int64_t deadline_ns, fl_blocker *blocker)
{
    fl_lot_goal goal = goal_of(wish);
    int64_t end_ns = fl_deadline_after_ns(FL_GIVE_WAY_LIMIT_NS);
    if (deadline_ns < end_ns) {
        end_ns = deadline_ns;
    }
    wish->waiter->deadline_ns = end_ns;
    wish->waiter->gives_way = true;
    bool queued = fl_lot_enqueue(wish->waiter, wish->lock, has_to_wait, wish);
    wish->waiter->gives_way = false;
    if (!queued) {
        return FL_LOCK_BUSY;
    }
    fl_wait_result waited = fl_lot_sleep_for(wish->waiter, end_ns, blocker, &goal);
    fl_blocker_set_timed(blocker, deadline_ns != FL_DEADLINE_NEVER);
    return waited == FL_WAIT_GIVEN_UP ? FL_LOCK_GIVEN_UP : FL_LOCK_BUSY;
}

FL_SLOW fl_lock_result
fl_lock_give_way(const fl_wait_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker)
{
    fl_lock_result result = wait_from(leave_alone, ops, lock, deadline_ns, blocker);
    if (result != FL_LOCK_NO_MEMORY) {
        return result;
    }
    /* Whoever lacks the resources to give way takes the lock, which needs none where it is free. */
    fl_lock_result tried = ops->try_lock(lock, NULL);
    return tried == FL_LOCK_BUSY ? FL_LOCK_NO_MEMORY : tried;
}

int64_t
fl_lock_waited_ns(const fl_waiter *waiter)
{
    return fl_clock_now_ns() - waiter->since_ns;
}
