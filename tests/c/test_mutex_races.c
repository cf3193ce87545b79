/* core/mutex.h: several threads on the same mutex. */

#include "check.h"
#include "mutex_helpers.h"

enum { THREADS = 6, ROUNDS = 6000 };

typedef struct {
    fl_mutex mutex;
    gate start;
    int counter; /* not atomic: the mutex guards it */
    bool inside;
    fl_atomic_u64 locked, timed_out;
} contest;

static void
enter_and_leave(contest *self)
{
    CHECK(!self->inside);
    self->inside = true;
    self->counter++;
    self->inside = false;
    CHECK(fl_mutex_unlock(&self->mutex));
}

static void *
lock_often(void *arg)
{
    contest *self = arg;
    pass_gate(&self->start);
    for (int i = 0; i < ROUNDS; i++) {
        lock_mutex(&self->mutex);
        enter_and_leave(self);
    }
    return NULL;
}

static void *
lock_often_with_timeouts(void *arg)
{
    contest *self = arg;
    pass_gate(&self->start);
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t deadline_ns = fl_deadline_after_ns(random_below(&random, 30 * 1000));
        if (fl_mutex_try_lock(&self->mutex) ||
            fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, deadline_ns, NULL) == FL_LOCK_ACQUIRED) {
            (void)fl_add_relaxed_u64(&self->locked, 1);
            if (i % 32 == 0) {
                pause_briefly(); /* long enough for others to time out */
            }
            enter_and_leave(self);
        }
        else {
            (void)fl_add_relaxed_u64(&self->timed_out, 1);
        }
    }
    return NULL;
}

static void
run_contest(contest *self, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    self->start.count = THREADS;
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(body, self);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK(!fl_mutex_is_locked(&self->mutex));
    check_nobody(&self->mutex);
}

static void
test_mutual_exclusion(void)
{
    contest self = {.counter = 0};
    run_contest(&self, lock_often);
    CHECK_EQUAL(self.counter, THREADS * ROUNDS);
}

static void
test_mutual_exclusion_with_timeouts(void)
{
    contest self = {.counter = 0};
    run_contest(&self, lock_often_with_timeouts);
    CHECK_EQUAL(self.counter, self.locked);
    CHECK_EQUAL(self.locked + self.timed_out, THREADS * ROUNDS);
    CHECK(self.timed_out > 0);
}

/* ---- two releases at the same time ---- */

enum { RELEASERS = 3, RELEASES = 2000 };

typedef struct {
    fl_mutex mutex;
    gate before[RELEASES], after[RELEASES];
    fl_atomic_u64 succeeded[RELEASES];
    fl_waiter waiter;
} release_race;

static void *
release_often(void *arg)
{
    release_race *self = arg;
    for (int i = 0; i < RELEASES; i++) {
        pass_gate(&self->before[i]);
        (void)fl_add_relaxed_u64(&self->succeeded[i], fl_mutex_unlock(&self->mutex));
        pass_gate(&self->after[i]);
    }
    return NULL;
}

/* Without a waiter, with one, and with one that has left: each is another path through the release. */
static void
prepare_release(release_race *self, int round)
{
    CHECK(fl_mutex_try_lock(&self->mutex));
    if (round % 3) {
        queue_for(&self->waiter, &self->mutex, JUST_CAME);
        if (round % 3 == 2) {
            expect_queued(&self->waiter);
        }
    }
}

static void
test_t18_racing_releases(void)
{
    release_race *self = calloc(1, sizeof *self);
    CHECK(self != NULL);
    pthread_t threads[RELEASERS];
    for (int i = 0; i < RELEASES; i++) {
        self->before[i].count = self->after[i].count = RELEASERS + 1;
    }
    for (int i = 0; i < RELEASERS; i++) {
        threads[i] = start_thread(release_often, self);
    }
    for (int i = 0; i < RELEASES; i++) {
        prepare_release(self, i);
        pass_gate(&self->before[i]);
        pass_gate(&self->after[i]);
        CHECK_EQUAL(self->succeeded[i], 1);
        CHECK_EQUAL(word_of(&self->mutex), i % 3 == 1 ? fl_word_woken : 0);
        if (i % 3 == 1) {
            CHECK(self->waiter.designated);
            CHECK(fl_word_try_take_as(&self->mutex.word, FL_MUTEX_HELD, &self->waiter));
            CHECK(fl_mutex_unlock(&self->mutex));
            expect_unparked(&self->waiter);
        }
    }
    for (int i = 0; i < RELEASERS; i++) {
        join_thread(threads[i]);
    }
    free(self);
}

enum { ACCOUNTS = 4, BOOKINGS = 20000 };

typedef struct {
    fl_mutex mutex;
    fl_atomic_u64 taken, released, seeds;
} account;

/* Takes and releases the mutex as it comes, also when another thread has taken it. */
static void *
take_and_release(void *arg)
{
    account *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    for (int i = 0; i < BOOKINGS; i++) {
        bool taken;
        if (random_below(&random, 8)) {
            taken = fl_mutex_try_lock(&self->mutex);
        }
        else {
            int64_t deadline_ns = fl_deadline_after_ns(random_below(&random, 3 * 1000));
            taken = fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, deadline_ns, NULL) == FL_LOCK_ACQUIRED;
        }
        (void)fl_add_relaxed_u64(&self->taken, taken);
        (void)fl_add_relaxed_u64(&self->released, fl_mutex_unlock(&self->mutex));
    }
    return NULL;
}

/* Each release that says that it succeeded has ended one hold, and no hold was ended twice. */
static void
test_t18_releases_match_acquisitions(void)
{
    account self = {.taken = 0};
    pthread_t threads[ACCOUNTS];
    for (int i = 0; i < ACCOUNTS; i++) {
        threads[i] = start_thread(take_and_release, &self);
    }
    for (int i = 0; i < ACCOUNTS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(self.taken - self.released, fl_mutex_is_locked(&self.mutex));
    check_nobody(&self.mutex);
}

/* ---- progress ---- */

typedef struct {
    fl_mutex mutex;
    flag stop;
} hog;

static void *
never_pause(void *arg)
{
    hog *self = arg;
    while (fl_load_acquire_u32(&self->stop) == 0) {
        lock_mutex(&self->mutex);
        spin_ns(200 * 1000);
        CHECK(fl_mutex_unlock(&self->mutex));
    }
    return NULL;
}

static void
test_t28_nobody_is_starved(void)
{
    hog self = {.stop = 0};
    pthread_t threads[2] = {start_thread(never_pause, &self), start_thread(never_pause, &self)};
    for (int i = 0; i < 30; i++) {
        lock_mutex(&self.mutex);
        CHECK(fl_mutex_unlock(&self.mutex));
    }
    raise_flag(&self.stop, 1);
    join_thread(threads[0]);
    join_thread(threads[1]);
}

/* ---- lifetime ---- */

enum { LIVES = 3000, USERS = 3 };

typedef struct {
    fl_mutex mutex;
    int users; /* under mutex */
} shared_object;

typedef struct {
    shared_object *objects[LIVES];
    gate gates[LIVES];
} lifetimes;

static void *
use_and_free(void *arg)
{
    lifetimes *self = arg;
    for (int i = 0; i < LIVES; i++) {
        pass_gate(&self->gates[i]);
        shared_object *object = self->objects[i];
        lock_mutex(&object->mutex);
        bool last = --object->users == 0;
        CHECK(fl_mutex_unlock(&object->mutex));
        if (last) {
            free(object); /* the others may not have returned from their release yet */
        }
    }
    return NULL;
}

static void
test_t21_free_right_after_unlock(void)
{
    lifetimes *self = calloc(1, sizeof *self);
    CHECK(self != NULL);
    for (int i = 0; i < LIVES; i++) {
        self->objects[i] = calloc(1, sizeof(shared_object));
        CHECK(self->objects[i] != NULL);
        self->objects[i]->users = USERS;
        self->gates[i].count = USERS;
    }
    pthread_t threads[USERS];
    for (int i = 0; i < USERS; i++) {
        threads[i] = start_thread(use_and_free, self);
    }
    for (int i = 0; i < USERS; i++) {
        join_thread(threads[i]);
    }
    free(self);
}

typedef struct {
    fl_mutex *mutex;
} successor;

static void *
take_and_free(void *arg)
{
    successor *self = arg;
    CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, self->mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    free(self->mutex);
    return NULL;
}

/* The new owner frees a mutex whose last owner is still inside the release that woke it. */
static void
test_t21_free_right_after_hand_over(void)
{
    for (int i = 0; i < 500; i++) {
        successor self = {.mutex = malloc(sizeof(fl_mutex))};
        CHECK(self.mutex != NULL);
        fl_mutex_init(self.mutex);
        CHECK(fl_mutex_try_lock(self.mutex));
        pthread_t thread = start_thread(take_and_free, &self);
        wait_until_parked(self.mutex, 1);
        if (i % 2) {
            spin_ns(FL_FAIR_NS); /* handed over, not just woken */
        }
        CHECK(fl_mutex_unlock(self.mutex));
        join_thread(thread);
    }
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_mutual_exclusion);
    RUN(test_mutual_exclusion_with_timeouts);
    RUN(test_t18_racing_releases);
    RUN(test_t18_releases_match_acquisitions);
    RUN(test_t28_nobody_is_starved);
    RUN(test_t21_free_right_after_unlock);
    RUN(test_t21_free_right_after_hand_over);
    return 0;
}
