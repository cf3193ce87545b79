/* What the code under test calls of the system.  The linker replaces the calls (--wrap): to the core,
 * __wrap_pthread_mutex_lock is pthread_mutex_lock.
 *
 * Mutexes and condition variables are kept in the memory of the system's own objects, so that they are restored and
 * hashed with it. */

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/lockable.h"
#include "engine.h"
#include "park/park.h"

#define CALLER __builtin_return_address(0)

/* ---- mutexes ---- */

/* In the memory of a pthread_mutex_t; all zero is a free one. */
typedef struct {
    uint32_t owner; /* the thread's number + 1 */
} mutex_model;

static uint32_t
own_mark(void)
{
    return (uint32_t)ex.current + 1;
}

static void
use_object(const void *object, size_t size)
{
    if (ex.in_thread) {
        ex_memory_used(object, 0, false, NULL);
        ex_memory_changes(object, size);
    }
}

bool
ex_can_go_on(const ex_thread *thread)
{
    if (thread->status != EX_READY) {
        return false;
    }
    switch (thread->op) {
        case EX_OP_LOCK:
            return ((const mutex_model *)thread->object)->owner == 0;
        case EX_OP_SLEEP:
        case EX_OP_AWAIT:
            return thread->wake != EX_DONE || thread->signalled;
        default:
            return true;
    }
}

/* The parkers. */
static void
begin_place(const void *place)
{
    if (ex.place_count == EX_PLACES_MAX) {
        EX_FAIL("more than %d parkers at once", EX_PLACES_MAX);
    }
    ex.places[ex.place_count++] = place;
}

static void
end_place(const void *place)
{
    for (int i = 0; i < ex.place_count; i++) {
        if (ex.places[i] == place) {
            ex.places[i] = ex.places[--ex.place_count];
            return;
        }
    }
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

/* Whether the system lacks resources now. */
static bool
fails(void)
{
    if (!ex_is_running() || ex.used.failures >= ex.limits.failures || ex_choose(2) == 0) {
        return false;
    }
    ex.used.failures++;
    ex_trace_note("thread %d finds no resources", ex.current);
    return true;
}

int
__wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    if (fails()) {
        return ENOMEM;
    }
    ex_memory_poison(mutex, sizeof *mutex, false);
    use_object(mutex, sizeof *mutex);
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int
__wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    use_object(mutex, sizeof *mutex);
    if (((mutex_model *)mutex)->owner != 0) {
        EX_FAIL("thread %d destroys a mutex that is locked", ex.current);
    }
    ex_memory_poison(mutex, sizeof *mutex, true);
    return 0;
}

static void
own(pthread_mutex_t *mutex)
{
    use_object(mutex, sizeof *mutex);
    ((mutex_model *)mutex)->owner = own_mark();
    ex_order_acquire(mutex);
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    mutex_model *model = (mutex_model *)mutex;
    if (!ex.in_thread) {
        return 0;
    }
    ex_step(EX_OP_LOCK, mutex, true);
    while (model->owner != 0) {
        if (!ex_is_running() || model->owner == own_mark()) {
            EX_FAIL("thread %d locks a mutex that it holds", ex.current);
        }
        (void)ex_wait(EX_OP_LOCK, mutex, 0);
    }
    own(mutex);
    ex_trace(CALLER, "lock %p", (void *)mutex);
    return 0;
}

int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    if (!ex.in_thread) {
        return 0;
    }
    ex_step(EX_OP_TRYLOCK, mutex, true);
    if (((mutex_model *)mutex)->owner != 0) {
        ex_trace(CALLER, "lock %p: it is locked", (void *)mutex);
        return EBUSY;
    }
    own(mutex);
    ex_trace(CALLER, "lock %p", (void *)mutex);
    return 0;
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    mutex_model *model = (mutex_model *)mutex;
    if (!ex.in_thread) {
        return 0;
    }
    use_object(mutex, sizeof *mutex);
    if (model->owner != own_mark()) {
        EX_FAIL("thread %d unlocks a mutex that it does not hold", ex.current);
    }
    ex_order_release(mutex, false);
    model->owner = 0;
    ex_trace(CALLER, "unlock %p", (void *)mutex);
    return 0;
}

/* ---- sleep and wake-up, for futexes and condition variables ---- */

static int64_t
in_ns(const struct timespec *time)
{
    __int128_t ns = (__int128_t)time->tv_sec * 1000000000 + time->tv_nsec;
    return ns < INT64_MAX ? (int64_t)ns : INT64_MAX - 1;
}

/* Wakes one of those that sleep so for the object, any one. */
static void
wake_one(ex_op sleep, const void *object)
{
    int asleep[EX_THREADS_MAX];
    int count = 0;
    for (int i = 0; i < ex.threads; i++) {
        const ex_thread *thread = &ex.thread[i];
        if (thread->status == EX_READY && thread->op == sleep && thread->object == object && !thread->signalled) {
            asleep[count++] = i;
        }
    }
    if (count > 0) {
        ex.thread[asleep[ex_choose(count)]].signalled = true;
    }
}

/* ---- futexes ---- */

long __wrap_syscall(long number, ...);

/* The look at the word and the beginning of the sleep are one step. */
static int
sleep_on(fl_atomic_u32 *word, uint32_t value, const struct timespec *deadline, const void *pc)
{
    ex_step(EX_OP_LOAD, word, false);
    use_object(word, sizeof *word);
    if (*(const uint32_t *)word != value) {
        ex_trace(pc, "sleep on %p: its value is another one", (void *)word);
        return EAGAIN;
    }
    ex_trace(pc, "sleep on %p", (void *)word);
    switch (ex_wait(EX_OP_SLEEP, word, deadline ? in_ns(deadline) : INT64_MAX)) {
        case EX_TIMED_OUT:
            return ETIMEDOUT;
        case EX_INTERRUPTED:
            return EINTR;
        default:
            return 0;
    }
}

/* A wake-up is a step, and does not touch the word: it may be gone. */
long
__wrap_syscall(long number, ...)
{
    enum { WAKE = 129, WAIT = 137 }; /* FUTEX_WAKE, FUTEX_WAIT_BITSET, both private */
    va_list arguments;
    va_start(arguments, number);
    fl_atomic_u32 *word = va_arg(arguments, fl_atomic_u32 *);
    int operation = va_arg(arguments, int);
    uint32_t value = va_arg(arguments, uint32_t);
    const struct timespec *deadline = va_arg(arguments, const struct timespec *);
    va_end(arguments);
    if (number != SYS_futex || (operation != WAKE && operation != WAIT)) {
        EX_FAIL("thread %d makes the system call %ld", ex.current, number);
    }
    if (operation == WAIT) {
        errno = sleep_on(word, value, deadline, CALLER);
        return errno == 0 ? 0 : -1;
    }
    ex_step(EX_OP_SIGNAL, word, true);
    wake_one(EX_OP_SLEEP, word);
    ex_trace(CALLER, "wake who sleeps on %p", (void *)word);
    return 0;
}

/* ---- parkers: the explorer keeps a list of them, and lets them lack resources whatever they are made of ---- */

int __real_fl_parker_init(fl_parker *parker);
void __real_fl_parker_destroy(fl_parker *parker);
int __wrap_fl_parker_init(fl_parker *parker);
void __wrap_fl_parker_destroy(fl_parker *parker);

int
__wrap_fl_parker_init(fl_parker *parker)
{
    if (fails()) {
        return ENOMEM;
    }
    ex_memory_poison(parker, sizeof *parker, false);
    int error = __real_fl_parker_init(parker);
    if (error == 0) {
        begin_place(parker);
    }
    return error;
}

void
__wrap_fl_parker_destroy(fl_parker *parker)
{
    end_place(parker);
    __real_fl_parker_destroy(parker);
    ex_memory_poison(parker, sizeof *parker, true);
}

/* ---- condition variables ---- */

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline);

int
__wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    (void)attributes;
    if (fails()) {
        return ENOMEM;
    }
    ex_memory_poison(cond, sizeof *cond, false);
    use_object(cond, sizeof *cond);
    memset(cond, 0, sizeof *cond);
    return 0;
}

int
__wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    use_object(cond, sizeof *cond);
    if (ex_is_running()) {
        (void)ex_is_step(cond, true);
    }
    for (int i = 0; i < ex.threads; i++) {
        if (ex.thread[i].status == EX_READY && ex.thread[i].op == EX_OP_AWAIT && ex.thread[i].object == cond) {
            EX_FAIL("thread %d destroys a condition variable for which thread %d waits", ex.current, i);
        }
    }
    ex_memory_poison(cond, sizeof *cond, true);
    return 0;
}

int
__wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    ex_step(EX_OP_SIGNAL, cond, true);
    use_object(cond, sizeof *cond);
    wake_one(EX_OP_AWAIT, cond);
    ex_trace(CALLER, "signal %p", (void *)cond);
    return 0;
}

static int
await_signal(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns, const void *pc)
{
    use_object(cond, sizeof *cond);
    (void)ex_is_step(cond, true);
    ex_trace(pc, "wait for %p", (void *)cond);
    (void)__wrap_pthread_mutex_unlock(mutex);
    ex_wake wake = ex_wait(EX_OP_AWAIT, cond, deadline_ns);
    (void)__wrap_pthread_mutex_lock(mutex);
    return wake == EX_TIMED_OUT ? ETIMEDOUT : 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return await_signal(cond, mutex, INT64_MAX, CALLER);
}

int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline)
{
    return await_signal(cond, mutex, in_ns(deadline), CALLER);
}

/* ---- threads, the clock, memory ---- */

pthread_t __wrap_pthread_self(void);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
void *__wrap_pthread_getspecific(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
void *__wrap_malloc(size_t size);
void __wrap_free(void *block);
_Noreturn void __wrap_fl_fatal(const char *call, int error);
_Noreturn void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function);
unsigned __wrap_fl_cpu_count(void);
void __wrap_fl_cpu_yield(void);
void __wrap_fl_nap(void);

pthread_t
__wrap_pthread_self(void)
{
    return (pthread_t)ex.current + 1;
}

int
__wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    *key = 1; /* there is one */
    ex.destroy_specific = destroy;
    return 0;
}

void *
__wrap_pthread_getspecific(pthread_key_t key)
{
    (void)key;
    return ex.thread[ex.current].specific;
}

int
__wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    (void)key;
    if (fails()) {
        return ENOMEM;
    }
    ex.thread[ex.current].specific = (void *)(uintptr_t)value;
    return 0;
}

int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    ex.fork_before = prepare;
    ex.fork_in_parent = parent;
    ex.fork_in_child = child;
    return 0;
}

/* Time passes where somebody looks at the clock: by nothing, or by a little more than one of the core's limits. */
static void
lapse(void)
{
    static const int64_t lapses_ns[] = {0, FL_FAIR_NS + FL_FAIR_NS / 8, FL_FAIR_NS / 2};
    if (ex_is_running() && ex.used.lapses < ex.limits.lapses) {
        int chosen = ex_choose(sizeof lapses_ns / sizeof *lapses_ns);
        if (chosen > 0) {
            ex.used.lapses++;
            ex.now_ns += lapses_ns[chosen];
            ex_trace_note("%lld us pass", (long long)lapses_ns[chosen] / 1000);
        }
    }
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    lapse();
    if (ex_is_running()) {
        ex.now_ns += ex.tick_ns;
    }
    *now = (struct timespec){.tv_sec = (time_t)(ex.now_ns / 1000000000), .tv_nsec = (long)(ex.now_ns % 1000000000)};
    return 0;
}

void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : ex_heap_allocate(size);
}

void
__wrap_free(void *block)
{
    if (block) {
        ex_heap_free(block);
    }
}

/* One processor would never spin, more would: a scenario that wants spins says so by fl_spin_enable(). */
unsigned
__wrap_fl_cpu_count(void)
{
    return 2;
}

/* A spin ends by time: each yield takes some. */
void
__wrap_fl_cpu_yield(void)
{
    ex.now_ns += 10000;
}

void
__wrap_fl_nap(void)
{
    ex.now_ns += 100000;
}

_Noreturn void
__wrap_fl_fatal(const char *call, int error)
{
    EX_FAIL("%s failed: %s", call, strerror(error));
}

_Noreturn void
__wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    (void)function;
    ex_fail(file, (int)line, "assert(%s)", what);
}
