/* park/park.h; built once for each way to sleep. */

#include <errno.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "check.h"
#include "park/park.h"
#include "platform/futex.h"

/* An errno value that nothing here sets. */
enum { ODD_ERRNO = 4711 };

static fl_sleep_result
sleep_for(fl_parker *parker, int64_t timeout_ns, bool interruptible)
{
    errno = ODD_ERRNO;
    fl_sleep_result result = fl_parker_sleep(parker, fl_deadline_after_ns(timeout_ns), interruptible);
    CHECK_EQUAL(errno, ODD_ERRNO);
    return result;
}

static void
test_wake_before_sleep(void)
{
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    for (int i = 0; i < 3; i++) {
        fl_parker_wake(&parker);
        /* Woken, even where the deadline has passed. */
        CHECK_EQUAL(sleep_for(&parker, i == 0 ? INT64_MAX : 0, i == 2), FL_SLEEP_WOKEN);
        fl_parker_reset(&parker);
    }
    CHECK_EQUAL(sleep_for(&parker, 0, false), FL_SLEEP_TIMED_OUT); /* no wake-up is left over */
    fl_parker_destroy(&parker);
}

static void
test_timeout(void)
{
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    CHECK_EQUAL(sleep_for(&parker, 0, false), FL_SLEEP_TIMED_OUT);
    CHECK_EQUAL(sleep_for(&parker, 0, true), FL_SLEEP_TIMED_OUT);
    for (int i = 0; i < 5; i++) {
        int64_t timeout_ns = i * NS_PER_MS;
        int64_t start_ns = fl_clock_now_ns();
        CHECK_EQUAL(sleep_for(&parker, timeout_ns, false), FL_SLEEP_TIMED_OUT);
        CHECK(fl_clock_now_ns() >= start_ns + timeout_ns);
    }
    fl_parker_wake(&parker); /* may still come, and is not lost */
    CHECK_EQUAL(sleep_for(&parker, INT64_MAX, false), FL_SLEEP_WOKEN);
    fl_parker_destroy(&parker);
}

typedef struct {
    fl_parker parker;
    int64_t timeout_ns;
    int payload; /* not atomic: carried by the wake-up (P3) */
    flag finished;
} sleeper;

static void *
sleep_until_woken(void *arg)
{
    sleeper *self = arg;
    CHECK_EQUAL(sleep_for(&self->parker, self->timeout_ns, false), FL_SLEEP_WOKEN);
    CHECK_EQUAL(self->payload, 42);
    raise_flag(&self->finished, 1);
    return NULL;
}

static void
await_asleep(fl_parker *parker)
{
    for (int looks = 0; looks < 200 && fl_load_relaxed_u32(&parker->state) != FL_PARKER_ASLEEP; looks++) {
        pause_briefly(); /* the parker that is a condition variable never says so */
    }
}

static void
test_wake_of_a_sleeper(void)
{
    const int64_t timeouts_ns[] = {INT64_MAX, INT64_MAX / 2, 50 * INT64_C(1000000000)};
    for (int i = 0; i < 3; i++) {
        sleeper self = {.timeout_ns = timeouts_ns[i]};
        CHECK_EQUAL(fl_parker_init(&self.parker), 0);
        pthread_t thread = start_thread(sleep_until_woken, &self);
        await_asleep(&self.parker);
        self.payload = 42;
        fl_parker_wake(&self.parker);
        join_thread(thread);
        fl_parker_destroy(&self.parker);
    }
}

static void *
sleep_until_interrupted(void *arg)
{
    sleeper *self = arg;
    CHECK_EQUAL(sleep_for(&self->parker, self->timeout_ns, true), FL_SLEEP_INTERRUPTED);
    raise_flag(&self->finished, 1);
    CHECK_EQUAL(sleep_for(&self->parker, INT64_MAX, false), FL_SLEEP_WOKEN);
    return NULL;
}

static void
test_t15_signal_interrupts_who_wants_it(void)
{
    const int64_t timeouts_ns[] = {INT64_MAX, 50 * INT64_C(1000000000)};
    for (int i = 0; i < 2; i++) {
        sleeper self = {.timeout_ns = timeouts_ns[i]};
        CHECK_EQUAL(fl_parker_init(&self.parker), 0);
        pthread_t thread = start_thread(sleep_until_interrupted, &self);
        interrupt_until(thread, &self.finished, 1);
        fl_parker_wake(&self.parker);
        join_thread(thread);
        fl_parker_destroy(&self.parker);
    }
}

static void
test_signals_do_not_interrupt_others(void)
{
    sleeper self = {.timeout_ns = INT64_MAX};
    CHECK_EQUAL(fl_parker_init(&self.parker), 0);
    pthread_t thread = start_thread(sleep_until_woken, &self);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(pthread_kill(thread, SIGUSR1), 0);
        pause_briefly();
    }
    CHECK_EQUAL(fl_load_acquire_u32(&self.finished), 0);
    self.payload = 42;
    fl_parker_wake(&self.parker);
    join_thread(thread);
    fl_parker_destroy(&self.parker);
}

static void *
sleep_until_deadline(void *arg)
{
    sleeper *self = arg;
    int64_t deadline_ns = fl_deadline_after_ns(self->timeout_ns);
    CHECK_EQUAL(fl_parker_sleep(&self->parker, deadline_ns, false), FL_SLEEP_TIMED_OUT);
    CHECK(fl_clock_now_ns() >= deadline_ns);
    while (fl_parker_sleep(&self->parker, deadline_ns + 20 * NS_PER_MS, true) == FL_SLEEP_INTERRUPTED) {
    }
    CHECK(fl_clock_now_ns() >= deadline_ns + 20 * NS_PER_MS);
    raise_flag(&self->finished, 1);
    await_flag(&self->finished, 2); /* a target for signals until then */
    return NULL;
}

/* If every signal started the timeout anew, this would never end. */
static void
test_t15_signals_leave_the_deadline_alone(void)
{
    sleeper self = {.timeout_ns = 20 * NS_PER_MS};
    CHECK_EQUAL(fl_parker_init(&self.parker), 0);
    pthread_t thread = start_thread(sleep_until_deadline, &self);
    interrupt_until(thread, &self.finished, 1);
    raise_flag(&self.finished, 2);
    join_thread(thread);
    fl_parker_destroy(&self.parker);
}

/* The slices of a sleeper that is woken again and again do not grow: a signal that comes before the system call is
 * never noticed late because of them.  The twelfth would last 256 ms. */
static void
test_t15_slices_begin_anew_after_a_wake_up(void)
{
    fl_parker parker;
    CHECK_EQUAL(fl_parker_init(&parker), 0);
    for (int i = 0; i < 12; i++) {
        fl_parker_wake(&parker);
        CHECK_EQUAL(fl_parker_sleep(&parker, FL_DEADLINE_NEVER, true), FL_SLEEP_WOKEN);
        fl_parker_reset(&parker);
    }
    int64_t begin_ns = fl_clock_now_ns();
    CHECK_EQUAL(fl_parker_sleep(&parker, FL_DEADLINE_NEVER, true), FL_SLEEP_INTERRUPTED);
    CHECK(fl_clock_now_ns() - begin_ns < 150 * NS_PER_MS);
    fl_parker_destroy(&parker);
}

enum { RACES = 4000 };

typedef struct {
    _Atomic(fl_parker *) offered; /* NULL: the waker has taken it */
    bool interruptible;
} race;

static void *
wake_offered(void *arg)
{
    race *self = arg;
    uint64_t random = 7;
    for (int i = 0; i < RACES; i++) {
        fl_parker *parker;
        while ((parker = atomic_exchange(&self->offered, NULL)) == NULL) {
            sched_yield();
        }
        spin_ns(random_below(&random, 150 * 1000)); /* before and after the timeouts, which come up to 60 us late */
        fl_parker_wake(parker);                     /* and does not touch it afterwards */
    }
    return NULL;
}

/* Wake-ups meet timeouts: each wait is woken exactly once, and may free its parker then (P1, P2). */
static void
race_timeouts_and_wakes(bool interruptible)
{
    race self = {.interruptible = interruptible};
    pthread_t waker = start_thread(wake_offered, &self);
    uint64_t random = 11;
    int timeouts = 0;
    for (int i = 0; i < RACES; i++) {
        fl_parker *parker = malloc(sizeof *parker);
        CHECK(parker != NULL);
        CHECK_EQUAL(fl_parker_init(parker), 0);
        atomic_store(&self.offered, parker);
        fl_sleep_result result = sleep_for(parker, random_below(&random, 60 * 1000), interruptible);
        if (result != FL_SLEEP_WOKEN) {
            timeouts += result == FL_SLEEP_TIMED_OUT;
            CHECK_EQUAL(sleep_for(parker, INT64_MAX, false), FL_SLEEP_WOKEN);
        }
        fl_parker_reset(parker);
        CHECK_EQUAL(sleep_for(parker, 0, false), FL_SLEEP_TIMED_OUT); /* no token is left */
        fl_parker_destroy(parker);
        free(parker);
    }
    join_thread(waker);
    CHECK(timeouts > 0 && timeouts < RACES); /* it was a race */
}

static void
test_t07_t40_wake_ups_race_timeouts(void)
{
    race_timeouts_and_wakes(false);
}

typedef struct {
    pthread_t target;
    flag stop;
} interrupter;

static void *
interrupt_target(void *arg)
{
    interrupter *self = arg;
    interrupt_until(self->target, &self->stop, 1);
    return NULL;
}

static void
test_t07_t40_wake_ups_race_timeouts_and_signals(void)
{
    interrupter self = {.target = pthread_self()};
    pthread_t thread = start_thread(interrupt_target, &self);
    race_timeouts_and_wakes(true);
    raise_flag(&self.stop, 1);
    join_thread(thread);
}

/* ---- what a waker's system call may find where the parker was ---- */

#if defined(__linux__)

enum { FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_PRIVATE_FLAG = 128 };

/* The kernel's lock with priority inheritance, as C libraries make such mutexes of it, each at a place of its own. */
static void
call_pi(fl_atomic_u32 *word, int operation)
{
    CHECK_EQUAL(syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0), 0);
}

static void *
lock_and_unlock(void *word)
{
    call_pi(word, FUTEX_LOCK_PI);
    call_pi(word, FUTEX_UNLOCK_PI);
    return NULL;
}

/* P2: here it is a lock with priority inheritance for which a thread waits, at which the call fails. */
static void
test_a_late_wake_up_finds_another_kind_of_futex(void)
{
    fl_atomic_u32 word = 0;
    call_pi(&word, FUTEX_LOCK_PI);
    uint32_t nobody_waits = fl_load_relaxed_u32(&word);
    pthread_t thread = start_thread(lock_and_unlock, &word);
    /* The kernel sets a bit: which one, depends on its order of bytes, and an emulated processor may have the other. */
    while (fl_load_relaxed_u32(&word) == nobody_waits) {
        sched_yield();
    }
    errno = ODD_ERRNO;
    fl_futex_wake_one(&word);
    CHECK_EQUAL(errno, ODD_ERRNO);
    call_pi(&word, FUTEX_UNLOCK_PI);
    join_thread(thread);
}

#endif

int
main(void)
{
    install_interrupt();
    RUN(test_wake_before_sleep);
    RUN(test_timeout);
    RUN(test_wake_of_a_sleeper);
    RUN(test_t15_signal_interrupts_who_wants_it);
    RUN(test_signals_do_not_interrupt_others);
    RUN(test_t15_signals_leave_the_deadline_alone);
    RUN(test_t15_slices_begin_anew_after_a_wake_up);
    RUN(test_t07_t40_wake_ups_race_timeouts);
    RUN(test_t07_t40_wake_ups_race_timeouts_and_signals);
#if defined(__linux__)
    RUN(test_a_late_wake_up_finds_another_kind_of_futex);
#endif
    return 0;
}
