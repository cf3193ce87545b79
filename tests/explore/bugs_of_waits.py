"""Planted bugs: those of the parker, the parking lot, the registry, fork(), the event, the
semaphore and the barrier.
"""

from bug import Bug

WAITS = [
    # ---- park/ and platform/ ----
    Bug(
        "the waker looks at the state and changes it in two steps",
        "park/futex.c",
        "    if (fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN) == FL_PARKER_ASLEEP) {\n",
        "    uint32_t was = fl_load_relaxed_u32(&parker->state);\n"
        "    (void)fl_exchange_release_u32(&parker->state, FL_PARKER_WOKEN);\n"
        "    if (was == FL_PARKER_ASLEEP) {\n",
        "park-once",
    ),
    Bug(
        "the waker writes into the parker after its wake-up",
        "park/futex.c",
        "        fl_futex_wake_one(&parker->state); /* P1: the parker may be gone */\n",
        "        fl_futex_wake_one(&parker->state);\n        parker->slice_ns = 0;\n",
        "park-once",
    ),
    Bug(
        "a sleeper goes to sleep over its wake-up",
        "park/futex.c",
        "    if (!fl_cas_acquire_u32(&parker->state, &state, FL_PARKER_ASLEEP) && state == ",
        "    fl_store_relaxed_u32(&parker->state, FL_PARKER_ASLEEP);\n    if (state == ",
        "park-once",
    ),
    Bug(
        "a sleeper takes a spurious wake-up for its own",
        "park/futex.c",
        "        if (fl_load_acquire_u32(&parker->state) == FL_PARKER_WOKEN) {",
        "        if (fl_load_acquire_u32(&parker->state) == FL_PARKER_WOKEN || error == 0) {",
        "park-once",
    ),
    Bug(
        "a signal ends the sleep of a thread that does not want it",
        "park/futex.c",
        "error == EINTR && interruptible",
        "error == EINTR",
        "park-once",
    ),
    Bug(
        "a sleeper goes to sleep whatever its state is",
        "park/futex.c",
        "fl_futex_wait(&parker->state, FL_PARKER_ASLEEP, end_ns)",
        "fl_futex_wait(&parker->state, fl_load_relaxed_u32(&parker->state), end_ns)",
        "park-once",
    ),
    Bug(
        "the system is not told when a sleep ends",
        "platform/futex.c",
        "is_timed ? &time : NULL",
        "NULL",
        "park-timed",
    ),
    Bug(
        "a compare-and-swap that fails does not acquire",
        "platform/atomic.h",
        "fl_cas_acquire_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)\n{\n    "
        "return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, "
        "memory_order_acquire);",
        "fl_cas_acquire_u32(fl_atomic_u32 *word, uint32_t *expected, uint32_t desired)\n{\n    "
        "return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_acquire, "
        "memory_order_relaxed);",
        "park-look",
    ),
    Bug(
        "a wake-up does not release what the waker wrote",
        "platform/atomic.h",
        "return atomic_exchange_explicit(word, value, memory_order_release);",
        "return atomic_exchange_explicit(word, value, memory_order_relaxed);",
        "park-once",
    ),
    Bug(
        "the waker signals a condition variable that the sleeper may have discarded",
        "park/condvar.c",
        '    fl_must("pthread_cond_signal", pthread_cond_signal(&parker->woken));\n'
        '    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));\n',
        '    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&parker->mutex));\n'
        '    fl_must("pthread_cond_signal", pthread_cond_signal(&parker->woken));\n',
        "park-once",
        "condvar",
    ),
    Bug(
        "the waker changes the state before it has the mutex",
        "park/condvar.c",
        '    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));\n'
        "    fl_store_relaxed_u32(&parker->state, FL_PARKER_WOKEN);\n",
        "    fl_store_relaxed_u32(&parker->state, FL_PARKER_WOKEN);\n"
        '    fl_must("pthread_mutex_lock", pthread_mutex_lock(&parker->mutex));\n',
        "park-look",
        "condvar",
    ),
    Bug(
        "a sleeper takes a spurious wake-up for the end of its sleep",
        "park/condvar.c",
        "    while (fl_load_relaxed_u32(&parker->state) != FL_PARKER_WOKEN && error == 0) {",
        "    if (fl_load_relaxed_u32(&parker->state) != FL_PARKER_WOKEN && error == 0) {",
        "park-once",
        "condvar",
    ),
    Bug(
        "a condition variable does not tell that its wait has timed out",
        "platform/timed_cond.c",
        "        fl_fatal(TIMED_WAIT, error);\n    }\n    return error;",
        "        fl_fatal(TIMED_WAIT, error);\n    }\n    return 0;",
        "park-timed",
        "condvar",
    ),
    # ---- core/lot/ ----
    Bug(
        "a waiter asks whether it has to wait before it has the bucket",
        "core/lot/parking_lot.c",
        "    fl_bucket_lock(bucket);\n    bool valid = validate(ctx);\n",
        "    bool valid = validate(ctx);\n    fl_bucket_lock(bucket);\n",
        "event-set",
    ),
    Bug(
        "the next waiter is looked up in one that is woken, and gone",
        "core/lot/parking_lot.c",
        "        first = waiter->next; /* the waiter is gone once it is woken */\n"
        "        fl_parker_wake(&waiter->parker);\n",
        "        fl_parker_wake(&waiter->parker);\n        first = waiter->next;\n",
        "event-pulse",
    ),
    Bug(
        "a waiter that is being woken goes when its time is over",
        "core/lot/parking_lot.c",
        "            case WILL_BE_WOKEN:\n                await_wake(waiter);\n",
        "            case WILL_BE_WOKEN:\n",
        "event-timed",
    ),
    Bug(
        "a polling waiter is woken when the bucket is free again",
        "core/lot/parking_lot.c",
        "    if (waiter->polling) {\n        fl_parker_wake(&waiter->parker);\n        return;\n  "
        "  }\n",
        "",
        "fork-in-handler",
    ),
    Bug(
        "a waiter is cancelled though it is being woken",
        "core/lot/parking_lot.c",
        "    if (!cancelled) {\n        await_wake(waiter);\n    }\n",
        "",
        "lot-cancel",
    ),
    Bug(
        "the waiter that leaves with all others takes nobody along",
        "core/lot/parking_lot.c",
        "    if (leave == FL_LEAVES_WITH_ALL) {\n",
        "    if (leave == FL_LEAVES_WITH_ALL && false) {\n",
        "barrier-timed",
    ),
    Bug(
        "the last of a queue leaves, and the queue's end stays with it",
        "core/lot/bucket.c",
        "            head->tail = waiter->prev;\n",
        "            head->tail = waiter;\n",
        "lot-unpark-many",
    ),
    Bug(
        "the first of a queue leaves, and the bucket's other queues are lost",
        "core/lot/bucket.c",
        "        next->next_queue = head->next_queue;\n",
        "        next->next_queue = NULL;\n",
        "lot-neighbours",
    ),
    Bug(
        "a waiter that was moved locks the bucket where it was before",
        "core/lot/bucket.c",
        "        if (fl_bucket_of_waiter(waiter) == bucket) {",
        "        if (bucket != NULL) {",
        "lot-requeue",
    ),
    Bug(
        "an interruptible waiter does not keep its place",
        "core/lot/waiter.c",
        "fl_waiter_init(waiter, true) != 0",
        "fl_waiter_init(waiter, false) != 0",
        "event-pulse-once",
    ),
    Bug(
        "a spinner is not counted any more, and stays counted",
        "core/lot/spin.c",
        "    (void)fl_add_relaxed_u32(&spinners, UINT32_MAX); /* -1 */\n",
        "",
        "spin-event",
    ),
    Bug(
        "spinners are counted by a load and a store",
        "core/lot/spin.c",
        "        if (fl_cas_relaxed_u32(&spinners, &count, count + 1)) {",
        "        fl_store_relaxed_u32(&spinners, count + 1);\n        {",
        "spin-count",
    ),
    Bug(
        "the parent's spinners are counted in the child",
        "core/lot/spin.c",
        "    fl_store_relaxed_u32(&spinners, is_spinning);",
        "    (void)is_spinning;",
        "spin-fork",
    ),
    # ---- core/thread and core/fork ----
    Bug(
        "a thread that ends leaves a link to its record",
        "core/thread.c",
        "        record->next->prev = record->prev;\n",
        "",
        "thread-registry",
    ),
    Bug(
        "a thread that ends keeps its serial",
        "core/thread.c",
        "    own_record = NULL;\n    fl_thread_serial = 0;\n",
        "    own_record = NULL;\n",
        "thread-registry",
    ),
    Bug(
        "serials are given without the registry's mutex",
        "core/thread.c",
        "    fl_thread_lock_registry();\n    last_serial += FL_THREAD_SERIAL_STEP; /* U2 */\n",
        "    last_serial += FL_THREAD_SERIAL_STEP; /* U2 */\n    fl_thread_lock_registry();\n",
        "thread-registry",
    ),
    Bug(
        "the registry of the child has the parent's threads",
        "core/thread.c",
        "        registry[i] = NULL;\n    }\n    if (own_record) {",
        "    }\n    if (own_record && registry[0] == own_record) {",
        "fork-event",
    ),
    Bug(
        "nobody was left behind by a fork",
        "core/thread.c",
        "    last_before_fork = last_serial;\n",
        "",
        "fork-action",
    ),
    Bug(
        "the child takes the parent's WOKEN for its own",
        "core/fork.c",
        "    fl_word_after_fork_in_child();\n",
        "",
        "fork-mutex",
    ),
    Bug(
        "the child keeps the waiters of threads that are not there",
        "core/lot/bucket.c",
        "            if (waiter->thread == self) {",
        "            if (waiter->thread == self || waiter->queued) {",
        "fork-event",
    ),
    Bug(
        "the child forgets the waiter of the thread that forked",
        "core/lot/bucket.c",
        "            if (waiter->thread == self) {",
        "            if (waiter->thread == self && !waiter->queued) {",
        "fork-in-handler",
    ),
    Bug(
        "the waiters of threads that are not in the child still count",
        "core/lot/bucket.c",
        "                (void)waiter->on_leave(waiter, false);\n",
        "                (void)waiter;\n",
        "fork-barrier",
    ),
    Bug(
        "the child's condition forgets nobody",
        "core/cond.c",
        "    (void)fl_lot_requeue(cond, cond, 0, notify_waiter, notify_done, &ctx);",
        "    (void)ctx;",
        "fork-cond",
    ),
    Bug(
        "nobody looks whether an action is in the parent",
        "core/barrier.c",
        "    return phase_of(word) == ACTING && fl_thread_is_left_behind(barrier->actor);",
        "    (void)barrier;\n    (void)word;\n    return false;",
        "fork-action",
    ),
    Bug(
        "a waiter whose handler forked does not look for the action",
        "core/barrier.c",
        "    if (goes_on) {\n        break_if_abandoned(self->barrier);\n    }\n",
        "",
        "fork-barrier-handler",
    ),
    # ---- core/sema ----
    Bug(
        "a permit is handed over, and free as well",
        "core/sema.c",
        "permits = word / FL_SEMA_ONE + ctx->count - ctx->handed_off;",
        "permits = word / FL_SEMA_ONE + ctx->count;",
        "sema-turns",
    ),
    Bug(
        "a permit that was not handed over is not free either",
        "core/sema.c",
        "    ctx->handed_off += waiter->handed_off;",
        "    ctx->handed_off++;",
        "sema-turns",
    ),
    Bug(
        "a release clears PARKED though others wait",
        "core/sema.c",
        "    uint64_t parked = left ? FL_SEMA_PARKED : 0; /* S2 */\n",
        "    uint64_t parked = 0;\n    (void)left;\n",
        "sema-turns",
    ),
    Bug(
        "a waiter queues for a permit that is free",
        "core/sema.c",
        "    return word == FL_SEMA_PARKED;",
        "    return true;",
        "sema-turns",
    ),
    Bug(
        "a release under the mutex does not look at the bound",
        "core/sema.c",
        "ctx->count > ctx->bound - word / FL_SEMA_ONE) {",
        "ctx->count > ctx->bound) {",
        "sema-bound",
    ),
    Bug(
        "a quick release allows one too many",
        "core/sema.h",
        "word / FL_SEMA_ONE < bound;",
        "word / FL_SEMA_ONE <= bound;",
        "sema-bound",
    ),
    Bug(
        "a quick release wakes nobody though threads are queued",
        "core/sema.h",
        "    bool plain = !(word & FL_SEMA_PARKED) && word",
        "    bool plain = word",
        "sema-turns",
    ),
    Bug(
        "taking a permit does not acquire",
        "core/sema.h",
        "fl_attached_swap_seen_acquire_u64(&sema->word, word, word - FL_SEMA_ONE)",
        "fl_attached_swap_seen_release_u64(&sema->word, word, word - FL_SEMA_ONE)",
        "sema-turns",
    ),
    Bug(
        "a release wakes its waiters before it adds the permits, one by one",
        "core/sema.c",
        "    waiter->handed_off = fl_lock_hands_off(fl_lock_waited_ns(waiter));\n",
        "    waiter->handed_off = fl_lock_hands_off(fl_lock_waited_ns(waiter));\n"
        "    fl_parker_wake(&waiter->parker);\n",
        "sema-release-two",
    ),
    Bug(
        "a release looks at the semaphore after it has given the permits away",
        "core/sema.c",
        "    return !ctx.refused;",
        "    return !ctx.refused && !fl_sema_is_opened(sema);",
        "sema-freed",
    ),
    Bug(
        "a semaphore that is opened forgets its free permits",
        "core/sema.c",
        "(word & ~(uint64_t)FL_SEMA_PARKED) | FL_SEMA_OPENED)) {",
        "FL_SEMA_OPENED)) {",
        "open-sema",
    ),
    # ---- core/event ----
    Bug(
        "a waiter queues for an event that is set",
        "core/event.c",
        "    return word == FL_EVENT_PARKED;\n",
        "    return true;\n",
        "event-set",
    ),
    Bug(
        "an event is set without the mutex though threads are queued",
        "core/event.c",
        "    while (word != FL_EVENT_PARKED) {\n",
        "    while (word != FL_EVENT_PARKED || word) {\n",
        "event-set",
    ),
    Bug(
        "setting an event wakes one thread only",
        "core/event.c",
        "    (void)ctx;\n    return SIZE_MAX;\n",
        "    (void)ctx;\n    return 1;\n",
        "event-set",
    ),
    Bug(
        "setting an event that is set already does not release",
        "core/event.c",
        "        if (fl_cas_release_u32(&event->word, &word, FL_EVENT_SET)) { /* also",
        "        if (word == FL_EVENT_SET || fl_cas_release_u32(&event->word, &word, "
        "FL_EVENT_SET)) { /* also",
        "event-look",
    ),
    Bug(
        "clearing an event does not acquire",
        "core/event.h",
        "fl_attached_swap_acquire_u32(&event->word, FL_EVENT_SET, FL_EVENT_CLEAR)",
        "fl_attached_swap_release_u32(&event->word, FL_EVENT_SET, FL_EVENT_CLEAR)",
        "event-look",
    ),
    Bug(
        "an event that is opened forgets that it is set",
        "core/event.c",
        "word == FL_EVENT_SET ? FL_EVENT_OPENED_SET : FL_EVENT_OPENED_CLEAR;",
        "FL_EVENT_OPENED_CLEAR;",
        "open-event",
    ),
    Bug(
        "an event is opened without moving those who wait",
        "core/cond.c",
        "    (void)fl_lot_requeue(from, cond, SIZE_MAX, adopt_waiter, adopt_done, &adopting);",
        "    (void)fl_lot_requeue(from, cond, 0, adopt_waiter, adopt_done, &adopting);",
        "open-event",
    ),
    Bug(
        "the condition does not know of the waiters that it has adopted",
        "core/cond.c",
        "    if (ctx->any) {\n        fl_store_relaxed_u32(&ctx->cond->word, FL_COND_PARKED);\n   "
        " }\n",
        "",
        "open-event",
    ),
    # ---- core/barrier ----
    Bug(
        "guests count as those who have arrived",
        "core/barrier.c",
        "    if (ctx->arrival == ARRIVED) {\n        store(ctx->barrier, word + COUNT_ONE);",
        "    if (waits(ctx->arrival)) {\n        store(ctx->barrier, word + COUNT_ONE);",
        "barrier-guest --gil",
    ),
    Bug(
        "a waiter that leaves still counts",
        "core/barrier.c",
        "        store(barrier, word - COUNT_ONE);\n",
        "",
        "barrier-handler",
    ),
    Bug(
        "a wait times out while the action runs",
        "core/barrier.c",
        "    if (phase_of(word) == ACTING && !is_abandoned(barrier, word)) {\n        return "
        "FL_STAYS;\n    }\n",
        "",
        "barrier-action",
    ),
    Bug(
        "two threads get the same index",
        "core/barrier.c",
        "ctx->dealt++; ",
        "ctx->dealt; ",
        "barrier-three",
    ),
    Bug(
        "the last to arrive does not look again whether it is the last",
        "core/barrier.c",
        "    (void)generation;\n    return lacks_one(barrier, word);",
        "    (void)generation;\n    return phase_of(word) == FILLING && barrier;",
        "barrier-handler",
    ),
    Bug(
        "an action that was cut off by a reset sends the next generation away",
        "core/barrier.c",
        "    return phase_of(word) == ACTING && generation_of(word) == generation && "
        "barrier->actor == fl_thread_self();",
        "    return barrier && phase_of(word) != OPENED && generation_of(word) >= generation;",
        "barrier-reentered",
    ),
    Bug(
        "an action ends the action of another thread",
        "core/barrier.c",
        "    return phase_of(word) == ACTING && generation_of(word) == generation && "
        "barrier->actor == fl_thread_self();",
        "    return phase_of(word) == ACTING && generation <= generation_of(word) && barrier;",
        "barrier-relay",
    ),
    Bug(
        "a barrier is opened while an action runs",
        "core/barrier.c",
        "    return unless_opened(barrier, word, generation) && phase_of(word) != ACTING;",
        "    return unless_opened(barrier, word, generation);",
        "barrier-reentered",
    ),
    Bug(
        "those who wait at a barrier that is opened find it broken",
        "core/barrier.c",
        "        waiter->notified = ctx->phase == OPENED; /* B9 */\n",
        "",
        "open-barrier",
    ),
    Bug(
        "who finds the barrier broken does not see what happened before",
        "core/barrier.c",
        "    fl_store_release_u64(&barrier->word, word);",
        "    fl_store_relaxed_u64(&barrier->word, word);",
        "barrier-disturbed",
    ),
    Bug(
        "a reset leaves the word in its generation, and the arrivals counted",
        "core/barrier.c",
        "ctx->phase == OPENED ? opened(word) : next_generation(word, ctx->phase));",
        "ctx->phase == OPENED ? opened(word) : (word & ~PHASE_MASK) | ctx->phase);",
        "barrier-disturbed",
    ),
]
