#include "core/lot/parking_lot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/lot/bucket.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "platform/clock.h"

/* ---- those who are to be woken ---- */

/* Waiters that were taken out, linked by `next`, in their order. */
typedef struct {
    fl_waiter *first;
    fl_waiter **end;
} fl_chain;

/* For later, when no mutex is held; except L7. */
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

/* Wakes them while the calling thread has its runtime, if it has one. */
static void
wake_attached(fl_waiter *first)
{
    if (first) {
        fl_spin_runtime_held();
        wake_all(first);
    }
}

/* L8 */
static void
pay(fl_waiter *waiter)
{
    if (waiter->owed) {
        fl_parker_wake(&waiter->owed->parker);
        waiter->owed = NULL;
    }
}

/* Takes the first waiters of the key out, `most` at most.  Returns how many there were. */
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

int
fl_waiter_init(fl_waiter *waiter, bool keeps_place)
{
    waiter->queued = false;
    waiter->notified = false;
    waiter->handed_off = false;
    waiter->designated = false;
    waiter->polling = false;
    waiter->is_first = false;
    waiter->is_woken_with_all = false;
    waiter->is_only_woken = false;
    waiter->was_interrupted = false;
    waiter->place = 0;
    waiter->waker = 0;
    waiter->owed = NULL;
    waiter->on_leave = NULL;
    waiter->keeps_place = keeps_place;
    waiter->thread = fl_thread_register();
    waiter->since_ns = 0;
    return waiter->thread ? fl_parker_init(&waiter->parker) : ENOMEM;
}

void
fl_waiter_fini(fl_waiter *waiter)
{
    assert(!waiter->queued && !waiter->owed);
    fl_parker_destroy(&waiter->parker);
}

fl_waiter *
fl_waiter_begin(fl_waiter *storage, const fl_blocker *blocker)
{
    bool polls_in_place = blocker && blocker->interruptible;
    fl_waiter *waiter = polls_in_place ? malloc(sizeof *waiter) : storage; /* L5 */
    if (waiter && fl_waiter_init(waiter, true) != 0) {
        if (waiter != storage) {
            free(waiter);
        }
        return NULL;
    }
    return waiter;
}

void
fl_waiter_end(fl_waiter *waiter, fl_waiter *storage)
{
    fl_waiter_fini(waiter);
    if (waiter != storage) {
        free(waiter);
    }
}

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

/* L2: an unparker has the waiter, and wakes it in a moment. */
static void
await_wake(fl_waiter *waiter)
{
    (void)fl_parker_sleep(&waiter->parker, FL_DEADLINE_NEVER, false);
}

/* What becomes of a waiter whose sleep ended without a wake-up. */
typedef enum {
    LEAVES,      /* it has left its queue, or has to poll in it */
    STAYS,       /* its timeout was refused */
    IS_UNPARKED, /* an unparker was first */
} leave_result;

static leave_result
time_out(fl_bucket *bucket, fl_waiter *waiter, fl_chain *chain)
{
    fl_leave leave = waiter->on_leave ? waiter->on_leave(waiter, true) : FL_LEAVES;
    if (leave == FL_STAYS) {
        return STAYS;
    }
    fl_bucket_take_out(bucket, waiter);
    if (leave == FL_LEAVES_WITH_ALL) {
        (void)chain_first(chain, bucket, fl_load_relaxed_ptr(&waiter->key), NULL, SIZE_MAX, NULL);
    }
    return LEAVES;
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
    return LEAVES;
}

static leave_result
leave(fl_waiter *waiter, fl_sleep_result slept)
{
    leave_result result = IS_UNPARKED;
    fl_chain chain = {.first = NULL, .end = &chain.first};
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    if (waiter->queued && !waiter->notified) {
        result = slept == FL_SLEEP_TIMED_OUT ? time_out(bucket, waiter, &chain) : interrupt(bucket, waiter);
    }
    fl_bucket_unlock(bucket);
    wake_all(chain.first);
    return result;
}

/* Of the bucket that it waits in; it may be requeued meanwhile. */
static fl_spin_history *
history_of(fl_waiter *waiter)
{
    return &fl_bucket_of(fl_load_relaxed_ptr(&waiter->key))->history;
}

/* Sleeps, detached, until the waiter is unparked or has left its queue or has to poll. */
static fl_wait_result
sleep_detached(fl_waiter *waiter, int64_t *deadline_ns, bool interruptible)
{
    if ((waiter->is_first || waiter->is_woken_with_all) && !waiter->was_interrupted) {
        fl_spin_for_wake(&waiter->parker, history_of(waiter), *deadline_ns);
    }
    for (;;) {
        fl_sleep_result slept = fl_parker_sleep(&waiter->parker, *deadline_ns, interruptible);
        if (slept == FL_SLEEP_WOKEN) {
            return FL_WAIT_UNPARKED;
        }
        switch (leave(waiter, slept)) {
            case LEAVES:
                return slept == FL_SLEEP_TIMED_OUT ? FL_WAIT_TIMED_OUT : FL_WAIT_INTERRUPTED;
            case STAYS:
                *deadline_ns = FL_DEADLINE_NEVER;
                break;
            case IS_UNPARKED:
                await_wake(waiter);
                return FL_WAIT_UNPARKED;
        }
    }
}

/* poll(), attached.  Returns true where the wait goes on, the waiter still in its place. */
static bool
poll_in_place(fl_waiter *waiter, fl_blocker *blocker, fl_wait_result *result)
{
    bool goes_on = blocker->poll(blocker);
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

/* Of a waiter that was unparked: whether others wait for what was handed to it. */
static bool
holds_something(const fl_waiter *waiter)
{
    return waiter->handed_off && !waiter->is_woken_with_all;
}

/* Sleeps, detached, until nothing is left to wait for but the runtime. */
static fl_wait_result
sleep_for(fl_waiter *waiter, int64_t *deadline_ns, fl_blocker *blocker, const fl_lot_goal *goal)
{
    fl_wait_result result;
    do {
        result = sleep_detached(waiter, deadline_ns, blocker && blocker->interruptible);
        if (result != FL_WAIT_UNPARKED) {
            return result;
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
    do {
        if (blocker) {
            blocker->detach(blocker);
            fl_spin_runtime_left();
        }
        pay(waiter);
        result = sleep_for(waiter, &deadline_ns, blocker, goal);
        if (blocker) {
            blocker->attach(blocker);
            blocker->timed = deadline_ns != FL_DEADLINE_NEVER;
        }
    } while (result == FL_WAIT_INTERRUPTED && poll_in_place(waiter, blocker, &result));
    return result;
}

fl_wait_result
fl_lot_sleep(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker)
{
    return fl_lot_sleep_for(waiter, deadline_ns, blocker, NULL);
}

bool
fl_lot_back_off(const void *key, int64_t deadline_ns, fl_blocker *blocker, bool (*is_decided)(void *ctx), void *ctx)
{
    fl_spin_history *history = &fl_bucket_of(key)->back_offs;
    if (!fl_spin_backs_off(key, history, deadline_ns)) {
        return false;
    }
    bool decided = false;
    bool waited = true;
    for (int i = 0; i < FL_SPIN_BACK_OFFS && waited && !decided; i++) {
        if (blocker) {
            blocker->detach(blocker);
        }
        waited = fl_spin_back_off(i);
        if (blocker) {
            blocker->attach(blocker);
        }
        decided = is_decided(ctx);
    }
    if (waited) {
        fl_spin_backed_off(history, decided);
    }
    return decided;
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

/* So that those whom the calling thread wakes can follow it; without memory for its record they do not.  It allocates, and
 * so comes before a mutex is taken (L6). */
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

size_t
fl_lot_walk(const void *key, void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx)
{
    size_t count = 0;
    fl_bucket *bucket = fl_bucket_of(key);
    fl_bucket_lock(bucket);
    for (fl_waiter *waiter = *fl_bucket_queue(bucket, key); waiter; waiter = waiter->next) {
        if (visit) {
            visit(ctx, waiter);
        }
        count++;
    }
    fl_bucket_unlock(bucket);
    return count;
}
