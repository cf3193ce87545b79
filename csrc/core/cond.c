#include "core/cond.h"

#include "core/lot/parking_lot.h"
#include "core/probes.h"
#include "platform/clock.h"

static bool
mark_parked(void *arg)
{
    fl_cond *cond = arg;
    fl_store_relaxed_u32(&cond->word, FL_COND_PARKED);
    return true;
}

void
fl_cond_enqueue(fl_cond *cond, fl_waiter *waiter)
{
    waiter->kind = FL_FOR_COND;
    (void)fl_lot_enqueue(waiter, cond, mark_parked, cond);
}

void
fl_cond_enqueue_for_notification(fl_cond *cond, fl_waiter *waiter)
{
    waiter->wants_no_lock = true;
    fl_cond_enqueue(cond, waiter);
}

typedef struct {
    fl_cond *cond;
    fl_cond_lock lock;
    int64_t now_ns;
    bool moves; /* C3 */
} notify_ctx;

/* fl_requeue_fn: C2, C3, C5 */
static bool
notify_waiter(void *arg, fl_waiter *waiter)
{
    notify_ctx *ctx = arg;
    waiter->notified = true;
    waiter->since_ns = ctx->now_ns; /* for the lock it has been waiting since now */
    return ctx->moves && !waiter->polling && !waiter->wants_no_lock &&
           ctx->lock.ops->wait.mark_parked(ctx->lock.lock, waiter, true);
}

static void
notify_done(void *arg, bool left)
{
    notify_ctx *ctx = arg;
    fl_store_relaxed_u32(&ctx->cond->word, left ? FL_COND_PARKED : 0);
}

FL_SLOW size_t
fl_cond_notify_slow(fl_cond *cond, size_t most, fl_cond_lock lock)
{
    bool moves = lock.ops && lock.ops->is_own(lock.lock);
    notify_ctx ctx = {.cond = cond, .lock = lock, .now_ns = fl_clock_now_ns(), .moves = moves};
    const void *to = lock.lock ? lock.lock : (const void *)cond;
    size_t count = fl_lot_requeue(cond, to, most, notify_waiter, notify_done, &ctx);
    fl_probe_notify(cond, count);
    return count;
}

/* Takes nobody out; notify_done writes what is true of the queue in the child. */
void
fl_cond_after_fork(fl_cond *cond)
{
    notify_ctx ctx = {.cond = cond};
    (void)fl_lot_requeue(cond, cond, 0, notify_waiter, notify_done, &ctx);
}

typedef struct {
    fl_cond *cond;
    bool any;
    void (*done)(void *ctx);
    void *ctx;
} adopt_ctx;

/* fl_requeue_fn */
static bool
adopt_waiter(void *arg, fl_waiter *waiter)
{
    adopt_ctx *ctx = arg;
    waiter->wants_no_lock = true;
    waiter->kind = FL_FOR_COND;
    ctx->any = true;
    return true;
}

static void
adopt_done(void *arg, bool left)
{
    adopt_ctx *ctx = arg;
    (void)left; /* never */
    if (ctx->any) {
        fl_store_relaxed_u32(&ctx->cond->word, FL_COND_PARKED);
    }
    ctx->done(ctx->ctx);
}

void
fl_cond_adopt(fl_cond *cond, const void *from, void (*done)(void *ctx), void *ctx)
{
    adopt_ctx adopting = {.cond = cond, .done = done, .ctx = ctx};
    (void)fl_lot_requeue(from, cond, SIZE_MAX, adopt_waiter, adopt_done, &adopting);
}

void
fl_cond_pass_on(fl_cond *cond, const fl_waiter *waiter, fl_cond_lock lock)
{
    if (waiter->notified) {
        (void)fl_cond_notify(cond, 1, lock);
    }
}

/* The waiter was woken for the lock, or handed it, but does not want it.  It takes the lock and releases it, so that
 * the next in the queue is woken (K1). */
static void
decline(fl_cond_lock lock, fl_waiter *waiter)
{
    if (waiter->handed_off || lock.ops->wait.try_lock(lock.lock, waiter) == FL_LOCK_ACQUIRED) {
        (void)lock.ops->release_all(lock.lock, NULL);
    }
}

typedef struct {
    fl_waiter *waiter;
    fl_cond_lock lock;
    bool takes_part; /* it has gone to the lock's queue by itself */
} lock_goal;

/* For fl_lot_sleep_for: whether an unparked waiter goes to the lock's queue.  It does if it was notified and the lock
 * is held: a quicker thread may have taken the lock since the wake-up. */
static bool
take_part(void *arg)
{
    lock_goal *ctx = arg;
    ctx->takes_part = ctx->waiter->notified && ctx->lock.ops->wait.mark_parked(ctx->lock.lock, ctx->waiter, false);
    return ctx->takes_part;
}

/* For fl_lot_sleep_for.  For a waiter that a notification has moved it is the others who look: D3. */
static bool
look(void *arg)
{
    lock_goal *ctx = arg;
    return ctx->takes_part && ctx->lock.ops->wait.look(ctx->waiter);
}

static void
note_hold(fl_cond_lock lock, fl_waiter *waiter)
{
    if (lock.ops->note_hold) {
        lock.ops->note_hold(lock.lock, waiter);
    }
}

static fl_cond_result
wait_as(fl_cond *cond, fl_cond_lock lock, fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker,
        fl_blocker *blocker_back)
{
    if (!fl_blocker_poll(blocker)) {
        return FL_COND_GIVEN_UP;
    }
    if (!lock.ops->is_owned(lock.lock)) {
        return FL_COND_NOT_HELD; /* before anybody can hand it the lock, which would then seem to be its own */
    }
    note_hold(lock, waiter);
    waiter->deadline_ns = deadline_ns;
    waiter->runtime = fl_blocker_runtime(blocker);
    fl_cond_enqueue(cond, waiter); /* C1 */
    uint64_t depth = lock.ops->release_all(lock.lock, waiter);
    if (depth == 0) {
        if (!fl_lot_cancel(waiter)) {
            decline(lock, waiter);
        }
        fl_cond_pass_on(cond, waiter, lock);
        return FL_COND_NOT_HELD;
    }
    lock_goal ctx = {waiter, lock, false};
    fl_lot_goal goal = {lock.lock, take_part, &ctx, look};
    fl_wait_result waited = fl_lot_sleep_for(waiter, deadline_ns, blocker, &goal);
    /* From here on the same waiter waits for the lock, and it may have been woken for the lock, or handed it, already:
     * a new waiter would lose that (K1).  It does not keep its place any more: a lock that is handed to a waiter while
     * its poll() runs would seem to be held by the signal handler.  Its age for the lock begins at the notification, or
     * now: the wait for the notification does not count (L9). */
    waiter->keeps_place = false;
    if (waiter->notified) {
        fl_blocker_set_notified(blocker, waiter->since_ns);
    }
    else {
        waiter->since_ns = 0;
    }
    fl_lock_result back = FL_LOCK_DEADLOCK;
    if (waited != FL_WAIT_DEADLOCKED || fl_lock_bears_deadlock(lock.lock, waiter, blocker_back)) {
        back = fl_lock_wait_as(&lock.ops->wait, lock.lock, waiter, FL_DEADLINE_NEVER, blocker_back);
    }
    if (back == FL_LOCK_DEADLOCK) {
        return FL_COND_ORPHANED; /* a notification is not passed on: nobody else gets the lock either */
    }
    if (back != FL_LOCK_ACQUIRED) {
        fl_cond_pass_on(cond, waiter, lock);
        return FL_COND_LOCK_LOST;
    }
    lock.ops->restore(lock.lock, depth);
    if (waited == FL_WAIT_GIVEN_UP) {
        fl_cond_pass_on(cond, waiter, lock);
        return FL_COND_GIVEN_UP;
    }
    return waiter->notified ? FL_COND_NOTIFIED : FL_COND_TIMED_OUT;
}

static fl_cond_result
give_way_as(fl_cond_lock lock, fl_waiter *waiter, fl_blocker *blocker_back)
{
    note_hold(lock, waiter);
    uint64_t depth = lock.ops->release_all(lock.lock, NULL);
    if (depth == 0) {
        return FL_COND_NOT_HELD;
    }
    fl_lock_result back = fl_lock_wait_as(&lock.ops->wait, lock.lock, waiter, FL_DEADLINE_NEVER, blocker_back);
    if (back != FL_LOCK_ACQUIRED) {
        return back == FL_LOCK_DEADLOCK ? FL_COND_ORPHANED : FL_COND_LOCK_LOST;
    }
    lock.ops->restore(lock.lock, depth);
    return FL_COND_TIMED_OUT;
}

/* The waiter, which is rarely needed, is set up before the lock is released: afterwards the lock has to be taken back,
 * and a lack of resources would be too late. */
fl_cond_result
fl_cond_give_way(fl_cond_lock lock, fl_blocker *blocker_back)
{
    fl_waiter waiter;
    if (fl_waiter_init(&waiter, false) != 0) {
        return FL_COND_NO_MEMORY;
    }
    waiter.runtime = fl_blocker_runtime(blocker_back);
    fl_cond_result result = give_way_as(lock, &waiter, blocker_back);
    fl_waiter_fini(&waiter);
    return result;
}

fl_cond_result
fl_cond_wait(fl_cond *cond, fl_cond_lock lock, int64_t deadline_ns, fl_blocker *blocker, fl_blocker *blocker_back)
{
    fl_waiter storage;
    fl_waiter *waiter = fl_waiter_begin(&storage, blocker);
    if (waiter == NULL) {
        return FL_COND_NO_MEMORY;
    }
    fl_cond_result result = wait_as(cond, lock, waiter, deadline_ns, blocker, blocker_back);
    fl_waiter_end(waiter, &storage);
    return result;
}
