/* The calls that can fail: faults.h, faulty_calls.h. */

#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include "check.h"
#include "faulty_calls.h"
#include "park/park.h"

#undef malloc
#undef free
#undef pthread_mutex_init
#undef pthread_cond_init
#undef pthread_condattr_init
#undef pthread_key_create
#undef pthread_setspecific
#undef pthread_atfork
#undef pthread_create
#undef pthread_join
#undef pthread_sigmask
#undef pthread_mutex_trylock
#undef pthread_cond_wait
#undef pthread_cond_timedwait
#undef sysconf
#undef sched_getaffinity
#undef pthread_mutex_lock
#undef pthread_mutex_unlock
#undef pthread_mutex_destroy
#undef pthread_cond_signal
#undef pthread_cond_destroy
#undef pthread_condattr_setclock
#undef pthread_condattr_destroy
#undef pthread_once
#undef clock_gettime
#undef syscall

_Atomic(uint64_t) faults_injected[FAULTS_KINDS];

static _Atomic(int64_t) held;
static _Atomic(int64_t) monotonic_shift_ns, realtime_shift_ns;

static _Thread_local struct {
    faults_kind kind;
    int first, last;
    int calls, failed;
    bool planned, paused;
    void (*when_early)(void *ctx);
    void *ctx;
} plan;

/* Of the thread whose plan is the last; a child that ends with a message has had one. */
static const char *_Atomic last_failed = "";

void
faults_plan(faults_kind kind, int first, int last)
{
    plan.kind = kind;
    plan.first = first;
    plan.last = last;
    plan.calls = plan.failed = 0;
    plan.planned = true;
    plan.paused = false;
}

int
faults_forget(void)
{
    plan.planned = false;
    plan.when_early = NULL;
    return plan.calls;
}

void
faults_when_early(void (*act)(void *ctx), void *ctx)
{
    plan.when_early = act;
    plan.ctx = ctx;
}

void
faults_pause(void)
{
    plan.paused = true;
}

void
faults_resume(void)
{
    plan.paused = false;
}

int
faults_failed(void)
{
    return plan.failed;
}

const char *
faults_last(void)
{
    return atomic_load(&last_failed);
}

int64_t
faults_held(void)
{
    return atomic_load(&held);
}

/* Whether this call is one that fails. */
static bool
fails(faults_kind kind, const char *name)
{
    if (!plan.planned || plan.paused || plan.kind != kind) {
        return false;
    }
    plan.calls++;
    if (plan.calls < plan.first || plan.calls > plan.last) {
        return false;
    }
    plan.failed++;
    atomic_store(&last_failed, name);
    (void)atomic_fetch_add(&faults_injected[kind], 1);
    return true;
}

/* Counts what the core has got or given back, and returns `error`. */
static int
counted(int error, int64_t change)
{
    if (error == 0) {
        (void)atomic_fetch_add(&held, change);
    }
    return error;
}

/* ---- SCARCE ---- */

void *
faulty_malloc(size_t size)
{
    if (fails(FAULTS_SCARCE, "malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = malloc(size);
    (void)counted(block == NULL, 1);
    return block;
}

void
faulty_free(void *block)
{
    (void)counted(block == NULL, -1);
    free(block);
}

int
faulty_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    return fails(FAULTS_SCARCE, "pthread_mutex_init") ? EAGAIN : counted(pthread_mutex_init(mutex, attr), 1);
}

int
faulty_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    return fails(FAULTS_SCARCE, "pthread_cond_init") ? EAGAIN : counted(pthread_cond_init(cond, attr), 1);
}

int
faulty_condattr_init(pthread_condattr_t *attr)
{
    return fails(FAULTS_SCARCE, "pthread_condattr_init") ? ENOMEM : counted(pthread_condattr_init(attr), 1);
}

int
faulty_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    return fails(FAULTS_SCARCE, "pthread_key_create") ? EAGAIN : pthread_key_create(key, destructor);
}

int
faulty_setspecific(pthread_key_t key, const void *value)
{
    return fails(FAULTS_SCARCE, "pthread_setspecific") ? ENOMEM : pthread_setspecific(key, value);
}

int
faulty_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return fails(FAULTS_SCARCE, "pthread_atfork") ? ENOMEM : pthread_atfork(prepare, parent, child);
}

int
faulty_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    return fails(FAULTS_SCARCE, "pthread_create") ? EAGAIN : pthread_create(thread, attr, start, arg);
}

/* ---- EARLY ---- */

long
faulty_sysconf(int name)
{
    return fails(FAULTS_EARLY, "sysconf") ? -1 : sysconf(name);
}

#if defined(__linux__)

int
faulty_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (fails(FAULTS_EARLY, "sched_getaffinity")) {
        errno = EINVAL;
        return -1;
    }
    return sched_getaffinity(pid, size, set);
}

#endif

int
faulty_mutex_trylock(pthread_mutex_t *mutex)
{
    return fails(FAULTS_EARLY, "pthread_mutex_trylock") ? EBUSY : pthread_mutex_trylock(mutex);
}

/* A call that waits returns early. */
static void
let_others_act(void)
{
    void (*act)(void *ctx) = plan.when_early;
    plan.when_early = NULL;
    if (act) {
        plan.paused = true;
        act(plan.ctx);
        plan.paused = false;
    }
}

/* As where the system wakes the waiter for no reason. */
static int
wake_spuriously(pthread_mutex_t *mutex)
{
    CHECK_EQUAL(pthread_mutex_unlock(mutex), 0);
    let_others_act();
    CHECK_EQUAL(pthread_mutex_lock(mutex), 0);
    return 0;
}

int
faulty_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (fails(FAULTS_FATAL, "pthread_cond_wait")) {
        return EINVAL;
    }
    return fails(FAULTS_EARLY, "pthread_cond_wait") ? wake_spuriously(mutex) : pthread_cond_wait(cond, mutex);
}

/* The system's clock is not the shifted one. */
static struct timespec
unshifted(const struct timespec *deadline, clockid_t clock)
{
    CHECK_EQUAL(clock, CLOCK_MONOTONIC);
    CHECK(deadline->tv_nsec >= 0 && deadline->tv_nsec < 1000000000);
    int64_t shift_ns = atomic_load(&monotonic_shift_ns);
    int64_t nsec = deadline->tv_nsec - shift_ns % 1000000000;
    int64_t sec = deadline->tv_sec - shift_ns / 1000000000 + (nsec < 0 ? -1 : nsec / 1000000000);
    nsec = (nsec + 1000000000) % 1000000000;
    if (sec < 0) {
        return (struct timespec){0};
    }
    return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)nsec};
}

int
faulty_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline)
{
    if (fails(FAULTS_FATAL, "pthread_cond_timedwait")) {
        return EINVAL;
    }
    if (fails(FAULTS_EARLY, "pthread_cond_timedwait")) {
        return wake_spuriously(mutex);
    }
#if defined(__APPLE__)
    return pthread_cond_timedwait_relative_np(cond, mutex, deadline);
#else
    struct timespec real = unshifted(deadline, CLOCK_MONOTONIC);
    return pthread_cond_timedwait(cond, mutex, &real);
#endif
}

/* ---- FATAL ---- */

int
faulty_mutex_lock(pthread_mutex_t *mutex)
{
    return fails(FAULTS_FATAL, "pthread_mutex_lock") ? EINVAL : pthread_mutex_lock(mutex);
}

int
faulty_mutex_unlock(pthread_mutex_t *mutex)
{
    return fails(FAULTS_FATAL, "pthread_mutex_unlock") ? EINVAL : pthread_mutex_unlock(mutex);
}

int
faulty_mutex_destroy(pthread_mutex_t *mutex)
{
    return fails(FAULTS_FATAL, "pthread_mutex_destroy") ? EINVAL : counted(pthread_mutex_destroy(mutex), -1);
}

int
faulty_cond_signal(pthread_cond_t *cond)
{
    return fails(FAULTS_FATAL, "pthread_cond_signal") ? EINVAL : pthread_cond_signal(cond);
}

int
faulty_cond_destroy(pthread_cond_t *cond)
{
    return fails(FAULTS_FATAL, "pthread_cond_destroy") ? EINVAL : counted(pthread_cond_destroy(cond), -1);
}

#if !defined(__APPLE__)

int
faulty_condattr_setclock(pthread_condattr_t *attr, clockid_t clock)
{
    CHECK_EQUAL(clock, CLOCK_MONOTONIC);
    return fails(FAULTS_FATAL, "pthread_condattr_setclock") ? EINVAL : pthread_condattr_setclock(attr, clock);
}

#endif

int
faulty_condattr_destroy(pthread_condattr_t *attr)
{
    return fails(FAULTS_FATAL, "pthread_condattr_destroy") ? EINVAL : counted(pthread_condattr_destroy(attr), -1);
}

int
faulty_join(pthread_t thread, void **result)
{
    return fails(FAULTS_FATAL, "pthread_join") ? EINVAL : pthread_join(thread, result);
}

int
faulty_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return fails(FAULTS_FATAL, "pthread_sigmask") ? EINVAL : pthread_sigmask(how, set, old);
}

int
faulty_once(pthread_once_t *once, void (*init)(void))
{
    return fails(FAULTS_FATAL, "pthread_once") ? EINVAL : pthread_once(once, init);
}

void
faults_shift_monotonic_ns(int64_t ns)
{
    atomic_store(&monotonic_shift_ns, ns);
}

void
faults_shift_realtime_ns(int64_t ns)
{
    atomic_store(&realtime_shift_ns, ns);
}

int
faulty_gettime(clockid_t clock, struct timespec *now)
{
    if (fails(FAULTS_FATAL, "clock_gettime(CLOCK_MONOTONIC)")) {
        errno = EINVAL;
        return -1;
    }
    CHECK_EQUAL(clock_gettime(clock, now), 0);
    int64_t shift_ns = atomic_load(clock == CLOCK_MONOTONIC ? &monotonic_shift_ns : &realtime_shift_ns);
    int64_t nsec = now->tv_nsec + shift_ns % 1000000000;
    now->tv_sec += (time_t)(shift_ns / 1000000000 + (nsec < 0 ? -1 : nsec / 1000000000));
    now->tv_nsec = (long)((nsec + 1000000000) % 1000000000);
    return 0;
}

/* ---- futexes ---- */

#if defined(__linux__)

static long
failure(int error)
{
    errno = error;
    return -1;
}

/* Two words: of 64 bits each, or of the width of a long. */
static struct timespec
deadline_of(long number, const void *time)
{
    if (number == SYS_futex && sizeof(long) == sizeof(int32_t)) {
        const int32_t *words = time;
        return (struct timespec){.tv_sec = words[0], .tv_nsec = words[1]};
    }
    const int64_t *words = time;
    return (struct timespec){.tv_sec = (time_t)words[0], .tv_nsec = (long)words[1]};
}

static long
futex_wait(long number, fl_atomic_u32 *word, int operation, uint32_t value, const void *deadline)
{
    if (fails(FAULTS_FATAL, "futex(FUTEX_WAIT_BITSET)")) {
        return failure(EINVAL);
    }
    if (fails(FAULTS_EARLY, "futex(FUTEX_WAIT_BITSET)")) {
        static _Atomic(unsigned) turn;
        let_others_act();
        return atomic_fetch_add(&turn, 1) % 2 == 0 ? failure(EINTR) : 0; /* a signal, and no reason */
    }
    if (deadline == NULL) {
        return syscall(number, word, operation, value, NULL, NULL, UINT32_MAX);
    }
    struct timespec named = deadline_of(number, deadline);
    struct timespec real = unshifted(&named, CLOCK_MONOTONIC);
    const int64_t wide[] = {real.tv_sec, real.tv_nsec};
    const long narrow[] = {(long)real.tv_sec, real.tv_nsec};
    return syscall(number, word, operation, value, number == SYS_futex ? (const void *)narrow : wide, NULL, UINT32_MAX);
}

long
faulty_futex(long number, fl_atomic_u32 *word, int operation, uint32_t value, const void *deadline, uint32_t bits)
{
    const int wait = 9, private = 128; /* FUTEX_WAIT_BITSET, FUTEX_PRIVATE_FLAG */
    CHECK_EQUAL(bits, UINT32_MAX);
    if (operation == (wait | private)) {
        return futex_wait(number, word, operation, value, deadline);
    }
    return syscall(number, word, operation, value, NULL, NULL, UINT32_MAX);
}

#endif
