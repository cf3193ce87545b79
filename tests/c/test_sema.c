/* core/sema.h: each transition of the table, by one thread; and each way for a wait to end. */

#include "check.h"
#include "core/sema.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

/* Times at which a waiter may have been queued first: it is handed a permit by every release, or by none. */
enum { WAITS_FOR_EVER = 1 };
#define JUST_CAME (INT64_MAX / 2)

#define WORD(permits, parked) ((uint64_t)(permits) * FL_SEMA_ONE + (parked))

#define CHECK_WORD(sema, permits, parked) CHECK_EQUAL(fl_load_relaxed_u64(&(sema)->word), WORD(permits, parked))

/* Queues a waiter as a thread does that finds no permit. */
static void
queue_for(fl_waiter *waiter, fl_sema *sema, int64_t since_ns)
{
    CHECK_EQUAL(fl_waiter_init(waiter, false), 0);
    waiter->since_ns = since_ns;
    CHECK(fl_lock_enqueue(&fl_sema_ops, sema, waiter));
}

static void
queue_fresh(fl_waiter *waiters, int count, fl_sema *sema)
{
    for (int i = 0; i < count; i++) {
        queue_for(&waiters[i], sema, JUST_CAME + i);
    }
}

static void
expect_woken(fl_waiter *waiter, bool handed_off)
{
    CHECK_EQUAL(waiter->handed_off, handed_off);
    expect_unparked(waiter);
}

/* ---- without waiters ---- */

static void
test_s1_permits_are_counted(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 2);
    CHECK_EQUAL(fl_sema_permits(&sema), 2);
    CHECK(fl_sema_try_acquire(&sema));
    CHECK_WORD(&sema, 1, 0);
    CHECK(fl_sema_try_acquire(&sema));
    CHECK_WORD(&sema, 0, 0);
    CHECK(!fl_sema_try_acquire(&sema));
    CHECK_WORD(&sema, 0, 0);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 1, 0);
    CHECK(fl_sema_release(&sema, 41, FL_SEMA_MAX));
    CHECK_EQUAL(fl_sema_permits(&sema), 42);
}

static void
test_s5_bound(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 3);
    CHECK(!fl_sema_release(&sema, 1, 3));
    CHECK_WORD(&sema, 3, 0);
    CHECK(fl_sema_release(&sema, 1, 4));
    CHECK(!fl_sema_release(&sema, 1, 4));
    CHECK(fl_sema_try_acquire(&sema));
    CHECK(fl_sema_try_acquire(&sema));
    CHECK(!fl_sema_release(&sema, 3, 4));
    CHECK_WORD(&sema, 2, 0);
    CHECK(fl_sema_release(&sema, 2, 4));
    CHECK_WORD(&sema, 4, 0);
}

/* The sum would not fit into the word, nor into 64 bits. */
static void
test_s5_largest_numbers(void)
{
    const uint64_t too_many[] = {2, FL_SEMA_MAX, FL_SEMA_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
    for (size_t parked = 0; parked < 2; parked++) {
        fl_sema sema = {WORD(FL_SEMA_MAX - 1, parked)};
        for (size_t i = 0; i < sizeof too_many / sizeof too_many[0]; i++) {
            CHECK(!fl_sema_release(&sema, too_many[i], FL_SEMA_MAX));
            CHECK_WORD(&sema, FL_SEMA_MAX - 1, parked);
        }
        CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
        CHECK_WORD(&sema, FL_SEMA_MAX, 0);
        CHECK(!fl_sema_release(&sema, 1, FL_SEMA_MAX));
        CHECK_EQUAL(fl_sema_permits(&sema), FL_SEMA_MAX);
    }
    fl_sema sema;
    fl_sema_init(&sema, 0);
    CHECK(fl_sema_release(&sema, FL_SEMA_MAX, FL_SEMA_MAX));
    CHECK_WORD(&sema, FL_SEMA_MAX, 0);
}

/* Before the slow path had the mutex, another release has cleared PARKED. */
static void
test_s3_slow_release_finds_parked_clear(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 1);
    CHECK(fl_sema_release_slow(&sema, 2, 3));
    CHECK_WORD(&sema, 3, 0);
    CHECK(!fl_sema_release_slow(&sema, 1, 3));
    CHECK_WORD(&sema, 3, 0);
}

static void
test_s2_mark_parked(void)
{
    fl_sema sema;
    fl_waiter waiter;
    fl_sema_init(&sema, 1);
    CHECK(!fl_sema_ops.mark_parked(&sema, &waiter, true)); /* one is free */
    CHECK_WORD(&sema, 1, 0);
    CHECK(fl_sema_try_acquire(&sema));
    CHECK(fl_sema_ops.mark_parked(&sema, &waiter, true));
    CHECK_WORD(&sema, 0, 1);
    CHECK(fl_sema_ops.mark_parked(&sema, &waiter, true));
    CHECK_WORD(&sema, 0, 1);
    sema.word = WORD(1, 1);
    CHECK(!fl_sema_ops.mark_parked(&sema, &waiter, true));
    CHECK_WORD(&sema, 1, 1);
}

static void
test_s2_parked_with_nobody_queued(void)
{
    fl_sema sema = {WORD(0, 1)};
    CHECK_EQUAL(fl_sema_permits(&sema), 0);
    CHECK(!fl_sema_try_acquire(&sema));
    CHECK(fl_sema_release(&sema, 2, FL_SEMA_MAX));
    CHECK_WORD(&sema, 2, 0);
}

/* ---- releases with waiters ---- */

static void
test_s3_release_wakes_the_first(void)
{
    fl_sema sema;
    fl_waiter w[2];
    fl_sema_init(&sema, 0);
    queue_fresh(w, 2, &sema);
    CHECK_WORD(&sema, 0, 1);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 1, 1);
    CHECK_ORDER(&sema, &w[1]);
    expect_woken(&w[0], false);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 2, 0);
    expect_woken(&w[1], false);
}

static void
test_t32_s3_release_of_n_wakes_n(void)
{
    enum { COUNT = 5 };
    for (uint64_t n = 1; n <= COUNT + 2; n++) {
        fl_sema sema;
        fl_waiter w[COUNT];
        fl_sema_init(&sema, 0);
        queue_fresh(w, COUNT, &sema);
        CHECK(fl_sema_release(&sema, n, n));
        CHECK_WORD(&sema, n, n < COUNT);
        CHECK_EQUAL(fl_lot_count(&sema), n < COUNT ? COUNT - n : 0);
        for (uint64_t i = 0; i < COUNT; i++) {
            if (i < n) {
                expect_woken(&w[i], false);
            }
            else {
                expect_queued(&w[i]);
            }
        }
    }
}

/* Who gets there first takes a permit that somebody has been woken for. */
static void
test_barging(void)
{
    fl_sema sema;
    fl_waiter w[3];
    fl_sema_init(&sema, 0);
    queue_fresh(w, 3, &sema);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK(fl_sema_try_acquire(&sema));
    CHECK_WORD(&sema, 0, 1); /* somebody waits still */
    CHECK(!fl_sema_try_acquire(&sema));
    CHECK_EQUAL(fl_lot_sleep(&w[0], FL_DEADLINE_NEVER, NULL), FL_WAIT_UNPARKED);
    CHECK(fl_lock_enqueue(&fl_sema_ops, &sema, &w[0])); /* to its place */
    CHECK_ORDER(&sema, &w[0], &w[1], &w[2]);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX)); /* S4: one is free already, and another one is woken */
    CHECK_WORD(&sema, 2, 1);
    expect_woken(&w[0], false);
    expect_woken(&w[1], false);
    expect_queued(&w[2]);
}

/* ---- hand-off ---- */

static void
test_who_has_waited_too_long_is_handed_a_permit(void)
{
    fl_sema sema;
    fl_waiter w[2];
    fl_sema_init(&sema, 0);
    queue_for(&w[0], &sema, WAITS_FOR_EVER);
    queue_for(&w[1], &sema, WAITS_FOR_EVER);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 0, 1); /* nobody else can have it */
    expect_woken(&w[0], true);
    CHECK(fl_sema_release(&sema, 3, FL_SEMA_MAX));
    CHECK_WORD(&sema, 2, 0);
    expect_woken(&w[1], true);
}

static void
test_some_are_handed_a_permit_and_some_are_woken(void)
{
    fl_sema sema;
    fl_waiter w[4];
    fl_sema_init(&sema, 0);
    queue_for(&w[0], &sema, WAITS_FOR_EVER);
    queue_for(&w[1], &sema, WAITS_FOR_EVER);
    queue_for(&w[2], &sema, JUST_CAME);
    queue_for(&w[3], &sema, JUST_CAME);
    CHECK(fl_sema_release(&sema, 3, FL_SEMA_MAX));
    CHECK_WORD(&sema, 1, 1);
    expect_woken(&w[0], true);
    expect_woken(&w[1], true);
    expect_woken(&w[2], false);
    expect_queued(&w[3]);
}

static void
test_hand_off_begins_after_fair_ns(void)
{
    fl_sema sema;
    fl_waiter waiter;
    fl_sema_init(&sema, 0);
    queue_for(&waiter, &sema, fl_clock_now_ns() - FL_FAIR_NS);
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 0, 0);
    expect_woken(&waiter, true);
    queue_for(&waiter, &sema, fl_clock_now_ns() + 1000 * FL_FAIR_NS); /* however slow this machine is */
    CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    CHECK_WORD(&sema, 1, 0);
    expect_woken(&waiter, false);
}

/* ---- the bound with waiters ---- */

static void
test_s5_refused_release_wakes_nobody(void)
{
    fl_sema sema;
    fl_waiter w[3];
    fl_sema_init(&sema, 0);
    queue_fresh(w, 3, &sema);
    CHECK(!fl_sema_release(&sema, 3, 2));
    CHECK_WORD(&sema, 0, 1);
    CHECK_ORDER(&sema, &w[0], &w[1], &w[2]);
    CHECK(fl_sema_release(&sema, 1, 2));
    expect_woken(&w[0], false);
    CHECK(!fl_sema_release(&sema, 2, 2)); /* one is free, though somebody waits */
    CHECK_WORD(&sema, 1, 1);
    CHECK_ORDER(&sema, &w[1], &w[2]);
    CHECK(fl_sema_release(&sema, 1, 2));
    CHECK_WORD(&sema, 2, 1);
    CHECK(!fl_sema_release(&sema, 1, 2));
    expect_woken(&w[1], false);
    expect_queued(&w[2]);
}

/* A permit that was handed over is taken: the bound leaves room for another one. */
static void
test_s5_handed_over_permits_do_not_count(void)
{
    fl_sema sema;
    fl_waiter w[2];
    fl_sema_init(&sema, 0);
    queue_for(&w[0], &sema, WAITS_FOR_EVER);
    queue_for(&w[1], &sema, WAITS_FOR_EVER);
    CHECK(!fl_sema_release(&sema, 2, 1));
    CHECK(fl_sema_release(&sema, 1, 1));
    CHECK(fl_sema_release(&sema, 1, 1));
    CHECK(fl_sema_release(&sema, 1, 1));
    CHECK(!fl_sema_release(&sema, 1, 1));
    CHECK_WORD(&sema, 1, 0);
    expect_woken(&w[0], true);
    expect_woken(&w[1], true);
}

/* ---- waiting ---- */

static void
test_wait_takes_a_free_permit(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 1);
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, &sema, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    CHECK_WORD(&sema, 0, 0);
}

static void
test_t32_timeout_takes_no_permit(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 0);
    int64_t deadline_ns = fl_deadline_after_ns(2 * NS_PER_MS);
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, &sema, deadline_ns, NULL), FL_LOCK_TIMED_OUT);
    CHECK(fl_clock_now_ns() >= deadline_ns);
    CHECK_WORD(&sema, 0, 1);
    check_nobody(&sema);
    CHECK(fl_sema_release(&sema, 1, 1));
    CHECK_WORD(&sema, 1, 0);
}

static fl_sema *released_by_attach;

static void
attach_and_release(fl_blocker *self)
{
    CHECK(fl_sema_release(released_by_attach, 1, 1));
    fake_attach(self);
}

/* A permit comes after the waiter has left the queue, and before it returns. */
static void
test_timeout_tries_once_more(void)
{
    fl_sema sema;
    fl_sema_init(&sema, 0);
    fake_blocker blocker = make_fake_blocker(false, NULL, NULL);
    blocker.base.attach = attach_and_release;
    released_by_attach = &sema;
    int64_t deadline_ns = fl_deadline_after_ns(1);
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, &sema, deadline_ns, &blocker.base), FL_LOCK_ACQUIRED);
    CHECK_WORD(&sema, 0, 0);
}

typedef struct {
    fl_sema sema;
    bool goes_on;
    flag polling, decided;
    bool releases; /* the handler gives a permit back */
    fl_lock_result result;
} waiting_scene;

static bool
poll_out_of_queue(void *ctx, int polls)
{
    waiting_scene *self = ctx;
    if (polls == 1) {
        return true; /* not queued yet */
    }
    raise_flag(&self->polling, 1);
    await_flag(&self->decided, 1);
    if (self->releases) {
        self->releases = false;
        CHECK(fl_sema_release(&self->sema, 1, FL_SEMA_MAX));
    }
    return self->goes_on;
}

static void *
wait_for_permit(void *arg)
{
    waiting_scene *self = arg;
    fake_blocker blocker = make_fake_blocker(true, poll_out_of_queue, self);
    self->result = fl_lock_wait(&fl_sema_ops, &self->sema, FL_DEADLINE_NEVER, &blocker.base);
    CHECK(!blocker.detached);
    return NULL;
}

static pthread_t
start_and_interrupt(waiting_scene *self)
{
    pthread_t thread = start_thread(wait_for_permit, self);
    interrupt_until(thread, &self->polling, 1);
    check_nobody(&self->sema); /* a suspended wait is given nothing */
    return thread;
}

/* A permit that comes while the handler runs is there for everybody, and nobody is lost. */
static void
test_s4_interrupted_waiter_takes_no_permit(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        waiting_scene self = {.goes_on = goes_on};
        pthread_t thread = start_and_interrupt(&self);
        CHECK(fl_sema_release(&self.sema, 1, FL_SEMA_MAX));
        raise_flag(&self.decided, 1);
        join_thread(thread);
        CHECK_EQUAL(self.result, goes_on ? FL_LOCK_ACQUIRED : FL_LOCK_GIVEN_UP);
        CHECK_EQUAL(fl_sema_permits(&self.sema), goes_on ? 0 : 1);
    }
}

static void
test_handler_of_the_waiting_thread_releases(void)
{
    waiting_scene self = {.goes_on = true, .releases = true};
    pthread_t thread = start_and_interrupt(&self);
    raise_flag(&self.decided, 1);
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_sema_permits(&self.sema), 0);
}

static void
test_interrupted_wait_goes_on(void)
{
    waiting_scene self = {.goes_on = true};
    pthread_t thread = start_and_interrupt(&self);
    raise_flag(&self.decided, 1);
    wait_until_parked(&self.sema, 1);
    CHECK(fl_sema_release(&self.sema, 1, 1));
    join_thread(thread);
    CHECK_EQUAL(self.result, FL_LOCK_ACQUIRED);
    CHECK_EQUAL(fl_sema_permits(&self.sema), 0);
}

static void *
wait_without_runtime(void *arg)
{
    CHECK_EQUAL(fl_lock_wait(&fl_sema_ops, arg, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    return NULL;
}

static void
test_t32_release_of_n_lets_n_threads_go(void)
{
    enum { COUNT = 8, FEWER = 5 };
    fl_sema sema;
    fl_sema_init(&sema, 0);
    pthread_t threads[COUNT];
    for (int i = 0; i < COUNT; i++) {
        threads[i] = start_thread(wait_without_runtime, &sema);
    }
    wait_until_parked(&sema, COUNT);
    CHECK(fl_sema_release(&sema, FEWER, FEWER));
    while (fl_sema_permits(&sema) > 0) {
        pause_briefly();
    }
    wait_until_parked(&sema, COUNT - FEWER);
    CHECK_EQUAL(fl_lot_count(&sema), COUNT - FEWER);
    CHECK(fl_sema_release(&sema, COUNT - FEWER + 1, FL_SEMA_MAX));
    for (int i = 0; i < COUNT; i++) {
        join_thread(threads[i]);
    }
    CHECK_WORD(&sema, 1, 0);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_s1_permits_are_counted);
    RUN(test_s5_bound);
    RUN(test_s5_largest_numbers);
    RUN(test_s3_slow_release_finds_parked_clear);
    RUN(test_s2_mark_parked);
    RUN(test_s2_parked_with_nobody_queued);
    RUN(test_s3_release_wakes_the_first);
    RUN(test_t32_s3_release_of_n_wakes_n);
    RUN(test_barging);
    RUN(test_who_has_waited_too_long_is_handed_a_permit);
    RUN(test_some_are_handed_a_permit_and_some_are_woken);
    RUN(test_hand_off_begins_after_fair_ns);
    RUN(test_s5_refused_release_wakes_nobody);
    RUN(test_s5_handed_over_permits_do_not_count);
    RUN(test_wait_takes_a_free_permit);
    RUN(test_t32_timeout_takes_no_permit);
    RUN(test_timeout_tries_once_more);
    RUN(test_s4_interrupted_waiter_takes_no_permit);
    RUN(test_handler_of_the_waiting_thread_releases);
    RUN(test_interrupted_wait_goes_on);
    RUN(test_t32_release_of_n_lets_n_threads_go);
    return 0;
}
