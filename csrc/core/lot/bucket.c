#include "core/lot/bucket.h"

#include <assert.h>

#include "core/thread.h"
#include "platform/cpu.h"
#include "platform/fatal.h"

/* 2 ** 10 buckets of one cache line.  Only threads that are blocked at the same time share a bucket's list, so this is
 * plenty for a thousand blocked threads with a key each, and 64 KiB are touched by nobody but fork(). */
enum { BUCKET_BITS = 10, BUCKET_COUNT = 1 << BUCKET_BITS };

/* How often the mutex of a bucket is tried, with ever longer pauses, before the thread sleeps for it: a microsecond or
 * two in all. */
enum { TRIES = 14 };

static fl_bucket buckets[BUCKET_COUNT];

/* ---- buckets ---- */

fl_bucket *
fl_bucket_of(const void *key)
{
    /* Fibonacci hashing: addresses of objects differ in their middle bits, a multiplication carries those to the
     * top. */
    const uint64_t golden_ratio = UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[((uint64_t)(uintptr_t)key * golden_ratio) >> (64 - BUCKET_BITS)];
}

void
fl_bucket_lock(fl_bucket *bucket)
{
    for (int i = 0; i < TRIES; i++) {
        if (pthread_mutex_trylock(&bucket->mutex) == 0) {
            return;
        }
        if (!fl_spin_is_possible()) {
            break;
        }
        for (int j = 0; j <= i; j++) {
            fl_cpu_relax();
        }
    }
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&bucket->mutex));
}

void
fl_bucket_unlock(fl_bucket *bucket)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&bucket->mutex));
}

fl_bucket *
fl_bucket_lock_of(fl_waiter *waiter)
{
    for (;;) {
        const void *key = fl_load_relaxed_ptr(&waiter->key);
        fl_bucket *bucket = fl_bucket_of(key);
        fl_bucket_lock(bucket);
        if (fl_load_relaxed_ptr(&waiter->key) == key) {
            return bucket;
        }
        fl_bucket_unlock(bucket); /* requeued in between (L3) */
    }
}

/* L6 */
void
fl_bucket_lock_both(fl_bucket *a, fl_bucket *b)
{
    fl_bucket_lock(a < b ? a : b);
    if (a != b) {
        fl_bucket_lock(a < b ? b : a);
    }
}

void
fl_bucket_unlock_both(fl_bucket *a, fl_bucket *b)
{
    fl_bucket_unlock(a);
    if (a != b) {
        fl_bucket_unlock(b);
    }
}

/* ---- queues; everything here under the bucket's mutex ---- */

fl_waiter **
fl_bucket_queue(fl_bucket *bucket, const void *key)
{
    fl_waiter **link = &bucket->queues;
    while (*link && fl_load_relaxed_ptr(&(*link)->key) != key) {
        link = &(*link)->next_queue;
    }
    return link;
}

/* Whether the FIFO at `link` hangs together.  For assertions: it reads every waiter. */
static inline bool
is_consistent(fl_waiter **link, const void *key)
{
    fl_waiter *previous = NULL;
    for (fl_waiter *waiter = *link; waiter; waiter = waiter->next) {
        if (!waiter->queued || waiter->prev != previous || fl_load_relaxed_ptr(&waiter->key) != key) {
            return false;
        }
        if (previous && waiter->since_ns < previous->since_ns) { /* L9 */
            return false;
        }
        previous = waiter;
    }
    return *link == NULL || (*link)->tail == previous;
}

/* The last one in the FIFO that has waited as long as `since_ns` or longer; NULL where nobody has (L9).  It looks from both
 * ends, so that one that is near either is found soon. */
static fl_waiter *
last_not_younger(fl_waiter *head, int64_t since_ns)
{
    fl_waiter *older = NULL;
    fl_waiter *younger = head; /* the one behind `older` */
    fl_waiter *back = head->tail;
    while (back->since_ns > since_ns) {
        if (younger->since_ns > since_ns) {
            return older;
        }
        older = younger;
        younger = younger->next;
        back = back->prev;
    }
    return back;
}

bool
fl_bucket_put_in(fl_bucket *bucket, fl_waiter *waiter, const void *key)
{
    fl_waiter **link = fl_bucket_queue(bucket, key);
    fl_waiter *head = *link;
    fl_waiter *previous = head ? last_not_younger(head, waiter->since_ns) : NULL;
    fl_store_relaxed_ptr(&waiter->key, key);
    waiter->queued = true;
    waiter->prev = previous;
    if (previous) {
        waiter->next = previous->next;
        previous->next = waiter;
    }
    else {
        waiter->next = head;
        waiter->next_queue = head ? head->next_queue : NULL;
        waiter->tail = head ? head->tail : waiter;
        *link = waiter;
    }
    if (waiter->next) {
        waiter->next->prev = waiter;
    }
    else {
        (*link)->tail = waiter;
    }
    assert(is_consistent(link, key));
    return *link == waiter;
}

void
fl_bucket_take_out(fl_bucket *bucket, fl_waiter *waiter)
{
    fl_waiter **link = fl_bucket_queue(bucket, fl_load_relaxed_ptr(&waiter->key));
    fl_waiter *head = *link;
    fl_waiter *next = waiter->next;
    assert(waiter->queued);
    waiter->queued = false;
    if (waiter != head) {
        waiter->prev->next = next;
        if (next) {
            next->prev = waiter->prev;
        }
        else {
            head->tail = waiter->prev;
        }
    }
    else if (next) {
        next->prev = NULL;
        next->tail = head->tail;
        next->next_queue = head->next_queue;
        *link = next;
    }
    else {
        *link = head->next_queue;
    }
}

/* ---- setting up, and fork() ---- */

int
fl_buckets_init(void)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        int error = pthread_mutex_init(&buckets[i].mutex, NULL);
        if (error) {
            return error;
        }
    }
    return 0;
}

void
fl_buckets_before_fork(void)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        fl_bucket_lock(&buckets[i]);
    }
}

void
fl_buckets_after_fork_in_parent(void)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        fl_bucket_unlock(&buckets[i]);
    }
}

/* Rebuilds a bucket from the waiters that belong to the calling thread, in their order. */
static void
keep_own(fl_bucket *bucket)
{
    uint64_t self = fl_thread_self();
    fl_waiter *queue = bucket->queues;
    bucket->queues = NULL;
    while (queue) {
        fl_waiter *next_queue = queue->next_queue;
        fl_waiter *waiter = queue;
        while (waiter) {
            fl_waiter *next = waiter->next;
            if (waiter->thread == self) {
                (void)fl_bucket_put_in(bucket, waiter, fl_load_relaxed_ptr(&waiter->key));
            }
            else if (waiter->on_leave) {
                (void)waiter->on_leave(waiter, false);
            }
            waiter = next;
        }
        queue = next_queue;
    }
}

void
fl_buckets_after_fork_in_child(void)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        keep_own(&buckets[i]);
        fl_bucket_unlock(&buckets[i]);
    }
}
