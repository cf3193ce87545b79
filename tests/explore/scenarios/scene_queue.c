#include "scene_queue.h"

#define OUTSIDE __attribute__((no_sanitize_thread))

static uint64_t serials[EX_THREADS_MAX];

void
scene_come(void)
{
    while (fl_thread_register() == 0) { /* where the explorer lets an allocation fail */
    }
    scene_begin();
    serials[ex_self()] = fl_thread_self();
}

OUTSIDE uint64_t
scene_serial(int thread)
{
    return serials[thread];
}

OUTSIDE bool
scene_is_busy(const void *key)
{
    return *(const uint32_t *)&fl_bucket_of(key)->mutex != 0; /* as the explorer keeps it */
}

OUTSIDE const fl_waiter *
scene_first(const void *key)
{
    if (scene_is_busy(key)) {
        return NULL;
    }
    const fl_waiter *waiter = fl_bucket_of(key)->queues;
    while (waiter && waiter->key != key) {
        waiter = waiter->next_queue;
    }
    return waiter;
}

OUTSIDE int
scene_queued(const void *key)
{
    int count = 0;
    const fl_waiter *previous = NULL;
    const fl_waiter *first = scene_first(key);
    for (const fl_waiter *waiter = first; waiter; waiter = waiter->next) {
        EX_CHECK(waiter->queued && waiter->prev == previous && waiter->key == key);
        EX_CHECK(previous == NULL || previous->since_ns <= waiter->since_ns); /* L9 */
        previous = waiter;
        count++;
        EX_CHECK(count <= 2 * EX_THREADS_MAX);
    }
    EX_CHECK(first == NULL || first->tail == previous);
    return count;
}

OUTSIDE unsigned
scene_who_waits(const void *key)
{
    unsigned who = 0;
    for (const fl_waiter *waiter = scene_first(key); waiter; waiter = waiter->next) {
        for (int i = 0; i < EX_THREADS_MAX; i++) {
            who |= serials[i] == waiter->thread ? 1u << i : 0;
        }
    }
    return who;
}

OUTSIDE uint32_t
scene_peek_u32(const fl_atomic_u32 *word)
{
    return *(const volatile uint32_t *)word;
}

OUTSIDE uint64_t
scene_peek_u64(const fl_atomic_u64 *word)
{
    return *(const volatile uint64_t *)word;
}
