"""Planted bugs of the locks, of conditions, and of what all waits are made of."""

from bug import Bug

WORD = "core/lock_word.c"
LOCKABLE = "core/lockable.c"
COND = "core/cond.c"
LOT = "core/lot/parking_lot.c"
BUCKET = "core/lot/bucket.c"
PARKER = "park/futex.c"
ATOMIC = "platform/atomic.h"

LOCK_BUGS = [
    # ---- the word of a lock ----
    Bug(
        "a waiter queues for a lock that has just been released",
        WORD,
        "    while ((fl_word_holder(seen) != 0 || (waiter->gives_way && has_designated(seen))) && may_change(seen, attached)) {",
        "    while (may_change(seen, attached)) {",
        "mutex-two",
    ),
    Bug(
        "a release that hands nothing over clears PARKED though others wait",
        WORD,
        "uint64_t next = more ? FL_WORD_PARKED : 0;",
        "uint64_t next = 0;\n    (void)more;",
        "mutex-three",
    ),
    Bug(
        "WOKEN stays set when the designated waiter finds the lock held",
        WORD,
        "uint64_t ended = waiter->designated ? FL_WORD_WOKEN : 0;",
        "uint64_t ended = 0;",
        "mutex-three",
    ),
    Bug(
        "WOKEN stays set when the designated waiter takes the lock",
        WORD,
        "after = (seen & ~FL_WORD_WOKEN) | (is_free ? taker : 0);",
        "after = seen | (is_free ? taker : 0);",
        "mutex-three",
    ),
    Bug(
        "a designated waiter that finds the lock held stays designated",
        WORD,
        "            waiter->designated = false;\n            waiter->kind = kind;",
        "            waiter->kind = kind;",
        "mutex-three",
    ),
    Bug(
        "taking the lock forgets that others wait",
        WORD.replace(".c", ".h"),
        "if (fl_cas_acquire_u64(word, &seen, seen | taker)) {",
        "if (fl_cas_acquire_u64(word, &seen, taker)) {",
        "mutex-three",
    ),
    Bug(
        "a release designates a second waiter while the first is on its way",
        WORD,
        "designates = wakes && first && !hands_off && policy == FL_WAKE_ONE;",
        "designates = wakes && first && !hands_off;",
        "mutex-policies",
    ),
    Bug(
        "a condition's release clears the WOKEN of another waiter",
        WORD,
        "(designates || has_designated(seen) ? fl_word_woken : 0)",
        "(designates ? fl_word_woken : 0)",
        "mutex-policies",
    ),
    Bug(
        "a release that finds a designated waiter clears PARKED",
        WORD,
        "return seen & (has_designated(seen) ? FL_WORD_FLAGS : FL_WORD_PARKED);",
        "return seen & (has_designated(seen) ? FL_WORD_WOKEN : FL_WORD_PARKED);",
        "mutex-again-three",
    ),
    Bug(
        "a hand-off does not tell the waiter",
        WORD,
        "first->handed_off = hands_off;",
        "first->handed_off = false;",
        "mutex-hand-off",
    ),
    Bug(
        "a hand-off leaves the lock free",
        WORD,
        "    if (hands_off) {\n        next |=",
        "    if (hands_off && more) {\n        next |=",
        "mutex-hand-off",
    ),
    Bug(
        "a hand-off of a recursive mutex writes its old owner",
        WORD,
        "        next |= heir_of(first);",
        "        next |= first->kind == FL_FOR_MUTEX ? heir_of(first) : fl_thread_self();",
        "rmutex-three",
    ),
    Bug(
        "a release that finds the lock free says that it has released it",
        WORD,
        "        ctx->was_held = fl_word_holder(seen) != 0;",
        "        ctx->was_held = true;",
        "mutex-stranger",
    ),
    Bug(
        "a release looks at the word again after it",
        WORD,
        "    return ctx.was_held;",
        "    return ctx.was_held && (fl_load_relaxed_u64(word) | 1);",
        "mutex-freed",
    ),
    Bug(
        "the fast release does not look whether others wait",
        "core/mutex.h",
        "    return FL_LIKELY((seen & FL_WORD_FLAGS) == 0 && seen != 0) &&\n"
        "           fl_attached_swap_seen_release_u64(&mutex->word, seen, 0); /* W4, W6 */",
        "    if ((seen & FL_WORD_WOKEN) == 0 && fl_word_holder(seen) != 0) {\n"
        "        fl_store_release_u64(&mutex->word, 0);\n        return true;\n    }\n    return false;",
        "mutex-two",
    ),
    # ---- waiting for a lock ----
    Bug(
        "a woken waiter runs its signal handlers before it tries the lock",
        LOCKABLE,
        "        fl_lock_result result = ops->try_lock(lock, waiter);\n        if (result == FL_LOCK_BUSY) {",
        "        fl_lock_result result = FL_LOCK_BUSY;\n        if (waiter->thread) {",
        "mutex-gives-up",
    ),
    Bug(
        "a waiter that was handed the lock tries it",
        LOCKABLE,
        "    while (!waiter->handed_off) {",
        "    for (;;) {",
        "mutex-hand-off",
    ),
    Bug(
        "a thread that got the lock while it backed off queues for it",
        LOCKABLE,
        "again)) {\n        return again.result;",
        "again)) {\n        (void)again.result;",
        "mutex-back-off",
    ),
    # ---- the recursive mutex ----
    Bug(
        "a thread waits for the recursive mutex that its signal handler has taken",
        "core/rmutex.c",
        "fl_rmutex_owner(mutex) != waiter->thread &&\n           fl_word_mark_parked",
        "fl_word_mark_parked",
        "rmutex-handler",
    ),
    Bug(
        "the fast release of a recursive mutex does not look at its depth",
        "core/rmutex.h",
        "return fl_load_relaxed_u64(&mutex->extra) == 0 && FL_LIKELY(self != 0) &&",
        "return FL_LIKELY(self != 0) &&",
        "rmutex-two",
    ),
    Bug(
        "the depth is cleared after the release",
        "core/rmutex.h",
        "    fl_store_relaxed_u64(&mutex->extra, 0); /* R3 */\n"
        "    if (FL_UNLIKELY(!fl_attached_swap_release_u64(&mutex->word, fl_thread_self(), 0))) {\n"
        "        (void)fl_word_release(&mutex->word, FL_WAKE_NEXT, later);\n    }\n",
        "    if (FL_UNLIKELY(!fl_attached_swap_release_u64(&mutex->word, fl_thread_self(), 0))) {\n"
        "        (void)fl_word_release(&mutex->word, FL_WAKE_NEXT, later);\n    }\n"
        "    fl_store_relaxed_u64(&mutex->extra, 0);\n",
        "cond-give-way",
    ),
    # ---- conditions ----
    Bug(
        "a wait queues after it has released the lock",
        COND,
        "    fl_cond_enqueue(cond, waiter); /* C1 */\n    uint64_t depth = lock.ops->release_all(lock.lock, waiter);\n",
        "    uint64_t depth = lock.ops->release_all(lock.lock, NULL);\n    fl_cond_enqueue(cond, waiter);\n",
        "cond-two",
    ),
    Bug(
        "a notified waiter's age is that of its whole wait",
        COND,
        "    waiter->since_ns = ctx->now_ns; /* for the lock it has been waiting since now */\n",
        "",
        "cond-timed",
    ),
    Bug(
        "the age of a waiter that has timed out is that of its whole wait",
        COND,
        "        waiter->since_ns = 0;\n",
        "        (void)waiter;\n",
        "cond-timed",
    ),
    Bug(
        "a notified waiter goes to the lock's queue whether the lock is held or not, unmarked",
        COND,
        "!waiter->wants_no_lock &&\n           ctx->lock.ops->wait.mark_parked(ctx->lock.lock, waiter, true);",
        "!waiter->wants_no_lock;",
        "cond-two",
    ),
    Bug(
        "a waiter whose signal handler runs goes to the lock's queue",
        COND,
        "ctx->moves && !waiter->polling && !waiter->wants_no_lock",
        "ctx->moves && !waiter->wants_no_lock",
        "cond-handler-notifies",
    ),
    Bug(
        "a waiter that does not want the lock goes to its queue",
        COND,
        "ctx->moves && !waiter->polling && !waiter->wants_no_lock",
        "ctx->moves && !waiter->polling",
        "cond-adopt",
    ),
    Bug(
        "a notification forgets those who still wait",
        COND,
        "fl_store_relaxed_u32(&ctx->cond->word, left ? FL_COND_PARKED : 0);",
        "fl_store_relaxed_u32(&ctx->cond->word, 0 * left);",
        "cond-two-wait",
    ),
    Bug(
        "a condition does not note that it has adopted waiters",
        COND,
        "    if (ctx->any) {",
        "    if (!ctx->any) {",
        "cond-adopt",
    ),
    Bug(
        "a wait that is given up keeps its notification",
        COND,
        "        fl_cond_pass_on(cond, waiter, lock);\n        return FL_COND_GIVEN_UP;",
        "        return FL_COND_GIVEN_UP;",
        "cond-gives-up",
    ),
    Bug(
        "a wait that cannot take its lock back keeps its notification",
        COND,
        "        fl_cond_pass_on(cond, waiter, lock);\n        return FL_COND_LOCK_LOST;",
        "        return FL_COND_LOCK_LOST;",
        "cond-lock-lost --gil",
    ),
    Bug(
        "a wait that turns out not to hold the lock keeps the lock that it was handed",
        COND,
        "            decline(lock, waiter);",
        "            (void)decline;",
        "cond-not-held",
    ),
    Bug(
        "a wait does not restore the depth",
        COND,
        "    lock.ops->restore(lock.lock, depth);\n    if (waited",
        "    if (waited",
        "cond-depth",
    ),
    # ---- the parking lot ----
    Bug(
        "a waiter resets its parker when it is queued already",
        LOT,
        "    fl_bucket_unlock(bucket);\n    return valid;",
        "    fl_bucket_unlock(bucket);\n    fl_parker_reset(&waiter->parker);\n    return valid;",
        "mutex-two",
    ),
    Bug(
        "a waiter that goes back to sleep does not reset its parker",
        LOT,
        "    fl_parker_reset(&waiter->parker);\n    if (waiter->since_ns == 0) {",
        "    if (waiter->since_ns == 0) {",
        "mutex-three",
    ),
    Bug(
        "a waiter that times out does not look whether it is queued",
        LOT,
        "    if (waiter->queued && !waiter->notified) {",
        "    if (!waiter->notified) {",
        "mutex-timed",
    ),
    Bug(
        "a notified waiter is interrupted in the lock's queue",
        LOT,
        "    if (waiter->queued && !waiter->notified) {",
        "    if (waiter->queued) {",
        "cond-gives-up-two",
    ),
    Bug(
        "a waiter that comes too late to time out does not wait for its waker",
        LOT,
        "            case WILL_BE_WOKEN:\n                await_wake(waiter);",
        "            case WILL_BE_WOKEN:",
        "mutex-timed",
    ),
    Bug(
        "a cancelled wait does not wait for its waker",
        LOT,
        "    if (!cancelled) {\n        await_wake(waiter);\n    }",
        "",
        "cond-not-held",
    ),
    Bug(
        "a waiter that is given up stays in its queue",
        LOT,
        "    if (!unparked && !goes_on) {",
        "    if (!unparked && !goes_on && waiter->on_leave) {",
        "cond-gives-up-two",
    ),
    Bug(
        "a waiter whose signal handler is to run stays in the lock's queue",
        LOT,
        "    if (waiter->keeps_place) {\n        waiter->polling = true;",
        "    if (waiter->was_interrupted) {\n        waiter->polling = true;",
        "mutex-gives-up",
    ),
    Bug(
        "a waker looks at the waiter after it has woken it",
        LOT,
        "        first = waiter->next; /* the waiter is gone once it is woken */\n"
        "        fl_parker_wake(&waiter->parker);\n",
        "        fl_parker_wake(&waiter->parker);\n        first = waiter->next;\n",
        "mutex-again",
    ),
    Bug(
        "a wait does not wake the waiter that it owes a wake-up",
        LOT,
        "        pay(waiter);\n        result",
        "        result",
        "cond-two-wait",
    ),
    Bug(
        "a release decides about the first waiter without the bucket's mutex",
        LOT,
        "    if (decide(ctx, first, first && first->next) && first) {\n        fl_bucket_take_out(bucket, first);\n"
        "        chain_or_wake(&chain, first);\n    }\n    fl_bucket_unlock(bucket);\n",
        "    fl_bucket_unlock(bucket);\n    if (decide(ctx, first, first && first->next) && first) {\n"
        "        fl_bucket_take_out(bucket, first);\n        chain_or_wake(&chain, first);\n    }\n",
        "mutex-timed",
    ),
    Bug(
        "a release wakes a waiter that stays queued",
        LOT,
        "        fl_bucket_take_out(bucket, first);\n        chain_or_wake(&chain, first);",
        "        chain_or_wake(&chain, first);",
        "mutex-two",
    ),
    # ---- the buckets ----
    Bug(
        "a waiter locks a bucket that it is not in any more",
        BUCKET,
        "        if (fl_bucket_of_waiter(waiter) == bucket) {",
        "        if (waiter) {",
        "cond-requeue",
    ),
    Bug(
        "a waiter that comes back goes to the end of the queue",
        BUCKET,
        "    fl_waiter *back = head->tail;\n",
        "    fl_waiter *back = head->tail;\n    if (back) {\n        return back;\n    }\n",
        "mutex-again-three",
    ),
    Bug(
        "the tail of a queue stays that of its old head",
        BUCKET,
        "        next->tail = head->tail;\n",
        "",
        "mutex-three",
    ),
    Bug(
        "the tail of a queue stays when the last waiter leaves",
        BUCKET,
        "            head->tail = waiter->prev;\n",
        "",
        "mutex-deadlines",
    ),
    Bug(
        "a queue that gets a new head is cut off from the bucket's other queues",
        BUCKET,
        "        next->next_queue = head->next_queue;\n",
        "        next->next_queue = NULL;\n",
        "mutex-neighbours",
    ),
    # ---- the parker ----
    Bug(
        "the waker wakes nobody where the sleeper is on its way to sleep",
        PARKER,
        "FL_PARKER_WOKEN) == FL_PARKER_ASLEEP) {",
        "FL_PARKER_WOKEN) > FL_PARKER_ASLEEP) {",
        "mutex-two",
    ),
    Bug(
        "the waker wakes before it says so",
        PARKER,
        "    if (fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP) {\n"
        "        fl_futex_wake_one(&parker->state); /* P1: the parker may be gone */\n    }\n",
        "    if (fl_load_acquire_u32(&parker->state) == FL_PARKER_ASLEEP) {\n"
        "        fl_futex_wake_one(&parker->state);\n    }\n"
        "    (void)fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN);\n",
        "mutex-two",
    ),
    Bug(
        "the waker looks at the parker once more after its wake-up",
        PARKER,
        "    if (fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP) {\n",
        "    (void)fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN);\n"
        "    if (fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN) {\n",
        "mutex-timed",
    ),
    Bug(
        "a sleeper that was woken in its system call does not acquire",
        PARKER,
        "        if (fl_load_acquire_u32(&parker->state) == FL_PARKER_WOKEN) {",
        "        if (fl_load_relaxed_u32(&parker->state) == FL_PARKER_WOKEN) {",
        "mutex-timed",
    ),
    # ---- memory orderings ----
    Bug(
        "a release of the lock does not release",
        ATOMIC,
        "fl_cas_release_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_release,",
        "fl_cas_release_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed,",
        "mutex-two",
    ),
    Bug(
        "taking the lock does not acquire",
        ATOMIC,
        "fl_cas_acquire_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, memory_order_acquire);",
        "fl_cas_acquire_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed, memory_order_relaxed);",
        "mutex-two",
    ),
    Bug(
        "a wake-up does not release",
        ATOMIC,
        "return atomic_exchange_explicit(word, value, memory_order_release);",
        "return atomic_exchange_explicit(word, value, memory_order_acquire);",
        "mutex-two",
    ),
    Bug(
        "a sleeper that finds its wake-up there already does not acquire it",
        ATOMIC,
        "fl_cas_acquire_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, memory_order_acquire);",
        "fl_cas_acquire_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, memory_order_relaxed);",
        "mutex-two",
    ),
]
