#include "core/lot/bucket.h"

#include <assert.h>

#include "core/thread.h"
#include "platform/cpu.h"
#include "platform/fatal.h"
#include "platform/nap.h"

/* How often the mutex of a bucket is tried, with ever longer pauses, before the thread sleeps for it: a microsecond or
 * two in all. */
enum { TRIES = 14 };

static fl_bucket buckets[FL_BUCKET_COUNT];

/* ---- buckets ---- */

fl_bucket *
fl_bucket_at(int number)
{
    return &buckets[number];
}

fl_bucket *
fl_bucket_of(const void *key)
{
    /* Fibonacci hashing: addresses of objects differ in their middle bits, and a multiplication carries those to the
     * top. */
    const uint64_t golden_ratio = UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[((uint64_t)(uintptr_t)key * golden_ratio) >> (64 - FL_BUCKET_BITS)];
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
        fl_bucket *bucket = fl_bucket_of_waiter(waiter);
        fl_bucket_lock(bucket);
        if (fl_bucket_of_waiter(waiter) == bucket) { /* it stays while the mutex is held (L3) */
            return bucket;
        }
        fl_bucket_unlock(bucket);
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

void
fl_buckets_lock_all(void)
{
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        fl_bucket_lock(&buckets[i]);
    }
}

void
fl_buckets_unlock_all(void)
{
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        fl_bucket_unlock(&buckets[i]);
    }
}

bool
fl_buckets_try_lock_all(int *naps)
{
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        if (!fl_try_with_naps(&buckets[i].mutex, naps)) {
            while (i > 0) {
                fl_bucket_unlock(&buckets[--i]);
            }
            return false;
        }
    }
    return true;
}

void
fl_buckets_visit(void (*visit)(void *ctx, fl_bucket *bucket), void *ctx)
{
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        fl_bucket_lock(&buckets[i]);
        visit(ctx, &buckets[i]);
        fl_bucket_unlock(&buckets[i]);
    }
}

/* ---- queues; everything here under the bucket's mutex ---- */

fl_waiter **
fl_bucket_queue(fl_bucket *bucket, const void *key)
{
    fl_waiter **link = &bucket->queues;
    while (*link && (*link)->key != key) {
        link = &(*link)->next_queue;
    }
    return link;
}

/* Whether the FIFO at `link` is linked both ways, in order, and of this key.  For assertions: it reads every waiter. */
static inline bool
is_consistent(fl_waiter **link, const void *key)
{
    fl_waiter *previous = NULL;
    for (fl_waiter *waiter = *link; waiter; waiter = waiter->next) {
        if (!waiter->queued || waiter->prev != previous || waiter->key != key) {
            return false;
        }
        if (previous && waiter->since_ns < previous->since_ns) { /* L9 */
            return false;
        }
        previous = waiter;
    }
    return *link == NULL || (*link)->tail == previous;
}

/* Returns the waiter behind which one of that age belongs (L9): the last one that is not younger; NULL where it belongs
 * at the head.  It looks from both ends at once.  A waiter that has just come belongs at the end, one that was woken in
 * vain belongs near the head, and both are frequent: a search from one end alone would walk the whole FIFO for one of
 * them.  Each turn looks at `back`, the last one not looked at from the end, and at `younger`, the first one not looked
 * at from the head. */
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

/* Says in the record of the waiter's thread where the thread stands (U5). */
static inline void
stand(fl_waiter *waiter, fl_bucket *bucket)
{
    if (fl_waiter_is_for_lock(waiter) && waiter->standing) {
        waiter->standing->waiter = waiter;
        fl_store_relaxed_ptr(&waiter->standing->bucket, bucket);
    }
}

bool
fl_bucket_put_in(fl_bucket *bucket, fl_waiter *waiter, const void *key)
{
    fl_waiter **link = fl_bucket_queue(bucket, key);
    fl_waiter *head = *link;
    fl_waiter *previous = head ? last_not_younger(head, waiter->since_ns) : NULL;
    waiter->key = key;
    fl_store_relaxed_ptr(&waiter->bucket, bucket);
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
    stand(waiter, bucket);
    assert(is_consistent(link, key));
    return *link == waiter;
}

void
fl_bucket_take_out(fl_bucket *bucket, fl_waiter *waiter)
{
    fl_waiter **link = fl_bucket_queue(bucket, waiter->key);
    fl_waiter *head = *link;
    fl_waiter *next = waiter->next;
    assert(waiter->queued);
    waiter->queued = false;
    stand(waiter, NULL);
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
    static int ready; /* so many are: none is set up twice */
    for (; ready < FL_BUCKET_COUNT; ready++) {
        int error = pthread_mutex_init(&buckets[ready].mutex, NULL);
        if (error) {
            return error;
        }
    }
    return 0;
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
                (void)fl_bucket_put_in(bucket, waiter, waiter->key);
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
    for (int i = 0; i < FL_BUCKET_COUNT; i++) {
        keep_own(&buckets[i]);
        fl_bucket_unlock(&buckets[i]);
    }
}
