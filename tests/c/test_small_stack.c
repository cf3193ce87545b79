/* Threads with the smallest stack that the system has, which contend for every primitive (T44). */

#include <limits.h>

#include "check.h"
#include "core/barrier.h"
#include "core/cond.h"
#include "core/event.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "core/sema.h"

enum { THREADS = 6, ROUNDS = 300 };

static fl_mutex mutex;
static fl_rmutex rmutex;
static fl_cond cond;
static fl_sema sema;
static fl_event event;
static fl_barrier barrier;
static int turn, in_mutex, in_rmutex; /* under the lock of the name; turn under the mutex */

/* A sanitizer's own frames need more than the code that it watches. */
static size_t
smallest_stack(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return 256 * 1024;
#else
    return (size_t)PTHREAD_STACK_MIN;
#endif
}

static bool
count_action(void *ctx)
{
    CHECK(fl_event_clear(&event));
    *(int *)ctx += 1;
    return true;
}

static void
lock(const fl_wait_ops *ops, void *which)
{
    if (ops->try_lock(which, NULL) == FL_LOCK_BUSY) {
        CHECK_EQUAL(fl_lock_wait(ops, which, fl_deadline_after_ns(TEST_LIMIT_S * INT64_C(1000000000)), NULL),
                    FL_LOCK_ACQUIRED);
    }
}

static int actions;

static void *
use_all(void *arg)
{
    const fl_cond_lock of_cond = {&mutex, &fl_mutex_ops};
    const fl_barrier_action action = {count_action, &actions};
    int own = *(int *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        lock(&fl_rmutex_ops.wait, &rmutex);
        lock(&fl_rmutex_ops.wait, &rmutex);
        in_rmutex++;
        CHECK(fl_rmutex_unlock(&rmutex));
        CHECK(fl_rmutex_unlock(&rmutex));

        lock(&fl_mutex_ops.wait, &mutex);
        while (turn % THREADS != own) {
            CHECK_EQUAL(fl_cond_wait(&cond, of_cond, FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOTIFIED);
        }
        turn++;
        in_mutex++;
        (void)fl_cond_notify(&cond, SIZE_MAX, of_cond);
        CHECK(fl_mutex_unlock(&mutex));

        lock(&fl_sema_ops, &sema);
        CHECK(fl_sema_release(&sema, 1, 2));

        if (own == i % THREADS) {
            CHECK(fl_event_set(&event));
        }
        CHECK_EQUAL(fl_event_wait(&event, FL_DEADLINE_NEVER, NULL), FL_EVENT_WAS_SET);
        uint64_t index;
        CHECK_EQUAL(fl_barrier_wait(&barrier, FL_DEADLINE_NEVER, action, &index, NULL), FL_BARRIER_PASSED);
    }
    return NULL;
}

static void
test_t44_contention_on_the_smallest_stack(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    pthread_attr_t attr;
    fl_mutex_init(&mutex);
    fl_rmutex_init(&rmutex);
    fl_cond_init(&cond);
    fl_sema_init(&sema, 2);
    fl_event_init(&event);
    fl_barrier_init(&barrier, THREADS);
    CHECK_EQUAL(pthread_attr_init(&attr), 0);
    CHECK_EQUAL(pthread_attr_setstacksize(&attr, smallest_stack()), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_EQUAL(pthread_create(&threads[i], &attr, use_all, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(pthread_attr_destroy(&attr), 0);
    CHECK_EQUAL(in_mutex, THREADS * ROUNDS);
    CHECK_EQUAL(in_rmutex, THREADS * ROUNDS);
    CHECK_EQUAL(actions, ROUNDS);
    CHECK_EQUAL(fl_sema_permits(&sema), 2);
    printf("  %zu bytes\n", smallest_stack());
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t44_contention_on_the_smallest_stack);
    return 0;
}
