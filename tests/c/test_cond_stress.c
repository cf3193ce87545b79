/* core/cond.h under load: notifications are counted, and none may be lost.
 *
 * In each round some threads wait without a limit, and as many wait with timeouts or are interrupted and give up now
 * and then.  There are fewer notifications than threads of the first kind, so each of them has to end exactly one wait:
 * one that is taken by a waiter that does not return as notified would be missing. */

#include "check.h"
#include "core/cond.h"
#include "core/mutex.h"
#include "core/rmutex.h"
#include "fake_blocker.h"
#include "lot_helpers.h"

enum { PATIENT = 4, IMPATIENT = 4, NOTIFICATIONS = 3, ROUNDS = 120 };

typedef struct {
    fl_cond cond;
    fl_cond_lock lock;
    int inside; /* not atomic: the lock guards it */
    fl_atomic_u64 notified, timed_out, given_up, lock_lost;
    fl_atomic_u64 impatient; /* threads of that kind that still wait */
    flag over;
} round_state;

typedef struct {
    round_state *round;
    uint64_t random;
    pthread_t thread;
} participant;

static void
take_lock(fl_cond_lock lock)
{
    CHECK_EQUAL(fl_lock_wait(&lock.ops->wait, lock.lock, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
}

static void
drop_lock(fl_cond_lock lock)
{
    CHECK_EQUAL(lock.ops->release_all(lock.lock, NULL), 1);
}

/* The caller has the lock. */
static void
use_lock(round_state *round)
{
    CHECK_EQUAL(round->inside, 0);
    round->inside = 1;
    sched_yield();
    round->inside = 0;
}

static void
count_result(round_state *round, fl_cond_result result)
{
    fl_atomic_u64 *const counters[] = {
        [FL_COND_NOTIFIED] = &round->notified,
        [FL_COND_TIMED_OUT] = &round->timed_out,
        [FL_COND_GIVEN_UP] = &round->given_up,
        [FL_COND_LOCK_LOST] = &round->lock_lost,
    };
    CHECK(result < sizeof counters / sizeof counters[0] && counters[result]);
    (void)fl_add_relaxed_u64(counters[result], 1);
}

static void *
wait_patiently(void *arg)
{
    participant *self = arg;
    round_state *round = self->round;
    take_lock(round->lock);
    fl_cond_result result = fl_cond_wait(&round->cond, round->lock, FL_DEADLINE_NEVER, NULL, NULL);
    CHECK_EQUAL(result, FL_COND_NOTIFIED);
    use_lock(round);
    count_result(round, result);
    drop_lock(round->lock);
    return NULL;
}

static bool
give_up_sometimes(void *ctx, int polls)
{
    return polls == 1 || random_below(ctx, 6) != 0;
}

static bool
give_up_rarely(void *ctx, int polls)
{
    (void)polls;
    return random_below(ctx, 20) != 0;
}

/* Waits until it has been notified, or the round is nearly over. */
static void *
wait_impatiently(void *arg)
{
    participant *self = arg;
    round_state *round = self->round;
    fl_cond_result result;
    do {
        fake_blocker blocker = make_fake_blocker(true, give_up_sometimes, &self->random);
        fake_blocker back = make_fake_blocker(false, give_up_rarely, &self->random);
        int64_t deadline_ns = fl_deadline_after_ns(random_below(&self->random, 400 * 1000));
        take_lock(round->lock);
        result = fl_cond_wait(&round->cond, round->lock, deadline_ns, &blocker.base, &back.base);
        count_result(round, result);
        if (result != FL_COND_LOCK_LOST) {
            use_lock(round);
            drop_lock(round->lock);
        }
    } while (result != FL_COND_NOTIFIED && fl_load_acquire_u32(&round->over) == 0);
    (void)fl_add_relaxed_u64(&round->impatient, UINT64_MAX);
    await_flag(&round->over, 2); /* a target for signals until then */
    return NULL;
}

static void
interrupt_all(participant *participants, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK_EQUAL(pthread_kill(participants[i].thread, SIGUSR1), 0);
    }
}

/* Returns how many notifications were taken. */
static uint64_t
notify_all_the_time(round_state *round, participant *impatient, uint64_t *random)
{
    uint64_t taken = 0;
    while (taken < NOTIFICATIONS) {
        interrupt_all(impatient, IMPATIENT);
        spin_ns(random_below(random, 100 * 1000));
        take_lock(round->lock);
        use_lock(round);
        size_t most = 1 + (size_t)random_below(random, NOTIFICATIONS - (int64_t)taken);
        taken += fl_cond_notify(&round->cond, most, round->lock);
        if (random_below(random, 2)) {
            interrupt_all(impatient, IMPATIENT);
            spin_ns(random_below(random, 200 * 1000)); /* timeouts pass while the lock is held */
        }
        drop_lock(round->lock);
    }
    return taken;
}

static void
run_round(round_state *round, uint64_t *random, uint64_t *ended_otherwise)
{
    participant patient[PATIENT];
    participant impatient[IMPATIENT];
    round->impatient = IMPATIENT;
    for (int i = 0; i < PATIENT; i++) {
        patient[i] = (participant){.round = round};
        patient[i].thread = start_thread(wait_patiently, &patient[i]);
    }
    wait_until_parked(&round->cond, PATIENT);
    for (int i = 0; i < IMPATIENT; i++) {
        impatient[i] = (participant){.round = round, .random = next_random(random)};
        impatient[i].thread = start_thread(wait_impatiently, &impatient[i]);
    }
    uint64_t taken = notify_all_the_time(round, impatient, random);
    raise_flag(&round->over, 1);
    while (fl_load_relaxed_u64(&round->impatient)) {
        interrupt_all(impatient, IMPATIENT);
        pause_briefly();
    }
    while (fl_load_relaxed_u64(&round->notified) < taken) {
        pause_briefly(); /* for ever, where one is lost */
    }
    raise_flag(&round->over, 2);
    for (int i = 0; i < IMPATIENT; i++) {
        join_thread(impatient[i].thread);
    }
    take_lock(round->lock);
    CHECK_EQUAL(round->notified, taken);
    *ended_otherwise += round->timed_out + round->given_up + round->lock_lost;
    size_t left = fl_lot_count(&round->cond);
    CHECK(left >= PATIENT - NOTIFICATIONS && left <= PATIENT);
    CHECK_EQUAL(fl_cond_notify(&round->cond, SIZE_MAX, round->lock), left);
    drop_lock(round->lock);
    for (int i = 0; i < PATIENT; i++) {
        join_thread(patient[i].thread);
    }
    CHECK_EQUAL(round->notified, taken + left);
    check_nobody(&round->cond);
    check_nobody(round->lock.lock);
}

static void
test_t01_t02_t06_no_notification_is_lost(void)
{
    fl_mutex mutex = {0};
    fl_rmutex rmutex = {0};
    uint64_t random = 20261123;
    uint64_t ended_otherwise = 0;
    for (int i = 0; i < ROUNDS; i++) {
        fl_cond_lock plain = {.lock = &mutex, .ops = &fl_mutex_ops};
        fl_cond_lock recursive = {.lock = &rmutex, .ops = &fl_rmutex_ops};
        round_state round = {.lock = i % 2 ? plain : recursive};
        run_round(&round, &random, &ended_otherwise);
    }
    CHECK(ended_otherwise > 0);
}

/* ---- tokens ---- */

enum { PRODUCERS = 2, CONSUMERS = 4, TOKENS = 4000 };

typedef struct {
    fl_mutex mutex;
    fl_cond cond;
    int tokens, consumed; /* under mutex */
    fl_atomic_u64 seeds;
} store;

static fl_cond_lock
lock_of(store *self)
{
    return (fl_cond_lock){.lock = &self->mutex, .ops = &fl_mutex_ops};
}

static void *
produce(void *arg)
{
    store *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    for (int i = 0; i < TOKENS / PRODUCERS; i++) {
        take_lock(lock_of(self));
        self->tokens++;
        (void)fl_cond_notify(&self->cond, 1, lock_of(self));
        drop_lock(lock_of(self));
        if (i % 8 == 0) {
            spin_ns(random_below(&random, 20 * 1000));
        }
    }
    return NULL;
}

/* Half of them have no timeout. */
static void *
consume(void *arg)
{
    store *self = arg;
    uint64_t random = fl_add_relaxed_u64(&self->seeds, 1) + 1;
    bool patient = random % 2;
    take_lock(lock_of(self));
    while (self->consumed < TOKENS) {
        if (self->tokens > 0) {
            self->tokens--;
            if (++self->consumed == TOKENS) {
                (void)fl_cond_notify(&self->cond, SIZE_MAX, lock_of(self));
            }
            continue;
        }
        int64_t deadline_ns = patient ? FL_DEADLINE_NEVER : fl_deadline_after_ns(random_below(&random, 40 * 1000));
        fl_cond_result result = fl_cond_wait(&self->cond, lock_of(self), deadline_ns, NULL, NULL);
        CHECK(result == FL_COND_NOTIFIED || (result == FL_COND_TIMED_OUT && !patient));
    }
    drop_lock(lock_of(self));
    return NULL;
}

static void
test_producers_and_consumers(void)
{
    store self = {.tokens = 0};
    pthread_t threads[PRODUCERS + CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++) {
        threads[i] = start_thread(consume, &self);
    }
    for (int i = CONSUMERS; i < CONSUMERS + PRODUCERS; i++) {
        threads[i] = start_thread(produce, &self);
    }
    for (int i = 0; i < CONSUMERS + PRODUCERS; i++) {
        join_thread(threads[i]);
    }
    CHECK_EQUAL(self.consumed, TOKENS);
    CHECK_EQUAL(self.tokens, 0);
    check_nobody(&self.cond);
    check_nobody(&self.mutex);
}

int
main(void)
{
    install_interrupt();
    CHECK_EQUAL(fl_core_init(), 0);
    RUN(test_t01_t02_t06_no_notification_is_lost);
    RUN(test_producers_and_consumers);
    return 0;
}
