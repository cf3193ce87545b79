/* core/rmutex.h */

#include "check.h"
#include "core/rmutex.h"
#include "lot_helpers.h"

static void
lock_rmutex(fl_rmutex *mutex)
{
    fl_lock_result result = fl_rmutex_try_lock(mutex);
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&fl_rmutex_ops.wait, mutex, FL_DEADLINE_NEVER, NULL);
    }
    CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_is_owned(mutex));
}

static uint64_t
word_of(fl_rmutex *mutex)
{
    return fl_load_relaxed_u64(&mutex->word);
}

/* A thread that runs one function at once, with its own result checked in there. */
static void
run_elsewhere(void *(*body)(void *), void *arg)
{
    join_thread(start_thread(body, arg));
}

static void *
check_strange(void *arg)
{
    fl_rmutex *mutex = arg;
    for (int i = 0; i < 2; i++) { /* before and after the thread gets its serial */
        CHECK(!fl_rmutex_is_owned(mutex));
        CHECK(!fl_rmutex_unlock(mutex));
        CHECK(fl_rmutex_is_locked(mutex));
        CHECK_EQUAL(fl_rmutex_try_lock(mutex), FL_LOCK_BUSY);
        CHECK_EQUAL(fl_rmutex_ops.release_all(mutex, NULL), 0);
    }
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, mutex, fl_deadline_after_ns(NS_PER_MS), NULL), FL_LOCK_TIMED_OUT);
    return NULL;
}

static void *
check_free(void *arg)
{
    fl_rmutex *mutex = arg;
    CHECK(!fl_rmutex_is_locked(mutex));
    CHECK(!fl_rmutex_is_owned(mutex));
    CHECK(!fl_rmutex_unlock(mutex)); /* 0 is no thread, and not the owner of a free mutex */
    CHECK_EQUAL(fl_rmutex_try_lock(mutex), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_rmutex_owner(mutex), fl_thread_self());
    CHECK(fl_rmutex_unlock(mutex));
    CHECK(!fl_rmutex_unlock(mutex));
    return NULL;
}

static void
test_recursion(void)
{
    fl_rmutex mutex;
    fl_rmutex_init(&mutex);
    CHECK_EQUAL(fl_rmutex_depth(&mutex), 0);
    for (uint64_t depth = 1; depth <= 1000; depth++) {
        CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_ACQUIRED);
        CHECK_EQUAL(fl_rmutex_depth(&mutex), depth);
    }
    run_elsewhere(check_strange, &mutex);
    for (uint64_t depth = 1000; depth > 0; depth--) {
        CHECK(fl_rmutex_is_owned(&mutex));
        CHECK(fl_rmutex_unlock(&mutex));
        CHECK_EQUAL(fl_rmutex_depth(&mutex), depth - 1);
    }
    CHECK(!fl_rmutex_unlock(&mutex));
    CHECK(fl_rmutex_owner(&mutex) == 0);
    run_elsewhere(check_free, &mutex);
}

static void
test_t17_recursion_overflow(void)
{
    fl_rmutex mutex = {0};
    lock_rmutex(&mutex);
    fl_rmutex_restore(&mutex, FL_RMUTEX_DEPTH_MAX);
    CHECK(fl_rmutex_depth(&mutex) == FL_RMUTEX_DEPTH_MAX);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_OVERFLOW);
        CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, &mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_OVERFLOW);
        CHECK(fl_rmutex_depth(&mutex) == FL_RMUTEX_DEPTH_MAX);
    }
    CHECK(fl_rmutex_unlock(&mutex));
    CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_release_all(&mutex, NULL) == FL_RMUTEX_DEPTH_MAX);
    run_elsewhere(check_free, &mutex);
}

static void
test_t05_release_all_and_restore(void)
{
    const uint64_t depths[] = {1, 2, 1000};
    for (int i = 0; i < 3; i++) {
        fl_rmutex mutex = {0};
        for (uint64_t depth = 0; depth < depths[i]; depth++) {
            lock_rmutex(&mutex);
        }
        CHECK_EQUAL(fl_rmutex_ops.release_all(&mutex, NULL), depths[i]);
        run_elsewhere(check_free, &mutex);
        lock_rmutex(&mutex);
        fl_rmutex_ops.restore(&mutex, depths[i]);
        run_elsewhere(check_strange, &mutex);
        CHECK_EQUAL(fl_rmutex_depth(&mutex), depths[i]);
        CHECK_EQUAL(fl_rmutex_ops.release_all(&mutex, NULL), depths[i]);
        CHECK_EQUAL(fl_rmutex_ops.release_all(&mutex, NULL), 0);
    }
}

/* A signal handler that ran in between left the mutex held: those levels stay. */
static void
test_t05_restore_adds_to_what_is_held(void)
{
    fl_rmutex mutex = {0};
    lock_rmutex(&mutex);
    lock_rmutex(&mutex);
    lock_rmutex(&mutex);
    fl_rmutex_restore(&mutex, 4);
    CHECK_EQUAL(fl_rmutex_depth(&mutex), 6);
    fl_rmutex_restore(&mutex, FL_RMUTEX_DEPTH_MAX); /* and never wraps round */
    CHECK(fl_rmutex_depth(&mutex) == FL_RMUTEX_DEPTH_MAX);
}

enum { STRANGER = 4711 * FL_THREAD_SERIAL_STEP };

/* As if another thread queued it. */
static void
queue_for(fl_waiter *waiter, fl_rmutex *mutex, int64_t since_ns)
{
    CHECK_EQUAL(fl_waiter_init(waiter, false), 0);
    waiter->since_ns = since_ns;
    waiter->thread = STRANGER;
    CHECK(fl_lock_enqueue(&fl_rmutex_ops.wait, mutex, waiter));
}

static void
test_t29_free_mutex_with_waiters_can_be_taken(void)
{
    fl_rmutex mutex = {0};
    fl_waiter w[2];
    lock_rmutex(&mutex);
    uint64_t self = fl_thread_self();
    queue_for(&w[0], &mutex, INT64_MAX / 2);
    queue_for(&w[1], &mutex, INT64_MAX / 2);
    CHECK_EQUAL(word_of(&mutex), self | FL_WORD_PARKED);
    CHECK(fl_rmutex_is_owned(&mutex));
    lock_rmutex(&mutex); /* recursion with waiters */
    CHECK(fl_rmutex_unlock(&mutex));
    CHECK(fl_rmutex_unlock_slow(&mutex, FL_WAKE_NEXT));
    CHECK_EQUAL(word_of(&mutex), FL_WORD_PARKED);
    CHECK(!fl_rmutex_is_locked(&mutex));
    expect_unparked(&w[0]);
    lock_rmutex(&mutex); /* barging */
    CHECK_EQUAL(word_of(&mutex), self | FL_WORD_PARKED);
    CHECK(fl_rmutex_unlock_slow(&mutex, FL_WAKE_NEXT));
    CHECK_EQUAL(word_of(&mutex), 0);
    expect_unparked(&w[1]);
    CHECK(!fl_lock_enqueue(&fl_rmutex_ops.wait, &mutex, &w[0])); /* free: nothing to wait for */
    CHECK_EQUAL(word_of(&mutex), 0);
}

/* A signal handler may have taken the mutex for the thread before it queues. */
static void
test_nobody_waits_for_what_is_its_own(void)
{
    fl_rmutex mutex = {0};
    fl_waiter waiter;
    lock_rmutex(&mutex);
    CHECK_EQUAL(fl_waiter_init(&waiter, false), 0);
    CHECK(!fl_lock_enqueue(&fl_rmutex_ops.wait, &mutex, &waiter));
    CHECK_EQUAL(word_of(&mutex), fl_thread_self());
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, &mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_rmutex_depth(&mutex), 2);
    fl_waiter_fini(&waiter);
}

static void
test_t28_waiter_of_long_standing_is_handed_the_mutex(void)
{
    fl_rmutex mutex = {0};
    fl_waiter waiter;
    lock_rmutex(&mutex);
    queue_for(&waiter, &mutex, 1);
    CHECK(fl_rmutex_unlock(&mutex));
    CHECK_EQUAL(fl_rmutex_owner(&mutex), STRANGER);
    CHECK(waiter.handed_off);
    CHECK(!fl_rmutex_is_owned(&mutex));
    CHECK_EQUAL(fl_rmutex_try_lock(&mutex), FL_LOCK_BUSY);
    expect_unparked(&waiter);
}

/* ---- threads ---- */

enum { THREADS = 5, ROUNDS = 4000 };

typedef struct {
    fl_rmutex mutex;
    gate start;
    int counter; /* not atomic: the mutex guards it */
    fl_atomic_u64 locked, looks;
    flag stop;
} contest;

static void *
lock_often(void *arg)
{
    contest *self = arg;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    pass_gate(&self->start);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t deadline_ns = i % 2 ? FL_DEADLINE_NEVER : fl_deadline_after_ns(random_below(&random, 30 * 1000));
        fl_lock_result result = fl_rmutex_try_lock(&self->mutex);
        if (result == FL_LOCK_BUSY) {
            result = fl_lock_wait(&fl_rmutex_ops.wait, &self->mutex, deadline_ns, NULL);
        }
        if (result == FL_LOCK_TIMED_OUT) {
            CHECK(i % 2 == 0);
            CHECK(!fl_rmutex_is_owned(&self->mutex));
            continue;
        }
        CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
        (void)fl_add_relaxed_u64(&self->locked, 1);
        CHECK_EQUAL(fl_rmutex_depth(&self->mutex), 1);
        lock_rmutex(&self->mutex);
        self->counter++;
        CHECK(fl_rmutex_unlock(&self->mutex));
        CHECK(fl_rmutex_unlock(&self->mutex));
        CHECK(!fl_rmutex_is_owned(&self->mutex)); /* R4 */
    }
    return NULL;
}

/* What repr() asks, from a thread that has nothing to do with the mutex. */
static void *
look_on(void *arg)
{
    contest *self = arg;
    while (fl_load_acquire_u32(&self->stop) == 0) {
        CHECK(!fl_rmutex_is_owned(&self->mutex));
        CHECK(fl_rmutex_depth(&self->mutex) <= 2);
        (void)fl_rmutex_is_locked(&self->mutex);
        (void)fl_thread_ident(fl_rmutex_owner(&self->mutex));
        (void)fl_add_relaxed_u64(&self->looks, 1);
    }
    return NULL;
}

static void
test_t22_mutual_exclusion_and_onlookers(void)
{
    contest self = {.start.count = THREADS};
    pthread_t onlooker = start_thread(look_on, &self);
    while (fl_load_relaxed_u64(&self.looks) == 0) {
        pause_briefly();
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(lock_often, &self);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    raise_flag(&self.stop, 1);
    join_thread(onlooker);
    CHECK_EQUAL(self.counter, self.locked);
    CHECK(self.locked >= THREADS * ROUNDS / 2);
    CHECK(!fl_rmutex_is_locked(&self.mutex));
    check_nobody(&self.mutex);
}

static void *
never_pause(void *arg)
{
    contest *self = arg;
    while (fl_load_acquire_u32(&self->stop) == 0) {
        lock_rmutex(&self->mutex);
        spin_ns(200 * 1000);
        CHECK(fl_rmutex_unlock(&self->mutex));
    }
    return NULL;
}

static void
test_t28_nobody_is_starved(void)
{
    contest self = {.counter = 0};
    pthread_t threads[2] = {start_thread(never_pause, &self), start_thread(never_pause, &self)};
    for (int i = 0; i < 30; i++) {
        lock_rmutex(&self.mutex);
        CHECK(fl_rmutex_unlock(&self.mutex));
    }
    raise_flag(&self.stop, 1);
    join_thread(threads[0]);
    join_thread(threads[1]);
}

/* ---- lifetime ---- */

static void *
take_and_free(void *arg)
{
    fl_rmutex *mutex = arg;
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    free(mutex);
    return NULL;
}

static void
test_t21_free_right_after_hand_over(void)
{
    for (int i = 0; i < 500; i++) {
        fl_rmutex *mutex = malloc(sizeof *mutex);
        CHECK(mutex != NULL);
        fl_rmutex_init(mutex);
        lock_rmutex(mutex);
        pthread_t thread = start_thread(take_and_free, mutex);
        wait_until_parked(mutex, 1);
        if (i % 2) {
            spin_ns(FL_FAIR_NS);
        }
        CHECK(fl_rmutex_unlock(mutex));
        join_thread(thread);
    }
}

typedef struct {
    fl_rmutex mutex;
    pthread_t ident;
} legacy;

static void *
die_holding(void *arg)
{
    legacy *self = arg;
    lock_rmutex(&self->mutex);
    lock_rmutex(&self->mutex);
    self->ident = pthread_self();
    return NULL;
}

typedef struct {
    legacy *of;
    bool same_ident;
} heir;

static void *
try_to_inherit(void *arg)
{
    heir *self = arg;
    self->same_ident = pthread_equal(pthread_self(), self->of->ident);
    return check_strange(&self->of->mutex);
}

static void
test_t19_dead_owner_has_no_heir(void)
{
    legacy self = {.ident = 0};
    run_elsewhere(die_holding, &self);
    CHECK_EQUAL(fl_thread_ident(fl_rmutex_owner(&self.mutex)), 0); /* held by nobody who lives */
    int same_idents = 0;
    for (int i = 0; i < 50; i++) {
        heir next = {.of = &self};
        run_elsewhere(try_to_inherit, &next);
        same_idents += next.same_ident;
    }
    CHECK_EQUAL(fl_rmutex_depth(&self.mutex), 2);
    printf("  %d threads had the dead one's ident\n", same_idents);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_recursion);
    RUN(test_t17_recursion_overflow);
    RUN(test_t05_release_all_and_restore);
    RUN(test_t05_restore_adds_to_what_is_held);
    RUN(test_t29_free_mutex_with_waiters_can_be_taken);
    RUN(test_nobody_waits_for_what_is_its_own);
    RUN(test_t28_waiter_of_long_standing_is_handed_the_mutex);
    RUN(test_t22_mutual_exclusion_and_onlookers);
    RUN(test_t28_nobody_is_starved);
    RUN(test_t21_free_right_after_hand_over);
    RUN(test_t19_dead_owner_has_no_heir);
    return 0;
}
