/* core/deadlock.h */

#include "core/deadlock.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

enum { RING = 8, ROUNDS = 200 };

/* For ThreadSanitizer, which calls it: its own search for deadlocks counts up to 64 mutexes, and ours holds all
 * buckets. */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}

/* ---- rings ---- */

static fl_rmutex ring[RING];
static pthread_barrier_t all_hold;
static fl_atomic_u64 victims;

static void *
be_in_ring(void *arg)
{
    fl_rmutex *own = arg;
    fl_rmutex *next = own == &ring[RING - 1] ? &ring[0] : own + 1;
    CHECK_EQUAL(fl_rmutex_try_lock(own), FL_LOCK_ACQUIRED);
    pthread_barrier_wait(&all_hold);
    fl_lock_result result = fl_lock_wait(&fl_rmutex_ops.wait, next, FL_DEADLINE_NEVER, NULL);
    if (result == FL_LOCK_DEADLOCK) {
        CHECK_EQUAL(fl_deadlock_walk(next, NULL, NULL), RING);
        (void)fl_add_relaxed_u64(&victims, 1);
    }
    else {
        CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
        CHECK(fl_rmutex_unlock(next));
    }
    CHECK(fl_rmutex_unlock(own));
    return NULL;
}

static void
test_one_thread_of_a_ring_is_the_victim(void)
{
    CHECK_EQUAL(pthread_barrier_init(&all_hold, NULL, RING), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        pthread_t threads[RING];
        for (int i = 0; i < RING; i++) {
            threads[i] = start_thread(be_in_ring, &ring[i]);
        }
        for (int i = 0; i < RING; i++) {
            join_thread(threads[i]);
        }
        for (int i = 0; i < RING; i++) {
            CHECK(!fl_rmutex_is_locked(&ring[i]) && fl_lot_count(&ring[i]) == 0);
        }
        CHECK_EQUAL(fl_load_relaxed_u64(&victims), round);
    }
    pthread_barrier_destroy(&all_hold);
}

/* ---- plain mutexes ---- */

static fl_mutex plain_ring[RING];

static void *
be_in_plain_ring(void *arg)
{
    fl_mutex *own = arg;
    fl_mutex *next = own == &plain_ring[RING - 1] ? &plain_ring[0] : own + 1;
    const fl_wait_ops *ops = (own - plain_ring) % 2 ? &fl_mutex_scoped_ops : &fl_mutex_ops.wait;
    CHECK(fl_mutex_try_enter(own));
    pthread_barrier_wait(&all_hold);
    fl_lock_result result = fl_lock_wait(ops, next, FL_DEADLINE_NEVER, NULL);
    if (result == FL_LOCK_DEADLOCK) {
        CHECK_EQUAL(fl_deadlock_walk(next, NULL, NULL), RING);
        (void)fl_add_relaxed_u64(&victims, 1);
    }
    else {
        CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
        CHECK(fl_mutex_unlock(next));
    }
    CHECK(fl_mutex_unlock(own));
    return NULL;
}

static void
test_one_thread_of_a_ring_of_blocks_is_the_victim(void)
{
    fl_store_relaxed_u64(&victims, 0);
    CHECK_EQUAL(pthread_barrier_init(&all_hold, NULL, RING), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        pthread_t threads[RING];
        for (int i = 0; i < RING; i++) {
            threads[i] = start_thread(be_in_plain_ring, &plain_ring[i]);
        }
        for (int i = 0; i < RING; i++) {
            join_thread(threads[i]);
        }
        for (int i = 0; i < RING; i++) {
            CHECK(!fl_mutex_is_locked(&plain_ring[i]) && fl_lot_count(&plain_ring[i]) == 0);
        }
        CHECK_EQUAL(fl_load_relaxed_u64(&victims), round);
    }
    pthread_barrier_destroy(&all_hold);
}

static void *
unlock_when_queued(void *arg)
{
    while (fl_lot_count(arg) == 0) {
        sched_yield();
    }
    CHECK(fl_mutex_unlock(arg));
    return NULL;
}

static void
test_a_thread_waits_for_itself_inside_a_block_only(void)
{
    fl_mutex mutex = {0};
    CHECK(fl_mutex_try_enter(&mutex));
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_DEADLOCK);
    CHECK_EQUAL(fl_deadlock_walk(&mutex, NULL, NULL), 1);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_scoped_ops, &mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_DEADLOCK);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &mutex, fl_deadline_after_ns(NS_PER_MS), NULL), FL_LOCK_TIMED_OUT);
    CHECK_EQUAL(fl_lot_count(&mutex), 0);
    CHECK(fl_mutex_unlock(&mutex));
    CHECK(fl_mutex_try_lock(&mutex));
    CHECK_EQUAL(fl_deadlock_walk(&mutex, NULL, NULL), 0);
    pthread_t other = start_thread(unlock_when_queued, &mutex);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_scoped_ops, &mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    join_thread(other);
    CHECK(fl_mutex_unlock(&mutex));
}

/* ---- a cycle that nobody can leave ---- */

typedef struct {
    fl_rmutex *held, *wanted;
    bool may_fail;
} plan;

/* Takes `held`, if there is one, waits for `wanted`, and gets it in the end. */
static void *
hold_and_wait(void *arg)
{
    plan *self = arg;
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.may_fail = self->may_fail;
    if (self->held) {
        CHECK_EQUAL(fl_rmutex_try_lock(self->held), FL_LOCK_ACQUIRED);
        pthread_barrier_wait(&all_hold);
    }
    fl_lock_result result = fl_lock_wait(&fl_rmutex_ops.wait, self->wanted, FL_DEADLINE_NEVER, &blocker.base);
    CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_unlock(self->wanted));
    if (self->held) {
        (void)fl_rmutex_unlock(self->held); /* one of them has been robbed */
    }
    return NULL;
}

/* As _at_fork_reinit() would: the mutex is the calling thread's now, and its release wakes who waits. */
static void
rob_and_release(fl_rmutex *mutex)
{
    fl_store_relaxed_u64(&mutex->word, fl_thread_register() | FL_WORD_PARKED);
    CHECK(fl_rmutex_unlock(mutex));
}

static void
wait_until_queued(const void *key, size_t count)
{
    while (fl_lot_count(key) != count) {
        sched_yield();
    }
}

static void
test_a_cycle_in_which_nobody_may_fail(void)
{
    static fl_rmutex first, second;
    plan plans[] = {{&first, &second, false}, {&second, &first, false}, {NULL, &first, true}};
    pthread_t threads[3];
    CHECK_EQUAL(pthread_barrier_init(&all_hold, NULL, 2), 0);
    threads[0] = start_thread(hold_and_wait, &plans[0]);
    threads[1] = start_thread(hold_and_wait, &plans[1]);
    wait_until_queued(&first, 1);
    wait_until_queued(&second, 1);
    threads[2] = start_thread(hold_and_wait, &plans[2]); /* its look comes into the cycle, and ends */
    wait_until_queued(&first, 2);
    CHECK_EQUAL(fl_deadlock_walk(&first, NULL, NULL), 0); /* it does not lead to this thread */
    rob_and_release(&first);
    for (int i = 0; i < 3; i++) {
        join_thread(threads[i]);
    }
    pthread_barrier_destroy(&all_hold);
}

/* ---- deadlocks that are only told ---- */

static fl_atomic_u64 tellings;

static fl_deadlock_verdict
tell(const void *lock, int64_t since_ns)
{
    CHECK(lock && since_ns > 0);
    (void)fl_add_relaxed_u64(&tellings, 1);
    return FL_DEADLOCK_IS_TOLD;
}

/* As hold_and_wait, with a runtime that tells. */
static void *
hold_and_wait_on(void *arg)
{
    plan *self = arg;
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.may_fail = true;
    blocker.base.judge = tell;
    CHECK_EQUAL(fl_rmutex_try_lock(self->held), FL_LOCK_ACQUIRED);
    pthread_barrier_wait(&all_hold);
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, self->wanted, FL_DEADLINE_NEVER, &blocker.base), FL_LOCK_ACQUIRED);
    CHECK(!blocker.detached && fl_rmutex_unlock(self->wanted));
    (void)fl_rmutex_unlock(self->held); /* one of them has been robbed */
    return NULL;
}

static void
test_a_cycle_is_told_once(void)
{
    static fl_rmutex first, second;
    plan plans[] = {{&first, &second, true}, {&second, &first, true}};
    pthread_t threads[2];
    CHECK_EQUAL(pthread_barrier_init(&all_hold, NULL, 2), 0);
    for (int i = 0; i < 2; i++) {
        threads[i] = start_thread(hold_and_wait_on, &plans[i]);
    }
    while (fl_load_relaxed_u64(&tellings) == 0) {
        sched_yield();
    }
    wait_until_queued(&first, 1);
    wait_until_queued(&second, 1);
    fl_deadlock_thread_ended(1); /* nobody's serial: a look that goes by all who are stuck */
    rob_and_release(&first);
    for (int i = 0; i < 2; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(fl_load_relaxed_u64(&tellings), 1);
    pthread_barrier_destroy(&all_hold);
}

/* Thread 0 takes the mutex and ends; its waiter tells so, and gets the mutex when it is robbed. */
static void *
bear_the_end(void *arg)
{
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.judge = tell;
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, arg, FL_DEADLINE_NEVER, &blocker.base), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_unlock(arg));
    return NULL;
}

static void *
take(void *arg)
{
    CHECK_EQUAL(fl_rmutex_try_lock(arg), FL_LOCK_ACQUIRED);
    return NULL;
}

static void
test_an_owner_that_has_ended_is_told_once(void)
{
    static fl_rmutex mutex;
    fl_store_relaxed_u64(&tellings, 0);
    join_thread(start_thread(take, &mutex));
    pthread_t waits = start_thread(bear_the_end, &mutex);
    while (fl_load_relaxed_u64(&tellings) == 0) {
        sched_yield();
    }
    wait_until_queued(&mutex, 1);
    rob_and_release(&mutex);
    join_thread(waits);
    CHECK_EQUAL(fl_load_relaxed_u64(&tellings), 1);
}

/* ---- owners that end ---- */

static fl_rmutex left;

static void *
take_and_end(void *arg)
{
    (void)arg;
    if (fl_rmutex_try_lock(&left) == FL_LOCK_BUSY) {
        CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, &left, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    }
    return NULL;
}

static void *
take_or_find_out(void *arg)
{
    fl_lock_result result = fl_rmutex_try_lock(&left);
    (void)arg;
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&fl_rmutex_ops.wait, &left, FL_DEADLINE_NEVER, NULL);
    }
    if (result == FL_LOCK_ACQUIRED) {
        CHECK(fl_rmutex_unlock(&left));
    }
    else {
        CHECK_EQUAL(result, FL_LOCK_DEADLOCK);
        CHECK(fl_deadlock_is_gone(fl_rmutex_owner(&left)));
    }
    return NULL;
}

static void
test_an_owner_ends_while_others_come(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t others[4];
        fl_rmutex_init(&left);
        pthread_t owner = start_thread(take_and_end, NULL);
        for (int i = 0; i < 4; i++) {
            others[i] = start_thread(take_or_find_out, NULL);
        }
        join_thread(owner);
        for (int i = 0; i < 4; i++) {
            join_thread(others[i]);
        }
        uint64_t owner_serial = fl_rmutex_owner(&left);
        CHECK(owner_serial != 0 && fl_deadlock_is_gone(owner_serial));
        uint64_t ident;
        fl_thread_lock_registry();
        CHECK_EQUAL(fl_thread_find(owner_serial, &ident), FL_THREAD_HAS_ENDED);
        fl_thread_unlock_registry();
        CHECK(fl_thread_ident(owner_serial) == 0 && ident != 0);
        CHECK_EQUAL(fl_lot_count(&left), 0);
    }
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_one_thread_of_a_ring_is_the_victim);
    RUN(test_one_thread_of_a_ring_of_blocks_is_the_victim);
    RUN(test_a_thread_waits_for_itself_inside_a_block_only);
    RUN(test_a_cycle_in_which_nobody_may_fail);
    RUN(test_a_cycle_is_told_once);
    RUN(test_an_owner_that_has_ended_is_told_once);
    RUN(test_an_owner_ends_while_others_come);
    return 0;
}
