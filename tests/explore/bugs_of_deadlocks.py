"""Planted bugs: those of what looks for deadlocks."""

from bug import Bug

DEADLOCK = "core/deadlock.c"

DEADLOCK_BUGS = [
    Bug(
        "a wait whose deadlock has been told is looked at again",
        "core/lockable.c",
        "    waiter->resigned = verdict == FL_DEADLOCK_IS_TOLD;\n",
        "    waiter->resigned = false;\n",
        "deadlock-told",
    ),
    Bug(
        "a wait whose deadlock has been told is an edge for others",
        DEADLOCK,
        "    return is_stuck(waiter) && !waiter->resigned;",
        "    return is_stuck(waiter);",
        "deadlock-told",
    ),
    Bug(
        "nobody looks whether a wait can end",
        "core/rmutex.c",
        ".mark_parked = mark_parked, .look = fl_deadlock_look}",
        ".mark_parked = mark_parked}",
        "deadlock-two",
    ),
    Bug(
        "a thread that goes back to its queue does not look again",
        "core/lot/parking_lot.c",
        "    if (goal && goal->look && !fl_parker_is_woken",
        "    if (goal && goal->look && waiter->waker == 0 && !fl_parker_is_woken",
        "deadlock-cond",
    ),
    Bug(
        "what the filter has seen is not looked at again",
        DEADLOCK,
        "    if (waiter->queued && leads_to(owner_of(waiter), waiter->thread, step_locked)) {",
        "    if (waiter->queued) {",
        "deadlock-two",
    ),
    Bug(
        "a wait with a deadline counts as one that cannot end",
        DEADLOCK,
        "waiter->kind == FL_FOR_RMUTEX && (waiter->notified || waiter->deadline_ns == FL_DEADLINE_NEVER)",
        "waiter->kind == FL_FOR_RMUTEX",
        "deadlock-timed",
    ),
    Bug(
        "the deadline of a notified wait counts",
        DEADLOCK,
        "(waiter->notified || waiter->deadline_ns == FL_DEADLINE_NEVER)",
        "waiter->deadline_ns == FL_DEADLINE_NEVER",
        "deadlock-cond",
    ),
    Bug(
        "a wait that may not fail is the victim",
        DEADLOCK,
        "        if (victim->may_fail) {",
        "        if (victim) {",
        "deadlock-cond",
    ),
    Bug(
        "a victim is not woken",
        DEADLOCK,
        "        fl_parker_wake(&victim->parker); /* it sleeps until it is woken (L2) */\n",
        "",
        "deadlock-cond",
    ),
    Bug(
        "the registry is not asked again under the bucket's mutex",
        DEADLOCK,
        "    bool stays = standing && fl_load_relaxed_ptr(&standing->bucket) == bucket;",
        "    bool stays = standing != NULL;",
        "deadlock-two",
    ),
    Bug(
        "a thread does not say where it stands",
        "core/lot/bucket.c",
        "    stand(waiter, bucket);\n",
        "",
        "deadlock-two",
    ),
    Bug(
        "a thread that has left its queue still stands there",
        "core/lot/bucket.c",
        "    stand(waiter, NULL);\n",
        "",
        "deadlock-three",
    ),
    Bug(
        "nobody tells of the end of a thread",
        "core/thread.c",
        "    if (on_end) {",
        "    if (false) {",
        "deadlock-ended",
    ),
    Bug(
        "the end of a thread is told before the registry has forgotten it",
        "core/thread.c",
        "    fl_thread_lock_registry();\n    take_out(record);\n    remember_ended(record);\n"
        "    fl_thread_unlock_registry();\n    free(record);\n    own_record = NULL;\n    fl_thread_serial = 0;\n"
        "    if (on_end) {\n        on_end(serial);\n    }\n",
        "    if (on_end) {\n        on_end(serial);\n    }\n"
        "    fl_thread_lock_registry();\n    take_out(record);\n    remember_ended(record);\n"
        "    fl_thread_unlock_registry();\n    free(record);\n    own_record = NULL;\n    fl_thread_serial = 0;\n",
        "deadlock-ended",
    ),
    Bug(
        "who queues for a mutex does not see that its owner has ended",
        DEADLOCK,
        "    return standing ? step_into(bucket, owner) : GONE;",
        "    return standing ? step_into(bucket, owner) : 0;",
        "deadlock-ended",
    ),
    Bug(
        "a notified waiter does not count among those who wait for an owner that has ended",
        DEADLOCK,
        "            if (is_looked_at(waiter)) {",
        "            if (is_looked_at(waiter) && !waiter->notified) {",
        "deadlock-orphan",
    ),
    Bug(
        "one of those who wait for an owner that has ended is forgotten",
        DEADLOCK,
        "                waiter->next = ctx->victims;\n",
        "                waiter->next = NULL;\n",
        "deadlock-ended",
    ),
    Bug(
        "the end of a thread takes out who waits for another one",
        DEADLOCK,
        "        if (head->kind != FL_FOR_RMUTEX || owner_of(head) != ctx->owner) {",
        "        if (head->kind != FL_FOR_RMUTEX) {",
        "deadlock-ended",
    ),
    Bug(
        "a dump that cannot have the registry keeps the buckets",
        DEADLOCK,
        "    if (!fl_thread_try_lock_registry(&naps)) {\n        fl_buckets_unlock_all();\n",
        "    if (!fl_thread_try_lock_registry(&naps)) {\n",
        "deadlock-dump",
    ),
    Bug(
        "a dump that cannot have a bucket keeps those before it",
        "core/lot/bucket.c",
        "            while (i > 0) {\n                fl_bucket_unlock(&buckets[--i]);\n            }\n",
        "",
        "deadlock-dump",
    ),
    Bug(
        "a dump does without the registry's mutex where that is taken",
        "core/thread.c",
        "    return fl_try_with_naps(&registry_mutex, naps);",
        "    (void)fl_try_with_naps(&registry_mutex, naps);\n    return true;",
        "deadlock-dump",
    ),
]
