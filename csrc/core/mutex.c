#include "core/mutex.h"

typedef struct {
    fl_mutex *mutex;
    bool was_held;
} unlock_ctx;

/* fl_unpark_fn.  The word can change until the store: another thread may release the mutex too (without PARKED), or
 * take it. */
static bool
release_to(void *arg, fl_waiter *first, bool more)
{
    unlock_ctx *ctx = arg;
    bool hands_off = fl_lock_hands_off(first);
    uint32_t after = (hands_off ? FL_MUTEX_HELD : 0u) | (more ? FL_MUTEX_PARKED : 0u);
    uint32_t word = fl_load_relaxed_u32(&ctx->mutex->word);
    do {
        ctx->was_held = word & FL_MUTEX_HELD;
        if (!ctx->was_held) {
            return false;
        }
    } while (!fl_cas_release_u32(&ctx->mutex->word, &word, after));
    if (first) {
        first->handed_off = hands_off;
    }
    return true;
}

FL_SLOW bool
fl_mutex_unlock_slow(fl_mutex *mutex, fl_waiter *later)
{
    unlock_ctx ctx = {.mutex = mutex};
    fl_lot_unpark_one(mutex, release_to, &ctx, later);
    return ctx.was_held;
}

/* ---- fl_lock_ops ---- */

static bool
is_owned(void *lock)
{
    return fl_mutex_is_locked(lock);
}

static fl_lock_result
try_lock(void *lock)
{
    return fl_mutex_try_lock(lock) ? FL_LOCK_ACQUIRED : FL_LOCK_TIMED_OUT;
}

static bool
mark_parked(void *lock)
{
    fl_mutex *mutex = lock;
    uint32_t word = fl_load_relaxed_u32(&mutex->word);
    while ((word & FL_MUTEX_HELD) && !(word & FL_MUTEX_PARKED)) {
        if (fl_cas_relaxed_u32(&mutex->word, &word, word | FL_MUTEX_PARKED)) {
            return true;
        }
    }
    return word & FL_MUTEX_HELD;
}

static uint64_t
release_all(void *lock, fl_waiter *later)
{
    return fl_mutex_unlock_fast(lock) || fl_mutex_unlock_slow(lock, later) ? 1 : 0;
}

static void
restore(void *lock, uint64_t depth)
{
    (void)lock;
    (void)depth; /* always 1 */
}

const fl_lock_ops fl_mutex_ops = {
    .is_owned = is_owned,
    .try_lock = try_lock,
    .mark_parked = mark_parked,
    .release_all = release_all,
    .restore = restore,
};
