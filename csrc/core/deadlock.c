#include "core/deadlock.h"

#include <stdlib.h>
#include <string.h>

#include "core/lock_word.h"
#include "core/lot/bucket.h"
#include "core/probes.h"
#include "core/thread.h"
#include "platform/clock.h"

static fl_atomic_u32 current_mode; /* a fl_deadlock_mode */

void
fl_deadlock_set_mode(fl_deadlock_mode mode)
{
    fl_store_relaxed_u32(&current_mode, mode);
}

fl_deadlock_mode
fl_deadlock_get_mode(void)
{
    return (fl_deadlock_mode)fl_load_relaxed_u32(&current_mode);
}

void
fl_deadlock_init(void)
{
    const char *wish = getenv("PYFASTLOCK_DEADLOCKS");
    if (wish && strcmp(wish, "off") == 0) {
        fl_deadlock_set_mode(FL_DEADLOCKS_OFF);
    }
    else if (wish && strcmp(wish, "report") == 0) {
        fl_deadlock_set_mode(FL_DEADLOCKS_REPORT);
    }
}

/* ---- one edge; under the mutex of the waiter's bucket ---- */

static bool
is_stuck(const fl_waiter *waiter)
{
    return fl_waiter_is_for_lock(waiter) && (waiter->notified || waiter->deadline_ns == FL_DEADLINE_NEVER);
}

/* Whether a look goes by it (D9). */
static bool
is_looked_at(const fl_waiter *waiter)
{
    return is_stuck(waiter) && !waiter->resigned;
}

/* The owner of what the waiter is queued for; 0 where that is free, and a thread is on its way to it, and where its
 * hold is loose. */
static uint64_t
owner_of(const fl_waiter *waiter)
{
    return fl_word_owner(fl_load_relaxed_u64((fl_atomic_u64 *)waiter->key));
}

/* Whether the owner is the waiter's own thread in earnest (D8).  A thread does not queue for a recursive mutex that it
 * owns: it has been handed that, and is being woken. */
static bool
waits_for_itself(const fl_waiter *waiter, uint64_t owner)
{
    return owner == waiter->thread && waiter->kind == FL_FOR_MUTEX;
}

/* ---- steps from a thread to the owner of what it waits for ---- */

/* In the place of a serial: the thread is gone (D6).  It is none, by U2. */
enum { GONE = 1 };

/* Returns the owner of what the thread with that serial is stuck for, 0 where it is not stuck, or GONE.  `bucket` is
 * where the thread stands, or NULL where it does not.
 *
 * The registry gives the bucket but, as its mutex comes last (L6), not what is in there.  So the registry is asked
 * again under the bucket's mutex.  Where the thread stands elsewhere by then, it has run, and looks by itself (D4). */
static uint64_t
step_into(fl_bucket *bucket, uint64_t thread)
{
    if (bucket == NULL) {
        return 0;
    }
    fl_bucket_lock(bucket);
    fl_thread_lock_registry();
    fl_standing *standing = fl_thread_find_standing(thread);
    bool stays = standing && fl_load_relaxed_ptr(&standing->bucket) == bucket;
    const fl_waiter *waiter = stays ? standing->waiter : NULL;
    fl_thread_unlock_registry();
    uint64_t owner = waiter && is_looked_at(waiter) ? owner_of(waiter) : 0;
    fl_bucket_unlock(bucket);
    return owner;
}

static uint64_t
step(uint64_t thread)
{
    fl_thread_lock_registry();
    fl_standing *standing = fl_thread_find_standing(thread);
    fl_bucket *bucket = standing ? (fl_bucket *)fl_load_relaxed_ptr(&standing->bucket) : NULL;
    fl_thread_unlock_registry();
    return standing ? step_into(bucket, thread) : GONE;
}

/* The first step, from the waiter of the calling thread.  The owner is read under the registry's mutex: one that has
 * taken the lock since and looked before this thread is seen then, without the bucket's mutex (D2). */
static uint64_t
first_step(const fl_waiter *waiter)
{
    fl_thread_lock_registry();
    uint64_t owner = owner_of(waiter);
    fl_standing *standing = fl_thread_find_standing(owner);
    fl_bucket *bucket = standing ? (fl_bucket *)fl_load_relaxed_ptr(&standing->bucket) : NULL;
    fl_thread_unlock_registry();
    if (owner == 0 || owner == waiter->thread) {
        return waits_for_itself(waiter, owner) ? owner : 0;
    }
    return standing ? step_into(bucket, owner) : GONE;
}

/* Returns the waiter with which the thread stands, NULL where it does not.  With everything locked. */
static fl_waiter *
waiter_of(uint64_t thread)
{
    fl_standing *standing = fl_thread_find_standing(thread);
    return standing && fl_load_relaxed_ptr(&standing->bucket) ? standing->waiter : NULL;
}

/* The same for a look: NULL also where the thread is not stuck. */
static fl_waiter *
stuck_waiter_of(uint64_t thread)
{
    fl_waiter *waiter = waiter_of(thread);
    return waiter && is_looked_at(waiter) ? waiter : NULL;
}

static uint64_t
step_locked(uint64_t thread)
{
    const fl_waiter *waiter = stuck_waiter_of(thread);
    return waiter ? owner_of(waiter) : 0;
}

/* Whether steps lead from `thread` to `goal`.  A walk may come into a cycle that `goal` is no part of, and would go
 * round in it for ever: it compares each thread with one that it came by before, the *mark*, and moves the mark on
 * whenever it has made twice as many steps.  So the mark lies in the cycle some day, and the cycle fits behind it. */
static bool
leads_to(uint64_t thread, uint64_t goal, uint64_t (*next)(uint64_t thread))
{
    uint64_t mark = 0;
    size_t steps = 0, most = 1;
    while (thread != 0 && thread != goal) {
        if (thread == mark || thread == GONE) {
            return false;
        }
        if (++steps == most) {
            mark = thread;
            most *= 2;
        }
        thread = next(thread);
    }
    return thread == goal;
}

/* ---- everything locked ---- */

static void
lock_everything(void)
{
    fl_buckets_lock_all();
    fl_thread_lock_registry();
}

static void
unlock_everything(void)
{
    fl_thread_unlock_registry();
    fl_buckets_unlock_all();
}

/* Whom to take out of the cycle that the waiter is in; NULL where nobody may fail (D5). */
static fl_waiter *
choose_victim(fl_waiter *waiter)
{
    fl_waiter *victim = waiter;
    do {
        if (victim->may_fail) {
            return victim;
        }
        victim = stuck_waiter_of(owner_of(victim));
    } while (victim != waiter);
    return NULL;
}

/* Under the mutex of the waiter's bucket.  Whoever is not the waiter's thread wakes it afterwards. */
static void
take_victim_out(fl_waiter *victim)
{
    fl_bucket_take_out(fl_bucket_of_waiter(victim), victim);
    victim->deadlocked = true;
}

/* Takes the victim out of the cycle that the waiter is in, if it is in one (D1, D5).  Returns whether that was the
 * waiter. */
static bool
break_cycle(fl_waiter *waiter)
{
    fl_waiter *victim = NULL;
    lock_everything();
    if (waiter->queued && leads_to(owner_of(waiter), waiter->thread, step_locked)) {
        victim = choose_victim(waiter);
    }
    if (victim) {
        take_victim_out(victim);
    }
    unlock_everything();
    if (victim) {
        fl_probe_deadlock_found(victim);
    }
    if (victim && victim != waiter) {
        fl_parker_wake(&victim->parker); /* it sleeps until it is woken (L2) */
    }
    return victim == waiter;
}

/* ---- owners that are gone ---- */

/* Under the registry's mutex. */
static bool
is_gone(uint64_t thread)
{
    return thread != 0 && fl_thread_find_standing(thread) == NULL;
}

bool
fl_deadlock_is_gone(uint64_t serial)
{
    fl_thread_lock_registry();
    bool gone = is_gone(serial);
    fl_thread_unlock_registry();
    return gone;
}

/* Whether the wait may end where the owner is gone.  Taking a condition's plain mutex back may not: another thread may
 * end the block (D7), and the doubt comes too late for a wait that has to get the mutex. */
static bool
may_be_orphan(const fl_waiter *waiter)
{
    return waiter->may_fail || waiter->kind == FL_FOR_RMUTEX;
}

/* Takes the waiter out if the owner of what it is queued for is gone (D6).  Returns whether it did. */
static bool
leave_if_owner_is_gone(fl_waiter *waiter)
{
    fl_bucket *bucket = fl_bucket_lock_of(waiter);
    fl_thread_lock_registry();
    bool leaves = waiter->queued && may_be_orphan(waiter) && is_gone(owner_of(waiter));
    fl_thread_unlock_registry();
    if (leaves) {
        take_victim_out(waiter);
    }
    fl_bucket_unlock(bucket);
    if (leaves) {
        fl_probe_deadlock_found(waiter);
    }
    return leaves;
}

typedef struct {
    uint64_t owner;
    fl_waiter *victims; /* linked by `next` */
} orphans;

/* Under the bucket's mutex: takes those out who are stuck for the owner. */
static void
take_orphans_out(void *arg, fl_bucket *bucket)
{
    orphans *ctx = arg;
    for (fl_waiter *head = bucket->queues, *next_queue; head; head = next_queue) {
        next_queue = head->next_queue;
        if (!fl_waiter_is_for_lock(head) || owner_of(head) != ctx->owner) {
            continue;
        }
        for (fl_waiter *waiter = head, *next; waiter; waiter = next) {
            next = waiter->next;
            if (is_looked_at(waiter) && may_be_orphan(waiter)) {
                take_victim_out(waiter);
                waiter->next = ctx->victims;
                ctx->victims = waiter;
            }
        }
    }
}

/* It looks only where somebody stands: in a few buckets, which it can list, or in all.  Whoever queues while it looks
 * finds the owner gone (D6). */
void
fl_deadlock_thread_ended(uint64_t serial)
{
    enum { FEW = 32 };
    const void *buckets[FEW];
    orphans ctx = {.owner = serial};
    if (fl_deadlock_get_mode() == FL_DEADLOCKS_OFF) {
        return;
    }
    fl_thread_lock_registry();
    size_t count = fl_thread_list_buckets(buckets, FEW);
    fl_thread_unlock_registry();
    for (size_t i = 0; i < count && count <= FEW; i++) {
        fl_bucket *bucket = (fl_bucket *)buckets[i];
        fl_bucket_lock(bucket);
        take_orphans_out(&ctx, bucket);
        fl_bucket_unlock(bucket);
    }
    if (count > FEW) {
        fl_buckets_visit(take_orphans_out, &ctx);
    }
    while (ctx.victims) {
        fl_waiter *victim = ctx.victims;
        ctx.victims = victim->next; /* the victim is gone once it is woken */
        fl_probe_deadlock_found(victim);
        fl_parker_wake(&victim->parker);
    }
}

/* ---- looking ---- */

/* D2: the waiter is in its queue, and the registry's mutex is taken after that. */
bool
fl_deadlock_look(fl_waiter *waiter)
{
    if (fl_deadlock_get_mode() == FL_DEADLOCKS_OFF || waiter->resigned) {
        return false;
    }
    uint64_t next = first_step(waiter);
    if (next == GONE) {
        return leave_if_owner_is_gone(waiter);
    }
    return next != 0 && leads_to(next, waiter->thread, step) && break_cycle(waiter);
}

size_t
fl_deadlock_walk(const void *word, fl_deadlock_visit_fn *visit, void *ctx)
{
    uint64_t self = fl_thread_self();
    size_t count = 0;
    lock_everything();
    uint64_t first = fl_word_owner(fl_load_relaxed_u64((fl_atomic_u64 *)word));
    if (leads_to(first, self, step_locked)) {
        count = 1;
        for (uint64_t thread = first; thread != self; count++) {
            const fl_waiter *waiter = stuck_waiter_of(thread);
            thread = owner_of(waiter);
            if (visit) {
                visit(ctx, waiter, thread);
            }
        }
    }
    unlock_everything();
    return count;
}

/* ---- showing ---- */

uint64_t
fl_deadlock_owner(const fl_waiter *waiter)
{
    return fl_waiter_is_for_lock(waiter) ? fl_word_thread(fl_load_relaxed_u64((fl_atomic_u64 *)waiter->key)) : 0;
}

bool
fl_deadlock_is_edge(const fl_waiter *waiter)
{
    return waiter_of(waiter->thread) == waiter && is_stuck(waiter) && owner_of(waiter) != 0;
}

bool
fl_deadlock_try_lock_everything(void)
{
    int naps = FL_DUMP_NAPS;
    if (!fl_buckets_try_lock_all(&naps)) {
        return false;
    }
    if (!fl_thread_try_lock_registry(&naps)) {
        fl_buckets_unlock_all();
        return false;
    }
    return true;
}

void
fl_deadlock_unlock_everything(void)
{
    unlock_everything();
}
