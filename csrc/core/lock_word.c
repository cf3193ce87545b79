#include "core/lock_word.h"

#include "core/lockable.h"
#include "core/lot/back_off.h"
#include "core/lot/give_way.h"
#include "core/lot/parking_lot.h"
#include "platform/attached.h"

enum { WOKEN_STEP = 2 };

_Static_assert((FL_WORD_WOKEN & -FL_WORD_WOKEN) == WOKEN_STEP, "the lowest bit of WOKEN");

uint64_t fl_word_woken = WOKEN_STEP;

void
fl_word_after_fork_in_child(void)
{
    fl_word_woken = (fl_word_woken + WOKEN_STEP) & FL_WORD_WOKEN;
    if (fl_word_woken == 0) {
        fl_word_woken = WOKEN_STEP;
    }
}

/* Whether a waiter is designated, in this process (W5). */
static inline bool
has_designated(uint64_t seen)
{
    return (seen & FL_WORD_WOKEN) == fl_word_woken;
}

/* The word after a release that wakes nobody.  The WOKEN of another process is cleared, so that it cannot be mistaken
 * for this one's some day. */
static inline uint64_t
without_holder(uint64_t seen)
{
    return seen & (has_designated(seen) ? FL_WORD_FLAGS : FL_WORD_PARKED);
}

/* Whether a release has to look for a waiter (W4). */
static inline bool
needs_mutex(uint64_t seen, fl_wake_policy policy)
{
    return (seen & FL_WORD_PARKED) && (policy == FL_WAKE_NEXT || !has_designated(seen));
}

bool
fl_word_is_promised_slow(fl_atomic_u64 *word, uint64_t seen)
{
    return has_designated(seen) && fl_give_way_is_due(word);
}

bool
fl_word_try_take_as(fl_atomic_u64 *word, uint64_t taker, fl_waiter *waiter)
{
    if (waiter == NULL || !waiter->designated) {
        return fl_word_try_take(word, taker);
    }
    waiter->designated = false;
    uint64_t seen = fl_load_relaxed_u64(word);
    bool is_free;
    uint64_t after;
    do {
        is_free = fl_word_holder(seen) == 0;
        after = (seen & ~FL_WORD_WOKEN) | (is_free ? taker : 0);
    } while (!fl_cas_acquire_u64(word, &seen, after));
    return is_free;
}

/* W6 */
static inline bool
may_change(uint64_t seen, bool attached)
{
    return attached || !FL_RUNTIME_LOCK || (seen & FL_WORD_FLAGS) != 0;
}

bool
fl_word_mark_parked(fl_atomic_u64 *word, fl_waiter *waiter, fl_wait_kind kind, bool attached)
{
    uint64_t ended = waiter->designated ? FL_WORD_WOKEN : 0;
    uint64_t seen = fl_load_relaxed_u64(word);
    while ((fl_word_holder(seen) != 0 || (waiter->gives_way && has_designated(seen))) && may_change(seen, attached)) {
        uint64_t after = (seen & ~ended) | FL_WORD_PARKED;
        if (after == seen || fl_cas_relaxed_u64(word, &seen, after)) {
            waiter->designated = false;
            waiter->kind = kind;
            return true;
        }
    }
    return false;
}

typedef struct {
    fl_atomic_u64 *word;
    fl_wake_policy policy;
    bool was_held;
    bool designates;
} release_ctx;

/* What the word shows as the holder when the lock has been handed to the waiter. */
static inline uint64_t
heir_of(const fl_waiter *waiter)
{
    return waiter->thread | (waiter->kind == FL_FOR_MUTEX && !waiter->scoped ? FL_WORD_LOOSE : 0);
}

/* fl_unpark_fn: decides what the release does, and does it with one compare-and-swap.
 *
 * The bucket's mutex keeps the queue and PARKED as they are, but not the rest of the word.  Another thread may release
 * the lock meanwhile, where anybody may do that; take it then; or end a designation.  So everything that depends on the
 * word is decided anew in each turn of the loop, and only the age of the first waiter, which the mutex guards, before
 * it.
 *
 * The waiter's fields are written after the compare-and-swap that has settled them, and before it leaves the queue
 * (L4).  `ctx->word` may be gone by then: the next holder may free the lock. */
static bool
release_to(void *arg, fl_waiter *first, bool more)
{
    release_ctx *ctx = arg;
    int64_t waited_ns = first ? fl_lock_waited_ns(first) : 0;
    bool hands_off = first && fl_lock_hands_off(waited_ns);
    fl_wake_policy policy = waited_ns < FL_WAKE_NEXT_NS ? ctx->policy : FL_WAKE_ONE;
    uint64_t next = more ? FL_WORD_PARKED : 0;
    if (hands_off) {
        next |= heir_of(first);
    }
    bool wakes;
    bool designates;
    uint64_t after;
    uint64_t seen = fl_load_relaxed_u64(ctx->word);
    do {
        ctx->was_held = fl_word_holder(seen) != 0;
        if (!ctx->was_held) {
            return false;
        }
        wakes = needs_mutex(seen, policy);
        after = without_holder(seen);
        designates = wakes && first && !hands_off && policy == FL_WAKE_ONE;
        if (wakes) {
            after = next | (designates || has_designated(seen) ? fl_word_woken : 0);
        }
    } while (!fl_cas_release_u64(ctx->word, &seen, after));
    if (wakes && first) {
        first->handed_off = hands_off;
        first->designated = designates;
    }
    ctx->designates = designates;
    return wakes;
}

FL_SLOW bool
fl_word_release(fl_atomic_u64 *word, fl_wake_policy policy, fl_waiter *later)
{
    uint64_t seen = fl_load_relaxed_u64(word);
    while (fl_word_holder(seen) != 0 && !needs_mutex(seen, policy)) {
        if (fl_cas_release_u64(word, &seen, without_holder(seen))) {
            return true;
        }
    }
    release_ctx ctx = {.word = word, .policy = policy};
    fl_lot_unpark_one(word, release_to, &ctx, later);
    if (ctx.designates) {
        fl_give_way_begin(word);
        if (policy == FL_WAKE_ONE) { /* a thread that uses a condition does not back off */
            fl_back_off_remember(word);
        }
    }
    return ctx.was_held;
}
