/* core/fork.h. The child of each test has one thread, checks what it finds, and says so by its exit status. */

#include "check.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "core/thread.h"
#include "fake_blocker.h"
#include "fork_helpers.h"
#include "lot_helpers.h"

/* ---- the child of a process at rest ---- */

static void
check_alone(void *arg)
{
    fl_rmutex *mine = arg;
    CHECK(fl_rmutex_is_owned(mine));
    CHECK_EQUAL(fl_rmutex_depth(mine), 2);
    CHECK(fl_rmutex_unlock(mine));
    CHECK_EQUAL(fl_rmutex_try_lock(mine), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_unlock(mine));
    CHECK(fl_rmutex_unlock(mine));
    CHECK(!fl_rmutex_is_locked(mine));
    CHECK_EQUAL(fl_thread_ident(fl_thread_self()), (uintptr_t)pthread_self());
    use_every_bucket();
}

static void
test_t34_child_owns_what_the_forking_thread_held(void)
{
    fl_rmutex mine = {0};
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(fl_rmutex_try_lock(&mine), FL_LOCK_ACQUIRED);
    }
    in_child(check_alone, &mine);
    CHECK_EQUAL(fl_rmutex_depth(&mine), 2); /* and so does the parent */
    use_every_bucket();
}

/* ---- locks of threads that are not in the child ---- */

typedef struct {
    fl_mutex mutex;
    fl_rmutex rmutex;
    fl_cond cond;
    flag held, release;
    uint64_t holder;
} others;

static void *
hold_both(void *arg)
{
    others *self = arg;
    CHECK(fl_mutex_try_lock(&self->mutex));
    CHECK_EQUAL(fl_rmutex_try_lock(&self->rmutex), FL_LOCK_ACQUIRED);
    self->holder = fl_thread_self();
    raise_flag(&self->held, 1);
    await_flag(&self->release, 1);
    CHECK(fl_rmutex_unlock(&self->rmutex));
    CHECK(fl_mutex_unlock(&self->mutex));
    return NULL;
}

static void *
wait_for_mutex(void *arg)
{
    others *self = arg;
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK(fl_mutex_unlock(&self->mutex));
    return NULL;
}

static void *
wait_for_rmutex(void *arg)
{
    others *self = arg;
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, &self->rmutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK(fl_rmutex_unlock(&self->rmutex));
    return NULL;
}

static void *
wait_for_notification(void *arg)
{
    others *self = arg;
    fl_mutex own = {FL_MUTEX_HELD};
    fl_cond_lock lock = {.lock = &own, .ops = &fl_mutex_ops};
    CHECK_EQUAL(fl_cond_wait(&self->cond, lock, FL_DEADLINE_NEVER, NULL, NULL), FL_COND_NOTIFIED);
    return NULL;
}

static void
check_what_others_left(void *arg)
{
    others *self = arg;
    check_nobody(&self->mutex);
    check_nobody(&self->rmutex);
    check_nobody(&self->cond);
    /* Held by threads that do not exist: nobody gets them, and nobody hangs who does not want to. */
    CHECK(!fl_rmutex_is_owned(&self->rmutex));
    CHECK_EQUAL(fl_thread_ident(self->holder), 0);
    CHECK(fl_thread_is_left_behind(self->holder));
    CHECK(!fl_thread_is_left_behind(fl_thread_self()));
    int64_t deadline_ns = fl_deadline_after_ns(NS_PER_MS);
    CHECK_EQUAL(fl_lock_wait(&fl_rmutex_ops.wait, &self->rmutex, deadline_ns, NULL), FL_LOCK_TIMED_OUT);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, deadline_ns, NULL), FL_LOCK_TIMED_OUT);
    /* The plain mutex can be released by anybody; nobody is woken. */
    CHECK(fl_mutex_unlock(&self->mutex));
    CHECK_EQUAL(self->mutex.word, 0);
    fl_rmutex_init(&self->rmutex);
    CHECK_EQUAL(fl_rmutex_try_lock(&self->rmutex), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_cond_notify(&self->cond, SIZE_MAX, (fl_cond_lock){NULL, NULL}), 0);
    use_every_bucket();
}

static void
test_t34_waiters_and_owners_are_not_in_the_child(void)
{
    others self = {.holder = 0};
    pthread_t threads[6];
    threads[0] = start_thread(hold_both, &self);
    await_flag(&self.held, 1);
    threads[1] = start_thread(wait_for_mutex, &self);
    threads[2] = start_thread(wait_for_mutex, &self);
    threads[3] = start_thread(wait_for_rmutex, &self);
    threads[4] = start_thread(wait_for_notification, &self);
    threads[5] = start_thread(wait_for_notification, &self);
    wait_until_parked(&self.mutex, 2);
    wait_until_parked(&self.rmutex, 1);
    wait_until_parked(&self.cond, 2);
    fl_waiter mine;
    int other_key = 0;
    queue_up(&mine, &other_key); /* what the forking thread has queued does not keep the others */
    in_child(check_what_others_left, &self);
    expect_queued(&mine);
    CHECK_EQUAL(fl_cond_notify(&self.cond, 2, (fl_cond_lock){NULL, NULL}), 2);
    raise_flag(&self.release, 1);
    for (int i = 0; i < 6; i++) {
        join_thread(threads[i]);
    }
}

/* ---- waiters of the forking thread ---- */

typedef struct {
    fl_waiter mine[3];
    fl_waiter foreign;
    flag queued, stop;
} mixture;

static void *
queue_foreign(void *arg)
{
    mixture *self = arg;
    queue_up(&self->foreign, keys);
    raise_flag(&self->queued, 1);
    await_flag(&self->stop, 1);
    expect_queued(&self->foreign);
    return NULL;
}

static void
check_own_waiters(void *arg)
{
    mixture *self = arg;
    CHECK_ORDER(keys, &self->mine[0], &self->mine[1], &self->mine[2]);
    fl_lot_unpark_one(keys, unpark_it, NULL, NULL);
    expect_unparked(&self->mine[0]);
    expect_queued(&self->mine[2]);
    expect_queued(&self->mine[1]);
    use_every_bucket();
}

static void
test_t34_own_waiters_stay(void)
{
    mixture self = {.queued = 0};
    queue_all(self.mine, 2, keys);
    pthread_t thread = start_thread(queue_foreign, &self);
    await_flag(&self.queued, 1);
    spin_ns(1000);
    queue_up(&self.mine[2], keys);
    in_child(check_own_waiters, &self);
    CHECK_ORDER(keys, &self.mine[0], &self.mine[1], &self.foreign, &self.mine[2]);
    raise_flag(&self.stop, 1);
    join_thread(thread);
    for (int i = 0; i < 3; i++) {
        expect_queued(&self.mine[i]);
    }
}

typedef struct {
    fl_mutex mutex;
    fl_cond cond;
    pid_t parent;
    bool wait_for_notify; /* fork when the notifier has taken the waiter, and may not have woken it yet */
    flag polled;          /* the poll() that forks is over, in the parent */
} poll_scene;

enum { CROWD = 40 };

static void
do_nothing(void *arg)
{
    (void)arg;
}

static bool
fork_in_cond_poll(void *ctx, int polls)
{
    poll_scene *self = ctx;
    if (polls != 2) {
        return true; /* not queued yet, or one slice later */
    }
    while (self->wait_for_notify && fl_lot_count(&self->cond) > 0) {
        raise_flag(&self->polled, 1);
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(TEST_LIMIT_S / 2);
        return self->wait_for_notify; /* the wait goes on in the child, or is given up */
    }
    await_success(pid);
    raise_flag(&self->polled, 2);
    return true;
}

static void *
wait_and_fork(void *arg)
{
    poll_scene *self = arg;
    fl_cond_lock lock = {.lock = &self->mutex, .ops = &fl_mutex_ops};
    fake_blocker blocker = make_fake_blocker(true, fork_in_cond_poll, self);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    fl_cond_result result = fl_cond_wait(&self->cond, lock, FL_DEADLINE_NEVER, &blocker.base, NULL);
    if (getpid() != self->parent) {
        CHECK_EQUAL(result, self->wait_for_notify ? FL_COND_NOTIFIED : FL_COND_GIVEN_UP);
        CHECK(fl_mutex_is_locked(&self->mutex));
        check_nobody(&self->cond);
        _exit(0);
    }
    CHECK_EQUAL(result, FL_COND_NOTIFIED);
    CHECK(fl_mutex_unlock(&self->mutex));
    return NULL;
}

static void
test_t14_fork_in_poll(void)
{
    poll_scene self = {.parent = getpid()};
    pthread_t thread = start_thread(wait_and_fork, &self);
    interrupt_until(thread, &self.polled, 2);
    wait_until_parked(&self.cond, 1);
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, &self.mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_cond_notify(&self.cond, 1, (fl_cond_lock){NULL, NULL}), 1);
    CHECK(fl_mutex_unlock(&self.mutex));
    join_thread(thread);
}

/* L7: the notifier, which is not in the child, has many others to wake as well. */
static void *
wait_in_the_crowd(void *arg)
{
    poll_scene *self = arg;
    fl_waiter waiter;
    CHECK_EQUAL(fl_waiter_init(&waiter, true), 0);
    fl_cond_enqueue(&self->cond, &waiter);
    expect_unparked(&waiter);
    return NULL;
}

static void
test_t14_fork_in_poll_while_it_is_notified(void)
{
    for (int round = 0; round < 10; round++) {
        poll_scene self = {.parent = getpid(), .wait_for_notify = true};
        pthread_t crowd[CROWD];
        for (int i = 0; i < CROWD; i++) {
            crowd[i] = start_thread(wait_in_the_crowd, &self);
        }
        wait_until_parked(&self.cond, CROWD);
        pthread_t thread = start_thread(wait_and_fork, &self);
        interrupt_until(thread, &self.polled, 1);
        CHECK_EQUAL(fl_cond_notify(&self.cond, SIZE_MAX, (fl_cond_lock){NULL, NULL}), CROWD + 1);
        join_thread(thread);
        for (int i = 0; i < CROWD; i++) {
            join_thread(crowd[i]);
        }
    }
}

/* ---- a busy process ---- */

enum { BUSY = 4, FORKS = 40 };

typedef struct {
    fl_mutex mutexes[3];
    fl_rmutex rmutex;
    fl_cond cond;
    fl_atomic_u64 seeds;
    flag stop;
} busy_scene;

static void
be_busy_once(busy_scene *self, uint64_t *random)
{
    fl_mutex *mutex = &self->mutexes[random_below(random, 3)];
    int64_t deadline_ns = fl_deadline_after_ns(random_below(random, 100 * 1000));
    if (fl_lock_wait(&fl_mutex_ops.wait, mutex, deadline_ns, NULL) == FL_LOCK_ACQUIRED) {
        CHECK(fl_mutex_unlock(mutex));
    }
    if (fl_lock_wait(&fl_rmutex_ops.wait, &self->rmutex, deadline_ns, NULL) == FL_LOCK_ACQUIRED) {
        fl_cond_lock lock = {.lock = &self->rmutex, .ops = &fl_rmutex_ops};
        if (random_below(random, 3)) {
            (void)fl_cond_notify(&self->cond, 1 + (size_t)random_below(random, 2), lock);
        }
        else {
            (void)fl_cond_wait(&self->cond, lock, deadline_ns + 50 * 1000, NULL, NULL);
        }
        CHECK(fl_rmutex_unlock(&self->rmutex));
    }
}

static void *
be_busy(void *arg)
{
    busy_scene *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    while (fl_load_acquire_u32(&self->stop) == 0) {
        be_busy_once(self, &random);
    }
    return NULL;
}

static void
check_after_busy(void *arg)
{
    busy_scene *self = arg;
    for (int i = 0; i < 3; i++) {
        check_nobody(&self->mutexes[i]);
        fl_mutex_init(&self->mutexes[i]);
        CHECK(fl_mutex_try_lock(&self->mutexes[i]));
        CHECK(fl_mutex_unlock(&self->mutexes[i]));
    }
    check_nobody(&self->rmutex);
    check_nobody(&self->cond);
    CHECK(!fl_rmutex_is_owned(&self->rmutex));
    fl_rmutex_init(&self->rmutex);
    fl_cond_init(&self->cond);
    uint64_t random = 1;
    for (int i = 0; i < 20; i++) {
        be_busy_once(self, &random);
    }
    use_every_bucket();
}

static void
test_t34_fork_while_others_use_the_core(void)
{
    busy_scene self = {.stop = 0};
    pthread_t threads[BUSY];
    for (int i = 0; i < BUSY; i++) {
        threads[i] = start_thread(be_busy, &self);
    }
    for (int i = 0; i < FORKS; i++) {
        in_child(check_after_busy, &self);
    }
    raise_flag(&self.stop, 1);
    for (int i = 0; i < BUSY; i++) {
        join_thread(threads[i]);
    }
}

/* ---- the child has threads of its own ---- */

static void
check_new_threads(void *arg)
{
    others self = {.holder = 0};
    (void)arg;
    uint64_t own = fl_thread_register();
    pthread_t holder = start_thread(hold_both, &self);
    await_flag(&self.held, 1);
    CHECK(self.holder != own);
    CHECK(fl_thread_ident(self.holder) != 0);
    CHECK(!fl_thread_is_left_behind(self.holder) && !fl_thread_is_left_behind(own));
    pthread_t waiter = start_thread(wait_for_mutex, &self);
    wait_until_parked(&self.mutex, 1);
    raise_flag(&self.release, 1);
    join_thread(holder);
    join_thread(waiter);
    in_child(do_nothing, NULL);
}

static void
test_t34_child_starts_threads(void)
{
    in_child(check_new_threads, NULL);
}

/* ---- fork in another thread than the main one ---- */

static void
check_is_main(void *arg)
{
    (void)arg;
    CHECK(fl_thread_is_main());
}

static void *
fork_elsewhere(void *arg)
{
    CHECK(!fl_thread_is_main());
    in_child(check_is_main, arg);
    CHECK(!fl_thread_is_main());
    return NULL;
}

static void
test_t36_forking_thread_is_the_main_one_of_the_child(void)
{
    fl_thread_set_main((uint64_t)(uintptr_t)pthread_self());
    join_thread(start_thread(fork_elsewhere, NULL));
    CHECK(fl_thread_is_main());
    in_child(check_is_main, NULL);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t34_child_owns_what_the_forking_thread_held);
    RUN(test_t34_waiters_and_owners_are_not_in_the_child);
    RUN(test_t34_own_waiters_stay);
    RUN(test_t14_fork_in_poll);
    RUN(test_t14_fork_in_poll_while_it_is_notified);
    RUN(test_t34_fork_while_others_use_the_core);
    RUN(test_t34_child_starts_threads);
    RUN(test_t36_forking_thread_is_the_main_one_of_the_child);
    return 0;
}
