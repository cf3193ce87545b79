#include "core/lot/parking_lot.h"

#include "core/lot/bucket.h"
#include "core/lot/spin.h"
#include "core/probes.h"
#include "core/thread.h"
#include "platform/clock.h"

/* ---- those who are to be woken ---- */

/* Waiters that were taken out and are to be woken, linked by `next`, in their order. */
typedef struct {
    fl_waiter *first;
    fl_waiter **end;
} fl_chain;

/* Puts a waiter that was taken out into the chain, to be woken when no mutex is held.  One that is polling is woken
 * here: L7. */
static void
chain_or_wake(fl_chain *chain, fl_waiter *waiter)
{
    if (waiter->polling) {
        fl_parker_wake(&waiter->parker);
        return;
    }
    waiter->waker = fl_thread_self();
    waiter->next = NULL;
    *chain->end = waiter;
    chain->end = &waiter->next;
}

static void
wake_all(fl_waiter *first)
{
    while (first) {
        fl_waiter *waiter = first;
        first = waiter->next; /* the waiter is gone once it is woken */
        fl_parker_wake(&waiter->parker);
    }
}

/* Wakes a chain.  The calling thread has its runtime, if it has one, and notes that for those who follow it. */
static void
wake_attached(fl_waiter *first)
{
    if (first) {
        fl_spin_runtime_held();
        wake_all(first);
    }
}

/* Wakes the waiter that the calling thread owes a wake-up (L8).  Called when it is detached: a waiter that is woken
 * before would ask for the runtime while the caller has it, and go to sleep on that. */
static void
pay(fl_waiter *waiter)
{
    if (waiter->owed) {
        fl_parker_wake(&waiter->owed->parker);
        waiter->owed = NULL;
    }
}

/* Takes up to `most` waiters of the key out and chains them, the longest-waiting first.  `ops` is NULL where there is
 * nothing to do for each.  Returns how many they were.  Under the bucket's mutex. */
static size_t
chain_first(fl_chain *chain, fl_bucket *bucket, const void *key, const fl_unpark_ops *ops, size_t most, void *ctx)
{
    size_t count = 0;
    fl_waiter *waiter;
    for (; count < most && (waiter = *fl_bucket_queue(bucket, key)) != NULL; count++) {
        if (ops) {
            ops->take(ctx, waiter);
        }
        fl_bucket_take_out(bucket, waiter);
        chain_or_wake(chain, waiter);
    }
    return count;
}

/* ---- waiting ---- */

bool
fl_lot_enqueue(fl_waiter *waiter, const void *key, bool (*validate)(void *ctx), void *ctx)
{
    fl_parker_reset(&waiter->parker);
    if (waiter->since_ns == 0) {
        waiter->since_ns = fl_clock_now_ns();
    }
    fl_bucket *bucket = fl_bucket_of(key);
    fl_bucket_lock(bucket);
    bool valid = validate(ctx);
    if (valid) {
        waiter->is_first = fl_bucket_put_in(bucket, waiter, key);
    }
    fl_bucket_unlock(bucket);
    return valid;
}

/* Sleeps until the waiter is woken, which is certain to happen (L2): an unparker has it and wakes it in a moment, or it
 * was notified and a release of its lock will wake it.  Its owner may not go before that. */
static void
await_wake(fl_waiter *waiter)
{
    (void)fl_parker_sleep(&waiter->parker, FL_DEADLINE_NEVER, false);
}

/* What becomes of a waiter whose sleep ended without a wake-up. */
typedef enum {
    ENDS,          /* the sleep is over: it has left its queue, or has to poll in its place */
    SLEEPS_ON,     /* its timeout was refused: it sleeps on, without a deadline */
    WILL_BE_WOKEN, /* an unparker or a notification was first: it sleeps on until it is woken */
} leave_result;

static leave_result
time_out(fl_bucket *bucket, fl_waiter *waiter, fl_chain *chain)
{
    fl_leave leave = waiter->on_leave ? waiter->on_leave(waiter, true) : FL_LEAVES;
    if (leave == FL_STAYS) {
        return SLEEPS_ON;
    }
    fl_bucket_take_out(bucket, waiter);
    if (leave == FL_LEAVES_WITH_ALL) {
        (void)chain_first(chain, bucket, waiter->key, NULL, SIZE_MAX, NULL);
    }
    return ENDS;
}

static void
leave_by_itself(fl_bucket *bucket, fl_waiter *waiter)
{
    if (waiter->on_leave) {
        (void)waiter->on_leave(waiter, false);
    }
    fl_bucket_take_out(bucket, waiter);
}

static leave_result
interrupt(fl_bucket *bucket, fl_waiter *waiter)
{
    waiter->was_interrupted = true;
    if (waiter->keeps_place) {
        waiter->polling = true;
    }
    else {
        leave_by_itself(bucket, waiter);
    }
    return ENDS;
}

/* Either this thread finds the waiter queued and takes it out, or an unparker has it (L1).  A notified waiter may be
 * queued for its lock, and stays there (L2). */
static leave_result
leave(fl_waiter *waiter, fl_sleep_result slept)
{
    leave_result result = WILL_BE_WOKEN;
    fl_chain chain = {.first = NULL, .end = &chain.first};
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    if (waiter->queued && !waiter->notified) {
        result = slept == FL_SLEEP_TIMED_OUT ? time_out(bucket, waiter, &chain) : interrupt(bucket, waiter);
    }
    fl_bucket_unlock(bucket);
    wake_all(chain.first);
    return result;
}

/* The history of the bucket that the waiter waits in, or waited in if it has just been moved. */
static fl_spin_history *
history_of(fl_waiter *waiter)
{
    return &fl_bucket_of_waiter(waiter)->history;
}

/* Sleeps, detached, until the waiter is unparked, has left its queue or has to poll.  Looks at the goal first, unless
 * that is NULL. */
static fl_wait_result
sleep_detached(fl_waiter *waiter, int64_t *deadline_ns, bool interruptible, const fl_lot_goal *goal)
{
    if ((waiter->is_first || waiter->is_woken_with_all) && !waiter->was_interrupted && !waiter->is_patient) {
        fl_spin_for_wake(&waiter->parker, history_of(waiter), *deadline_ns);
    }
    if (goal && goal->look && !fl_parker_is_woken(&waiter->parker) && goal->look(goal->ctx)) {
        return FL_WAIT_DEADLOCKED;
    }
    for (;;) {
        fl_sleep_result slept = fl_parker_sleep(&waiter->parker, *deadline_ns, interruptible);
        if (slept == FL_SLEEP_WOKEN) {
            return FL_WAIT_UNPARKED;
        }
        switch (leave(waiter, slept)) {
            case ENDS:
                return slept == FL_SLEEP_TIMED_OUT ? FL_WAIT_TIMED_OUT : FL_WAIT_INTERRUPTED;
            case SLEEPS_ON:
                *deadline_ns = FL_DEADLINE_NEVER;
                break;
            case WILL_BE_WOKEN:
                await_wake(waiter);
                return FL_WAIT_UNPARKED;
        }
    }
}

/* Calls poll(), attached.  Returns true where the waiter keeps its place and the wait goes on; otherwise `*result` is
 * the result of the wait. */
static bool
poll_in_place(fl_waiter *waiter, fl_blocker *blocker, fl_wait_result *result)
{
    bool goes_on = fl_blocker_poll(blocker);
    if (!waiter->keeps_place) {
        *result = goes_on ? FL_WAIT_INTERRUPTED : FL_WAIT_GIVEN_UP;
        return false;
    }
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    waiter->polling = false;
    bool unparked = !waiter->queued;
    if (!unparked && !goes_on) {
        leave_by_itself(bucket, waiter);
    }
    fl_bucket_unlock(bucket);
    if (unparked) {
        await_wake(waiter);
    }
    *result = goes_on ? FL_WAIT_UNPARKED : FL_WAIT_GIVEN_UP;
    return goes_on && !unparked;
}

/* Whether others wait for what was handed to the unparked waiter. */
static bool
holds_something(const fl_waiter *waiter)
{
    return waiter->handed_off && !waiter->is_woken_with_all;
}

/* Sleeps, detached, until nothing is left to wait for but the runtime.
 *
 * A woken thread lets its waker detach first, because who asks for the runtime while the waker has it goes to sleep on
 * it.  A thread that was handed a lock does not: others wait for that lock meanwhile.
 *
 * It goes back to its goal's queue from here, still detached.  If it attached to find the lock taken, the lock's holder
 * would have to give up the runtime for nothing.  (fl_lock_wait_as tries the lock attached: see core/lockable.h.) */
static fl_wait_result
sleep_for(fl_waiter *waiter, int64_t *deadline_ns, fl_blocker *blocker, const fl_lot_goal *goal)
{
    fl_wait_result result;
    do {
        result = sleep_detached(waiter, deadline_ns, fl_blocker_is_interruptible(blocker), goal);
        if (result != FL_WAIT_UNPARKED) {
            return result;
        }
        if (waiter->deadlocked) {
            return FL_WAIT_DEADLOCKED;
        }
        if (blocker && !holds_something(waiter)) {
            fl_spin_for_runtime(waiter->waker);
        }
    } while (goal && !waiter->handed_off && fl_lot_enqueue(waiter, goal->key, goal->validate, goal->ctx));
    return result;
}

fl_wait_result
fl_lot_sleep_for(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker, const fl_lot_goal *goal)
{
    fl_wait_result result;
    fl_probed_wait probed;
    fl_probe_wait_start(&probed, waiter);
    do {
        if (blocker) {
            fl_blocker_detach(blocker);
            fl_spin_runtime_left();
        }
        pay(waiter);
        result = sleep_for(waiter, &deadline_ns, blocker, goal);
        fl_blocker_attach(blocker);
        fl_blocker_set_timed(blocker, deadline_ns != FL_DEADLINE_NEVER);
    } while (result == FL_WAIT_INTERRUPTED && poll_in_place(waiter, blocker, &result));
    fl_probe_wait_done(&probed, (int)result);
    return result;
}

fl_wait_result
fl_lot_sleep(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    return fl_lot_sleep_for(waiter, deadline_ns, blocker, NULL);
}

bool
fl_lot_cancel(fl_waiter *waiter)
{
    pay(waiter);
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    bool cancelled = waiter->queued;
    if (cancelled) {
        leave_by_itself(bucket, waiter);
    }
    fl_bucket_unlock(bucket);
    if (!cancelled) {
        await_wake(waiter);
    }
    return cancelled;
}

/* ---- waking ---- */

/* Gives the calling thread a serial, so that those whom it wakes can wait until it detaches.  Without memory for its
 * record they do not wait.  It allocates, so it comes before a mutex is taken (L6). */
static void
know_waker(void)
{
    (void)fl_thread_register();
}

void
fl_lot_unpark_one(const void *key, fl_unpark_fn *decide, void *ctx, fl_waiter *later)
{
    know_waker();
    fl_bucket *bucket = fl_bucket_of(key);
    fl_bucket_lock(bucket);
    fl_waiter *first = *fl_bucket_queue(bucket, key);
    fl_chain chain = {.first = NULL, .end = &chain.first};
    if (decide(ctx, first, first && first->next) && first) {
        fl_bucket_take_out(bucket, first);
        chain_or_wake(&chain, first);
    }
    fl_bucket_unlock(bucket);
    if (later && chain.first && !chain.first->handed_off) {
        later->owed = chain.first;
    }
    else {
        wake_attached(chain.first);
    }
}

size_t
fl_lot_unpark_many(const void *key, const fl_unpark_ops *ops, void *ctx)
{
    know_waker();
    fl_chain chain = {.first = NULL, .end = &chain.first};
    fl_bucket *bucket = fl_bucket_of(key);
    fl_bucket_lock(bucket);
    size_t count = chain_first(&chain, bucket, key, ops, ops->begin(ctx), ctx);
    ops->end(ctx, *fl_bucket_queue(bucket, key) != NULL);
    fl_bucket_unlock(bucket);
    wake_attached(chain.first);
    return count;
}

size_t
fl_lot_requeue(const void *from, const void *to, size_t most, fl_requeue_fn *decide, void (*done)(void *ctx, bool left),
               void *ctx)
{
    know_waker();
    size_t count = 0;
    fl_chain chain = {.first = NULL, .end = &chain.first};
    fl_bucket *bucket = fl_bucket_of(from);
    fl_bucket *target = fl_bucket_of(to);
    fl_bucket_lock_both(bucket, target);
    fl_waiter *waiter;
    while (count < most && (waiter = *fl_bucket_queue(bucket, from)) != NULL) {
        bool requeued = decide(ctx, waiter);
        fl_bucket_take_out(bucket, waiter);
        if (requeued) {
            (void)fl_bucket_put_in(target, waiter, to);
        }
        else {
            chain_or_wake(&chain, waiter);
        }
        count++;
    }
    done(ctx, *fl_bucket_queue(bucket, from) != NULL);
    fl_bucket_unlock_both(bucket, target);
    wake_attached(chain.first);
    return count;
}

/* ---- looking ---- */

/* Under the bucket's mutex. */
static size_t
walk_queue(const fl_waiter *head, void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx)
{
    size_t count = 0;
    for (const fl_waiter *waiter = head; waiter; waiter = waiter->next) {
        if (visit) {
            visit(ctx, waiter);
        }
        count++;
    }
    return count;
}

size_t
fl_lot_walk(const void *key, void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx)
{
    fl_bucket *bucket = fl_bucket_of(key);
    fl_bucket_lock(bucket);
    size_t count = walk_queue(*fl_bucket_queue(bucket, key), visit, ctx);
    fl_bucket_unlock(bucket);
    return count;
}

size_t
fl_lot_walk_locked(void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx)
{
    size_t count = 0;
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        for (const fl_waiter *head = fl_bucket_at(i)->queues; head; head = head->next_queue) {
            count += walk_queue(head, visit, ctx);
        }
    }
    return count;
}

size_t
fl_lot_walk_all(void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx)
{
    fl_buckets_lock_all();
    size_t count = fl_lot_walk_locked(visit, ctx);
    fl_buckets_unlock_all();
    return count;
}
