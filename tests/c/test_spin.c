/* core/lot/spin.h, and what the parking lot makes of it. */

#include <sched.h>
#include <stdlib.h>

#include "check.h"
#include "core/barrier.h"
#include "core/fork.h"
#include "core/lot/bucket.h"
#include "core/lot/parking_lot.h"
#include "core/lot/spin.h"
#include "core/thread.h"
#include "fake_blocker.h"
#include "fork_helpers.h"
#include "mutex_helpers.h"
#include "platform/cpu.h"

static int key;
static int other_key;

static uint32_t
failures_of(fl_spin_history *history)
{
    return fl_load_relaxed_u32(history) & ((1u << FL_SPIN_FAILURES_BITS) - 1);
}

static uint32_t
skips_of(fl_spin_history *history)
{
    return fl_load_relaxed_u32(history) >> FL_SPIN_FAILURES_BITS;
}

/* A spin that nobody ends. */
static void
spin_in_vain(fl_spin_history *history, int64_t deadline_ns)
{
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    fl_spin_for_wake(&parker, history, deadline_ns);
    CHECK(!fl_parker_is_woken(&parker));
    CHECK_EQUAL(fl_spin_count(), 0);
    fl_parker_destroy(&parker);
}

/* A spin in vain counts as one failure, or as several where other work has taken the processor for long, as on a busy
 * machine. */
static void
test_history_makes_spins_rare(void)
{
    fl_spin_history history = 0;
    int at_most = 0; /* trials with the largest number of failures */
    while (at_most < 2) {
        uint32_t failures = failures_of(&history);
        uint32_t skips = skips_of(&history);
        spin_in_vain(&history, FL_DEADLINE_NEVER);
        uint32_t after = failures_of(&history);
        if (skips > 0) { /* it did not spin */
            CHECK_EQUAL(after, failures);
            CHECK_EQUAL(skips_of(&history), skips - 1);
            continue;
        }
        CHECK(after == failures + 1 || after == failures + FL_SPIN_FAILURES_ALLOWED || after == FL_SPIN_FAILURES_MAX);
        CHECK(after <= FL_SPIN_FAILURES_MAX);
        CHECK_EQUAL(skips_of(&history),
                    after < FL_SPIN_FAILURES_ALLOWED ? 0 : 1u << (after - FL_SPIN_FAILURES_ALLOWED));
        at_most += after == FL_SPIN_FAILURES_MAX;
    }
}

static void
test_no_spin_near_the_deadline(void)
{
    fl_spin_history history = 0;
    spin_in_vain(&history, FL_DEADLINE_PASSED);
    spin_in_vain(&history, fl_deadline_after_ns(FL_SPIN_RELAX_NS));
    CHECK_EQUAL(failures_of(&history), 0);
    spin_in_vain(&history, fl_deadline_after_ns(INT64_C(3600) * 1000 * NS_PER_MS));
    CHECK(failures_of(&history) > 0);
}

static void *
lock_the_bucket(void *about_to)
{
    fl_store_release_u32(about_to, true);
    fl_bucket_lock(fl_bucket_of(&key));
    fl_bucket_unlock(fl_bucket_of(&key));
    return NULL;
}

/* Where nobody may spin a thread does not try a mutex again and again; it waits. */
static void
test_a_bucket_is_waited_for_where_nobody_spins(void)
{
    fl_spin_enable(false);
    for (int i = 0; i < 5; i++) {
        fl_atomic_u32 about_to = 0;
        fl_bucket_lock(fl_bucket_of(&key));
        pthread_t thread = start_thread(lock_the_bucket, &about_to);
        while (!fl_load_acquire_u32(&about_to)) {
            fl_cpu_yield();
        }
        nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL); /* mostly it has found the mutex locked then */
        fl_bucket_unlock(fl_bucket_of(&key));
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
    }
    fl_spin_enable(true);
}

static void
test_switched_off(void)
{
    fl_spin_history history = 0;
    fl_spin_enable(false);
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    CHECK_EQUAL(failures_of(&history), 0);
    fl_spin_enable(true);
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    CHECK(failures_of(&history) > 0);
}

static void
test_switched_off_by_the_environment(void)
{
    fl_spin_history history = 0;
    CHECK_EQUAL(setenv("PYFASTLOCK_SPIN", "0", 1), 0);
    fl_spin_init();
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    CHECK_EQUAL(failures_of(&history), 0);
    CHECK_EQUAL(setenv("PYFASTLOCK_SPIN", "1", 1), 0);
    fl_spin_init();
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    CHECK(failures_of(&history) > 0);
    CHECK_EQUAL(unsetenv("PYFASTLOCK_SPIN"), 0);
    fl_spin_init();
}

/* How many spins in vain a wait at a barrier is, which nobody else comes to. */
static uint32_t
failures_at_barrier_of(uint64_t parties)
{
    static const fl_barrier_action no_action;
    fl_barrier barrier;
    uint64_t index;
    fl_barrier_init(&barrier, parties);
    fl_bucket *bucket = fl_bucket_of(&barrier);
    fl_store_relaxed_u32(&bucket->history, 0);
    CHECK_EQUAL(fl_barrier_wait(&barrier, 5 * NS_PER_MS, no_action, &index, NULL), FL_BARRIER_BROKEN);
    return failures_of(&bucket->history);
}

static void
test_no_spin_for_more_threads_than_can_run(void)
{
    CHECK(failures_at_barrier_of(fl_cpu_count()) > 0);
    CHECK_EQUAL(failures_at_barrier_of(fl_cpu_count() + 1), 0);
}

#if defined(__linux__)
static void
bind_to_one_processor(const cpu_set_t *all)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, all)) {
            CPU_SET(i, &one);
        }
    }
    CHECK_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
}

/* A second processor is noticed after a while, and its loss after a spin that failed. */
static void
test_no_spin_on_one_processor(void)
{
    cpu_set_t all;
    CHECK_EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
    bind_to_one_processor(&all);
    fl_spin_history history = 0;
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    uint32_t failures = failures_of(&history);
    CHECK(failures > 0);
    for (int i = 0; i < 50; i++) {
        spin_in_vain(&history, FL_DEADLINE_NEVER);
    }
    CHECK_EQUAL(failures_of(&history), failures);
    CHECK_EQUAL(sched_setaffinity(0, sizeof all, &all), 0);
    for (int i = 0; i < 200; i++) {
        spin_in_vain(&history, FL_DEADLINE_NEVER);
    }
    CHECK(failures_of(&history) > failures);
}

static void *
spin_bound(void *arg)
{
    fl_spin_history history = 0;
    bind_to_one_processor(arg);
    spin_in_vain(&history, FL_DEADLINE_NEVER);
    CHECK_EQUAL(failures_of(&history), 0);
    return NULL;
}

static void
test_each_thread_has_its_own_processors(void)
{
    cpu_set_t all;
    CHECK_EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
    for (int i = 0; i < 3; i++) {
        fl_spin_history history = 0;
        spin_in_vain(&history, FL_DEADLINE_NEVER);
        CHECK(failures_of(&history) > 0);
        join_thread(start_thread(spin_bound, &all));
    }
}
#else
static void
test_each_thread_has_its_own_processors(void)
{
}

static void
test_no_spin_on_one_processor(void)
{
    puts("  there is no way to have one processor only here");
}
#endif

/* ---- several threads ---- */

enum { THREADS = 8, SPINS = 300 };

/* A spin that nobody ends, while other threads may spin too. */
static void
spin_in_vain_among(fl_spin_history *history)
{
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    fl_spin_for_wake(&parker, history, FL_DEADLINE_NEVER);
    fl_parker_destroy(&parker);
}

static void *
spin_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < SPINS; i++) {
        fl_spin_history history = 0;
        spin_in_vain_among(&history);
        CHECK(fl_spin_count() <= fl_cpu_count());
    }
    return NULL;
}

static void
test_no_more_spin_than_there_are_processors(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = start_thread(spin_often, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(fl_spin_count(), 0);
}

static void *
spin_until_told(void *arg)
{
    flag *stop = arg;
    while (!fl_load_acquire_u32(stop)) {
        fl_spin_history history = 0;
        spin_in_vain_among(&history);
    }
    return NULL;
}

static void
expect_no_spinners(void *ctx)
{
    (void)ctx;
    CHECK_EQUAL(fl_spin_count(), 0);
}

/* The child has no thread that could end a spin which another one had begun. */
static void
test_t34_fork_while_others_spin(void)
{
    flag stop = 0;
    pthread_t thread = start_thread(spin_until_told, &stop);
    for (int i = 0; i < 50; i++) {
        while (fl_spin_count() == 0) {
        }
        in_child(expect_no_spinners, NULL);
    }
    raise_flag(&stop, 1);
    join_thread(thread);
}

enum { HOGS = 8, TRIALS = 2000 };

static void *
compute_until_told(void *arg)
{
    flag *stop = arg;
    while (!fl_load_acquire_u32(stop)) {
    }
    return NULL;
}

/* Where others have work for the processor the waiter hardly ever gets it for a look: that weighs more than a wake-up
 * that does not come. */
static void
test_spin_among_others_that_compute_counts_as_several(void)
{
    flag stop = 0;
    pthread_t hogs[HOGS];
    for (int i = 0; i < HOGS; i++) {
        hogs[i] = start_thread(compute_until_told, &stop);
    }
    bool displaced = false;
    for (int i = 0; i < TRIALS && !displaced; i++) {
        fl_spin_history history = 0;
        int64_t start_ns = fl_clock_now_ns();
        spin_in_vain(&history, FL_DEADLINE_NEVER);
        displaced = failures_of(&history) == FL_SPIN_FAILURES_ALLOWED;
        CHECK(!displaced || fl_clock_now_ns() - start_ns > FL_SPIN_DISPLACED_NS);
    }
    raise_flag(&stop, 1);
    for (int i = 0; i < HOGS; i++) {
        join_thread(hogs[i]);
    }
    CHECK(displaced);
}

typedef struct {
    _Atomic(fl_parker *) offered; /* NULL: the waker has taken it */
    int woken;
} exchange;

static void *
wake_offered(void *arg)
{
    exchange *self = arg;
    for (int i = 0; i < SPINS; i++) {
        fl_parker *parker;
        while ((parker = atomic_exchange(&self->offered, NULL)) == NULL) {
            sched_yield();
        }
        fl_parker_wake(parker);
    }
    return NULL;
}

/* Every wake-up is taken once, whether it comes in the spin or in the sleep, and some come in the spin. */
static void
test_t07_wake_ups_while_spinning(void)
{
    exchange self = {.offered = NULL};
    pthread_t waker = start_thread(wake_offered, &self);
    fl_spin_history history = 0;
    for (int i = 0; i < SPINS; i++) {
        fl_parker *parker = malloc(sizeof *parker);
        CHECK(parker != NULL);
        CHECK_EQUAL(fl_parker_init(parker), 0);
        atomic_store(&self.offered, parker);
        fl_store_relaxed_u32(&history, 0);
        fl_spin_for_wake(parker, &history, FL_DEADLINE_NEVER);
        self.woken += fl_parker_is_woken(parker);
        CHECK_EQUAL(fl_parker_sleep(parker, FL_DEADLINE_NEVER, false), FL_SLEEP_WOKEN);
        fl_parker_destroy(parker);
        free(parker);
    }
    join_thread(waker);
    CHECK(self.woken > 0 || fl_cpu_count() == 1);
}

/* ---- the runtime of the waker ---- */

typedef struct {
    uint64_t serial;
    flag holds, leaves;
} holder;

static void *
hold_runtime(void *arg)
{
    holder *self = arg;
    self->serial = fl_thread_register();
    fl_spin_runtime_held();
    raise_flag(&self->holds, 1);
    await_flag(&self->leaves, 1);
    fl_spin_runtime_left();
    return NULL;
}

static void
test_following_ends_whether_or_not_the_holder_leaves(void)
{
    holder self = {0};
    pthread_t thread = start_thread(hold_runtime, &self);
    await_flag(&self.holds, 1);
    fl_spin_for_runtime(0);           /* nobody */
    fl_spin_for_runtime(self.serial); /* holds it, and goes on holding it */
    raise_flag(&self.leaves, 1);
    fl_spin_for_runtime(self.serial); /* leaves meanwhile, or has left */
    join_thread(thread);
    fl_spin_for_runtime(self.serial);
    CHECK_EQUAL(fl_spin_count(), 0);
}

typedef struct {
    fl_waiter waiter;
    bool hands_over;
    flag woken, over;
} attached_waker;

static bool
unpark_with(void *arg, fl_waiter *first, bool more)
{
    attached_waker *self = arg;
    (void)more;
    first->handed_off = self->hands_over;
    return true;
}

/* A thread that has not had to do with any of this before, and stays attached. */
static void *
wake_and_stay(void *arg)
{
    attached_waker *self = arg;
    CHECK_EQUAL(fl_thread_self(), 0);
    fl_lot_unpark_one(&self->waiter, unpark_with, self, NULL);
    raise_flag(&self->woken, 1);
    await_flag(&self->over, 1);
    fl_spin_runtime_left();
    return NULL;
}

/* The shortest of many waits that are over already, each after another waker. */
static int64_t
time_to_wake_up_ns(bool hands_over, bool is_woken_with_all)
{
    int64_t shortest_ns = INT64_MAX;
    for (int i = 0; i < 60; i++) {
        attached_waker self = {.hands_over = hands_over};
        queue_up(&self.waiter, &self.waiter);
        self.waiter.is_woken_with_all = is_woken_with_all;
        pthread_t thread = start_thread(wake_and_stay, &self);
        await_flag(&self.woken, 1);
        CHECK(self.waiter.waker != 0);
        fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
        int64_t start_ns = fl_clock_now_ns();
        CHECK_EQUAL(fl_lot_sleep(&self.waiter, FL_DEADLINE_NEVER, &blocker.base), FL_WAIT_UNPARKED);
        int64_t took_ns = fl_clock_now_ns() - start_ns;
        shortest_ns = took_ns < shortest_ns ? took_ns : shortest_ns;
        raise_flag(&self.over, 1);
        join_thread(thread);
        fl_waiter_fini(&self.waiter);
    }
    return shortest_ns;
}

/* Whoever was handed a lock does not keep the others from it until its waker detaches; anybody else waits for that. */
static void
test_handed_over_lock_is_not_kept_waiting(void)
{
    CHECK(time_to_wake_up_ns(true, false) < FL_SPIN_RUNTIME_NS);
    CHECK(time_to_wake_up_ns(false, false) >= FL_SPIN_RUNTIME_NS);
}

/* ---- the parking lot: whom a thread wakes when it is detached (L8) ---- */

typedef struct {
    fake_blocker base;
    fl_waiter *owed;
} paying_blocker;

static void
detach_unpaid(fl_blocker *base)
{
    paying_blocker *self = (paying_blocker *)base;
    fake_detach(base);
    CHECK(!self->owed->queued);
    CHECK(!fl_parker_is_woken(&self->owed->parker));
}

static void
attach_paid(fl_blocker *base)
{
    paying_blocker *self = (paying_blocker *)base;
    fake_attach(base);
    CHECK(fl_parker_is_woken(&self->owed->parker));
}

static void
test_owed_wake_up_comes_when_the_thread_is_detached(void)
{
    fl_waiter first;
    fl_waiter second;
    queue_up(&first, &key);
    queue_up(&second, &other_key);
    fl_lot_unpark_one(&key, unpark_it, NULL, &second);
    paying_blocker blocker = {.base = make_fake_blocker(false, NULL, NULL), .owed = &first};
    blocker.base.base.detach = detach_unpaid;
    blocker.base.base.attach = attach_paid;
    CHECK_EQUAL(fl_lot_sleep(&second, fl_deadline_after_ns(NS_PER_MS), &blocker.base.base), FL_WAIT_TIMED_OUT);
    CHECK_EQUAL(blocker.base.detaches, 1);
    fl_waiter_fini(&second);
    expect_unparked(&first);
}

static void
test_owed_wake_up_comes_when_the_wait_is_abandoned(void)
{
    fl_waiter first;
    fl_waiter second;
    queue_up(&first, &key);
    queue_up(&second, &other_key);
    fl_lot_unpark_one(&key, unpark_it, NULL, &second);
    CHECK(!fl_parker_is_woken(&first.parker));
    CHECK(fl_lot_cancel(&second));
    CHECK(fl_parker_is_woken(&first.parker));
    fl_waiter_fini(&second);
    expect_unparked(&first);
}

static void
detach_before_spinning(fl_blocker *base)
{
    CHECK_EQUAL(fl_spin_count(), 0);
    fake_detach(base);
}

static void
attach_after_spinning(fl_blocker *base)
{
    CHECK_EQUAL(fl_spin_count(), 0);
    fake_attach(base);
}

typedef struct {
    const void *key;
    flag queued;
} detached_wait;

static void *
wait_detached(void *arg)
{
    detached_wait *self = arg;
    fl_waiter waiter;
    queue_up(&waiter, self->key);
    raise_flag(&self->queued, 1);
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.detach = detach_before_spinning;
    blocker.base.attach = attach_after_spinning;
    CHECK_EQUAL(fl_lot_sleep(&waiter, FL_DEADLINE_NEVER, &blocker.base), FL_WAIT_UNPARKED);
    fl_waiter_fini(&waiter);
    return NULL;
}

/* Only one thread waits at a time, so what spins is it.  Each waits for another key, whose history is empty; on a busy
 * machine it takes some time until one is seen that spins. */
static void
test_t24_nobody_spins_attached(void)
{
    bool seen = fl_cpu_count() == 1;
    for (int i = 0; i < 100 || (!seen && i < KEYS); i++) {
        detached_wait wait = {.key = &keys[i]};
        pthread_t thread = start_thread(wait_detached, &wait);
        while (!fl_load_acquire_u32(&wait.queued)) {
        }
        int64_t end_ns = fl_clock_now_ns() + NS_PER_MS;
        bool spins = false;
        while (!spins && fl_clock_now_ns() < end_ns) {
            spins = fl_spin_count() == 1;
        }
        seen |= spins;
        fl_lot_unpark_one(wait.key, unpark_it, NULL, NULL);
        join_thread(thread);
    }
    CHECK(seen);
}

static void
test_nothing_is_owed_where_nobody_waits(void)
{
    fl_waiter waiter;
    queue_up(&waiter, &other_key);
    fl_lot_unpark_one(&key, unpark_it, NULL, &waiter);
    CHECK(waiter.owed == NULL);
    expect_queued(&waiter);
}

/* Others are not worth a spin: those before them are woken first. */
static void
test_who_waits_first_is_known(void)
{
    fl_waiter w[2];
    queue_all(w, 2, &key);
    CHECK(w[0].is_first);
    CHECK(!w[1].is_first);
    /* Woken, it finds the lock gone, and comes back as the first. */
    fl_lot_unpark_one(&key, unpark_it, NULL, NULL);
    CHECK_EQUAL(fl_lot_sleep(&w[0], FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    CHECK(fl_lot_enqueue(&w[0], &key, agree, NULL));
    CHECK_ORDER(&key, &w[0], &w[1]);
    CHECK(w[0].is_first);
    expect_queued(&w[0]);
    expect_queued(&w[1]);
}

int
main(void)
{
    CHECK_EQUAL(fl_core_init(), 0);
    if (fl_cpu_count() > 1) {
        RUN(test_history_makes_spins_rare);
        RUN(test_no_spin_near_the_deadline);
        RUN(test_a_bucket_is_waited_for_where_nobody_spins);
        RUN(test_no_spin_for_more_threads_than_can_run);
        RUN(test_switched_off);
        RUN(test_switched_off_by_the_environment);
        RUN(test_no_spin_on_one_processor);
        RUN(test_each_thread_has_its_own_processors);
        RUN(test_spin_among_others_that_compute_counts_as_several);
        RUN(test_t34_fork_while_others_spin);
    }
    else {
        puts("  there is one processor: nobody spins");
    }
    RUN(test_no_more_spin_than_there_are_processors);
    RUN(test_t07_wake_ups_while_spinning);
    fl_spin_set_exclusive_runtime();
    if (fl_cpu_count() > 1) {
        RUN(test_handed_over_lock_is_not_kept_waiting);
    }
    RUN(test_following_ends_whether_or_not_the_holder_leaves);
    RUN(test_owed_wake_up_comes_when_the_thread_is_detached);
    RUN(test_owed_wake_up_comes_when_the_wait_is_abandoned);
    RUN(test_t24_nobody_spins_attached);
    RUN(test_nothing_is_owed_where_nobody_waits);
    RUN(test_who_waits_first_is_known);
    return 0;
}
