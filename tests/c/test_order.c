/* No false alarm: threads that take their locks in one order never get FL_LOCK_DEADLOCK, and none hangs.
 *
 * Threads that come and go take recursive and plain mutexes in the order of their numbers, one inside the other, with
 * timeouts and without.  Inside they notify and wait for notifications; the notified are moved to the queues of the
 * mutexes.  One thread, the chief, is sent signals, whose handlers wait for mutexes, and it forks children that go on
 * in the same way.
 *
 * OPERATIONS in the environment says how long it goes on.  An operation is an attempt to take a mutex, a release, a
 * notification or a wait for one. */

#include "check.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "fork_helpers.h"

enum { LOCKS = 8, SLOTS = 6, SECTIONS = 400, CHILD_SECTIONS = 200, DEPTH = 4, SIGNAL_EVERY_NS = 1000 * 1000 };

static const uint64_t usual_operations = 200 * 1000;

/* Every third one is plain. */
typedef struct {
    fl_rmutex rmutex;
    fl_mutex mutex;
    fl_cond conds[2];
    uint64_t owner; /* not atomic: the lock guards it */
    bool plain;
} ranked_lock;

typedef struct {
    fl_atomic_u64 operations, waits, timed_out, notified, threads;
} figures;

/* A place for one thread after the other. */
typedef struct {
    figures count;
    uint64_t random;
    pthread_t starter;
} slot;

/* A thread of a slot, the chief, or a child of it. */
typedef struct {
    figures *count;
    uint64_t random;
    bool is_chief;
    bool is_notified; /* in the end: it may wait for a notification without a timeout */
} user;

static ranked_lock locks[LOCKS];
static slot slots[SLOTS];
static figures chief_count;
static flag over;
static fl_atomic_u64 running, signals;

static void
count(fl_atomic_u64 *figure)
{
    (void)fl_add_relaxed_u64(figure, 1);
}

static bool
happens(user *self, int percent)
{
    return random_below(&self->random, 100) < percent;
}

static fl_cond_lock
lock_of(ranked_lock *lock)
{
    return lock->plain ? (fl_cond_lock){&lock->mutex, &fl_mutex_ops} : (fl_cond_lock){&lock->rmutex, &fl_rmutex_ops};
}

/* ---- operations ---- */

static void
set_up_locks(void)
{
    for (int i = 0; i < LOCKS; i++) {
        locks[i].plain = i % 3 == 2;
        locks[i].owner = 0;
        fl_mutex_init(&locks[i].mutex);
        fl_cond_init(&locks[i].conds[0]);
        fl_cond_init(&locks[i].conds[1]);
        if (!fl_rmutex_is_owned(&locks[i].rmutex)) {
            fl_rmutex_init(&locks[i].rmutex);
        }
    }
}

/* A wait that goes on until the lock is had has no business to end otherwise: this is what is tested. */
static bool
take(user *self, ranked_lock *lock, int64_t timeout_ns, fl_blocker *blocker)
{
    fl_cond_lock which = lock_of(lock);
    count(&self->count->operations);
    fl_lock_result result = which.ops->wait.try_lock(which.lock, NULL);
    if (result == FL_LOCK_BUSY && timeout_ns == 0) {
        return false;
    }
    if (result == FL_LOCK_BUSY && timeout_ns == FL_DEADLINE_NEVER) {
        count(&self->count->waits);
        result = fl_lock_wait(&which.ops->wait, which.lock, FL_DEADLINE_NEVER, blocker);
    }
    else if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&which.ops->wait, which.lock, fl_deadline_after_ns(timeout_ns), blocker);
        if (result == FL_LOCK_TIMED_OUT) {
            count(&self->count->timed_out);
            return false;
        }
    }
    CHECK_EQUAL(result, FL_LOCK_ACQUIRED);
    return true;
}

static void
give(user *self, ranked_lock *lock)
{
    count(&self->count->operations);
    CHECK(lock->plain ? fl_mutex_unlock(&lock->mutex) : fl_rmutex_unlock(&lock->rmutex));
}

static void
notify(user *self, ranked_lock *lock)
{
    count(&self->count->operations);
    size_t most = happens(self, 50) ? 1 : SIZE_MAX;
    (void)fl_cond_notify(&lock->conds[random_below(&self->random, 2)], most, lock_of(lock));
}

static void
await_notification(user *self, ranked_lock *lock, bool holds_others, fl_blocker *blocker)
{
    bool timed = holds_others || !self->is_notified || !happens(self, 10);
    int64_t deadline_ns = timed ? fl_deadline_after_ns(random_below(&self->random, 100 * 1000)) : FL_DEADLINE_NEVER;
    fl_cond *cond = &lock->conds[random_below(&self->random, 2)];
    count(&self->count->operations);
    fl_cond_result result = fl_cond_wait(cond, lock_of(lock), deadline_ns, blocker, NULL);
    CHECK(result == FL_COND_NOTIFIED || (timed && result == FL_COND_TIMED_OUT));
    if (result == FL_COND_NOTIFIED) {
        count(&self->count->notified);
    }
}

/* ---- sections ---- */

/* The signal handler of the chief, who waits for, or in a condition of, the lock with that number. */
typedef struct {
    user *self;
    int rank;
} handler;

/* It waits for a lock that comes after all that the chief holds, or waits for. */
static bool
handle(void *arg, int polls)
{
    handler *ctx = arg;
    if (polls > 1 && ctx->rank + 1 < LOCKS) {
        fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
        ranked_lock *lock = &locks[ctx->rank + 1 + random_below(&ctx->self->random, LOCKS - ctx->rank - 1)];
        blocker.base.may_fail = true;
        count(&signals);
        if (take(ctx->self, lock, FL_DEADLINE_NEVER, &blocker.base)) {
            CHECK_EQUAL(lock->owner, 0);
            give(ctx->self, lock);
        }
    }
    return true;
}

static int64_t
choose_timeout(user *self)
{
    if (happens(self, 5)) {
        return 0;
    }
    return happens(self, 20) ? 1 + random_below(&self->random, 200 * 1000) : FL_DEADLINE_NEVER;
}

static void section(user *self, int rank, int depth);

/* The thread holds the lock. */
static void
use(user *self, int rank, int depth, fl_blocker *blocker, bool holds_others)
{
    ranked_lock *lock = &locks[rank];
    CHECK_EQUAL(lock->owner, 0);
    lock->owner = fl_thread_register();
    bool again = !lock->plain && happens(self, 10) && take(self, lock, FL_DEADLINE_NEVER, blocker);
    section(self, rank, depth - 1);
    CHECK_EQUAL(lock->owner, fl_thread_self());
    lock->owner = 0;
    if (happens(self, 15)) {
        await_notification(self, lock, holds_others, blocker);
    }
    else if (happens(self, 40)) {
        notify(self, lock);
    }
    if (again) {
        give(self, lock);
    }
}

/* Takes a lock behind number `rank`, and in there others behind that.  Half of the threads could do with a
 * failure, as far as they say. */
static void
section(user *self, int rank, int depth)
{
    if (depth == 0 || rank + 1 >= LOCKS) {
        return;
    }
    int next = rank + 1 + (int)random_below(&self->random, LOCKS - rank - 1);
    handler ctx = {self, next};
    fake_blocker blocker = make_fake_blocker(self->is_chief, self->is_chief ? handle : NULL, &ctx);
    blocker.base.may_fail = happens(self, 50);
    if (take(self, &locks[next], choose_timeout(self), &blocker.base)) {
        use(self, next, depth, &blocker.base, rank >= 0);
        give(self, &locks[next]);
    }
}

/* ---- threads that come and go ---- */

static void *
run_user(void *arg)
{
    slot *own = arg;
    user self = {.count = &own->count, .random = next_random(&own->random), .is_notified = true};
    for (int i = 0; i < SECTIONS; i++) {
        section(&self, -1, DEPTH);
    }
    return NULL;
}

static void *
start_users(void *arg)
{
    slot *own = arg;
    while (fl_load_relaxed_u32(&over) == 0) {
        join_thread(start_thread(run_user, own));
        count(&own->count.threads);
    }
    (void)fl_add_relaxed_u64(&running, UINT64_MAX);
    return NULL;
}

/* ---- the chief ---- */

/* These are no operations: in the end the chief does nothing else. */
static void
notify_everybody(void)
{
    static figures not_counted;
    user as = {.count = &not_counted};
    for (int i = 0; i < LOCKS; i++) {
        CHECK(take(&as, &locks[i], FL_DEADLINE_NEVER, NULL));
        for (int k = 0; k < 2; k++) {
            (void)fl_cond_notify(&locks[i].conds[k], SIZE_MAX, lock_of(&locks[i]));
        }
        give(&as, &locks[i]);
    }
}

/* The locks of those who are not there are theirs for ever: they are set up anew. */
static void
go_on_in_child(void *arg)
{
    user *self = arg;
    set_up_locks();
    for (int i = 0; i < CHILD_SECTIONS; i++) {
        section(self, -1, DEPTH);
    }
    if (fl_rmutex_is_owned(&locks[0].rmutex)) {
        give(self, &locks[0]);
    }
    for (int i = 0; i < LOCKS; i++) {
        CHECK(!lock_of(&locks[i]).ops->is_owned(lock_of(&locks[i]).lock));
    }
}

static void
fork_sometimes(user *self, uint64_t *forks)
{
    if (random_below(&self->random, 500) != 0) {
        return;
    }
    bool holds = happens(self, 50) && take(self, &locks[0], FL_DEADLINE_NEVER, NULL);
    in_child(go_on_in_child, self);
    ++*forks;
    if (holds) {
        give(self, &locks[0]);
    }
}

/* ---- the watchdog ---- */

static pthread_t chief;

/* Sends the chief signals, and lets SIGALRM end the program where a thread has stood still for long. */
static void *
watch(void *arg)
{
    uint64_t seen[SLOTS + 1] = {0};
    int64_t moved_ns[SLOTS + 1];
    (void)arg;
    for (int i = 0; i <= SLOTS; i++) {
        moved_ns[i] = fl_clock_now_ns();
    }
    while (fl_load_relaxed_u32(&over) < 2) {
        nanosleep(&(struct timespec){.tv_nsec = SIGNAL_EVERY_NS}, NULL);
        CHECK_EQUAL(pthread_kill(chief, SIGUSR1), 0);
        int64_t now_ns = fl_clock_now_ns();
        for (int i = 0; i <= SLOTS; i++) {
            uint64_t current = fl_load_relaxed_u64(i < SLOTS ? &slots[i].count.operations : &chief_count.operations);
            moved_ns[i] = current != seen[i] || fl_load_relaxed_u32(&over) ? now_ns : moved_ns[i];
            seen[i] = current;
            CHECK(now_ns - moved_ns[i] < TEST_LIMIT_S * INT64_C(1000000000)); /* or it hangs */
        }
    }
    return NULL;
}

static uint64_t
total(size_t offset)
{
    uint64_t sum = fl_load_relaxed_u64((fl_atomic_u64 *)((char *)&chief_count + offset));
    for (int i = 0; i < SLOTS; i++) {
        sum += fl_load_relaxed_u64((fl_atomic_u64 *)((char *)&slots[i].count + offset));
    }
    return sum;
}

#define TOTAL(figure) total(offsetof(figures, figure))

static void
run(uint64_t operations)
{
    user self = {.count = &chief_count, .random = 20261127, .is_chief = true};
    uint64_t forks = 0;
    int64_t begin_ns = fl_clock_now_ns();
    chief = pthread_self();
    set_up_locks();
    pthread_t watchdog = start_thread(watch, NULL);
    running = SLOTS;
    for (int i = 0; i < SLOTS; i++) {
        slots[i].random = 20261127 + 7919 * ((uint64_t)i + 1);
        slots[i].starter = start_thread(start_users, &slots[i]);
    }
    while (TOTAL(operations) < operations) {
        section(&self, -1, DEPTH);
        fork_sometimes(&self, &forks);
        if (happens(&self, 5)) {
            notify_everybody();
        }
    }
    raise_flag(&over, 1);
    alarm(TEST_LIMIT_S);
    while (fl_load_relaxed_u64(&running) != 0) {
        notify_everybody();
    }
    raise_flag(&over, 2);
    join_thread(watchdog);
    for (int i = 0; i < SLOTS; i++) {
        join_thread(slots[i].starter);
    }
    alarm(0);
    CHECK_EQUAL(fl_lot_walk_all(NULL, NULL), 0);
    printf("%" PRIu64 " operations in %" PRId64 " s: %" PRIu64 " waits for a lock without a timeout, %" PRIu64
           " timeouts, %" PRIu64 " notified, %" PRIu64 " signals, %" PRIu64 " forks, %" PRIu64 " threads; no alarm\n",
           TOTAL(operations),
           (fl_clock_now_ns() - begin_ns) / 1000000000,
           TOTAL(waits),
           TOTAL(timed_out),
           TOTAL(notified),
           fl_load_relaxed_u64(&signals),
           forks,
           TOTAL(threads));
}

int
main(void)
{
    const char *wish = getenv("OPERATIONS");
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    run(wish && *wish ? strtoull(wish, NULL, 10) : usual_operations);
    return 0;
}
