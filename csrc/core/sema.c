#include "core/sema.h"

#include <stddef.h>

#include "core/lot/parking_lot.h"

_Static_assert(offsetof(fl_sema, word) == 0, "the key of a semaphore is the address of its word");

/* ---- giving permits back ---- */

typedef struct {
    fl_sema *sema;
    uint64_t count, bound;
    uint64_t handed_off;
    bool refused; /* there would be more than the bound, or it is not ours to release */
    bool over;    /* nothing is left to do at the end */
} release_ctx;

/* S3, S5.  Where PARKED is clear nobody is queued, and other releases change the word without the mutex: hence the
 * loop. */
static size_t
begin_release(void *arg)
{
    release_ctx *ctx = arg;
    uint64_t word = fl_load_relaxed_u64(&ctx->sema->word);
    do {
        if ((word & FL_SEMA_OPENED) || ctx->count > ctx->bound - word / FL_SEMA_ONE) {
            ctx->refused = ctx->over = true;
            return 0;
        }
        if (word & FL_SEMA_PARKED) {
            return ctx->count < SIZE_MAX ? (size_t)ctx->count : SIZE_MAX;
        }
    } while (!fl_cas_release_u64(&ctx->sema->word, &word, word + ctx->count * FL_SEMA_ONE));
    ctx->over = true;
    return 0;
}

static void
wake_or_hand_off(void *arg, fl_waiter *waiter)
{
    release_ctx *ctx = arg;
    waiter->handed_off = fl_lock_hands_off(fl_lock_waited_ns(waiter));
    ctx->handed_off += waiter->handed_off;
}

/* S4: the waiters that were taken out have a permit each, handed over or free. */
static void
end_release(void *arg, bool left)
{
    release_ctx *ctx = arg;
    if (ctx->over) {
        return;
    }
    uint64_t word = fl_load_relaxed_u64(&ctx->sema->word);
    uint64_t parked = left ? FL_SEMA_PARKED : 0; /* S2 */
    uint64_t permits;
    do {
        permits = word / FL_SEMA_ONE + ctx->count - ctx->handed_off;
    } while (!fl_cas_release_u64(&ctx->sema->word, &word, permits * FL_SEMA_ONE + parked));
}

FL_SLOW bool
fl_sema_release_slow(fl_sema *sema, uint64_t count, uint64_t bound)
{
    static const fl_unpark_ops ops = {.begin = begin_release, .take = wake_or_hand_off, .end = end_release};
    release_ctx ctx = {.sema = sema, .count = count, .bound = bound};
    (void)fl_lot_unpark_many(sema, &ops, &ctx);
    return !ctx.refused;
}

/* ---- opening (S6) ---- */

/* Runs last under the mutexes.  PARKED stays while the mutex is held; the permits may still change. */
static void
make_opened(void *ctx)
{
    fl_sema *sema = ctx;
    uint64_t word = fl_load_relaxed_u64(&sema->word);
    while (!fl_cas_release_u64(&sema->word, &word, (word & ~(uint64_t)FL_SEMA_PARKED) | FL_SEMA_OPENED)) {
    }
}

void
fl_sema_open(fl_sema *sema, fl_cond *cond)
{
    if (!fl_sema_is_opened(sema)) {
        fl_cond_adopt(cond, sema, make_opened, sema);
    }
}

/* ---- fl_lock_ops ---- */

static fl_lock_result
try_lock(void *sema, fl_waiter *waiter)
{
    (void)waiter; /* nobody is designated */
    if (fl_sema_try_acquire(sema)) {
        return FL_LOCK_ACQUIRED;
    }
    return fl_sema_is_opened(sema) ? FL_LOCK_OPENED : FL_LOCK_BUSY;
}

/* S2, S7 */
static bool
mark_parked(void *arg, fl_waiter *waiter, bool attached)
{
    fl_sema *sema = arg;
    waiter->kind = FL_FOR_SEMA;
    uint64_t word = fl_load_relaxed_u64(&sema->word);
    while (word == 0 && (attached || !FL_RUNTIME_LOCK)) {
        if (fl_cas_relaxed_u64(&sema->word, &word, FL_SEMA_PARKED)) {
            return true;
        }
    }
    return word == FL_SEMA_PARKED;
}

const fl_wait_ops fl_sema_ops = {
    .try_lock = try_lock,
    .mark_parked = mark_parked,
};
