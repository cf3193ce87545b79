/* What the C tests share.
 *
 * A test is a function; RUN gives it a limited time, and the system ends the program when that is over (SIGALRM), so a
 * hang is a failure.  The name of the running test is the last line of the output then.  A failed CHECK ends the
 * program at once, from any thread. */

#ifndef FL_TESTS_CHECK_H
#define FL_TESTS_CHECK_H

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/fork.h"
#include "core/lot/parking_lot.h"
#include "platform/atomic.h"
#include "platform/clock.h"

/* Far above what a test takes on a loaded machine under a sanitizer; the Makefile has another one for valgrind. */
#ifndef TEST_LIMIT_S
#define TEST_LIMIT_S 60
#endif

enum { NS_PER_MS = 1000 * 1000 };

/* ---- checks ---- */

_Noreturn static inline void
check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    fflush(NULL);
    _exit(1);
}

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

static inline void
check_equal(const char *file, int line, const char *what, int64_t left, int64_t right)
{
    if (left != right) {
        fprintf(stderr, "%s:%d: %" PRId64 " != %" PRId64 "\n", file, line, left, right);
        check_failed(file, line, what);
    }
}

#define CHECK_EQUAL(left, right) check_equal(__FILE__, __LINE__, #left " == " #right, (int64_t)(left), (int64_t)(right))

#define RUN(test) run_test(#test, test)

static inline void
run_test(const char *name, void (*test)(void))
{
    printf("%s\n", name);
    fflush(stdout);
    alarm(TEST_LIMIT_S);
    test();
    alarm(0);
}

/* ---- threads ---- */

static inline pthread_t
start_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, body, arg), 0);
    return thread;
}

/* Waits for the end of the thread, no longer than RUN allows. */
static inline void
join_thread(pthread_t thread)
{
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

/* Between two looks at something that other threads change. */
static inline void
pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000}, NULL);
}

/* Until `ns` from now, without a sleep. */
static inline void
spin_ns(int64_t ns)
{
    int64_t end_ns = fl_clock_now_ns() + ns;
    while (fl_clock_now_ns() < end_ns) {
    }
}

/* Until `count` threads or more are queued for `key`. */
static inline void
wait_until_parked(const void *key, size_t count)
{
    while (fl_lot_count(key) < count) {
        pause_briefly();
    }
}

/* A flag carries what was written before it was raised. */
typedef fl_atomic_u32 flag;

static inline void
raise_flag(flag *which, uint32_t value)
{
    (void)fl_exchange_release_u32(which, value);
}

static inline void
await_flag(flag *which, uint32_t value)
{
    while (fl_load_acquire_u32(which) < value) {
        pause_briefly();
    }
}

/* `count` threads leave it at the same time, as far as there are processors: the first arrivals spin for a while. */
typedef struct {
    _Atomic(uint64_t) arrived;
    uint64_t count;
} gate;

static inline void
pass_gate(gate *which)
{
    (void)atomic_fetch_add(&which->arrived, 1);
    for (int spins = 0; atomic_load(&which->arrived) < which->count; spins++) {
        if (spins > 200) {
            sched_yield();
        }
    }
}

/* ---- signals ---- */

static inline void
ignore_signal(int signal)
{
    (void)signal;
}

/* SIGUSR1 ends system calls and does nothing else. */
static inline void
install_interrupt(void)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    sigemptyset(&action.sa_mask);
    CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
}

/* Interrupts the thread until it has raised the flag: a single signal may come before the system call that it should
 * end. */
static inline void
interrupt_until(pthread_t thread, flag *which, uint32_t value)
{
    while (fl_load_acquire_u32(which) < value) {
        CHECK_EQUAL(pthread_kill(thread, SIGUSR1), 0);
        pause_briefly();
    }
}

/* ---- random numbers ---- */

/* xorshift64; the state is not 0. */
static inline uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* From 0 to `limit` - 1. */
static inline int64_t
random_below(uint64_t *state, int64_t limit)
{
    return (int64_t)((next_random(state) >> 1) % (uint64_t)limit);
}

#endif
